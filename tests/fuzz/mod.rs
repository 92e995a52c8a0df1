//! The inputs that fuzzing has kept, and changes of them drawn from a seed, through every target.
//!
//! Needs nothing but what all tests need: the targets themselves are in `targets`, and the programs
//! that search for new inputs (`cargo fuzz`, see CONTRIBUTING.md) are a workspace beside it. The
//! same changes every time; others: `PIAZZA_FUZZ_SEED=7`, more of them: `PIAZZA_FUZZ_CHANGES=100000`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[allow(unreachable_pub, reason = "the programs beside it reach them")]
mod targets;

use self::targets::{ALL, Target};

/// Changed inputs for each target.
const CHANGES: u64 = 300;
/// An input that is kept is no longer.
const INPUT_BYTES_MAX: usize = 16 << 10;
/// All inputs that are kept are no more.
const CORPUS_BYTES_MAX: usize = 1 << 20;
/// Of one target.
const CORPUS_FILES_MAX: usize = 200;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The inputs kept for a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let entry = entry.expect("a readable folder");
            let bytes = fs::read(entry.path()).expect("a readable input");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    inputs.sort();
    inputs
}

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// What parsers stumble over, whatever they parse.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\0",
    b"\xff",
    b"\n",
    b"\r",
    b" ",
    b"null",
    b"-1",
    b"1e400",
    b"\\u0000",
    b"\\ud800",
    b"\xf0\x9f\x98\x80",
    b"18446744073709551616",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xed\xa0\x80",
];

/// `input`, changed once to four times; `other` is to take parts from.
fn changed(numbers: &mut Numbers, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(9)).min(bytes.len());
        match numbers.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = numbers.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(40)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
        }
    }
    bytes
}

/// Runs a target; says what fails and how to repeat it.
fn run((name, target): Target, input: &[u8], from: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let shown = input.escape_ascii();
        panic!("target {name} failed on {from}; as a file of corpus/{name} it stays:\n{shown}");
    }
}

fn number_in(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn kept_inputs_and_changes_of_them_pass_every_target() {
    let (seed, changes) =
        (number_in("PIAZZA_FUZZ_SEED", 1), number_in("PIAZZA_FUZZ_CHANGES", CHANGES));
    for target in ALL {
        let inputs = corpus(target.0);
        assert!(!inputs.is_empty(), "{} has no inputs", target.0);
        for (file, input) in &inputs {
            run(*target, input, file);
        }
        let mut numbers = Numbers::new(seed);
        for change in 0..changes {
            let (file, input) = &inputs[numbers.below(inputs.len())];
            let other = &inputs[numbers.below(inputs.len())].1;
            let input = changed(&mut numbers, input, other);
            run(
                *target,
                &input,
                &format!("change {change} (of {file}) of PIAZZA_FUZZ_SEED={seed}"),
            );
        }
    }
}

#[test]
fn what_is_kept_is_small() {
    let mut all = 0;
    for (name, _) in ALL {
        let inputs = corpus(name);
        assert!(inputs.len() <= CORPUS_FILES_MAX, "{name}: {} files, minimise them", inputs.len());
        for (file, input) in inputs {
            assert!(input.len() <= INPUT_BYTES_MAX, "{name}/{file} has {} bytes", input.len());
            all += input.len();
        }
    }
    assert!(all <= CORPUS_BYTES_MAX, "{all} bytes of inputs: minimise them");
}

/// A target that is in one list only would never be run.
#[test]
fn every_target_has_its_program_and_its_inputs() {
    let targets: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |inside: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder().join(inside)).expect("a folder");
        let name = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
        entries.filter_map(|entry| name(entry.expect("readable").path())).collect()
    };
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest");
    for name in &targets {
        let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&program), "{name} is no program of Cargo.toml");
        let text = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs")));
        assert!(text.expect("a program").contains(&format!("targets::{name}(data)")), "{name}");
    }
}
