//! Words and back, and what completes a line.

use super::words::{must_be_quoted, quote_open};
use super::*;
use crate::prompt::Completion;

fn words(line: &str) -> Vec<String> {
    let words = split(line).unwrap_or_else(|problem| panic!("{line}: {problem:?}"));
    words.into_iter().map(|word| String::from_utf8_lossy(&word.bytes).into_owned()).collect()
}

#[test]
fn a_line_is_read_as_it_looks() {
    for (line, expected) in [
        ("", &[][..]),
        ("  get\ta  ", &["get", "a"]),
        (r#"put user:42 {"name":"Ada"}"#, &["put", "user:42", r#"{"name":"Ada"}"#]),
        (r#"put k '{"a": 1}'"#, &["put", "k", r#"{"a": 1}"#]),
        (r#"put "a b" 'c "d" \n'"#, &["put", "a b", r#"c "d" \n"#]),
        (r#"put "a\"b" it's"#, &["put", "a\"b", "it's"]),
        (r"put a\ b c\\d\n\t\x41\u{e9}\u{1f600}", &["put", "a b", "c\\d\n\tAé😀"]),
        (r#"put k """#, &["put", "k", ""]),
        ("get 漢字 ש\u{301}", &["get", "漢字", "ש\u{301}"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
    assert_eq!(split(r"\xff\x00").unwrap()[0].bytes, b"\xff\0");
    let word = &split("get  'a b'").unwrap()[1];
    assert_eq!((word.range.clone(), word.quoted), (5..10, true));
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (line, range, begin) in [
        ("put k 'abc", 6..10, "the ' that begins here has no end"),
        ("put k \"abc\\\"", 6..12, "the \" that begins here has no end"),
        ("put k \"a\"b c", 9..10, "a blank must follow the \""),
        ("put k a\\qb", 7..9, "no such escape"),
        ("put k \\x4", 6..8, "no such escape"),
        ("put k \\u{110000}", 6..16, "no such escape"),
        ("put k \\u{+41}", 6..8, "no such escape"),
        ("put k \\x+1", 6..8, "no such escape"),
        ("put k \\", 6..7, "no such escape"),
        ("put k \\é", 6..9, "no such escape"),
    ] {
        let problem = split(line).unwrap_err();
        assert_eq!(problem.range, range, "{line}");
        assert!(problem.message.starts_with(begin), "{line}: {}", problem.message);
    }
}

#[test]
fn whatever_is_quoted_is_read_back() {
    let pieces: [&[u8]; 21] = [
        b"a",
        b"Z",
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\0",
        b"'",
        b"\"",
        b"\\",
        b"-",
        b"#",
        b"\x1b",
        b"\x7f",
        b"\xff",
        b"\xc3",
        "é".as_bytes(),
        "\u{301}".as_bytes(),
        "\u{202e}".as_bytes(),
        "\u{200d}".as_bytes(),
        "\u{3000}".as_bytes(),
    ];
    let mut number = 1_u64;
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..round % 7 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend_from_slice(pieces[(number >> 33) as usize % pieces.len()]);
        }
        let quoted = quote(&bytes);
        let line = format!("put {quoted} x");
        let words = split(&line).unwrap_or_else(|problem| panic!("{line:?}: {problem:?}"));
        assert_eq!(words.len(), 3, "{line:?}");
        assert_eq!(words[1].bytes, bytes, "{line:?}");
        assert!(!quoted.chars().any(char::is_control), "{quoted:?}");
        let text = String::from_utf8(bytes.clone());
        assert_eq!(words[1].quoted, text.is_err() || must_be_quoted(&text.unwrap()));
        let open = super::words::split_open(&quote_open(&bytes)).unwrap();
        assert_eq!(open[0].bytes, bytes);
    }
    assert_eq!(quote(b"user:42"), "user:42");
    assert_eq!(quote("e\u{301}漢👩\u{200d}💻".as_bytes()), "e\u{301}漢👩\u{200d}💻");
    assert_eq!(quote(b"a b\x1b"), "\"a b\\x1b\"");
    assert_eq!(quote(b"-"), "\"-\"");
}

fn catalog() -> Catalog {
    let choice = |name: &str, takes| Choice { name: name.into(), about: String::new(), takes };
    let command = |name: &str, places: &[Takes]| Command {
        name: name.into(),
        about: format!("{name}s"),
        places: places.into(),
        ..Command::default()
    };
    let mut scan = command("scan", &[Takes::Key]);
    scan.options = vec![
        choice("--after", Some(Takes::Key)),
        choice("--limit", Some(Takes::Other)),
        choice("--values", None),
    ];
    let mut mget = command("mget", &[Takes::Key]);
    mget.repeats = true;
    let put = command("put", &[Takes::Key, Takes::Other]);
    let help = command("help", &[Takes::Command]);
    Catalog { commands: vec![command("get", &[Takes::Key]), put, mget, scan, help] }
}

/// What is put in, and where; or the prefix of keys that is asked for.
fn asked(line: &str) -> Result<Vec<String>, Option<String>> {
    match wanted(&catalog(), line, line.len()) {
        Wanted::These(completion) => {
            assert_eq!(completion.range.end, line.len());
            Ok(completion.candidates.into_iter().map(|one| one.insert).collect())
        }
        Wanted::Keys(question) => Err(Some(question.prefix)),
        Wanted::Nothing => Err(None),
    }
}

#[test]
fn commands_options_and_keys_are_completed_where_they_stand() {
    let keys = |prefix: &str| Err(Some(prefix.to_owned()));
    assert_eq!(asked("").unwrap().len(), 5);
    assert_eq!(asked("  ge").unwrap(), ["get"]);
    assert_eq!(asked("help s").unwrap(), ["scan"]);
    assert_eq!(asked("nonsense").unwrap(), [""; 0]);
    assert_eq!(asked("get "), keys(""));
    assert_eq!(asked("get us"), keys("us"));
    assert_eq!(asked("get a b"), Err(None));
    assert_eq!(asked("mget a b"), keys("b"));
    assert_eq!(asked("put k v"), Err(None));
    assert_eq!(asked("dance k"), Err(None));
    assert_eq!(asked("scan --").unwrap(), ["--after", "--limit", "--values"]);
    assert_eq!(asked("scan --l").unwrap(), ["--limit"]);
    assert_eq!(asked("scan --limit "), Err(None));
    assert_eq!(asked("scan --limit 5 p"), keys("p"));
    assert_eq!(asked("scan --values p"), keys("p"));
    assert_eq!(asked("scan p --after "), keys(""));
    assert_eq!(asked("get -- -"), keys("-"));
    assert_eq!(asked(r#"get "a b"#), keys("a b"));
    assert_eq!(asked(r"get a\ b"), keys("a b"));
    assert_eq!(asked(r"get a\x"), Err(None));
    assert_eq!(asked(r"get \xff"), Err(None));
    // Only what is left of the cursor counts.
    let question = wanted(&catalog(), "get ab", 5);
    assert!(matches!(question, Wanted::Keys(question) if question.prefix == "a"));
}

fn answered(line: &str, keys: &[&str], more: bool) -> Completion {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    match wanted(&catalog(), line, line.len()) {
        Wanted::Keys(question) => question.answer(&keys, more),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_quoted_where_they_must_be() {
    let inserts = |completion: &Completion| -> Vec<String> {
        completion.candidates.iter().map(|one| one.insert.clone()).collect()
    };
    let completion = answered("get us", &["user:1", "user:12"], false);
    assert_eq!((completion.range.clone(), completion.common.as_str()), (4..6, "user:1"));
    let completion = answered("get us", &["us a\n", "us b"], false);
    assert_eq!(completion.common, "\"us ");
    assert_eq!(inserts(&completion), [r#""us a\n""#, r#""us b""#]);
    // What they have in common never ends within an escape.
    let completion = answered("get \"us", &["us\x1b", "us\x1c"], false);
    assert_eq!(completion.common, "\"us");
    let completion = answered("get ", &["-v", "a"], false);
    assert_eq!(inserts(&completion), ["a"]);
    assert_eq!(inserts(&answered("get -- ", &["-v", "a"], false)), ["-v", "a"]);
    // Of many keys only the first are known.
    assert_eq!(answered("get u", &["ua1", "ua2"], true).common, "u");
    let Wanted::Keys(question) = wanted(&catalog(), "get u", 5) else { panic!("keys") };
    let completion = question.answer_alike(&["ua1".into(), "ua2".into()]);
    assert_eq!((completion.common.as_str(), completion.more), ("ua", true));
    // A server that answers something else changes nothing.
    assert_eq!(inserts(&answered("get u", &["x"], false)), [""; 0]);
}
