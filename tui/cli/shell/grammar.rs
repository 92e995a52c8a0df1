//! A line of the shell to a command: the grammar of the command line, with what only the shell has.
//!
//! Used by `interactive`, `script` and the console's prompt. The words go through the same parser
//! as those of `piazza`; its errors become a place in the line and a sentence. The catalog for
//! completion and help is made of the same grammar.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tui::commands::{Catalog, Choice, Command, Problem, Takes, Word, nearest, split};

use crate::asked::Asked;
use crate::print::{self, Failure};

/// One line.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_version_flag = true
)]
struct Line {
    #[command(subcommand)]
    typed: Typed,
}

/// What a line can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    #[command(flatten)]
    Asked(Asked),
    /// Show what can be typed, or how a command is used.
    Help {
        /// The command.
        command: Option<String>,
    },
    /// Show the lines typed before.
    History,
    /// Leave the shell.
    #[command(alias = "exit")]
    Quit,
}

/// What a line turned out to be.
#[derive(Debug)]
pub(crate) enum Read {
    /// A blank line, or a remark.
    Nothing,
    /// A command.
    Command(Typed),
    /// How a command is used, which was asked for by `--help`.
    Help(String),
}

/// How words are written.
const NOTES: &str = r#"
Blanks separate words; one with blanks goes into '...', exactly as it stands, or into "...",
with \" \\ \n \r \t \0 \xHH \u{HEX}. A quote within a word means itself: {"name":"Ada"}.
A line that begins with # is a remark; one that begins with a blank is not remembered.
put KEY and update KEY without a value ask for it, and neither show nor remember it; txn takes
a transaction in quotes, too.

Tab completes, Up and Down go through what begins as typed, Ctrl-R searches, Ctrl-C drops the
line or ends a command, Ctrl-D or quit leaves. help COMMAND tells more.
"#;

/// What `line` means.
///
/// # Errors
/// Where it is wrong, and what to do.
pub(crate) fn read(line: &str) -> Result<Read, Problem> {
    if line.trim_start().starts_with('#') {
        return Ok(Read::Nothing);
    }
    let words = split(line)?;
    if words.is_empty() {
        return Ok(Read::Nothing);
    }
    if let Some(word) = words.iter().find(|word| !word.quoted && word.bytes == b"-") {
        let sentence = "- is standard input, which the shell reads itself: give the text, or \"-\" \
                        for a dash";
        return Err(Problem::new(word.range.clone(), sentence));
    }
    let arguments = words.iter().map(|word| OsString::from_vec(word.bytes.clone()));
    let parsed = command().try_get_matches_from(arguments);
    let mut typed = match parsed.and_then(|found| Line::from_arg_matches(&found)) {
        Ok(line) => line.typed,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Ok(Read::Help(told(&error.to_string())));
        }
        Err(error) => return Err(problem(line, &words, &error)),
    };
    if let Typed::Asked(asked) = &mut typed {
        let common = asked.common();
        if common.addr.is_some() || common.dir.is_some() {
            let is_meant = |word: &&Word| {
                [&b"--addr"[..], b"--dir"].iter().any(|name| word.bytes.starts_with(name))
            };
            let place = words.iter().find(is_meant).map_or(0..line.len(), |w| w.range.clone());
            let sentence = "the shell keeps to one cluster: name it when you start the shell";
            return Err(Problem::new(place, sentence));
        }
    }
    Ok(Read::Command(typed))
}

/// The grammar, without what a line of the shell cannot have.
fn command() -> clap::Command {
    let mut command = Line::command().mut_subcommands(|command| {
        let hidden = ["addr", "dir", "token_file"]
            .into_iter()
            .filter(|name| command.get_arguments().any(|arg| arg.get_id() == name))
            .collect::<Vec<_>>();
        hidden
            .into_iter()
            .fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)))
    });
    // Only now: places of arguments that are known already would not be theirs any more.
    command.build();
    command
}

/// What can be typed, for completion and help.
pub(crate) fn catalog() -> Catalog {
    let commands = command().get_subcommands().map(known).collect();
    Catalog { commands }
}

