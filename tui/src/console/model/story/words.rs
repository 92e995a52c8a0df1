//! The story in words: what happened, how far it has healed, where to look and what to press.
//!
//! Read by the story bar, by demos and by tests. Every sentence is made of what the model knows:
//! what is not known is not said.

use protocol::status::CoordinatorState;

use super::super::clock::{ago, count, some};
use super::super::feed::FeedState;
use super::super::servers::Process;
use super::super::{COORDINATOR, Model};
use super::{Cause, Incident, Step};

/// For how long an incident that is over is still told, milliseconds.
pub(super) const TOLD_AFTER_MS: u64 = 20_000;

/// How loud something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// All is well.
    Calm,
    /// All is well again.
    Healed,
    /// Somebody changes the cluster, and nothing is amiss.
    Changing,
    /// Something is amiss, and heals.
    Warning,
    /// Something is amiss.
    Alarm,
}

/// How far a step of the chain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepView {
    /// It was reached.
    Done(String),
    /// It is under way, or waited for.
    Now(String),
    /// It is to come.
    Ahead(String),
    /// It will not come by itself.
    Failed(String),
}

/// The story, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How loud it is.
    pub weight: Weight,
    /// What happened and what it means, the most important first; joined where there is room.
    pub headline: Vec<String>,
    /// How far it has healed; empty: nothing is amiss.
    pub chain: Vec<StepView>,
    /// Where to look, and what to press.
    pub advice: Vec<String>,
}

impl Model {
    /// The story, now.
    pub fn told(&self) -> Told {
        if self.has_ended {
            let headline = vec!["the recording has ended: this is its last picture".to_owned()];
            let advice = vec!["q ends the console".to_owned()];
            return Told { weight: Weight::Calm, headline, chain: Vec::new(), advice };
        }
        let foremost = self.story.foremost();
        if let Some(incident) = foremost.filter(|incident| incident.is_open()) {
            return self.told_of(incident);
        }
        // Copies that are wrong are so until they are mended: they wait for servers only.
        if let Some(told) = self.rot().or_else(|| self.righted()) {
            return told;
        }
        match foremost {
            Some(incident) if self.was_just_closed(incident) => self.healed(incident),
            last => self.calm(last),
        }
    }

    fn was_just_closed(&self, incident: &Incident) -> bool {
        let closed = incident.closed.is_some_and(|at| self.now.ms_since(at) < TOLD_AFTER_MS);
        closed && self.is_served()
    }

    fn told_of(&self, incident: &Incident) -> Told {
        if incident.is_coordinator && self.is_unheard() {
            return self.told_of_nobody(incident);
        }
        let mut headline = match incident.is_change() {
            true => self.change_words(incident),
            false => vec![self.what_happened(incident)],
        };
        let others = self.story.open().filter(|other| other.id != incident.id);
        let others: Vec<String> = others.map(|other| self.server_words(other)).collect();
        if !others.is_empty() {
            headline.push(format!("also away or coming back: {}", list(&others)));
        }
        if incident.is_coordinator {
            headline.extend(self.without_coordinator(incident));
        } else if !incident.is_change() {
            headline.extend(self.without_node(incident));
        }
        headline.extend(doubts(incident));
        headline.extend(self.other_rot(0));
        let weight = match incident.cause {
            Cause::Joins | Cause::Leaves => Weight::Changing,
            _ if incident.is_returning() || incident.is_change() => Weight::Warning,
            _ => Weight::Alarm,
        };
        Told { weight, headline, chain: self.chain(incident), advice: self.advice(incident) }
    }

    /// Neither the coordinator nor a supervisor is heard: nothing is known of anybody else.
    fn told_of_nobody(&self, incident: &Incident) -> Told {
        let since = self.stale_ms().map_or(String::new(), |age| format!(" {} ago", ago(age)));
        let headline = vec![
            format!("the cluster was stopped, or cannot be reached: last heard{since}"),
            "start it with piazza up --dir DIR".into(),
            "what was acknowledged is safe at the nodes".into(),
        ];
        let mut chain: Vec<StepView> = reached(incident).collect();
        chain.push(StepView::Now("waits for piazza up".into()));
        chain.push(StepView::Ahead("healthy".into()));
        let advice = vec![
            "look: what is shown is the last picture, greyed".into(),
            "do: piazza up --dir DIR".into(),
        ];
        Told { weight: Weight::Alarm, headline, chain, advice }
    }

