//! The table of the holes is whole: each has its tests, which exist and name it.

use std::fs;
use std::path::Path;

use super::source::{Source, sources};

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
