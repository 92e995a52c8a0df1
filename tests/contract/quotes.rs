//! What tests and the list of what comes later quote of the contract.
//!
//! Used by the tests in `contract`. Three forms: the sentences of the conformance checks, which are
//! data; `/// Contract: "..."` above a function of a test, or `# Contract: "..."` in a golden script,
//! over as many lines of the comment as it takes; and the items of `tests/contract-later.md`.

use std::fs;
use std::path::Path;

use crate::tidy::source::{Source, sources};

/// A quote and who makes it.
pub(super) struct Quote {
    pub(super) by: String,
    pub(super) text: String,
}

const MARK: &str = "Contract: \"";

/// The quotes in the comments of a text, each comment line beginning with `comment`; with the line,
/// from 0, after each of them. A quote ends with a `"` at the end of a line.
fn in_comments(text: &str, comment: &str) -> Vec<(usize, Result<String, String>)> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start().strip_prefix(comment).map(str::trim);
        let begun = line.and_then(|line| line.strip_prefix(MARK));
        let quote = match (open.take(), begun, line) {
            (Some(quote), Some(_), _) | (Some(quote), None, None) => {
                found.push((at, Err(format!("has no end: {quote:?}"))));
                continue;
            }
            (Some(quote), None, Some(line)) => format!("{quote} {line}"),
            (None, Some(begun), _) => begun.to_owned(),
            (None, None, _) => continue,
        };
        match quote.strip_suffix('"') {
            Some(whole) => found.push((at + 1, Ok(whole.to_owned()))),
            None => open = Some(quote),
        }
    }
    found.extend(open.map(|quote| (text.lines().count(), Err(format!("has no end: {quote:?}")))));
    found
}

/// The quotes of a source file; those that no test makes are errors.
pub(super) fn of_source(source: &Source) -> Result<Vec<Quote>, String> {
    let mut quotes = Vec::new();
    for (after, text) in in_comments(&source.text, "///") {
        let text = text.map_err(|error| format!("{}:{after}: a quote {error}", source.path))?;
        let rest = source.code.iter().enumerate().skip(after);
        // Attributes and the rest of the comment stand between a quote and its function.
        let item = rest.map(|(at, line)| (at, line.trim())).find(|(at, line)| {
            let comment = source.text.lines().nth(*at).unwrap_or_default().trim_start();
            !(comment.starts_with("///") || line.starts_with("#["))
        });
        let name = item.and_then(|(_, line)| {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.find(|word| *word == "fn").and_then(|_| words.next())
        });
        let Some(name) = name.filter(|_| source.test.get(after) == Some(&true)) else {
            return Err(format!("{}:{after}: a quote above no function of a test", source.path));
        };
        quotes.push(Quote { by: format!("{} {name}", source.path), text });
    }
    Ok(quotes)
}

/// The quotes of all sources and golden scripts.
pub(super) fn of_repository() -> Result<Vec<Quote>, String> {
    let mut quotes = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/contract/")) {
        quotes.extend(of_source(source)?);
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for entry in fs::read_dir(golden).expect("the golden scripts") {
        let path = entry.expect("a readable folder").path();
        let by = format!("tests/golden/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if !by.ends_with(".txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable script");
        for (line, quote) in in_comments(&text, "#") {
            let text = quote.map_err(|error| format!("{by}:{line}: a quote {error}"))?;
            quotes.push(Quote { by: by.clone(), text });
        }
    }
    Ok(quotes)
}

/// The items of the list of what comes later, each under a heading with a reason below it.
pub(super) fn of_later(text: &str) -> Result<Vec<Quote>, String> {
    let mut quotes: Vec<Quote> = Vec::new();
    let (mut heading, mut has_reason, mut in_item) = ("", false, false);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            (heading, has_reason, in_item) = (title, false, false);
        } else if let Some(item) = line.strip_prefix("- ") {
            if heading.is_empty() || !has_reason {
                return Err(format!("no heading or no reason stands above {item:?}"));
            }
            quotes.push(Quote { by: format!("later ({heading})"), text: item.to_owned() });
            in_item = true;
        } else if line.trim().is_empty() {
            in_item = false;
        } else if let Some(quote) = quotes.last_mut().filter(|_| in_item) {
            quote.text = format!("{} {}", quote.text, line.trim());
        } else {
            has_reason = true;
        }
    }
    Ok(quotes)
}

#[test]
fn quotes_are_found_in_comments() {
    let test = "/// Contract: \"one\"\n/// Contract: \"two\n/// words\"\n#[test]\nfn held() {}\n";
    let found = of_source(&Source::new("tests/x.rs", test)).unwrap_or_default();
    let found: Vec<(&str, &str)> = found.iter().map(|q| (q.by.as_str(), q.text.as_str())).collect();
    assert_eq!(found, [("tests/x.rs held", "one"), ("tests/x.rs held", "two words")]);
    assert!(of_source(&Source::new("cluster/src/x.rs", test)).is_err(), "no test");
    for wrong in [
        "/// Contract: \"one\"\nconst A: u8 = 1;\n",
        "/// Contract: \"one\nfn a() {}\n",
        "/// Contract: \"one\n/// Contract: \"two\"\nfn a() {}\n",
    ] {
        assert!(of_source(&Source::new("tests/x.rs", wrong)).is_err(), "{wrong}");
    }
    let later = "# Title\n\n## soon: a\nwhy\n\n- one\n  more\n- two\n";
    let found = of_later(later).expect("it is right");
    let texts: Vec<&str> = found.iter().map(|quote| quote.text.as_str()).collect();
    assert_eq!(texts, ["one more", "two"]);
    assert!(of_later("## a\n- no reason\n").is_err());
}
