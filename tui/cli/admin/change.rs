//! `piazza admin` at the coordinator: a change of the membership is asked for, and followed to its
//! end by what `status` shows of it.
//!
//! Called by `admin`. Decides nothing; a coordinator that was restarted meanwhile has forgotten
//! the change's name, and that is said.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use protocol::client::{Client, ClientError};
use protocol::ids::Epoch;
use protocol::reply::AdminReply;
use protocol::request::{Admin, AdminAction};
use protocol::status::ChangeStatus;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{ChangeArgs, confirm};
use crate::args::Common;
use crate::print::{self, Exit, Failure};
use crate::status::{size, time};

/// How often the change is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often its progress is a line of its own, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
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
    let epoch = client.status().await?.coordinator.epoch;
    let (name, dry_run) = (action.name(), args.dry_run);
    let follow = !args.no_wait && !matches!(action, AdminAction::Cancel { .. });
    let reply = client.admin(Admin { action, dry_run, if_ring_epoch: None }).await;
    let reply = reply.map_err(|error| uncertain(error, dry_run))?;
    let change = reply.change.as_deref().filter(|_| !dry_run);
    let shown = change.map(|change| print::escaped(change.as_bytes(), false));
    let line = match (args.common.json, &shown) {
        (true, _) => format!("{}\n", answer(&reply)),
        (false, _) if dry_run => format!("{name} can be done{}; nothing was\n", would(&reply)),
        (false, Some(change)) if follow => format!("{name} has begun as {change}\n"),
        (false, Some(change)) if name == "cancel" => format!("{change} is cancelled\n"),
        (false, Some(change)) => format!("{name} has begun as {change}: see piazza status\n"),
        (false, None) => format!("{name} is done\n"),
    };
    print::output(line.as_bytes())?;
    match change.filter(|_| follow) {
        Some(change) => Following::new(change, epoch, &args.common).follow(client).await,
        None => Ok(Exit::Done),
    }
}

/// The reply as one object.
fn answer(reply: &AdminReply) -> serde_json::Value {
    let mut answer = json!({ "ok": true, "change": reply.change });
    if let Some(preview) = &reply.preview {
        answer["preview"] = json!(preview);
    }
    answer
}

/// What a change would come to.
fn would(reply: &AdminReply) -> String {
    reply.preview.as_ref().map_or_else(String::new, |preview| {
        format!(
            ": about {} keys would be copied, in {} stretches of the ring, and the largest share \
             of a node would be {:.2} times the mean",
            preview.keys, preview.arcs, preview.max_over_mean
        )
    })
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
    /// The coordinator that knows it by this name.
    epoch: Epoch,
    common: &'a Common,
    bar: ProgressBar,
    told: Option<ChangeStatus>,
    told_at: Option<Instant>,
    /// When copying was first seen, and how far it was.
    from: Option<(Instant, ChangeStatus)>,
}