fn known(command: &clap::Command) -> Command {
    let about = |arg: &clap::Arg| arg.get_help().map(ToString::to_string).unwrap_or_default();
    let takes = |arg: &clap::Arg| match arg.get_id().as_str() {
        "key" | "keys" | "prefix" | "after" => Takes::Key,
        "command" => Takes::Command,
        _ => Takes::Other,
    };
    let seen = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let options = seen().filter_map(|arg| {
        Some(Choice {
            name: format!("--{}", arg.get_long()?),
            about: about(arg),
            takes: arg.get_action().takes_values().then(|| takes(arg)),
        })
    });
    let places: Vec<&clap::Arg> = command.get_positionals().collect();
    let many = |arg: &&clap::Arg| arg.get_num_args().is_some_and(|count| count.max_values() > 1);
    Command {
        name: command.get_name().to_owned(),
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        options: options.collect(),
        repeats: places.last().is_some_and(many),
        places: places.into_iter().map(takes).collect(),
    }
}

/// What can be typed, or how `name` is used.
///
/// # Errors
/// There is no such command.
pub(crate) fn help(name: Option<&str>) -> Result<String, Failure> {
    let mut grammar = command();
    if let Some(name) = name {
        let found = grammar.find_subcommand_mut(name).ok_or_else(|| {
            let name = print::escaped(name.as_bytes(), false);
            Failure::usage(format!("there is no command \"{name}\": see help"))
        })?;
        return Ok(told(&found.render_long_help().to_string()));
    }
    let mut out = String::new();
    for command in catalog().commands {
        out.push_str(&format!("  {:<9} {}\n", command.name, command.about));
    }
    Ok(out + NOTES)
}

/// The parser's help, without the place of the program's name, which a line does not have.
fn told(help: &str) -> String {
    help.replace("Usage:  ", "Usage: ")
}

/// The parser's error as a place and a sentence.
fn problem(line: &str, words: &[Word], error: &clap::Error) -> Problem {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let name = String::from_utf8_lossy(&words[0].bytes).into_owned();
    let usage = help_line(&name).map(|usage| format!(": {usage}")).unwrap_or_default();
    let meant = |name: &str| format!(": did you mean {name}?");
    let catalog = catalog();
    let place = |text: &str| place(words, text).unwrap_or(0..line.len());
    let end = line.trim_end().len();
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let names = catalog.commands.iter().map(|command| command.name.as_str());
            let meant = nearest(&name, names).map_or(": see help".into(), meant);
            Problem::new(words[0].range.clone(), format!("there is no command \"{name}\"{meant}"))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let options = catalog.command(&words[0].bytes).map(|command| &command.options);
            let names = options.into_iter().flatten().map(|option| option.name.as_str());
            let meant = nearest(&argument, names).map_or(usage, meant);
            Problem::new(place(&argument), format!("{name} has no option {argument}{meant}"))
        }
        ErrorKind::UnknownArgument => {
            let sentence = format!("\"{argument}\" is one word too many{usage}");
            Problem::new(place(&argument), sentence)
        }
        ErrorKind::MissingRequiredArgument => {
            Problem::new(end..end, format!("{argument} is missing{usage}"))
        }
        ErrorKind::InvalidUtf8 => {
            let word = words.iter().find(|word| std::str::from_utf8(&word.bytes).is_err());
            let place = word.map_or(0..line.len(), |word| word.range.clone());
            Problem::new(place, "this is no text: only values may be any bytes")
        }
        _ => {
            let wrong = context(ContextKind::InvalidValue).filter(|value| !value.is_empty());
            let told = error.to_string();
            let told = told.split("\n\n").next().unwrap_or_default();
            let told: Vec<&str> = told.lines().map(str::trim).collect();
            let told = told.join(" ");
            let told = told.strip_prefix("error: ").unwrap_or(&told);
            // Of two that exclude each other, the one that was typed by its name.
            let named = [wrong, Some(argument), context(ContextKind::PriorArg)];
            let named = named.iter().flatten().find_map(|text| self::place(words, text));
            Problem::new(named.unwrap_or(0..line.len()), told)
        }
    }
}

