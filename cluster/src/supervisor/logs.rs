//! The last lines of a server's log, for the supervisor's port.
//!
//! Called by `endpoint`, on a thread that may wait for the disk. Bounded in lines and bytes. Only
//! names that stand in the directory of logs are ever opened.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::fleet::{Refusal, Reply};

/// Lines that are told without a wish.
pub(super) const LINES: usize = 100;
/// Most lines that are told.
pub(super) const LINES_MAX: usize = 1000;
/// Most bytes that are read for them.
const BYTES_MAX: u64 = 256 << 10;

/// The last `lines` that `proc` has logged, in `dir`.
pub(super) fn tail(dir: &Path, proc: &str, lines: usize) -> Reply {
    let failed = |error: io::Error| {
        Refusal::new("refused", format!("the logs cannot be read: {}: {error}", dir.display()))
    };
    let mut days = days(dir, proc).map_err(failed)?;
    if days.is_empty() {
        let error = format!("there is no log of {proc:?} here; `list` shows the processes");
        return Err(Refusal::new("no_such_node", error));
    }
    let (mut text, mut left) = (Vec::new(), BYTES_MAX);
    while let Some(day) = days.pop() {
        let newer = std::mem::take(&mut text);
        text = end_of(&day, left).map_err(failed)?;
        left -= text.len() as u64;
        text.extend_from_slice(&newer);
        if left == 0 || text.iter().filter(|byte| **byte == b'\n').count() > lines {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    Ok(json!({ "lines": last }))
}

/// The files of `proc`, the newest last.
fn days(dir: &Path, proc: &str) -> io::Result<Vec<PathBuf>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.split_once(".log.").is_some_and(|(owner, _)| owner == proc) {
            days.push(entry.path());
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// At most `bytes` of the end of `file`, from the start of a line.
fn end_of(file: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    if start > 0 {
        // Its beginning is not there.
        let first = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        text.drain(..first);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_from_as_many_days_as_needed() {
        let dir = std::env::temp_dir().join(format!("piazza-tail-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("n1.log.2026-11-20", "one\ntwo\n");
        write("n1.log.2026-11-21", "three\n\x1b[2Jfour\n");
        write("n10.log.2026-11-21", &"x".repeat(300 << 10));
        let lines = |proc, count| tail(&dir, proc, count).unwrap()["lines"].clone();
        assert_eq!(lines("n1", 9), json!(["one", "two", "three", "\u{1b}[2Jfour"]));
        assert_eq!(lines("n1", 3), json!(["two", "three", "\u{1b}[2Jfour"]));
        assert_eq!(lines("n1", 1), json!(["\u{1b}[2Jfour"]));
        assert_eq!(lines("n10", 9), json!([]), "no line begins within the bytes");
        for nobody in ["n2", "", "../n1", "n1.log.2026-11-20"] {
            assert_eq!(tail(&dir, nobody, 9).unwrap_err().code, "no_such_node");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
