//! `piazza admin` at the coordinator: a change of the membership is asked for, and followed to its
//! end by what `status` shows of it.
//!
//! Called by `admin`. Decides nothing; a coordinator that was restarted meanwhile has forgotten
//! the change's name, and that is said.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use protocol::client::{Client, ClientError};
use protocol::event::Transfer;
use protocol::reply::AdminReply;
use protocol::request::{Admin, AdminAction};
use protocol::status::{ChangeStatus, CoordinatorState};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tui::text::plural;

use super::{ChangeArgs, confirm, preview};
use crate::args::Common;
use crate::print::{self, Exit, Failure};
use crate::status::{size, time};

/// How often the change is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often its progress is a line of its own, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Transfers that are shown below the bar.
const TRANSFERS_SHOWN: usize = 8;
/// How long the coordinator may be away before nobody waits for it any more.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Asks the coordinator for `action`.
pub(super) fn run(args: ChangeArgs, action: AdminAction<'_>) -> ExitCode {
    let json = args.common.json;
    let whom = match &action {
        AdminAction::Evict { node } | AdminAction::Remove { node } => Some(node.clone()),
        _ => None,
    };
    let needed = whom.is_some() && !args.dry_run && !args.yes;
    // Before anything listens for Ctrl-C, which must end a question.
    let done = confirm(needed, action.name(), whom.as_deref().unwrap_or_default())
        .and_then(|()| print::block_on(ask(args, action)));
    print::finish(done, json)
}

async fn ask(args: ChangeArgs, action: AdminAction<'_>) -> Result<Exit, Failure> {
    // Never repeated by itself: what was lost on its way may have been begun.
    let client = print::connect_once(&args.common).await?;
    // So that whoever watches reads who it was; an older server need not know the word.
    let _ = client.hello("piazza admin", false).await;
    let (name, dry_run) = (action.name(), args.dry_run);
    let (follow, cancels) = (!args.no_wait, matches!(action, AdminAction::Cancel { .. }));
    let reply = client.admin(Admin { action, dry_run, if_ring_epoch: None }).await;
    let reply = reply.map_err(|error| uncertain(error, dry_run))?;
    let change = reply.change.as_deref().filter(|_| !dry_run);
    let shown = change.map(|change| print::escaped(change.as_bytes(), false));
    let line = match (args.common.json, &shown) {
        (true, _) => format!("{}\n", answer(&reply)),
        (false, _) if dry_run => format!("{name} can be done, and was not yet\n{}", would(&reply)),
        (false, Some(change)) if follow => format!("{name} has begun as {change}\n"),
        (false, Some(change)) if cancels => format!("{change} is being taken back\n"),
        (false, Some(change)) => format!("{name} has begun as {change}: see piazza status\n"),
        (false, None) => format!("{name} is done\n"),
    };
    print::output(line.as_bytes())?;
    if let Some(note) = reply.note.as_ref().filter(|_| !args.common.json) {
        print::output(format!("  {}\n", print::escaped(note.as_bytes(), false)).as_bytes())?;
    }
    match change.filter(|_| follow) {
        Some(change) => Following::new(change, cancels, &args.common).follow(client).await,
        None => Ok(Exit::Done),
    }
}

/// The reply as one object.
fn answer(reply: &AdminReply) -> serde_json::Value {
    let mut answer = json!({ "ok": true, "change": reply.change });
    if let Some(preview) = &reply.preview {
        answer["preview"] = json!(preview);
    }
    if let Some(note) = &reply.note {
        answer["note"] = json!(note);
    }
    answer
}

/// What a change would come to.
fn would(reply: &AdminReply) -> String {
    reply.preview.as_ref().map_or_else(String::new, preview::text)
}

/// A change whose request was sent and not answered may have begun.
fn uncertain(error: ClientError, dry_run: bool) -> Failure {
    match error {
        ClientError::Lost(_) | ClientError::Late(_) if !dry_run => Failure::new(
            Exit::Unknown,
            "unknown_outcome",
            "no answer came, and the change may have begun: look for it in `piazza status` before \
             you ask again",
        ),
        error => error.into(),
    }
}