    pub(super) fn what_happened(&self, incident: &Incident) -> String {
        let server = self.server_words(incident);
        let since = incident.began.words(self.now);
        let by = self.by(incident.by.as_deref());
        let what = match &incident.cause {
            Cause::Killed => format!("{server} was killed (kill -9){by} {since} ago"),
            Cause::Stopped => format!("{server} was stopped{by} {since} ago"),
            Cause::Restarted => format!("{server} was restarted{by} {since} ago"),
            Cause::Paused => format!("{server} was paused (SIGSTOP){by} {since} ago"),
            Cause::Crashed { signal: Some(9), .. } => {
                format!("{server} was killed from outside (signal 9) {since} ago")
            }
            Cause::Crashed { signal: Some(signal), .. } => {
                format!("{server} ended by signal {signal} {since} ago, unasked")
            }
            Cause::Crashed { exit_code: Some(code), .. } => {
                format!("{server} ended with exit code {code} {since} ago, unasked")
            }
            Cause::Crashed { .. } => format!("{server} ended {since} ago, unasked"),
            Cause::Silent if incident.is_coordinator => {
                format!("{server} has not been heard for {since}")
            }
            Cause::Silent => format!("{server} has been silent for {since}"),
            Cause::Before if incident.began.is_found() => {
                format!("{server} was away already when this console began")
            }
            Cause::Before => {
                format!("{server} was last heard {since} ago, before this console began")
            }
            Cause::Evicted => format!("{server} was evicted{by} {since} ago"),
            Cause::Returns => format!("{server} is back since {since}"),
            Cause::Joins => format!("{server} joins{by} since {since}"),
            Cause::Leaves => format!("{server} leaves{by} since {since}"),
        };
        match incident.faults.as_slice() {
            [] => what,
            faults => format!("{what} (injected: {})", faults.join(", ")),
        }
    }

    pub(super) fn server_words(&self, incident: &Incident) -> String {
        let alone = incident.server == COORDINATOR;
        if alone { "the coordinator".into() } else { incident.server.clone() }
    }

    /// What whoever did something is called: ` by you`, ` by` a name, or nothing.
    pub fn by(&self, by: Option<&str>) -> String {
        let name = |by| if by == self.own_name { "you" } else { by };
        by.map_or(String::new(), |by| format!(" by {}", name(by)))
    }

    fn without_coordinator(&self, incident: &Incident) -> Vec<String> {
        if incident.last() == Step::Active {
            let (up, all) = self.nodes_up();
            return vec![format!("a new one serves, with {up} of {all} nodes so far")];
        }
        let mut said = vec!["nothing is read or written without it".to_owned()];
        said.push("what was acknowledged is safe at the nodes".into());
        if let Some(age) = self.stale_ms() {
            said.push(format!("this picture is {} old", ago(age)));
        }
        said
    }

    pub(in super::super) fn without_node(&self, incident: &Incident) -> Vec<String> {
        // How many keys are touched goes first: it is told where there is little room too.
        let mut said = self.keys_words();
        if let Some(impact) = &incident.impact {
            let share = format!("{:.0} %", impact.share * 100.0);
            let by = self.answers_for(&incident.server, &impact.reads_by);
            // Of parts that several others stand in for, one may have nobody.
            let unread = self.unread_share(&incident.server) * 100.0;
            said.push(match by.as_slice() {
                [] => format!("nobody can answer reads of its {share} of the keys"),
                // While it is only suspected, it may be the one to answer still.
                [only] if *only == incident.server => {
                    format!("it still answers its {share} of the keys")
                }
                names if unread >= 1.0 => format!(
                    "{} now answers reads of its {share} of the keys, nobody of {unread:.0} %",
                    list(names)
                ),
                names => format!("{} now answers reads of its {share} of the keys", list(names)),
            });
        }
        said
    }

    fn keys_words(&self) -> Vec<String> {
        let (one, none) = (self.keys_one_copy(), self.keys_unread());
        // What cannot be read cannot be written either, and is told once.
        let unwritable = self.copies.unwritable.saturating_sub(none);
        let mut said = Vec::new();
        let least = self.least();
        if none > 0 {
            said.push(format!("{least}{} no live copy and cannot be read", keys_have(none)));
        }
        if one > 0 && one == unwritable {
            let have = keys_have(one);
            said.push(format!("{least}{have} one copy and cannot be written meanwhile"));
        } else if unwritable > 0 && one == 0 {
            said.push(format!("{least}{} cannot be written meanwhile", some(unwritable, "key")));
        } else if unwritable > 0 {
            let have = if one == 1 { "has" } else { "have" };
            said.push(format!(
                "{least}{} cannot be written meanwhile, {} {have} one copy",
                some(unwritable, "key"),
                count(one)
            ));
        } else if one > 0 {
            said.push(format!("{least}{} one copy", keys_have(one)));
        }
        said
    }

