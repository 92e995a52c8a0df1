//! `--config FILE.toml` of `piazza coordinator` and `piazza node`: flags that stand in a file.
//!
//! Called by `main` before the grammar reads what was typed. Every flag of the command may stand in
//! the file under its own name, each on a line, as `heartbeat-ms = 200`; it becomes a word of the
//! command line (`tui::settings`), unless the same flag was typed. Paths are those of the working
//! directory, as typed ones are.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::CommandFactory;
use tui::settings::{CONFIG, words};

use crate::args::Args;
use crate::settings_file;

/// What was typed, with the flags of the file that it names behind the command's name.
///
/// # Errors
/// One sentence, with the file, the line and the name.
pub(crate) fn expanded(typed: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let command = typed.get(1).and_then(|word| word.to_str());
    let Some(command) = command.filter(|word| ["coordinator", "node"].contains(word)) else {
        return Ok(typed);
    };
    let Some(path) = value_of(CONFIG, &typed) else { return Ok(typed) };
    let wrong = |why: String| format!("{}: {why}", Path::new(&path).display());
    let text = settings_file::read(Path::new(&path)).map_err(|error| wrong(error.to_string()))?;
    let mut grammar = Args::command();
    let Some(flags) = grammar.find_subcommand_mut(command) else { return Ok(typed) };
    let found = words(flags, &text).map_err(wrong)?;
    let from_file = found.into_iter().filter(|(name, _)| !is_typed(name, &typed));
    let from_file: Vec<OsString> = from_file.map(|(_, word)| word.into()).collect();
    let (before, behind) = typed.split_at(2);
    Ok([before, &from_file, behind].concat())
}

/// What stands behind the flag `name`, if it was typed with something behind it.
fn value_of(name: &str, typed: &[OsString]) -> Option<OsString> {
    let flag = format!("--{name}");
    let joined = format!("{flag}=");
    typed.iter().enumerate().find_map(|(at, word)| {
        let behind = word.to_str().and_then(|word| word.strip_prefix(&joined));
        match behind {
            Some(value) => Some(value.into()),
            None => typed.get(at + 1).filter(|_| word == OsStr::new(&flag)).cloned(),
        }
    })
}

fn is_typed(name: &str, typed: &[OsString]) -> bool {
    typed.iter().filter_map(|word| word.to_str()?.strip_prefix("--")).any(|word| {
        let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
        flag == name
    })
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn of(command: &str, text: &str) -> Result<Vec<String>, String> {
        let mut grammar = Args::command();
        let command = grammar.find_subcommand_mut(command).unwrap();
        Ok(words(command, text)?.into_iter().map(|(_, word)| word).collect())
    }

    #[test]
    fn every_flag_may_stand_in_the_file() {
        let coordinator = "# of one machine\nlisten = '0.0.0.0:8080'\nnodes = 3\ncache = \"2x2\"\n\
                           heartbeat-ms = 0x64\nlimit = [\"connections=7\", 'idle_ms=800']\n\
                           lab = true\nlifeline = false\n";
        let expected = [
            "--listen=0.0.0.0:8080",
            "--nodes=3",
            "--cache=2x2",
            "--heartbeat-ms=100",
            "--limit=connections=7",
            "--limit=idle_ms=800",
            "--lab",
        ];
        assert_eq!(of("coordinator", coordinator).unwrap(), expected);
        let node = "join = '[::1]:9090'\ndir = 'a b'\nname = 'n1'\nstorage = 'memory'\n";
        let expected = ["--join=[::1]:9090", "--dir=a b", "--name=n1", "--storage=memory"];
        assert_eq!(of("node", node).unwrap(), expected);
        assert_eq!(of("node", "\r\n").unwrap(), [""; 0]);
        // No flag is of a kind that the file cannot tell.
        let grammar = Args::command();
        for command in ["coordinator", "node"] {
            for flag in grammar.find_subcommand(command).unwrap().get_arguments() {
                let action = flag.get_action();
                let known = [ArgAction::Set, ArgAction::SetTrue, ArgAction::Append];
                assert!(known.iter().any(|one| format!("{one:?}") == format!("{action:?}")));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_name() {
        for (text, told) in [
            ("nodes = 3\nnods = 4", "line 2: nods: no such flag: is nodes meant?"),
            ("heartbeat_ms = 4", "line 1: heartbeat_ms: no such flag: is heartbeat-ms meant?"),
            ("\n\nnodes = '3'", "line 3: nodes: write a number"),
            ("nodes = 3.5", "line 1: nodes: write a number"),
            ("nodes = 0", "line 1: nodes: 0 is not in 1..=65535"),
            ("nodes = [3]", "line 1: nodes: write a number"),
            ("nodes = 99999999999999999999999999999999999999999", "nodes: 9999"),
            ("heartbeat-ms = 0", "line 1: heartbeat-ms: \"0\" is not a number of milliseconds"),
            ("heartbeat-ms = true", "line 1: heartbeat-ms: write a number of milliseconds"),
            ("listen = 8080", "line 1: listen: write a text, in quotes"),
            ("listen = 'here'", "line 1: listen: invalid socket address"),
            ("cache = '3x8'", "line 1: cache: 3 sets"),
            ("lab = 'yes'", "line 1: lab: write true or false"),
            ("limit = 'idle_ms=3'", "line 1: limit: write a list"),
            ("limit = ['idle=3']", "line 1: limit: "),
            ("config = 'x'", "line 1: config: a file names no other file"),
            ("help = true", "line 1: help: no such flag"),
            ("[node]\nname = 'n1'", "line 1: node: no such flag"),
            ("nodes = 3\n\nnodes = 4", "line 3: "),
            ("nodes = ", "line 1: "),
            ("nodes", "line 1: "),
        ] {
            let why = of("coordinator", text).unwrap_err();
            assert!(why.contains(told), "{text:?}: {why}");
            assert!(why.starts_with("line ") && !why.contains('\n'), "{text:?}: {why}");
        }
    }

    #[test]
    fn what_was_typed_wins() {
        let typed = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let line = typed("piazza node --config=f --name n1 --join=a:1");
        assert_eq!(value_of(CONFIG, &line), Some("f".into()));
        assert_eq!(value_of(CONFIG, &typed("piazza node --config f")), Some("f".into()));
        assert_eq!(value_of(CONFIG, &typed("piazza node --config")), None);
        assert!(is_typed("name", &line) && is_typed("join", &line) && !is_typed("dir", &line));
        let other = typed("piazza get --config=/none");
        assert_eq!(expanded(other.clone()), Ok(other));
        let why = expanded(typed("piazza node --config=/none/n1.toml")).unwrap_err();
        assert!(why.starts_with("/none/n1.toml: ") && why.contains("No such file"), "{why}");
    }
}
