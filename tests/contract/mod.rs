//! Is every line of the contract held by a test? The contract is `protocol/PROTOCOL.md`; tests quote
//! what they hold word by word, and what no test quotes stands in `tests/contract-later.md`, with what
//! it waits for. A quote that is not in the contract fails, as does a word of it that nobody quotes.
//!
//! ```sh
//! cargo test contract::every -- --nocapture                  # how much is held
//! PIAZZA_CONTRACT=lease cargo test contract::every -- --nocapture  # who quotes what has this in it
//! ```

use std::fs;
use std::ops::Range;
use std::path::Path;

use self::document::{Document, Place};
use self::quotes::Quote;

mod document;
mod quotes;

/// Who holds a byte of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nobody,
    Later,
    Test,
}

/// What is known of the contract.
struct Cover<'a> {
    document: &'a Document,
    /// Of each block, byte by byte.
    held: Vec<Vec<Held>>,
    errors: Vec<String>,
}

impl<'a> Cover<'a> {
    fn new(document: &'a Document) -> Self {
        let held = document.blocks.iter().map(|block| vec![Held::Nobody; block.text.len()]);
        Self { document, held: held.collect(), errors: Vec::new() }
    }

    /// A later piece may name words around it that tests quote, so that it is known which one is
    /// meant; not those alone.
    fn add(&mut self, quote: &Quote, as_held: Held) {
        let places = match self.document.find(&quote.text) {
            Ok(places) => places,
            Err(error) => {
                return self.errors.push(format!("{}: {:?} {error}", quote.by, quote.text));
            }
        };
        if as_held == Held::Later && !places.iter().any(|place| self.has_unquoted(place)) {
            let what = "is quoted by tests: take it off the list";
            return self.errors.push(format!("{}: {:?} {what}", quote.by, quote.text));
        }
        for (block, range) in places {
            let bytes = self.held[block][range].iter_mut();
            bytes.filter(|held| **held != Held::Test).for_each(|held| *held = as_held);
        }
    }

    /// Whether a word is there that no test quotes.
    fn has_unquoted(&self, (block, range): &Place) -> bool {
        let words = self.document.blocks[*block].words().into_iter();
        let mut within = words.filter(|word| range.start <= word.start && word.end <= range.end);
        within.any(|word| !self.held[*block][word].contains(&Held::Test))
    }

    /// The stretches of words that nobody quotes.
    fn unheld(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (block, held) in self.document.blocks.iter().zip(&self.held) {
            let mut stretches: Vec<Range<usize>> = Vec::new();
            let mut goes_on = false;
            for word in block.words() {
                let is_unheld = held[word.clone()].contains(&Held::Nobody);
                match stretches.last_mut() {
                    Some(last) if is_unheld && goes_on => last.end = word.end,
                    _ if is_unheld => stretches.push(word),
                    _ => {}
                }
                goes_on = is_unheld;
            }
            let told = stretches.into_iter().map(|range| &block.text[range]);
            found.extend(told.map(|text| format!("{}: nobody holds {text:?}", block.section)));
        }
        found
    }

    /// How many pieces are held by tests, come later, and are there in all.
    fn figure(&self) -> (usize, usize, usize) {
        let (mut tests, mut later, mut all) = (0, 0, 0);
        for (block, held) in self.document.blocks.iter().zip(&self.held) {
            for piece in block.pieces() {
                let has = |who| piece.iter().any(|word| held[word.clone()].contains(&who));
                all += 1;
                later += usize::from(has(Held::Later) && !has(Held::Nobody));
                tests += usize::from(!has(Held::Later) && !has(Held::Nobody));
            }
        }
        (tests, later, all)
    }
}

/// All errors of a contract, quotes and a list of what comes later; and the figure.
fn checked(contract: &str, quotes: &[Quote], later: &str) -> (Vec<String>, (usize, usize, usize)) {
    let document = Document::new(contract);
    let mut cover = Cover::new(&document);
    quotes.iter().for_each(|quote| cover.add(quote, Held::Test));
    match quotes::of_later(later) {
        Ok(later) => later.iter().for_each(|quote| cover.add(quote, Held::Later)),
        Err(error) => cover.errors.push(error),
    }
    let unheld = cover.unheld();
    cover.errors.extend(unheld);
    let figure = cover.figure();
    (cover.errors, figure)
}

#[test]
fn breaches_are_found() {
    let contract = "# T\nintro\n\n## 1. A\nOne thing; another one. A third.\n";
    let quote = |text: &str| Quote { by: "x".into(), text: text.into() };
    let later = "## later\nwhy\n\n- A third\n";
    let errors = |quotes: &[Quote], later: &str| checked(contract, quotes, later).0.join("\n");
    let both = [quote("One thing"), quote("another one")];
    assert_eq!(checked(contract, &both, later), (Vec::new(), (2, 1, 3)));
    assert!(errors(&both[..1], later).contains("nobody holds \"another one\""));
    assert!(errors(&both, "").contains("nobody holds \"A third\""));
    assert!(
        errors(&[quote("One thing; another one. A th")], "").contains("nobody holds \"third\"")
    );
    assert!(errors(&[quote("One thought")], later).contains("is not in the contract"));
    assert_eq!(errors(&both, "## later\nwhy\n\n- another one. A third\n"), "");
    let third = [quote("One thing; another one. A third")];
    assert!(errors(&third, later).contains("take it off the list"));
    assert_eq!(errors(&third, ""), "");
}

#[test]
fn every_line_of_the_contract_is_held() {
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut quotes = quotes::of_repository().unwrap_or_else(|error| panic!("{error}"));
    let checks = super::conformance::quotes();
    quotes.extend(checks.map(|(by, text)| Quote { by, text: text.to_owned() }));
    if let Ok(word) = std::env::var("PIAZZA_CONTRACT") {
        let named = quotes.iter().filter(|quote| quote.text.contains(&word));
        named.for_each(|quote| println!("{}: {:?}", quote.by, quote.text));
    }
    let (contract, later) = (read("protocol/PROTOCOL.md"), read("tests/contract-later.md"));
    let (errors, (tests, later, all)) = checked(&contract, &quotes, &later);
    println!("of {all} pieces of the contract, tests hold {tests}; {later} come later");
    assert!(errors.is_empty(), "{} faults\n{}\n", errors.len(), errors.join("\n"));
}
