//! The rules of this repository that a machine can keep; each is one test, and each test first
//! shows on planted text that its rule would find a breach.
//!
//! Rules look at code with comments and texts blanked out, except where they are about comments.
//! Test code (files under `tests`, files named `tests.rs`, `#[cfg(test)] mod` tails) is exempt from
//! lengths and from the ban on `unwrap`, and from nothing else.

use std::fs;
use std::path::Path;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 100;
const FOLDERS: [&str; 5] = ["protocol", "cluster", "tui", "tests", "demos"];

/// Not in `core/`, tests included: it must run the same in production and in simulation. Iterating
/// a hash map is random, so there is none.
const IMPURE: &str = "\
    std::net std::fs std::thread std::process std::env std::io tokio async await Instant \
    SystemTime rand println eprintln print eprint HashMap HashSet RandomState thread_local";
/// Who never imports what: a folder, exceptions in it, and paths by their beginning.
const IMPORTS: &[(&str, &[&str], &[&str])] = &[
    ("cluster/src/core/", &[], &["crate::storage", "crate::shell", "crate::supervisor"]),
    (
        "cluster/src/storage/",
        &[],
        &["crate::shell", "crate::supervisor", "tokio", "async", "await"],
    ),
    (
        "protocol/",
        &[
            "protocol/src/client/",
            "protocol/src/client.rs",
            "protocol/tests/",
            "protocol/examples/",
        ],
        &["tokio", "std::net", "std::fs"],
    ),
    ("protocol/", &[], &["cluster", "tui", "demos"]),
    ("cluster/", &[], &["tui", "demos"]),
    ("demos/", &[], &["cluster", "tui"]),
    ("tui/src/", &[], &["cluster", "demos"]),
];
/// Of `std::net`, what opens no socket.
const ADDRESSES: &[&str] =
    &["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr"];
/// Notes to oneself, advertising, filler, and traces of the tools a text was made with.
const STRAY_WORDS: &str = "\
    todo fixme xxx hack wip blazing blazingly seamless seamlessly leverage leverages leveraging \
    delve obviously basically world-class cutting-edge state-of-the-art chatgpt claude copilot \
    llm lorem";

/// A finding: a line, counted from 1, and what is wrong there.
type Findings = Vec<(usize, String)>;