/// Where the word stands that the parser calls `text`, which may go on with what the word takes.
fn place(words: &[Word], text: &str) -> Option<Range<usize>> {
    let name = text.split(' ').next().unwrap_or(text);
    let is = |word: &&Word, text: &str| OsStr::from_bytes(&word.bytes) == text;
    let begins = |word: &&Word| {
        word.bytes.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    let mut words_behind = words.iter().skip(1);
    let word = words_behind
        .find(|word| is(word, text))
        .or_else(|| words.iter().skip(1).find(|word| is(word, name) || begins(word)))?;
    Some(word.range.clone())
}

/// How a command is used, in a line.
fn help_line(name: &str) -> Option<String> {
    let usage = command().find_subcommand_mut(name)?.render_usage().to_string();
    Some(usage.lines().next()?.trim_start_matches("Usage:").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{GetArgs, PutArgs};

    fn wrong(line: &str) -> (String, String) {
        let problem = read(line).expect_err(line);
        (line[problem.range].to_owned(), problem.message)
    }

    #[test]
    fn lines_are_those_of_the_command_line() {
        for line in ["", "  ", "# put a b", "  # x"] {
            assert!(matches!(read(line), Ok(Read::Nothing)), "{line:?}");
        }
        let Ok(Read::Command(Typed::Asked(Asked::Put(PutArgs { key, value, .. })))) =
            read(r#"put 'a b' {"name":"\xff"} --if-absent"#)
        else {
            panic!("no put");
        };
        assert_eq!((key.as_str(), value.unwrap().as_bytes()), ("a b", &b"{\"name\":\"\xff\"}"[..]));
        let dash = read(r#"put k "-""#);
        assert!(matches!(dash, Ok(Read::Command(Typed::Asked(Asked::Put(_))))), "{dash:?}");
        let key = |line: &str| match read(line) {
            Ok(Read::Command(Typed::Asked(Asked::Get(GetArgs { key, .. })))) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key("get -- -v"), "-v");
        assert!(matches!(read("exit"), Ok(Read::Command(Typed::Quit))));
        let Ok(Read::Help(help)) = read("get --help") else { panic!("no help") };
        assert!(help.contains("get [OPTIONS] <KEY>") && !help.contains("--addr"), "{help}");
    }

    #[test]
    fn what_is_wrong_is_pointed_at_and_something_better_is_said() {
        for (line, place, begin) in [
            ("gte k", "gte", "there is no command \"gte\": did you mean get?"),
            ("frobnicate", "frobnicate", "there is no command \"frobnicate\": see help"),
            ("up", "up", "there is no command \"up\""),
            ("get k --rwa", "--rwa", "get has no option --rwa: did you mean --raw?"),
            ("get a bc", "bc", "\"bc\" is one word too many: get [OPTIONS] <KEY>"),
            ("cas k v ", "", "<VERSION> is missing: cas [OPTIONS] <KEY> <VALUE> <VERSION>"),
            ("cas k v 3", "3", "invalid value '3' for '<VERSION>'"),
            ("scan --limit x", "x", "invalid value 'x' for '--limit <COUNT>'"),
            ("scan --limit", "--limit", "a value is required for '--limit <COUNT>'"),
            ("get \\xff", "\\xff", "this is no text"),
            ("put k -", "-", "- is standard input"),
            ("get k --addr a:1", "--addr", "the shell keeps to one cluster"),
            ("get k --dir=x", "--dir=x", "the shell keeps to one cluster"),
            ("watch k --prefix p", "--prefix", "the argument"),
            ("put k 'v", "'v", "the ' that begins here"),
        ] {
            let (found, message) = wrong(line);
            assert_eq!(found, place, "{line}: {message}");
            assert!(message.starts_with(begin) && !message.contains('\n'), "{line}: {message}");
        }
    }

    #[test]
    fn the_catalog_is_the_grammar() {
        let catalog = catalog();
        let names: Vec<&str> = catalog.commands.iter().map(|one| one.name.as_str()).collect();
        for name in ["get", "put", "txn", "watch", "help", "history", "quit"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let scan = catalog.command(b"scan").expect("scan");
        assert_eq!((scan.places.as_slice(), scan.repeats), (&[Takes::Key][..], false));
        let options: Vec<&str> = scan.options.iter().map(|one| one.name.as_str()).collect();
        assert!(options.starts_with(&["--after", "--limit", "--values"]), "{options:?}");
        assert!(!options.contains(&"--addr"), "{options:?}");
        assert_eq!(scan.options[0].takes, Some(Takes::Key));
        assert!(catalog.command(b"mget").expect("mget").repeats);
        let help = super::help(None).expect("help");
        assert!(help.contains("get ") && help.contains("Print the value of a key"), "{help}");
        assert!(super::help(Some("get")).expect("help").contains("<KEY>"));
        let failure = super::help(Some("dance")).expect_err("there is none");
        assert_eq!(failure.message, "there is no command \"dance\": see help");
    }
}
