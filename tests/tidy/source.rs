//! A source file as the rules look at it: its lines, with comments and texts blanked out, which of
//! them are test code, and the paths it names.
//!
//! Used by the rules in `tidy` and by `holes`. No parser: what is read is formatted by rustfmt.

use std::fs;
use std::path::Path;

const FOLDERS: [&str; 5] = ["protocol", "cluster", "tui", "tests", "demos"];

/// One source file.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and texts blanked out, line by line.
    pub(crate) code: Vec<String>,
    /// Per line, whether it is test code.
    pub(crate) test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let all_test =
            path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs");
        let mut test = vec![all_test; code.len()];
        for (at, line) in code.iter().enumerate() {
            // Other tests may use it, so it may be visible to them.
            let is_mod = |line: &String| {
                let line = line.trim_start();
                line.strip_prefix("pub(super) ").unwrap_or(line).starts_with("mod ")
            };
            if line.trim() == "#[cfg(test)]" && code.get(at + 1).is_some_and(is_mod) {
                let end = end_of_item(&code, at + 1).unwrap_or(code.len() - 1);
                test[at..=end].fill(true);
            }
        }
        Self { path: path.to_owned(), text: text.to_owned(), code, test }
    }

    /// The lines, counted from 1, of code that is no test.
    pub(crate) fn product_code(&self) -> impl Iterator<Item = (usize, &String)> {
        let lines = self.code.iter().enumerate().filter(|(at, _)| !self.test[*at]);
        lines.map(|(at, line)| (at + 1, line))
    }

    /// Every path that the code names, with the line: `use` trees spelled out, `super` and the
    /// crate's own name resolved as far as folders go, and paths within expressions.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let mut statement: Option<(usize, String)> = None;
        for (at, line) in self.code.iter().enumerate() {
            let trimmed = line.trim_start();
            let body = ["pub use ", "pub(crate) use ", "pub(crate) use ", "use "]
                .iter()
                .find_map(|start| trimmed.strip_prefix(start));
            if let (None, Some(body)) = (&statement, body) {
                statement = Some((at + 1, body.to_owned()));
            } else if let Some((_, text)) = &mut statement {
                text.push_str(trimmed);
            } else {
                let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let words = line.split(|c: char| !word(c)).filter(|word| !word.is_empty());
                paths.extend(words.map(|word| (at + 1, word.to_owned())));
            }
            if let Some((start, text)) = statement.take_if(|(_, text)| text.contains(';')) {
                let tree = text.split(';').next().unwrap_or_default();
                spell_out("", tree, &mut |path| paths.push((start, path)));
            }
        }
        let split = |path: String| path.split("::").map(str::to_owned).collect::<Vec<_>>();
        paths.into_iter().map(|(line, path)| (line, self.resolve(split(path)))).collect()
    }

    /// Replaces leading `super`s by what they mean in this file; a file's module is its path.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        if ups == 0 {
            return path;
        }
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        // An inner module may say `super` once more than its file could: that stays in the file.
        module.truncate(module.len().saturating_sub(ups));
        module.insert(0, "crate".into());
        module.extend(path.into_iter().skip(ups));
        module
    }
}

/// Calls `found` for every path of the `use` tree `tree` below `prefix`.
fn spell_out(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some((start, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        if !name.is_empty() {
            found(format!("{prefix}{name}"));
        }
        return;
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let prefix = format!("{prefix}{}", start.trim());
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                spell_out(&prefix, &inner[begin..at], found);
                begin = at + 1;
            }
            _ => {}
        }
    }
    spell_out(&prefix, &inner[begin..], found);
}

/// `text` with every comment, text and character replaced by blanks; lines stay where they are.
pub(crate) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        let end = token_end(&chars, at, in_word);
        let keep = end == at;
        for c in &chars[at..end.max(at + 1)] {
            out.push(if keep || *c == '\n' { *c } else { ' ' });
        }
        at = end.max(at + 1);
    }
    out
}

/// Where the comment, text or character that begins at `at` ends; `at` if none begins there.
fn token_end(chars: &[char], at: usize, in_word: bool) -> usize {
    let starts =
        |at: usize, start: &str| start.chars().zip(at..).all(|(c, i)| chars.get(i) == Some(&c));
    if starts(at, "//") {
        return (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len());
    }
    if starts(at, "/*") {
        let (mut depth, mut i) = (1, at + 2);
        while i < chars.len() && depth > 0 {
            let step = if starts(i, "/*") || starts(i, "*/") { 2 } else { 1 };
            depth = if starts(i, "/*") { depth + 1 } else { depth - usize::from(step == 2) };
            i += step;
        }
        return i.min(chars.len());
    }
    let raw = if starts(at, "br") { at + 2 } else { at + 1 };
    if !in_word && (starts(at, "r") || starts(at, "br")) {
        let hashes = chars[raw.min(chars.len())..].iter().take_while(|c| **c == '#').count();
        if chars.get(raw + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = (raw + hashes + 1..chars.len()).find(|i| starts(*i, &close));
            return end.map_or(chars.len(), |end| end + close.len());
        }
    }
    let quote = chars[at];
    let escaped = chars.get(at + 1) == Some(&'\\');
    let is_char = quote == '\'' && (escaped || chars.get(at + 2) == Some(&'\''));
    if quote != '"' && !is_char {
        return at; // A lifetime, or code.
    }
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// The line, from 0, on which the item that begins on line `start` ends: with the brace that closes
/// its first one, or with a semicolon before any. `None` if it does not end.
pub(crate) fn end_of_item(code: &[String], start: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, line) in code.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '{' => braces += 1,
                '}' if braces <= 1 => return Some(at),
                '}' => braces -= 1,
                '(' | '[' => others += 1,
                ')' | ']' => others = others.saturating_sub(1),
                ';' if braces == 0 && others == 0 => return Some(at),
                _ => {}
            }
        }
    }
    None
}

/// The words of a line of code: names, each with whether a `!` follows.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (&str, bool)> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.split(move |c| !inside(c)).filter(|word| !word.is_empty()).map(move |word| {
        let end = word.as_ptr() as usize - line.as_ptr() as usize + word.len();
        (word, line[end..].starts_with('!'))
    })
}

/// All source files of the repository.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        // A part of the repository may not be there yet.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a readable source file");
                let path = path.strip_prefix(root).expect("a path below the root");
                found.push(Source::new(&path.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    assert!(found.len() > 5, "the sources are where they were");
    found
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let blanked = blank("a\"b\\\"c\"d'e'f<'g>'\\''//h\ni/*j/*k*/l*/m b\"n\" r\"o\\\" br#\"p\"#q");
    let expected = "a      d   f<'g>       \ni            m b    r     br     q";
    let squeeze = |text: &str| text.replace([' ', 'r'], "").replace("b", "");
    assert_eq!(squeeze(&blanked), squeeze(expected));
}
