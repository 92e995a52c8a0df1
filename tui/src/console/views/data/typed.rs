//! What a line of the prompt is about, as far as the console must know: whether it changes keys,
//! and which key it names.
//!
//! Part of the view Data. The grammar itself is the command line's: whoever carries a line out
//! reads it again, and has the last word.

use protocol::ids::Version;

use crate::commands::{Catalog, Word, split};

/// Commands that change keys.
const UPDATES: [&[u8]; 6] = [b"put", b"update", b"cas", b"del", b"txn", b"import"];
/// Commands that never do.
const READS: [&[u8]; 9] =
    [b"get", b"mget", b"scan", b"watch", b"locate", b"outcome", b"status", b"help", b"history"];
/// Commands whose first place is a key.
const OF_KEY: [&[u8]; 6] = [b"get", b"put", b"update", b"cas", b"del", b"locate"];

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// It reads, at most.
    Reads,
    /// It changes keys.
    Changes,
    /// Nobody here knows.
    Unknown,
}

/// What a line does to keys.
pub(super) fn deed(line: &str) -> Deed {
    let words = split(line).unwrap_or_default();
    let Some(name) = words.first() else { return Deed::Unknown };
    let is = |list: &[&[u8]]| list.contains(&name.bytes.as_slice());
    if name.bytes == b"explain" {
        let carried_out = words.iter().any(|word| word.bytes.starts_with(b"--run"));
        let reads = words.iter().skip(1).find(|word| !word.bytes.starts_with(b"-"));
        let reads = reads.is_some_and(|word| word.bytes == b"get");
        return if carried_out && !reads { Deed::Changes } else { Deed::Reads };
    }
    match (is(&UPDATES), is(&READS)) {
        (true, _) => Deed::Changes,
        (_, true) => Deed::Reads,
        _ => Deed::Unknown,
    }
}

/// The name of a line's command.
pub(super) fn name(line: &str) -> String {
    let words = split(line).unwrap_or_default();
    words.first().map_or(String::new(), |word| String::from_utf8_lossy(&word.bytes).into_owned())
}

/// The key that a line names, if its command is about one.
pub(super) fn key(catalog: &Catalog, line: &str) -> Option<String> {
    let words = split(line).ok()?;
    let (name, rest) = words.split_first()?;
    let (name, rest) = match name.bytes.as_slice() {
        b"explain" => {
            let at = rest.iter().position(|word| !word.bytes.starts_with(b"-"))?;
            (&rest[at].bytes, &rest[at + 1..])
        }
        _ => (&name.bytes, rest),
    };
    if !OF_KEY.contains(&name.as_slice()) {
        return None;
    }
    let key = first_place(catalog, name, rest)?;
    String::from_utf8(key.bytes.clone()).ok().filter(|key| !key.is_empty())
}

/// The first word that is no option, and none that an option takes.
fn first_place<'a>(catalog: &Catalog, name: &[u8], words: &'a [Word]) -> Option<&'a Word> {
    let takes = |option: &[u8]| {
        let options = catalog.command(name).into_iter().flat_map(|command| &command.options);
        let mut same = options.filter(|known| known.name.as_bytes() == option);
        same.next().is_some_and(|known| known.takes.is_some())
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.bytes.as_slice() {
            b"--" => return words.next(),
            option if option.starts_with(b"-") && option.len() > 1 => {
                if takes(option) {
                    words.next();
                }
            }
            _ => return Some(word),
        }
    }
    None
}

/// The version that a printed line tells.
pub(super) fn version(text: &str) -> Option<Version> {
    let (_, behind) = text.rsplit_once("version")?;
    let begin = behind.find(|c: char| c.is_ascii_digit()).filter(|at| *at <= 3)?;
    let number = &behind[begin..];
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    number[..end].trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{Choice, Command, Takes};

    fn catalog() -> Catalog {
        let option =
            Choice { name: "--if-version".into(), about: String::new(), takes: Some(Takes::Other) };
        let del = Command { name: "del".into(), options: vec![option], ..Command::default() };
        Catalog { commands: vec![del] }
    }

    #[test]
    fn a_line_that_changes_keys_is_known_whatever_it_looks_like() {
        for line in ["put a b", "'put' a b", "  del x", "cas a b 1.2", "txn f", "import f"] {
            assert_eq!(deed(line), Deed::Changes, "{line}");
        }
        for line in ["explain put a b --run", "explain --run del a", "explain txn f --run"] {
            assert_eq!(deed(line), Deed::Changes, "{line}");
        }
        for line in ["get a", "scan", "status", "explain get a --run", "explain put a b"] {
            assert_eq!(deed(line), Deed::Reads, "{line}");
        }
        for line in ["", "frobnicate", "pu a b", "get 'a"] {
            assert_eq!(deed(line), Deed::Unknown, "{line}");
        }
    }

    #[test]
    fn the_key_is_the_first_place() {
        for (line, expected) in [
            ("get user:1", Some("user:1")),
            ("put --if-absent k v", Some("k")),
            ("del --if-version 1.2 k", Some("k")),
            ("del --if-version=1.2 k", Some("k")),
            ("get -- -v", Some("-v")),
            ("get 'a b'", Some("a b")),
            ("explain --run put k v", Some("k")),
            ("explain get k", Some("k")),
            ("scan user:", None),
            ("get", None),
            ("get \"\"", None),
            ("get \\xff", None),
        ] {
            assert_eq!(key(&catalog(), line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_version_is_found_where_it_is_printed() {
        let shown = |text| version(text).map(|version| version.to_string());
        assert_eq!(shown("written, version 3.17").as_deref(), Some("3.17"));
        assert_eq!(shown(r#"{"key":"k","version":"3.17"}"#).as_deref(), Some("3.17"));
        assert_eq!(shown("removed, version 3.17.").as_deref(), Some("3.17"));
        for text in ["written", "version", "version x", "version 7", "conversion of 1.2"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