    fn chain(&self, incident: &Incident) -> Vec<StepView> {
        let mut chain = Vec::new();
        chain.extend(reached(incident));
        let last = incident.last();
        if let (true, Some((done, total))) = (last >= Step::Log, incident.progress) {
            chain.pop();
            let percent = done * 100 / total.max(1);
            chain.push(StepView::Now(format!("{} {percent}%", done_word(last, incident))));
        }
        if incident.is_change() {
            chain.extend(self.change_chain(incident));
            return chain;
        }
        if let Some(words) = self.evicts_words(incident) {
            chain.push(StepView::Now(words));
            chain.push(StepView::Ahead("copied again".into()));
            chain.push(StepView::Ahead("healed".into()));
            return chain;
        }
        if last < Step::Started {
            chain.push(self.waits_for(incident));
            chain.push(StepView::Ahead("back".into()));
        } else if incident.progress.is_none() {
            let now =
                if incident.is_coordinator { "recovering" } else { "learning what it missed" };
            let now = if last == Step::Active { "nodes come back" } else { now };
            chain.push(StepView::Now(now.into()));
        }
        chain.push(StepView::Ahead("healthy".into()));
        chain
    }

    /// What a server that is away waits for.
    fn waits_for(&self, incident: &Incident) -> StepView {
        let process = self.procs.get(&incident.server);
        match process {
            Some(_) if !self.can_administer() => {
                StepView::Now("waited for: its supervisor is not heard".into())
            }
            _ if incident.cause == Cause::Paused => StepView::Now("paused: P lets it go on".into()),
            Some(Process { state, retry_at: Some(at), .. }) if state == "backoff" => {
                let left = at.ms_since(self.now);
                StepView::Now(format!("its supervisor restarts it in {}", ago(left)))
            }
            Some(process) if process.state == "backoff" => {
                StepView::Now("its supervisor restarts it".into())
            }
            Some(process) if process.state == "gave_up" => {
                StepView::Failed("given up: it died 5 times in a row".into())
            }
            Some(process) if process.state == "dead" && incident.cause != Cause::Silent => {
                StepView::Now(format!("waits for a restart (R on {})", incident.server))
            }
            Some(_) => StepView::Now("waited for".into()),
            None => StepView::Now("waited for: no supervisor is known".into()),
        }
    }

    fn advice(&self, incident: &Incident) -> Vec<String> {
        let mut said = Vec::new();
        let look = if incident.is_coordinator {
            "look: what is shown is the last picture, greyed".to_owned()
        } else {
            format!("look: row {}, its arc [2], updates in doubt [4]", incident.server)
        };
        said.push(look);
        let process = self.procs.get(&incident.server);
        let does = match process {
            _ if incident.is_change() => "do: nothing, it goes on by itself".into(),
            _ if !self.can_administer() => self.no_supervisor_words(),
            _ if incident.is_returning() => "do: nothing, it comes back by itself".into(),
            // Its votes may come all the same: a restart would only do harm.
            _ if incident.last() <= Step::Silent && incident.cause == Cause::Silent => {
                "do: nothing yet, it is not suspected: only its heartbeats are missed".into()
            }
            _ if incident.cause == Cause::Paused => {
                format!("do: select {} and press P", incident.server)
            }
            Some(process) if process.state == "backoff" => "do: nothing, it is restarted".into(),
            Some(process) if process.state == "gave_up" => {
                let last = process.last_lines.last().map_or("see its log", String::as_str);
                format!("it said: {last} · R tries again")
            }
            _ => format!("do: select {} and press R", incident.server),
        };
        said.push(does);
        said
    }

    fn no_supervisor_words(&self) -> String {
        match &self.supervisor_feed.state {
            FeedState::Lost(why) => format!("the supervisor cannot be reached ({why})"),
            _ => "no supervisor: start it by hand".into(),
        }
    }

