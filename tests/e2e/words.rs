//! A whole dictionary is imported, read back, and read back again after everything was killed.
//!
//! Needs Debian's `wamerican`. Without it the test is skipped, and says so, unless `CI` is set.

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
    fs::write(&file, csv).expect("a file in the test's own directory");

    let mut cluster = Cluster::start("words", 3, 2, &[]);
    let begin = Instant::now();
    let addr = cluster.addr().to_string();
    let mut import = cluster.command();
    let output = import.args(["import", "--csv", "--addr", &addr]).arg(&file).output();
    let output = output.unwrap_or_else(|error| panic!("{import:?}: {error}"));
    assert!(output.status.success(), "{import:?}: {output:?}");
    println!("words: {} imported in {:?}", words.len(), begin.elapsed());

    read_back(cluster.addr(), &words);
    cluster.kill_everything();
    cluster.start_again();
    cluster.wait_healthy(None);
    read_back(cluster.addr(), &words);
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