impl<'a> Following<'a> {
    fn new(name: &'a str, epoch: Epoch, common: &'a Common) -> Self {
        let shows = io::stderr().is_terminal() && !common.json;
        let bar = if shows { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { name, epoch, common, bar, told: None, told_at: None, from: None }
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
        let same = status.coordinator.epoch == self.epoch;
        known.filter(|_| same).ok_or_else(|| {
            let text = format!(
                "another coordinator serves now, which does not know {}: what had begun goes on, \
                 what had not is forgotten; see piazza status",
                self.name
            );
            Failure::new(Exit::Unknown, "forgotten", text)
        })
    }

    /// Says how far it is; how the command ends, when it has ended.
    fn tell(&mut self, change: ChangeStatus) -> Result<Option<Result<Exit, Failure>>, Failure> {
        let (name, now) = (self.name, Instant::now());
        if change.state == "running" && self.from.is_none() {
            self.from = Some((now, change.clone()));
        }
        let moved = self.told.as_ref().is_none_or(|told| told.state != change.state);
        let progressed = self.told.as_ref() != Some(&change);
        let due = self.told_at.is_none_or(|at| now.duration_since(at) >= LINE_INTERVAL);
        let text = self.sentence(&change, now);
        self.bar.set_message(text.clone());
        self.bar.tick();
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
            "cancelled" => {
                let text = format!("{name} was cancelled before it began");
                Some(Err(Failure::new(Exit::NotThere, "cancelled", text)))
            }
            other => {
                let state = print::escaped(other.as_bytes(), false);
                let text = format!("{name} is {state}: see piazza status");
                Some(Err(Failure::new(Exit::Other, "failed", text)))
            }
        })
    }

    fn sentence(&self, change: &ChangeStatus, now: Instant) -> String {
        let mut text = title(change);
        match change.state.as_str() {
            "waiting" => {
                let why = change.reason.as_deref().unwrap_or("its turn has not come");
                let _ = write!(text, " waits: {}", print::escaped(why.as_bytes(), false));
            }
            "running" => {
                let _ = write!(text, ": {}", copied(change));
                if let Some((since, from)) = &self.from {
                    text.push_str(&pace(change, from, now.duration_since(*since)));
                }
            }
            state => {
                let state = print::escaped(state.as_bytes(), false);
                let _ = write!(text, " is {state}: {}", copied(change));
            }
        }
        text
    }
}

/// `c3 (remove n2)`.
pub(crate) fn title(change: &ChangeStatus) -> String {
    let node = change.node.as_ref().map_or_else(String::new, |node| format!(" {node}"));
    let text = format!("{} ({}{node})", change.change, change.action);
    print::escaped(text.as_bytes(), false)
}

/// How much is copied or read, of how much if that is known.
pub(crate) fn copied(change: &ChangeStatus) -> String {
    let total = change.keys_total.map_or_else(String::new, |total| format!(" of {total}"));
    let what = match change.action.as_str() {
        "scrub" | "repair" => "records read",
        _ => "keys copied",
    };
    format!("{}{total} {what}, {}", change.keys_done, size(change.bytes_done))
}

/// How fast, and for how long still, since it was `from`.
fn pace(change: &ChangeStatus, from: &ChangeStatus, took: Duration) -> String {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let bytes = change.bytes_done.saturating_sub(from.bytes_done);
    let keys = change.keys_done.saturating_sub(from.keys_done);
    if ms == 0 || keys == 0 {
        return String::new();
    }
    let mut text = format!(", {}/s", size(bytes.saturating_mul(1_000) / ms));
    let left = change.keys_total.map(|total| total.saturating_sub(change.keys_done));
    if let Some(left) = left.filter(|left| *left > 0) {
        let _ = write!(text, ", {} left", time(ms.saturating_mul(left) / keys));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_its_pace() {
        let change = |keys_done, keys_total| ChangeStatus {
            change: "c3".into(),
            action: "remove".into(),
            node: Some("n\u{1b}2".into()),
            state: "running".into(),
            keys_done,
            keys_total,
            bytes_done: keys_done * 1_024,
            reason: None,
        };
        assert_eq!(title(&change(0, None)), "c3 (remove n\\u{1b}2)");
        assert_eq!(copied(&change(7, None)), "7 keys copied, 7168 B");
        assert_eq!(copied(&change(7, Some(9))), "7 of 9 keys copied, 7168 B");
        let after = Duration::from_secs(2);
        let paced = |keys, total| pace(&change(keys, total), &change(10, None), after);
        assert_eq!(paced(110, Some(310)), ", 50 KiB/s, 4000 ms left");
        assert_eq!(paced(110, None), ", 50 KiB/s");
        assert_eq!(paced(110, Some(90)), ", 50 KiB/s");
        assert_eq!(paced(10, Some(90)), "");
        assert_eq!(pace(&change(9, None), &change(1, None), Duration::ZERO), "");
    }

    #[test]
    fn what_was_not_answered_may_have_begun() {
        let lost = || ClientError::Lost(io::ErrorKind::BrokenPipe.into());
        assert_eq!(uncertain(lost(), false).exit, Exit::Unknown);
        assert_eq!(uncertain(lost(), true).exit, Exit::Refused);
    }
}