/// One source file.
struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
    /// `text` with comments and texts blanked out, line by line.
    code: Vec<String>,
    /// Per line, whether it is test code.
    test: Vec<bool>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let all_test =
            path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
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
    fn product_code(&self) -> impl Iterator<Item = (usize, &String)> {
        let lines = self.code.iter().enumerate().filter(|(at, _)| !self.test[*at]);
        lines.map(|(at, line)| (at + 1, line))
    }

    /// Every path that the code names, with the line: `use` trees spelled out, `super` and the
    /// crate's own name resolved as far as folders go, and paths within expressions.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let mut statement: Option<(usize, String)> = None;
        for (at, line) in self.code.iter().enumerate() {
            let trimmed = line.trim_start();
            let body = ["pub use ", "pub(crate) use ", "pub(super) use ", "use "]
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

/// Whether `path` begins with the parts of `forbidden`.
fn begins(path: &[String], forbidden: &str) -> bool {
    let parts = forbidden.split("::");
    let count = parts.clone().count();
    path.len() >= count && parts.zip(path).all(|(part, own)| part == own)
}

/// Whether `path` is an address, which is plain data.
fn names_an_address(path: &[String]) -> bool {
    begins(path, "std::net") && path.get(2).is_some_and(|name| ADDRESSES.contains(&name.as_str()))
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
fn blank(text: &str) -> String {
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
fn end_of_item(code: &[String], start: usize) -> Option<usize> {
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
fn words(line: &str) -> impl Iterator<Item = (&str, bool)> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.split(move |c| !inside(c)).filter(|word| !word.is_empty()).map(move |word| {
        let end = word.as_ptr() as usize - line.as_ptr() as usize + word.len();
        (word, line[end..].starts_with('!'))
    })
}

fn core_is_pure(source: &Source) -> Findings {
    if !source.path.starts_with("cluster/src/core/") {
        return Vec::new();
    }
    let may_lock = source.path.starts_with("cluster/src/core/cache");
    // Which bug is planted is known by thread, in test builds with the feature `planted-bugs`.
    let may_differ = source.path == "cluster/src/core/planted.rs";
    let mut findings = Vec::new();
    for (line, path) in source.paths() {
        let mut complain = |what: &str| findings.push((line, format!("{what} in core/")));
        if names_an_address(&path) {
            continue;
        }
        for word in IMPURE.split_whitespace() {
            let anywhere = !word.contains("::") && path.iter().any(|part| part == word);
            let excepted = may_differ && word == "thread_local";
            if (anywhere || begins(&path, word)) && !excepted {
                complain(word);
            }
        }
        let shared = begins(&path, "std::sync") && path.get(2).is_none_or(|name| name != "Arc");
        if shared && !may_lock {
            complain("std::sync, Arc excepted,");
        }
    }
    findings
}

fn imports_go_one_way(source: &Source) -> Findings {
    let mut findings = Vec::new();
    let paths = source.paths();
    for (folder, exceptions, forbidden) in IMPORTS {
        let exempt = exceptions.iter().any(|exception| source.path.starts_with(exception));
        if !source.path.starts_with(folder) || exempt {
            continue;
        }
        for (line, path) in &paths {
            // A bare word is a variable as likely as a crate; `async` and `await` are words.
            let named = |word: &&&str| {
                begins(path, word) && (path.len() > 1 || matches!(**word, "async" | "await"))
            };
            if let Some(word) = forbidden.iter().find(named).filter(|_| !names_an_address(path)) {
                findings.push((*line, format!("{word} in {folder}")));
            }
        }
    }
    findings
}

fn functions_are_short(source: &Source) -> Findings {
    let mut findings = Vec::new();
    for (line, code) in source.product_code() {
        let mut names = words(code).skip_while(|(word, _)| *word != "fn").skip(1);
        let Some((name, _)) = names.next() else { continue };
        let length = end_of_item(&source.code, line - 1).map_or(0, |end| end + 2 - line);
        // `fn` as a type, like `fn(u8) -> u8`, has no name before its parenthesis.
        if code.contains(&format!("fn {name}")) && length > FUNCTION_LINES_MAX {
            findings.push((line, format!("fn {name} has {length} lines")));
        }
    }
    findings
}

fn files_are_short(source: &Source) -> Findings {
    let count = source.product_code().count();
    let long = count > FILE_LINES_MAX;
    long.then(|| (count, format!("{count} lines without tests"))).into_iter().collect()
}

fn lines_are_short(source: &Source) -> Findings {
    let lines = source.text.lines().enumerate().filter(|(at, _)| !source.test[*at]);
    lines
        .map(|(at, line)| (at + 1, line.chars().count()))
        .filter(|(_, columns)| *columns > LINE_COLUMNS_MAX)
        .map(|(line, columns)| (line, format!("{columns} columns")))
        .collect()
}

fn files_say_what_they_are(source: &Source) -> Findings {
    let missing = !source.text.starts_with("//! ");
    missing.then(|| (1, "the file does not begin with //!".into())).into_iter().collect()
}

fn nothing_unwraps(source: &Source) -> Findings {
    let unwraps =
        |line: &String| line.contains(".unwrap()") || line.trim_start().starts_with("unwrap()");
    let found = source.product_code().filter(|(_, line)| unwraps(line));
    found.map(|(line, _)| (line, "unwrap(): say with expect why it cannot fail".into())).collect()
}

fn nothing_is_left_over(source: &Source) -> Findings {
    let mut findings = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        let macros = words(line).filter(|(_, is_macro)| *is_macro).map(|(word, _)| word);
        for word in macros.filter(|word| ["dbg", "todo", "unimplemented"].contains(word)) {
            findings.push((at + 1, format!("{word}!")));
        }
    }
    let is_doc = |line: &&str| line.trim_start().starts_with("///");
    let lines: Vec<&str> = source.text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let inside_text = source.code[at].trim().is_empty() && is_within_text(source, at);
        if inside_text {
            continue;
        }
        let alone = [at.wrapping_sub(1), at + 1].map(|i| lines.get(i).is_some_and(is_doc));
        if trimmed.trim_end() == "///" && alone != [true, true] {
            findings.push((at + 1, "an empty ///".into()));
        }
        let comment = trimmed.strip_prefix("//").filter(|c| !c.starts_with(['/', '!']));
        if comment.is_some_and(|comment| looks_like_code(comment.trim())) {
            findings.push((at + 1, "code in a comment".into()));
        }
    }
    findings
}

/// Whether the line at `at`, from 0, lies within a text of several lines: blanking it alone leaves
/// more than blanking the file does.
fn is_within_text(source: &Source, at: usize) -> bool {
    let upto: String = source.text.lines().take(at).flat_map(|line| [line, "\n"]).collect();
    blank(&(upto + "marker")).ends_with("      ")
}

fn looks_like_code(comment: &str) -> bool {
    let starts = ["let ", "use ", "pub ", "fn ", "impl ", "mod ", "return ", "if let ", "#["];
    let begins = starts.iter().any(|start| comment.starts_with(start));
    let statement = comment.ends_with(';') && (begins || comment.contains(['(', '=', ':']));
    let block = comment.ends_with('{') || ["}", "};", "})", "});"].contains(&comment);
    let attribute = comment.starts_with("#[") && comment.ends_with(']');
    statement || block || attribute
}

fn words_belong(source: &Source) -> Findings {
    if source.path == "tests/tidy.rs" {
        return Vec::new(); // It names them.
    }
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let line = line.to_lowercase();
        let inside = |c: char| c.is_alphanumeric() || c == '-';
        let is_stray = |word: &str| STRAY_WORDS.split_whitespace().any(|stray| stray == word);
        for word in line.split(|c| !inside(c)).filter(|word| is_stray(word)) {
            findings.push((at + 1, format!("\"{word}\" does not belong")));
        }
    }
    findings
}