    fn healed(&self, incident: &Incident) -> Told {
        let server = self.server_words(incident);
        let lasted = incident.lasted(self.now);
        let closed = incident.closed.unwrap_or(self.now);
        let since = ago(self.now.ms_since(closed));
        let mut headline = match incident.is_change() {
            true => self.changed_words(incident, &lasted, &since),
            false => vec![format!("healthy: {server} is back after {lasted}, {since} ago")],
        };
        headline.extend(self.how_it_ended(incident));
        // Just after a return the nodes are still counting.
        if let Some(copies) = self.copies_words().filter(|_| self.keys_short() == 0) {
            headline.push(copies);
        }
        headline.extend(doubts(incident));
        let advice = vec!["look: 6 shows all of it in order".into()];
        Told { weight: Weight::Healed, headline, chain: reached(incident).collect(), advice }
    }

    /// How a server ended that nobody here had ordered to, and who started it again.
    fn how_it_ended(&self, incident: &Incident) -> Option<String> {
        let Cause::Crashed { signal, exit_code } = incident.cause else { return None };
        let how = match (signal, exit_code) {
            (Some(9), _) => "it was killed from outside (signal 9)".to_owned(),
            (Some(signal), _) => format!("it had ended by signal {signal}"),
            (None, Some(code)) => format!("it had ended with exit code {code}"),
            (None, None) => "it had ended".to_owned(),
        };
        let again = if self.procs.contains_key(&incident.server) {
            ": its supervisor started it again"
        } else {
            ""
        };
        Some(format!("{how}, which nobody here ordered{again}"))
    }

    pub(in super::super) fn copies_words(&self) -> Option<String> {
        let (replicas, keys) = (self.copies_wanted(), self.keys());
        let copies = crate::text::plural(replicas.into(), "copy");
        let counting: Vec<String> =
            self.copies.uncounted.iter().map(|node| node.as_str().to_owned()).collect();
        match (self.keys_short(), keys) {
            (0, 0) if !counting.is_empty() => {
                Some(format!("keys are being counted, {} not yet done", list(&counting)))
            }
            (0, keys) if !counting.is_empty() => Some(format!(
                "at least {} {replicas} {copies}, {} not counted yet",
                keys_have(keys),
                list(&counting)
            )),
            (_, 0) => None,
            (0, keys) if !self.counts_all() => {
                Some(format!("at least {} {replicas} {copies}", keys_have(keys)))
            }
            (0, 1) => Some(format!("the only key has {replicas} {copies}")),
            (0, keys) => Some(format!("all {} keys have {replicas} {copies}", count(keys))),
            (short, _) if !counting.is_empty() => {
                Some(format!("at least {} a copy", keys_lack(short)))
            }
            (short, _) => Some(format!("{} a copy", keys_lack(short))),
        }
    }

    fn calm(&self, last: Option<&Incident>) -> Told {
        let headline = match self.beginning() {
            Some(words) => vec![words],
            None => {
                let (up, all) = self.nodes_up();
                let mut said = vec![format!("{up} of {all} nodes up")];
                let evicted: Vec<String> = self.evicted().map(str::to_owned).collect();
                if !evicted.is_empty() {
                    said.push(format!("evicted: {} (R brings back)", list(&evicted)));
                }
                said.extend(self.copies_words());
                said.push(match last {
                    Some(incident) => self.last_words(incident),
                    None => "no incident since this console began".into(),
                });
                said
            }
        };
        let advice = if self.can_administer() {
            "try: n selects a node, K kills it, R starts it: watch it heal"
        } else {
            "look: 2 ring · 3 cache · 4 two-phase commit · 5 data · 6 events"
        };
        let weight = if self.is_well() { Weight::Calm } else { Weight::Warning };
        Told { weight, headline, chain: Vec::new(), advice: vec![advice.into()] }
    }

    fn last_words(&self, incident: &Incident) -> String {
        let closed = incident.closed.unwrap_or(self.now);
        let (which, what) = match (&incident.cause, incident.is_eviction()) {
            (_, true) => ("incident", "evicted, healed"),
            (Cause::Joins, _) => ("change", "joined"),
            (Cause::Leaves, _) => ("change", "left"),
            (Cause::Returns, _) => ("change", "got a place again"),
            _ => ("incident", "back"),
        };
        format!(
            "last {which} {} ago: {}, {what} in {}",
            ago(self.now.ms_since(closed)),
            incident.server,
            incident.lasted(self.now)
        )
    }

