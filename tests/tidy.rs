//! The rules of this repository that a machine can keep; each is one test, and each test first
//! shows on planted text that its rule would find a breach.
//!
//! Rules look at code with comments and texts blanked out, except where they are about comments.
//! Test code (files under `tests`, files named `tests.rs`, `#[cfg(test)] mod` tails) is exempt from
//! the lengths of functions and lines and from the ban on `unwrap`, and from nothing else.

mod holes;
pub(crate) mod source;

use self::source::{Source, blank, end_of_item, sources, words};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 100;

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
            "protocol/src/load/",
            "protocol/tests/",
            "protocol/examples/",
        ],
        &["tokio", "std::net", "std::fs"],
    ),
    ("protocol/", &[], &["cluster", "tui", "demos"]),
    ("cluster/", &[], &["tui", "demos"]),
    ("demos/", &[], &["cluster", "tui"]),
    ("tui/src/", &[], &["cluster", "demos"]),
    ("tui/src/prompt/", &[], NO_WORLD),
    ("tui/src/prompt/", &[], &["protocol"]),
    ("tui/src/commands/", &[], NO_WORLD),
    ("tui/src/commands/", &[], &["protocol"]),
    ("tui/src/demo/", &[], NO_WORLD),
    ("tui/src/console/look/", &[], NO_WORLD),
    ("tui/src/console/look/", &[], &["protocol"]),
    ("tui/src/console/widgets/", WIDGETS_TESTS, NO_WORLD),
    ("tui/src/console/widgets/", WIDGETS_TESTS, &["protocol"]),
    ("tui/src/console/model/", &[], NO_PICTURE),
    ("tui/src/console/model/", &[], NO_WORLD),
    ("tui/src/console/state/", &[], NO_WORLD),
    ("tui/src/console/views/", &[], NO_WORLD),
    ("tui/src/console/screen/", &[], NO_WORLD),
];
const WIDGETS_TESTS: &[&str] = &["tui/src/console/widgets/testing.rs"];
/// Whatever a line editor, a widget or a fold over events could be tempted by: it is handed what it
/// needs, says what is to be seen, and comes to the same whenever it is played.
const NO_WORLD: &[&str] = &[
    "crossterm",
    "ratatui::crossterm",
    "crate::terminal",
    "crate::history_file",
    "crate::console::run",
    "protocol::client",
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::time",
    "std::thread",
    "tokio",
];
/// The console's model knows nothing of how it is shown.
const NO_PICTURE: &[&str] = &[
    "ratatui",
    "crate::console::look",
    "crate::console::widgets",
    "crate::console::views",
    "crate::console::screen",
    "crate::console::state",
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
    let count = source.code.len();
    let long = count > FILE_LINES_MAX;
    long.then(|| (count, format!("{count} lines"))).into_iter().collect()
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
    let shipped = ["protocol/", "cluster/", "tui/"];
    // Events tell a person what time it was.
    let tells = source.path == "cluster/src/shell/wall.rs";
    if tells || !shipped.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, code) in source.product_code() {
        let read = words(code).find(|(word, _)| WALL_CLOCKS.contains(word));
        findings.extend(read.map(|(word, _)| (line, format!("{word}: it may jump"))));
    }
    findings
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
            (
                "tui/src/prompt/x.rs",
                "use crossterm::event;\nuse super::super::terminal::size;\nuse crate::text;",
                &[1, 2],
            ),
            ("tui/src/commands/x.rs", "use std::io::Write;\nuse crate::prompt::Key;", &[1]),
            ("tui/src/console/widgets/x.rs", "use protocol::Key;\nuse ratatui::style;", &[1]),
            ("tui/src/terminal/x.rs", "use crossterm::event;\nuse std::io;", &[]),
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
    let tail = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", text(497), text(100));
    enforce(
        files_are_short,
        &[
            (SHELL, &text(FILE_LINES_MAX), &[]),
            (SHELL, &tail, &[]),
            (SHELL, &format!("x\n{tail}"), &[FILE_LINES_MAX + 1]),
            ("tests/e2e.rs", &text(FILE_LINES_MAX + 1), &[FILE_LINES_MAX + 1]),
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
fn no_stray_words() {
    enforce(
        words_belong,
        &[
            (SHELL, "// TODO: later\n// hackney, todos\n// A blazing fast (XXX) thing.\n", &[1, 3]),
            (SHELL, "const A: &str = \"obviously\";", &[1]),
        ],
    );
}