/// A change on its way to its end.
struct Following<'a> {
    name: &'a str,
    /// It was just cancelled.
    cancels: bool,
    common: &'a Common,
    bar: ProgressBar,
    told: Option<ChangeStatus>,
    told_at: Option<Instant>,
}

impl<'a> Following<'a> {
    fn new(name: &'a str, cancels: bool, common: &'a Common) -> Self {
        let shows = io::stderr().is_terminal() && !common.json;
        let bar = if shows { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { name, cancels, common, bar, told: None, told_at: None }
    }

    async fn follow(mut self, client: Client) -> Result<Exit, Failure> {
        let mut client = Some(client);
        let mut heard = Instant::now();
        loop {
            match self.look(&mut client).await {
                Ok(change) => {
                    heard = Instant::now();
                    let ended = self.tell(change)?;
                    if let Some(exit) = ended {
                        return exit;
                    }
                }
                Err(failure) if failure.code == "forgotten" => return Err(failure),
                Err(failure) if heard.elapsed() > AWAY_MAX => {
                    let place = format!("{} goes on, but is not seen any more", self.name);
                    return Err(Failure { exit: Exit::Unknown, ..failure.within(&place) });
                }
                Err(_) => client = client.filter(|client| !client.is_lost()),
            }
            sleep(INTERVAL).await;
        }
    }

    /// The change as it is now.
    async fn look(&self, client: &mut Option<Client>) -> Result<ChangeStatus, Failure> {
        let connection = match client.take() {
            Some(connection) => connection,
            None => print::connect_once(self.common).await?,
        };
        let status = client.insert(connection).status().await?;
        let known = status.changes.into_iter().find(|change| change.change == self.name);
        known.ok_or_else(|| {
            // Until it is active, a coordinator does not know what had begun.
            let code = match status.coordinator.state {
                CoordinatorState::Active => "forgotten",
                _ => "recovering",
            };
            let text = format!(
                "another coordinator serves now, which does not know {}: either it had not begun, \
                 and is forgotten, or it is over; see piazza status",
                self.name
            );
            Failure::new(Exit::Unknown, code, text)
        })
    }

    /// Says how far it is; how the command ends, when it has ended.
    fn tell(&mut self, change: ChangeStatus) -> Result<Option<Result<Exit, Failure>>, Failure> {
        let (name, now) = (self.name, Instant::now());
        let moved = self.told.as_ref().is_none_or(|told| told.state != change.state);
        let progressed = self.told.as_ref() != Some(&change);
        let due = self.told_at.is_none_or(|at| now.duration_since(at) >= LINE_INTERVAL);
        let text = sentence(&change);
        self.show(&change, &text);
        let ended = !matches!(change.state.as_str(), "running" | "waiting");
        if ended {
            self.bar.finish_and_clear();
        }
        // On a terminal what passes by is in the bar, and what stays is the end.
        let line = ended || (self.bar.is_hidden() && progressed && (moved || due));
        if line && self.common.json {
            print::output(format!("{}\n", json!(change)).as_bytes())?;
        } else if line {
            print::output(format!("{text}\n").as_bytes())?;
        }
        if line {
            (self.told_at, self.told) = (Some(now), Some(change.clone()));
        }
        Ok(match change.state.as_str() {
            "running" | "waiting" => None,
            "done" => Some(Ok(Exit::Done)),
            "cancelled" if self.cancels => Some(Ok(Exit::Done)),
            "cancelled" => {
                let text = format!("{name} was cancelled");
                Some(Err(Failure::new(Exit::NotThere, "cancelled", text)))
            }
            other => {
                let state = print::escaped(other.as_bytes(), false);
                let why = change.reason.as_deref().unwrap_or("see piazza status");
                let text = format!("{name} is {state}: {}", print::escaped(why.as_bytes(), false));
                Some(Err(Failure::new(Exit::Other, "failed", text)))
            }
        })
    }

    /// The bar: how much of all keys, and below it each transfer.
    fn show(&self, change: &ChangeStatus, text: &str) {
        let known = change.keys_total.filter(|total| *total > 0);
        let template = if known.is_some() { "[{bar:24}] {msg}" } else { "{spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length(known.unwrap_or_default());
        self.bar.set_position(change.keys_done);
        let lines = change.transfers.iter().take(TRANSFERS_SHOWN).map(transferred);
        let lines = lines.fold(text.to_owned(), |text, line| format!("{text}\n  {line}"));
        self.bar.set_message(lines);
        self.bar.tick();
    }
}

/// A change and how far it is.
fn sentence(change: &ChangeStatus) -> String {
    let mut text = title(change);
    match change.state.as_str() {
        "waiting" => {
            let _ = write!(text, " {}", waits(change));
        }
        "running" => {
            let _ = write!(text, ": {}", under_way(change));
        }
        state => {
            let state = print::escaped(state.as_bytes(), false);
            let _ = write!(text, " is {state}: {}", copied(change));
            if let Some(reason) = &change.reason {
                let _ = write!(text, "; {}", print::escaped(reason.as_bytes(), false));
            }
        }
    }
    text
}

/// `c3 (remove n2)`.
pub(crate) fn title(change: &ChangeStatus) -> String {
    let node = change.node.as_ref().map_or_else(String::new, |node| format!(" {node}"));
    let text = format!("{} ({}{node})", change.change, change.action);
    print::escaped(text.as_bytes(), false)
}

/// Why one waits.
pub(crate) fn waits(change: &ChangeStatus) -> String {
    let why = change.reason.as_deref().unwrap_or("its turn has not come");
    format!("waits: {}", print::escaped(why.as_bytes(), false))
}

/// Why one came to nothing.
pub(crate) fn failed(change: &ChangeStatus) -> String {
    let why = change.reason.as_deref().unwrap_or("nobody says why");
    format!("has failed: {}", print::escaped(why.as_bytes(), false))
}

/// How far one that is running is, how fast, and what there is to say of it.
pub(crate) fn under_way(change: &ChangeStatus) -> String {
    let mut text = copied(change);
    if let Some(bytes_per_s) = change.bytes_per_s {
        let _ = write!(text, ", {}/s", size(bytes_per_s));
    }
    text.push_str(&left(change.keys_total, change.keys_done, change.eta_ms));
    if let Some(reason) = &change.reason {
        let _ = write!(text, "; {}", print::escaped(reason.as_bytes(), false));
    }
    text
}

/// What is copied is called, and what is done with it.
const KEYS_COPIED: (&str, &str) = ("key", "copied");

/// How much is copied or read, of how much if that is known.
pub(crate) fn copied(change: &ChangeStatus) -> String {
    let what = match change.action.as_str() {
        "scrub" | "repair" => ("record", "read"),
        _ => KEYS_COPIED,
    };
    let (keys, bytes) = (change.keys_done, change.bytes_done);
    so_much((keys, change.keys_total), what, (bytes, change.bytes_total))
}

/// How many keys, and bytes, each of how many.
fn so_much(
    keys: (u64, Option<u64>),
    (one, done): (&str, &str),
    bytes: (u64, Option<u64>),
) -> String {
    let of = keys.1.map_or_else(String::new, |total| format!(" of {total}"));
    let what = plural(keys.1.unwrap_or(keys.0), one);
    let of_bytes = bytes.1.map_or_else(String::new, |total| format!(" of {}", size(total)));
    format!("{}{of} {what} {done}, {}{of_bytes}", keys.0, size(bytes.0))
}

/// `, 200 left for about 4000 ms`.
fn left(total: Option<u64>, done: u64, eta_ms: Option<u64>) -> String {
    let mut text = String::new();
    let left = total.map(|total| total.saturating_sub(done)).filter(|left| *left > 0);
    if let Some(left) = left {
        let _ = write!(text, ", {left} left");
        if let Some(ms) = eta_ms {
            let _ = write!(text, " for about {}", time(ms));
        }
    }
    text
}

/// How far the copying from one node to another is: `n1 to n6 (2 ranges): ...`.
pub(crate) fn transferred(told: &Transfer) -> String {
    let ranges = match told.range.as_slice() {
        [(first, last)] => format!("{first} to {last}"),
        several => format!("{} ranges", several.len()),
    };
    let mut text = format!("{} to {} ({ranges}): ", told.source, told.target);
    let (keys, bytes) = ((told.keys_done, told.keys_total), (told.bytes_done, told.bytes_total));
    text.push_str(&so_much(keys, KEYS_COPIED, bytes));
    match told.state.as_str() {
        "copying" => {
            let _ = write!(text, ", {}/s", size(told.bytes_per_s));
            text.push_str(&left(told.keys_total, told.keys_done, told.eta_ms));
        }
        state => {
            let _ = write!(text, ", {}", print::escaped(state.as_bytes(), false));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_its_pace() {
        let change = |keys_done, keys_total: Option<u64>| ChangeStatus {
            change: "c3".into(),
            action: "remove".into(),
            node: Some("n\u{1b}2".into()),
            state: "running".into(),
            keys_done,
            keys_total,
            bytes_done: keys_done * 1_024,
            bytes_total: keys_total.map(|keys| keys * 1_024),
            ..ChangeStatus::default()
        };
        assert_eq!(title(&change(0, None)), "c3 (remove n\\u{1b}2)");
        assert_eq!(copied(&change(7, None)), "7 keys copied, 7168 B");
        assert_eq!(copied(&change(7, Some(9))), "7 of 9 keys copied, 7168 B of 9216 B");
        let paced = |keys, total, eta_ms, reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            let pace = Some(51_200);
            under_way(&ChangeStatus { bytes_per_s: pace, eta_ms, reason, ..change(keys, total) })
        };
        let text = paced(110, Some(310), Some(4_000), None);
        assert_eq!(
            text,
            "110 of 310 keys copied, 110 KiB of 310 KiB, 50 KiB/s, 200 left for about 4000 ms"
        );
        assert!(paced(110, None, None, None).ends_with("110 KiB, 50 KiB/s"));
        let paused = paced(110, Some(90), None, Some("no space\u{1b}"));
        assert!(paused.ends_with("50 KiB/s; no space\\u{1b}"), "{paused}");
        assert_eq!(under_way(&change(1, None)), "1 key copied, 1024 B");
    }

    #[test]
    fn each_transfer_is_told() {
        let told = |state: &str, ranges: usize| {
            let range = vec![["0000000000000001", "1000000000000000"]; ranges];
            let told = serde_json::json!({"id": 1, "range": range, "from": "n1", "target": "n6",
                "keys_done": 3, "keys_total": 5, "bytes_done": 300, "bytes_total": 500,
                "bytes_per_s": 100, "eta_ms": 2_000, "state": state});
            transferred(&serde_json::from_value(told).expect("a transfer"))
        };
        assert_eq!(
            told("copying", 1),
            "n1 to n6 (0000000000000001 to 1000000000000000): 3 of 5 keys copied, 300 B of 500 B, \
             100 B/s, 2 left for about 2000 ms"
        );
        let waits = told("waiting", 2);
        assert_eq!(waits, "n1 to n6 (2 ranges): 3 of 5 keys copied, 300 B of 500 B, waiting");
    }

    #[test]
    fn what_was_not_answered_may_have_begun() {
        let lost = || ClientError::Lost(io::ErrorKind::BrokenPipe.into());
        assert_eq!(uncertain(lost(), false).exit, Exit::Unknown);
        assert_eq!(uncertain(lost(), true).exit, Exit::Refused);
    }
}