/// What reads the wall clock: no server's or client's decision may rest on it. Logs and files may
/// say what time it was.
const WALL_CLOCKS: &[&str] = &["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "chrono"];

fn no_wall_clock(source: &Source) -> Findings {
    let shipped = ["protocol/", "cluster/", "tui/cli/"];
    if !shipped.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, code) in source.product_code() {
        let read = words(code).find(|(word, _)| WALL_CLOCKS.contains(word));
        findings.extend(read.map(|(word, _)| (line, format!("{word}: it may jump"))));
    }
    findings
}

/// The table of the holes, and how many there are.
const HOLES: (&str, usize) = ("tests/holes.md", 70);

/// A place where a test may be that the table names: all of its text that could name a hole.
fn named(test: &str, sources: &[Source]) -> Option<String> {
    if test.ends_with(".txt") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(test);
        let text = fs::read_to_string(path).ok()?;
        return Some(text.lines().take_while(|line| line.starts_with('#')).collect());
    }
    let bug = test.starts_with(char::is_uppercase);
    let start = if bug { format!("{test},") } else { format!("fn {test}(") };
    for source in sources.iter().filter(|s| !bug || s.path == "cluster/src/core/planted.rs") {
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        let is_it = |line: &str| if bug { line == start } else { line.contains(&start) };
        let Some(at) = lines.iter().position(|line| is_it(line)) else { continue };
        let above = lines[..at].iter().rev();
        let above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
        let is_test = bug || above.clone().any(|line| line.contains("test]"));
        let docs: String = above.map(|line| format!("{line} ")).collect();
        return is_test.then(|| docs + &test.to_uppercase());
    }
    None
}

/// What is wrong with a table of holes; `named` gives the text that may name the hole.
fn wrong_holes(table: &str, count: usize, named: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| H"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let listed: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let all: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
    if listed != all {
        wrong.push(format!("the table lists {listed:?}"));
    }
    for row in rows {
        let [number, goes_wrong, meets_it, tests, ""] = row.as_slice() else {
            wrong.push(format!("a row of other columns: {row:?}"));
            continue;
        };
        let hole = format!("H{number}");
        let tests: Vec<&str> = tests.split('`').map(str::trim).filter(|t| !t.is_empty()).collect();
        let later = meets_it.starts_with("*Later*");
        if goes_wrong.is_empty() || meets_it.is_empty() || tests.is_empty() && !later {
            wrong.push(format!("{hole}: something is missing"));
        }
        for test in tests {
            let text = named(test);
            let word = |c: char| !c.is_ascii_alphanumeric();
            if text.is_none() {
                wrong.push(format!("{hole}: there is no test {test}"));
            } else if !text.iter().flat_map(|text| text.split(word)).any(|word| word == hole) {
                wrong.push(format!("{hole}: {test} does not name it"));
            }
        }
    }
    wrong
}

