//! The contract, `protocol/PROTOCOL.md`, as blocks of text: paragraphs, list items, rows of tables,
//! command lines. Headings, the heads of tables and the introduction promise nothing: left out.
//!
//! Used by the tests in `contract`. Knows nothing of tests or quotes but how a quote is looked up.

use std::ops::Range;

/// One paragraph, list item, table row or command line, with its white space normalised.
pub(super) struct Block {
    /// The heading above it.
    pub(super) section: String,
    pub(super) text: String,
}

/// A stretch of one block: its number, and where it is in the block's text.
pub(super) type Place = (usize, Range<usize>);

/// The contract.
pub(super) struct Document {
    pub(super) blocks: Vec<Block>,
}

/// One blank between any two words.
pub(super) fn normalised(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a line of the source begins a block, or goes on with one.
enum Line {
    Heading(String),
    /// A heading of a table, a rule, nothing.
    Empty,
    /// Begins a block.
    Begin(String),
    /// Goes on with the block before, or begins one after an empty line.
    Text(String),
}

fn classify(line: &str, next: Option<&str>) -> Line {
    let indent = line.len() - line.trim_start().len();
    let text = line.trim();
    if let Some(heading) = text.strip_prefix("## ") {
        return Line::Heading(heading.to_owned());
    }
    let is_rule = |line: &str| line.starts_with("|---");
    if let Some(row) = text.strip_prefix('|') {
        if is_rule(text) || next.is_some_and(is_rule) {
            return Line::Empty;
        }
        return Line::Begin(row.trim_end_matches('|').to_owned());
    }
    match text.strip_prefix("- ") {
        _ if text.is_empty() => Line::Empty,
        Some(item) if indent == 0 => Line::Begin(item.to_owned()),
        _ if indent == 4 && text.starts_with("piazza ") => Line::Begin(text.to_owned()),
        _ => Line::Text(text.to_owned()),
    }
}

impl Document {
    /// Reads the source, which is Markdown. What stands before the first `## ` is left out.
    pub(super) fn new(source: &str) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut section = None;
        let mut open = false;
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let line = classify(line, lines.get(at + 1).copied());
            if let Line::Heading(heading) = line {
                (section, open) = (Some(heading), false);
                continue;
            }
            let Some(section) = &section else { continue };
            match line {
                Line::Heading(_) | Line::Empty => open = false,
                Line::Text(text) if open => {
                    let block = blocks.last_mut().expect("one is open");
                    block.text = format!("{} {text}", block.text);
                }
                Line::Begin(text) | Line::Text(text) => {
                    blocks.push(Block { section: section.clone(), text });
                    open = true;
                }
            }
        }
        for block in &mut blocks {
            block.text = normalised(&block.text);
        }
        Self { blocks }
    }

    /// Where `quote` stands: word by word, or in parts that " ... " joins, which must stand in one
    /// block in this order. Never in two blocks, or it would not be known which one is meant.
    pub(super) fn find(&self, quote: &str) -> Result<Vec<Place>, &'static str> {
        let quote = normalised(quote);
        let whole = [quote.as_str()];
        let parts: Vec<&str> = quote.split(" ... ").collect();
        for parts in [&whole[..], &parts] {
            let all = 0..self.blocks.len();
            let mut found: Vec<Vec<Place>> =
                all.filter_map(|block| self.find_in(block, parts)).collect();
            match found.len() {
                0 => {}
                1 => return Ok(found.remove(0)),
                _ => return Err("stands in several places: make it longer"),
            }
        }
        Err("is not in the contract")
    }

    fn find_in(&self, number: usize, parts: &[&str]) -> Option<Vec<Place>> {
        let text = &self.blocks[number].text;
        let mut from = 0;
        let mut places = Vec::new();
        for part in parts {
            let begin = from + text[from..].find(part)?;
            from = begin + part.len();
            places.push((number, begin..from));
        }
        Some(places)
    }
}

impl Block {
    /// Its words, a label like `**Order.**` at its beginning aside. A caption has none.
    pub(super) fn words(&self) -> Vec<Range<usize>> {
        if self.text.ends_with(':') {
            return Vec::new();
        }
        let label = self.text.strip_prefix("**").and_then(|rest| rest.split_once("**"));
        let is_label = label.is_some_and(|(label, _)| label.ends_with('.'));
        let begin = label.filter(|_| is_label).map_or(0, |(label, _)| label.len() + 4);
        let mut words: Vec<Range<usize>> = Vec::new();
        for (at, c) in self.text.char_indices().skip_while(|(at, _)| *at < begin) {
            let end = at + c.len_utf8();
            match words.last_mut() {
                _ if !c.is_alphanumeric() && c != '_' => {}
                Some(word) if word.end == at => word.end = end,
                _ => words.push(at..end),
            }
        }
        words
    }

    /// Its pieces, to be counted: sentences, clauses, cells. Each has a word at least.
    pub(super) fn pieces(&self) -> Vec<Vec<Range<usize>>> {
        let mut pieces: Vec<Vec<Range<usize>>> = Vec::new();
        let mut end = None;
        for word in self.words() {
            let between = end.map(|end| &self.text[end..word.start]);
            let splits =
                |text: &str| [". ", "; ", ": ", " · ", " | "].iter().any(|s| text.contains(s));
            match pieces.last_mut() {
                Some(piece) if !between.is_none_or(splits) => piece.push(word.clone()),
                _ => pieces.push(vec![word.clone()]),
            }
            end = Some(word.end);
        }
        pieces
    }
}

#[test]
fn a_document_is_blocks_and_words() {
    let source = "# Title\nintro\n\n## 1. A\ntext that\ngoes on; and on.\n\n- **Item.** one\n  more\n\
                  - two\n\nCaption:\n\n| head | x |\n|---|---|\n| `a` | b. C |\n\n    piazza up [x]\n      y\n    piazza down\n";
    let document = Document::new(source);
    let texts: Vec<&str> = document.blocks.iter().map(|block| block.text.as_str()).collect();
    let expected = [
        "text that goes on; and on.",
        "**Item.** one more",
        "two",
        "Caption:",
        "`a` | b. C",
        "piazza up [x] y",
        "piazza down",
    ];
    assert_eq!(texts, expected);
    assert_eq!(document.blocks[0].section, "1. A");
    let words = |block: usize| {
        let block = &document.blocks[block];
        block.words().into_iter().map(|word| &block.text[word]).collect::<Vec<_>>()
    };
    assert_eq!(words(1), ["one", "more"]);
    assert_eq!(words(3), [""; 0]);
    assert_eq!(words(4), ["a", "b", "C"]);
    let counts = document.blocks.iter().map(|block| block.pieces().len());
    assert_eq!(counts.collect::<Vec<_>>(), [2, 1, 1, 0, 3, 1, 1]);

    assert_eq!(document.find("that  goes\non"), Ok(vec![(0, 5..17)]));
    assert_eq!(document.find("text ... and on"), Ok(vec![(0, 0..4), (0, 19..25)]));
    assert_eq!(document.find("goes on forever"), Err("is not in the contract"));
    assert_eq!(document.find("and on ... text"), Err("is not in the contract"));
    assert_eq!(document.find("text ... two"), Err("is not in the contract"));
    assert!(document.find("piazza").is_err_and(|error| error.contains("several")));
}
