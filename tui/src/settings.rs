//! Flags of a command that stand in a file of settings, as text: TOML, each on a line under its own
//! name, as `heartbeat-ms = 200`.
//!
//! Called by the binary for `--config FILE.toml`. Each becomes a word of the command line, so that
//! there is one grammar, with one set of checks; each value is tried on its own first: what is
//! wrong is told with line and name. A list is for a flag that may be repeated. Pure: opens no
//! file.

use std::any::TypeId;
use std::error::Error as _;
use std::ops::Range;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::commands::nearest;

/// The flag that names the file; it stands in none.
pub const CONFIG: &str = "config";

/// The flags of `command` in the text as words, `--name=value`, each with its name.
///
/// # Errors
/// One line that begins with the number of the line that is wrong.
pub fn words(command: &Command, text: &str) -> Result<Vec<(String, String)>, String> {
    let at = |span: &Range<usize>| {
        let before = text.get(..span.start).unwrap_or(text);
        format!("line {}", before.matches('\n').count() + 1)
    };
    let table = DeTable::parse(text).map_err(|error| {
        let why = error.message().replace('\n', ": ");
        error.span().map_or(why.clone(), |span| format!("{}: {why}", at(&span)))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut words = Vec::new();
    for (name, value) in entries {
        let shown = name.get_ref();
        let wrong = |why: String| format!("{}: {shown}: {why}", at(&name.span()));
        let flag = flag(command, shown).map_err(wrong)?;
        for value in texts(flag, value).map_err(wrong)? {
            let word = match value {
                Some(value) => format!("--{shown}={value}"),
                None => format!("--{shown}"),
            };
            try_alone(flag, &word).map_err(wrong)?;
            words.push((shown.to_string(), word));
        }
    }
    Ok(words)
}

fn flag<'a>(command: &'a Command, name: &str) -> Result<&'a Arg, String> {
    let mut flags = command.get_arguments().filter(|flag| flag.get_long() != Some(CONFIG));
    if name == CONFIG {
        return Err("a file names no other file".into());
    }
    flags.find(|flag| flag.get_long() == Some(name)).ok_or_else(|| {
        // The names that are shown in the help.
        let shown = command.get_arguments().filter(|flag| !flag.is_hide_set());
        let names = shown.filter_map(Arg::get_long);
        let command = command.get_name();
        let meant = nearest(&name.replace('_', "-"), names)
            .map_or_else(String::new, |name| format!("is {name} meant? "));
        format!("no such flag: {meant}`piazza {command} --help` shows them all")
    })
}

/// The values of a flag as they would be typed; a switch that is on has one, without a text.
fn texts(flag: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<Option<String>>, String> {
    match (flag.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(on)) => Ok(on.then_some(None).into_iter().collect()),
        (ArgAction::SetTrue, _) => Err("write true or false".into()),
        (ArgAction::Append, DeValue::Array(values)) => {
            values.iter().map(|value| text(flag, value.get_ref()).map(Some)).collect()
        }
        (ArgAction::Append, _) => Err("write a list, as [\"a\", \"b\"]".into()),
        (_, value) => Ok(vec![Some(text(flag, value)?)]),
    }
}

/// One value as it would be typed.
fn text(flag: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let kind = flag.get_value_parser().type_id();
    let is_any = |kinds: &[TypeId]| kinds.iter().any(|one| kind == *one);
    let number = is_any(&[TypeId::of::<u16>(), TypeId::of::<u64>(), TypeId::of::<usize>()]);
    // Of a time some are in milliseconds, some in words.
    let either = is_any(&[TypeId::of::<Duration>()]);
    match value {
        DeValue::Integer(written) if number || either => {
            let found = i128::from_str_radix(written.as_str(), written.radix());
            Ok(found.map_err(|_| format!("{written} is too large"))?.to_string())
        }
        DeValue::String(text) if !number => Ok(text.to_string()),
        _ if number => Err("write a number, without quotes".into()),
        _ if either => Err("write a number of milliseconds".into()),
        _ => Err("write a text, in quotes".into()),
    }
}

/// Whether the grammar takes this word; the sentence with which it does not.
fn try_alone(flag: &Arg, word: &str) -> Result<(), String> {
    let alone = Command::new("flag").no_binary_name(true).arg(flag.clone().required(false));
    match alone.try_get_matches_from([word]) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.source().map_or_else(
            || error.to_string().lines().next().unwrap_or_default().to_owned(),
            ToString::to_string,
        )),
    }
}
