//! A whole dictionary is imported, read back and exported, and once more after everything was
//! killed.
//!
//! Needs Debian's `wamerican`. Without it the test is skipped, and says so, unless `CI` is set.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use super::cluster::Cluster;
use super::procs::TempDir;
use super::workload::pipelined_gets;

const DICTIONARY: &str = "/usr/share/dict/american-english";

#[test]
fn words() {
    let Ok(dictionary) = fs::read_to_string(DICTIONARY) else {
        assert!(std::env::var_os("CI").is_none(), "{DICTIONARY} is missing: install wamerican");
        // Not `eprintln!`: of a test that passes, that is not shown.
        let _ = writeln!(std::io::stderr(), "SKIPPED words: install wamerican ({DICTIONARY})");
        return;
    };
    let words: Vec<&str> = dictionary.lines().collect();
    let mut csv = String::new();
    for (number, word) in words.iter().enumerate() {
        let _ = writeln!(csv, "{word},{}", number + 1);
    }
    let files = TempDir::new("words-csv");
    let file = files.path().join("words.csv");
    fs::write(&file, &csv).expect("a file in the test's own directory");

    let mut cluster = Cluster::start("words", 3, 2, &[]);
    let begin = Instant::now();
    let addr = cluster.addr().to_string();
    let mut import = cluster.command();
    let output = import.args(["import", "--csv", "--addr", &addr]).arg(&file).output();
    let output = output.unwrap_or_else(|error| panic!("{import:?}: {error}"));
    assert!(output.status.success(), "{import:?}: {output:?}");
    println!("words: {} imported in {:?}", words.len(), begin.elapsed());

    read_back(cluster.addr(), &words);
    export(&cluster, &csv);
    cluster.kill_everything();
    cluster.start_again();
    cluster.wait_healthy(None);
    read_back(cluster.addr(), &words);
    export(&cluster, &csv);
}

/// What is exported, sorted, is what was imported, sorted.
fn export(cluster: &Cluster, imported: &str) {
    let begin = Instant::now();
    let mut export = cluster.command();
    let output = export.args(["export", "--csv", "--addr", &cluster.addr().to_string()]).output();
    let output = output.unwrap_or_else(|error| panic!("{export:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{export:?}: {told}");
    let exported = String::from_utf8(output.stdout).expect("words are text");
    let sorted = |text: &str| -> BTreeSet<String> { text.lines().map(String::from).collect() };
    let (from, to) = (sorted(imported), sorted(&exported));
    let differences: Vec<&String> = from.symmetric_difference(&to).take(10).collect();
    assert!(differences.is_empty(), "import and export differ, first in {differences:?}");
    assert_eq!(exported.lines().count(), imported.lines().count(), "a line is there twice");
    println!("words: {} exported in {:?}", to.len(), begin.elapsed());
}

fn read_back(addr: SocketAddr, words: &[&str]) {
    let begin = Instant::now();
    let answers = pipelined_gets(addr, words);
    for (number, answer) in answers.iter().enumerate() {
        let expected = (number + 1).to_string();
        assert_eq!(answer["value"], *expected, "{:?}: {answer}", words[number]);
    }
    println!("words: {} read back in {:?}", answers.len(), begin.elapsed());
}