    /// What is to be said before a coordinator has ever been seen to serve.
    fn beginning(&self) -> Option<String> {
        match (&self.coordinator_feed.state, self.coordinator.state) {
            (FeedState::Live, Some(CoordinatorState::Active)) => None,
            (FeedState::Live, Some(state)) => {
                let answered =
                    self.coordinator.answers.map_or(String::new(), |(answered, needed)| {
                        format!(": {answered} of {needed} nodes have answered")
                    });
                Some(format!("the cluster starts: its coordinator is {state}{answered}"))
            }
            (FeedState::Lost(why), _) => Some(format!("the coordinator cannot be reached: {why}")),
            _ => Some("connecting to the coordinator".into()),
        }
    }
}

/// The steps that it has come to, with when where that is known.
fn reached(incident: &Incident) -> impl Iterator<Item = StepView> {
    incident.steps.iter().map(|(step, since)| {
        let word = done_word(*step, incident);
        StepView::Done(match incident.step_words(*since) {
            Some(seconds) => format!("{word} {seconds}"),
            None => word,
        })
    })
}

pub(super) fn done_word(step: Step, incident: &Incident) -> String {
    let word = match (step, &incident.cause) {
        (Step::Began, Cause::Killed) => "killed",
        (Step::Began, Cause::Stopped) => "stopped",
        (Step::Began, Cause::Restarted) => "restarted",
        (Step::Began, Cause::Paused) => "paused",
        (Step::Began, Cause::Crashed { .. }) => "ended",
        (Step::Began, Cause::Before) if incident.began.is_found() => "away",
        (Step::Began, Cause::Silent | Cause::Before) => "last heard",
        (Step::Began, Cause::Evicted) => "ordered",
        (Step::Began, Cause::Returns) => "back",
        (Step::Began, Cause::Joins) => "joins",
        (Step::Began, Cause::Leaves) => "leaves",
        (Step::Cut, _) => "connection lost",
        (Step::Silent, _) => "silent",
        (Step::Suspected, _) => "suspected",
        (Step::Down, _) => "DOWN",
        (Step::GaveUp, _) => "given up",
        (Step::Started, Cause::Paused) => "goes on",
        (Step::Started, _) => "started",
        (Step::Claiming, _) => "claiming an epoch",
        (Step::Fencing, _) => "fencing",
        (Step::Recovering, _) => "recovering",
        (Step::Active, _) => "serves",
        (Step::Log, _) => "read its log",
        (Step::Decisions, _) => "told the decisions",
        (Step::Copying, _) => "copying",
        (Step::Evicted, _) => "evicted",
        (Step::Recopying, _) => "copying",
        (Step::Healthy, Cause::Joins) => "joined",
        (Step::Healthy, Cause::Leaves) => "left",
        (Step::Healthy, _) if incident.is_eviction() => "healed",
        (Step::Healthy, _) => "healthy",
    };
    word.to_owned()
}

fn doubts(incident: &Incident) -> Option<String> {
    let Incident { doubts, resolved: (committed, aborted), unresolved, .. } = incident;
    let open = unresolved.len() as u64;
    let untold = doubts.saturating_sub(committed + aborted + open);
    // Their end was told while the console did not hear the coordinator.
    let untold = if untold == 0 { String::new() } else { format!(", {untold} unheard") };
    let updates = |n: u64| if n == 1 { "update" } else { "updates" };
    match (*doubts, open) {
        (0, _) => None,
        (_, 0) => Some(format!(
            "{doubts} {} in doubt, resolved: {committed} committed, {aborted} aborted{untold}",
            updates(*doubts)
        )),
        _ => Some(format!("{open} {} in doubt", updates(open))),
    }
}

/// So many keys, and that they have something.
fn keys_have(keys: u64) -> String {
    format!("{} {}", some(keys, "key"), if keys == 1 { "has" } else { "have" })
}

/// The same, that they lack something.
fn keys_lack(keys: u64) -> String {
    format!("{} {}", some(keys, "key"), if keys == 1 { "lacks" } else { "lack" })
}

pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "nobody".into(),
        [only] => only.clone(),
        [rest @ .., last] if rest.len() < 4 => format!("{} and {last}", rest.join(", ")),
        [first, second, rest @ ..] => format!("{first}, {second} and {} more", rest.len()),
    }
}