fn sources() -> Vec<Source> {
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

/// Checks that `rule` finds exactly the lines named in `planted` (path, text, lines), and nothing
/// in the repository.
fn enforce(rule: fn(&Source) -> Findings, planted: &[(&str, &str, &[usize])]) {
    for (path, text, lines) in planted {
        let mut found: Vec<usize> =
            rule(&Source::new(path, text)).into_iter().map(|(line, _)| line).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, *lines, "planted in {path}:\n{text}");
    }
    let mut breaches = Vec::new();
    for source in sources() {
        for (line, what) in rule(&source) {
            breaches.push(format!("{}:{line}: {what}", source.path));
        }
    }
    breaches.sort();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

const CORE: &str = "cluster/src/core/x.rs";
const SHELL: &str = "cluster/src/shell/x.rs";

#[test]
fn core_is_pure_everywhere() {
    let all = "use std::{\n    fmt,\n    net::TcpStream,\n};\nfn f() {\n    std::fs::read(\"a\");\n    \
               let now = Instant::now();\n    println!(\"{now:?}\");\n}\n";
    enforce(
        core_is_pure,
        &[
            (CORE, all, &[1, 6, 7, 8]),
            (SHELL, all, &[]),
            (CORE, "use std::net::SocketAddr;\nuse std::net::{IpAddr, UdpSocket};", &[2]),
            (CORE, "use std::collections::{BTreeMap, HashMap};", &[1]),
            (CORE, "#[cfg(test)]\nmod tests {\n    use std::collections::HashSet;\n}", &[3]),
            (
                CORE,
                "async fn f() {}\nfn g() { f().await; rand::random(); tokio::spawn(h); }",
                &[1, 2],
            ),
            (
                CORE,
                "// async std::fs HashMap\n/* tokio */\nconst A: &str = r#\"rand \"tokio\" \"#;",
                &[],
            ),
            (
                CORE,
                "use std::sync::Arc;\nuse std::sync::{Arc, Mutex};\nfn f(m: std::sync::RwLock) {}",
                &[2, 3],
            ),
            ("cluster/src/core/cache.rs", "use std::sync::RwLock;\nuse std::thread;", &[2]),
        ],
    );
}

#[test]
fn nobody_imports_upwards() {
    enforce(
        imports_go_one_way,
        &[
            (
                CORE,
                "use crate::storage::Disk;\nuse super::super::shell::x;\nuse super::ring;",
                &[1, 2],
            ),
            (CORE, "fn f(storage: u8) {}\nfn g() { crate::supervisor::x(); }", &[2]),
            ("cluster/src/storage/log.rs", "use crate::core::record;\nuse tokio::fs;", &[2]),
            ("cluster/src/storage/log.rs", "async fn f() {\n    g().await\n}", &[1, 2]),
            ("cluster/src/storage/log.rs", "use super::super::shell::x;\nuse super::codec;", &[1]),
            (SHELL, "use tokio::net::TcpStream;\nuse crate::{core, storage};\nuse tui::run;", &[3]),
            (
                "protocol/src/ids.rs",
                "use std::net::{SocketAddr, UdpSocket};\nuse std::{fs, fmt};",
                &[1, 2],
            ),
            ("protocol/src/ids.rs", "use std::net::SocketAddr;\nlet a: std::net::IpAddr;", &[]),
            ("protocol/src/client/mod.rs", "use tokio::net::TcpStream;\nuse cluster::core;", &[2]),
            ("demos/src/bank.rs", "use protocol::ids;\nuse cluster::core;\nuse tui::x;", &[2, 3]),
            ("tui/src/lib.rs", "use cluster::core;", &[1]),
            ("tui/cli/main.rs", "use cluster::core;\nuse tui::run;", &[]),
        ],
    );
}

#[test]
fn no_function_is_too_long() {
    let function = |lines: usize| {
        format!("fn f(a: [u8; 2])\n-> u8\n{{\n{}}}\nfn g();\n", "    {} // }\n".repeat(lines - 4))
    };
    let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(90));
    enforce(
        functions_are_short,
        &[
            (SHELL, &function(FUNCTION_LINES_MAX), &[]),
            (SHELL, &function(FUNCTION_LINES_MAX + 1), &[1]),
            (SHELL, &format!("struct S;\n{}", function(90)), &[2]),
            (SHELL, &test, &[]),
            (SHELL, &format!("{test}{}", function(90)), &[95]),
            ("cluster/src/core/ring/tests.rs", &function(90), &[]),
        ],
    );
}

#[test]
fn no_file_is_too_long() {
    let text = |lines: usize| "x\n".repeat(lines);
    let tail = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", text(FILE_LINES_MAX), text(900));
    enforce(
        files_are_short,
        &[
            (SHELL, &text(FILE_LINES_MAX), &[]),
            (SHELL, &tail, &[]),
            (SHELL, &text(FILE_LINES_MAX + 1), &[FILE_LINES_MAX + 1]),
            ("tests/e2e.rs", &text(900), &[]),
        ],
    );
}

