//! Files of settings that a person has written: a server's flags, and the console's own.

use std::sync::OnceLock;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};
use cluster::config::{CacheShape, parse_ms};
use protocol::peer::Placement;
use tui::console::config::Config;
use tui::settings::words;

/// One flag of each kind that servers have.
fn grammar() -> &'static Command {
    static GRAMMAR: OnceLock<Command> = OnceLock::new();
    GRAMMAR.get_or_init(|| {
        let flag = |name: &'static str| Arg::new(name).long(name);
        Command::new("server")
            .arg(flag("config"))
            .arg(flag("name"))
            .arg(flag("nodes").value_parser(value_parser!(u16).range(1..)))
            .arg(flag("cache-bytes").value_parser(value_parser!(u64).range(1..)))
            .arg(flag("heartbeat-ms").value_parser(parse_ms))
            .arg(flag("cache").value_parser(value_parser!(CacheShape)))
            .arg(flag("placement").value_parser(value_parser!(Placement)))
            .arg(flag("listen").value_parser(value_parser!(std::net::SocketAddr)))
            .arg(flag("limit").action(ArgAction::Append))
            .arg(flag("lab").action(ArgAction::SetTrue))
            .arg(flag("lifeline").action(ArgAction::SetTrue).hide(true))
    })
}

/// What is read as flags is what was written, as the grammar takes it; what is not is told in one
/// line, with a line of the text. The console's settings are read, or refused in words.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(why) = Config::parse(text) {
        assert!(!why.is_empty());
    }
    let flags = match words(grammar(), text) {
        Ok(flags) => flags,
        Err(why) => {
            let line = why.strip_prefix("line ").and_then(|rest| rest.split(':').next());
            let line: usize = line.and_then(|line| line.parse().ok()).expect("a line's number");
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "{why:?}");
            assert!(!why.contains('\n'), "{why:?}");
            return;
        }
    };
    for (name, word) in &flags {
        assert!(word.strip_prefix("--").is_some_and(|rest| rest.starts_with(name.as_str())));
    }
    let typed = std::iter::once("server").chain(flags.iter().map(|(_, word)| word.as_str()));
    let taken = grammar().clone().try_get_matches_from(typed).expect("each is taken alone");
    for name in ["nodes", "heartbeat-ms", "placement"] {
        let is_there = flags.iter().any(|(flag, _)| flag == name);
        assert_eq!(taken.contains_id(name), is_there, "{name}");
    }
    if let Some(nodes) = taken.get_one::<u16>("nodes") {
        assert!(*nodes >= 1);
    }
    if let Some(time) = taken.get_one::<Duration>("heartbeat-ms") {
        assert!(*time >= Duration::from_millis(1));
    }
}