#[test]
fn no_line_is_too_long() {
    let line = |columns: usize| format!("//! x\n// {}\n", "é".repeat(columns - 3));
    enforce(lines_are_short, &[(SHELL, &line(100), &[]), (SHELL, &line(101), &[2])]);
}

#[test]
fn every_file_says_what_it_is() {
    enforce(
        files_say_what_they_are,
        &[
            (SHELL, "//! The driver.\n", &[]),
            (SHELL, "// The driver.\n", &[1]),
            (SHELL, "\n//! The driver.\n", &[1]),
            (SHELL, "", &[1]),
        ],
    );
}

#[test]
fn no_unwrap_outside_tests() {
    enforce(
        nothing_unwraps,
        &[
            (SHELL, "fn f() { a.unwrap(); }\nfn g() { a.unwrap_or(1); } // .unwrap()", &[1]),
            (
                SHELL,
                "#[cfg(test)]\nmod tests {\n    a.unwrap();\n}\nfn f() { b\n.unwrap(); }",
                &[6],
            ),
            (SHELL, "#[cfg(test)]\nmod tests;\nfn f() { a.unwrap(); }", &[3]),
            (SHELL, "#[cfg(test)]\npub(super) mod tests {\n    a.unwrap();\n}", &[]),
        ],
    );
}

#[test]
fn no_leftovers() {
    enforce(
        nothing_is_left_over,
        &[
            (SHELL, "fn f() { dbg!(1); todo!() }\nfn todo() { unimplemented!(\"x\") }", &[1, 2]),
            (
                SHELL,
                "// let x = f(y);\n// }\n// if x {\n// A sentence; it ends (here).\n",
                &[1, 2, 3],
            ),
            (
                SHELL,
                "/// One.\n///\n/// Two.\nfn f() {}\n///\nfn g() {}\n/// x\n///\nfn h() {}",
                &[5, 8],
            ),
            (SHELL, "const A: &str = \"\n// let x = f(y);\n\";\n", &[]),
        ],
    );
}

/// H48: a jump of the wall clock moves nothing, since nothing reads it.
#[test]
fn h48_nothing_reads_the_wall_clock() {
    enforce(
        no_wall_clock,
        &[
            (
                SHELL,
                "use std::time::{Instant, SystemTime};\nfn f() { SystemTime::now(); }",
                &[1, 2],
            ),
            (SHELL, "// SystemTime\nfn f() { clock_gettime(ClockId::CLOCK_REALTIME); }", &[2]),
            (SHELL, "#[cfg(test)]\nmod tests {\n    use std::time::UNIX_EPOCH;\n}", &[]),
            ("protocol/src/ids.rs", "use chrono::Utc;\n", &[1]),
        ],
    );
}

#[test]
fn every_hole_has_its_tests() {
    let planted = "| hole | goes wrong | meets it | tests |\n\
                   | H1 | a | b | `t1` `12.txt` |\n| H3 | a | b | |\n| H4 | a | *Later*: b | |\n\
                   | H5 | a | b | `t1` `t5` |\n";
    let text = |test: &str| match test {
        "t1" => Some("H12 T1 H1".to_owned()),
        "12.txt" => Some("# H11: x".to_owned()),
        _ => None,
    };
    let wrong = wrong_holes(planted, 5, text);
    let expected =
        ["lists", "H1: 12.txt does not", "H3: something", "H5: t1 does not", "H5: there is no"];
    assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
    assert!(wrong.iter().zip(expected).all(|(wrong, part)| wrong.contains(part)), "{wrong:?}");

    let (path, count) = HOLES;
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let sources = sources();
    let wrong = wrong_holes(&table.expect("the table is there"), count, |t| named(t, &sources));
    assert!(wrong.is_empty(), "{path}:\n{}\n", wrong.join("\n"));
}

#[test]
fn no_stray_words() {
    enforce(
        words_belong,
        &[
            (SHELL, "// TODO: later\n// hackney, todos\n// A blazing fast (XXX) thing.\n", &[1, 3]),
            (SHELL, "const A: &str = \"obviously\";", &[1]),
        ],
    );
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let blanked = blank("a\"b\\\"c\"d'e'f<'g>'\\''//h\ni/*j/*k*/l*/m b\"n\" r\"o\\\" br#\"p\"#q");
    let expected = "a      d   f<'g>       \ni            m b    r     br     q";
    let squeeze = |text: &str| text.replace([' ', 'r'], "").replace("b", "");
    assert_eq!(squeeze(&blanked), squeeze(expected));
}
