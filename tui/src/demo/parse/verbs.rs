//! The verbs, each with what belongs to it.
//!
//! Part of `parse`. Whether the names in them fit each other is `check`'s matter.

use protocol::supervisor::{Order, ProcAction};

use super::Problem;
use super::token::{Statement, Token};
use super::words::{Kept, caption, duration, meant, path, predicate, within};
use crate::console::action::ViewName;
use crate::console::effect::MemberChange;
use crate::console::keys::{key_name, key_named};
use crate::demo::script::{ClusterPlan, Load, ShopPlan, Verb};
use crate::prompt::Key;

/// Every verb that makes a step.
const VERBS: &[&str] = &[
    "load", "shop", "view", "select", "press", "type", "run", "do", "preview", "caption", "pause",
    "mark", "wait", "expect", "keep", "shot",
];
/// What stands before the first step.
const HEAD: &[&str] = &["title", "about", "takes", "cluster"];
const DEEDS: &[&str] =
    &["kill", "stop", "start", "restart", "pause", "resume", "inject", "evict", "remove", "add"];
const FAULTS: &[&str] =
    &["refuse_prepare", "sync_delay_ms", "drop_votes", "drop_heartbeats", "stop_after"];
/// Most nodes of a demo: it runs on one machine, beside the person's other work.
const NODES_MAX: u16 = 16;
/// Times that a fault is ordered at most.
const COUNT_MAX: u64 = 1_000;

/// What a statement does.
pub(super) fn verb(statement: &Statement, kept: &Kept) -> Result<Verb, Problem> {
    let verb = &statement.words[0];
    if verb.is_quoted {
        return Err(verb.problem("a line begins with a verb, as caption \"...\""));
    }
    Ok(match verb.text.as_str() {
        "load" => load(statement)?,
        "shop" => shop(statement)?,
        "view" => Verb::View(view(statement.only("a view's name")?)?),
        "select" => Verb::Select(statement.only("a server's name")?.text.clone()),
        "press" => Verb::Press(keys(statement)?),
        "type" => Verb::Type(statement.quoted()?),
        "run" => Verb::Run(statement.quoted()?),
        "do" => deed(statement)?,
        "preview" => Verb::Preview(change(statement, statement.rest())?),
        "caption" => {
            statement.quoted()?;
            Verb::Caption(caption(statement.only("a text in quotes")?, kept)?)
        }
        "pause" => Verb::Pause(duration(statement.only("a time, as 2s")?)?),
        "mark" => Verb::Mark(statement.quoted()?),
        "wait" => {
            let (predicate, limit_ms) = within(statement, kept)?;
            Verb::Wait(predicate, limit_ms)
        }
        "expect" => Verb::Expect(predicate(verb, statement.rest(), kept)?),
        "keep" => keep(statement, kept)?,
        "shot" => Verb::Shot(name(statement.only("a name")?)?),
        other => {
            let known: Vec<&str> = VERBS.iter().chain(HEAD).copied().collect();
            return Err(verb.problem(format!("unknown verb {other:?}: {}", meant(other, &known))));
        }
    })
}

/// `cluster 5 replicas=2 lab`.
pub(super) fn cluster(statement: &Statement) -> Result<ClusterPlan, Problem> {
    const FLAGS: &[(&str, &str)] = &[
        ("replicas", "--replicas"),
        ("tokens", "--tokens"),
        ("heartbeat", "--heartbeat-ms"),
        ("lease", "--lease-ms"),
        ("evict", "--evict-after"),
        ("cache", "--cache"),
        ("node-cache", "--node-cache"),
        ("storage", "--storage"),
        ("placement", "--placement"),
    ];
    let Some(nodes) = statement.rest().first() else {
        return Err(statement.problem("cluster needs how many nodes, as cluster 5"));
    };
    let count = nodes.text.parse().ok().filter(|count| (1..=NODES_MAX).contains(count));
    let count = count.ok_or_else(|| {
        nodes.problem(format!("{:?} is no number of nodes from 1 to {NODES_MAX}", nodes.text))
    })?;
    let mut plan = ClusterPlan { nodes: count, flags: Vec::new(), lab: false };
    for token in &statement.rest()[1..] {
        if token.text == "lab" && !plan.lab {
            plan.lab = true;
            continue;
        }
        let (name, value) = token.text.split_once('=').unwrap_or((&token.text, ""));
        let known: Vec<&str> = FLAGS.iter().map(|(name, _)| *name).chain(["lab"]).collect();
        let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            let told = meant(name, &known);
            return Err(token.problem(format!("a cluster has no {name:?}: {told}")));
        };
        if value.is_empty() {
            return Err(token.problem(format!("{name} needs a value: {name}=...")));
        }
        if plan.flags.iter().any(|(known, _)| known == flag) {
            return Err(token.problem(format!("{name} is there twice")));
        }
        let value = match name {
            "heartbeat" | "lease" => {
                let from = name.chars().count() + 1;
                let place = token.place_of(from);
                duration(&Token { text: value.to_owned(), place, is_quoted: false })?.to_string()
            }
            _ => value.to_owned(),
        };
        plan.flags.push((flag, value));
    }
    Ok(plan)
}

fn load(statement: &Statement) -> Result<Verb, Problem> {
    if let [only] = statement.rest()
        && only.text == "stop"
    {
        return Ok(Verb::Unload);
    }
    let mut load = Load::default();
    for token in statement.rest() {
        if let Some(rate) = token.text.strip_suffix("/s") {
            load.rate = Some(part(token, "a rate", rate, 1, 1_000_000)?);
            continue;
        }
        let (name, value) = token.text.split_once('=').unwrap_or((&token.text, ""));
        match name {
            "keys" => load.keys = part(token, name, value, 1, 100_000)? as u32,
            "reads" => {
                let value = value.strip_suffix('%').unwrap_or_default();
                load.reads = part(token, "reads, as reads=80%,", value, 0, 100)? as u32;
            }
            "clients" => load.clients = part(token, name, value, 1, 256)? as u32,
            "seed" => load.seed = part(token, name, value, 0, u64::MAX)?,
            "zipf" => {
                let theta = value.parse().ok().filter(|theta: &f64| *theta > 0.0 && *theta <= 4.0);
                load.zipf = theta.ok_or_else(|| {
                    token.problem("zipf is a number above 0, at most 4, as zipf=1.1")
                })?;
            }
            _ => {
                let known = ["keys", "reads", "clients", "seed", "zipf", "stop"];
                let told = meant(name, &known);
                return Err(token.problem(format!("a load has no {name:?}: {told}, or 200/s")));
            }
        }
    }
    Ok(Verb::Load(load))
}

fn shop(statement: &Statement) -> Result<Verb, Problem> {
    if let [only] = statement.rest()
        && only.text == "close"
    {
        return Ok(Verb::CloseShop);
    }
    let mut shop = ShopPlan::default();
    for token in statement.rest() {
        if let Some(rate) = token.text.strip_suffix("/s") {
            shop.rate = Some(part(token, "a rate", rate, 1, 100_000)? as u32);
            continue;
        }
        let (name, value) = token.text.split_once('=').unwrap_or((&token.text, ""));
        match name {
            "shoppers" => shop.shoppers = part(token, name, value, 1, 256)? as u32,
            "articles" => shop.articles = part(token, name, value, 1, 1_000)? as u32,
            "stock" => shop.stock = part(token, name, value, 0, 1_000_000_000)?,
            "seed" => shop.seed = part(token, name, value, 0, u64::MAX)?,
            _ => {
                let told = meant(name, &["shoppers", "articles", "stock", "seed", "close"]);
                return Err(token.problem(format!("a shop has no {name:?}: {told}, or 100/s")));
            }
        }
    }
    Ok(Verb::Shop(shop))
}

fn part(token: &Token, what: &str, text: &str, from: u64, to: u64) -> Result<u64, Problem> {
    let number = text.parse().ok().filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| token.problem(format!("{what} must be a number from {from} to {to}")))
}

fn view(token: &Token) -> Result<ViewName, Problem> {
    let named = |view: &ViewName| view.title().eq_ignore_ascii_case(&token.text);
    ViewName::ALL.into_iter().find(named).ok_or_else(|| {
        let titles: Vec<String> = ViewName::ALL.iter().map(|v| v.title().to_lowercase()).collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        token.problem(format!("there is no view {:?}: {}", token.text, meant(&token.text, &titles)))
    })
}

fn keys(statement: &Statement) -> Result<Vec<Key>, Problem> {
    if statement.rest().is_empty() {
        return Err(statement.problem("press needs keys, as press K y"));
    }
    let named = statement.rest().iter().map(|token| {
        key_named(&token.text).ok_or_else(|| {
            let names = [
                "Enter",
                "Tab",
                "Esc",
                "Space",
                "Up",
                "Down",
                "Left",
                "Right",
                "Home",
                "End",
                "PageUp",
                "PageDown",
                "Backspace",
            ];
            let told = meant(&token.text, &names);
            let text = &token.text;
            token.problem(format!(
                "there is no key {text:?}: {told}, or a letter; words: type \"...\""
            ))
        })
    });
    let keys: Vec<Key> = named.collect::<Result<_, _>>()?;
    // What would take the console itself away from under the demo.
    for (key, token) in keys.iter().zip(statement.rest()) {
        if [Key::Char('q'), Key::Ctrl('c'), Key::Ctrl('z')].contains(key) {
            let name = key_name(key);
            return Err(
                token.problem(format!("{name} would end the console, and the demo with it"))
            );
        }
    }
    Ok(keys)
}

fn deed(statement: &Statement) -> Result<Verb, Problem> {
    let Some(what) = statement.rest().first() else {
        return Err(statement.problem("do needs what is to be done, as do kill n3"));
    };
    let member = ["evict", "remove", "add"].contains(&what.text.as_str());
    if member {
        return Ok(Verb::Member(change(statement, statement.rest())?));
    }
    if !DEEDS.contains(&what.text.as_str()) {
        let told = meant(&what.text, DEEDS);
        return Err(what.problem(format!("nothing is called {:?}: {told}", what.text)));
    }
    let Some(server) = statement.rest().get(1) else {
        return Err(what.problem(format!("{} needs a server, as {0} n3", what.text)));
    };
    let name = server.text.clone();
    if what.text == "inject" {
        return Ok(Verb::Process(ProcAction::Inject(name, fault(server, &statement.rest()[2..])?)));
    }
    if let Some(more) = statement.rest().get(2) {
        return Err(more.problem(format!("{} takes one server, and nothing more", what.text)));
    }
    Ok(Verb::Process(match what.text.as_str() {
        "kill" => ProcAction::Kill(name),
        "stop" => ProcAction::Stop(name),
        "start" => ProcAction::Start(name),
        "restart" => ProcAction::Restart(name),
        "pause" => ProcAction::Pause(name),
        _ => ProcAction::Resume(name),
    }))
}

/// `FAULT`, `FAULT=VALUE`, and how often: `x3`.
fn fault(server: &Token, tokens: &[Token]) -> Result<Order, Problem> {
    let Some(what) = tokens.first() else {
        return Err(server.problem("inject needs a fault, as inject n2 refuse_prepare"));
    };
    let (name, value) = match what.text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (what.text.as_str(), None),
    };
    if !FAULTS.contains(&name) {
        return Err(what.problem(format!("there is no fault {name:?}: {}", meant(name, FAULTS))));
    }
    let needs_value = ["sync_delay_ms", "stop_after"].contains(&name);
    if needs_value != value.as_ref().is_some_and(|value| !value.is_empty()) {
        let example = match name {
            "stop_after" => "stop_after=vote".to_owned(),
            "sync_delay_ms" => "sync_delay_ms=200".to_owned(),
            other => format!("{other} alone"),
        };
        return Err(what.problem(format!("write {example}")));
    }
    let count = match tokens.get(1) {
        None => 1,
        Some(times) => {
            let number = times.text.strip_prefix('x').and_then(|text| text.parse().ok());
            let number = number.filter(|number| (1..=COUNT_MAX).contains(number));
            number.ok_or_else(|| times.problem("how often is written as x3"))?
        }
    };
    if let Some(more) = tokens.get(2) {
        return Err(more.problem("nothing stands behind how often"));
    }
    Ok(Order { fault: name.to_owned(), value, count })
}

/// `add`, `remove NODE`, `evict NODE`.
fn change(statement: &Statement, tokens: &[Token]) -> Result<MemberChange, Problem> {
    const CHANGES: &[&str] = &["add", "remove", "evict"];
    match tokens {
        [] => Err(statement.problem(format!("a change is missing: {}", CHANGES.join(", ")))),
        [what] if what.text == "add" => Ok(MemberChange::Add),
        [what, node] if what.text == "remove" => Ok(MemberChange::Remove(node.text.clone())),
        [what, node] if what.text == "evict" => Ok(MemberChange::Evict(node.text.clone())),
        [what, ..] if !CHANGES.contains(&what.text.as_str()) => {
            let told = meant(&what.text, CHANGES);
            Err(what.problem(format!("no change is called {:?}: {told}", what.text)))
        }
        [what] => Err(what.problem(format!("{} needs a node, as {0} n3", what.text))),
        [what, more, ..] => {
            let wanted = if what.text == "add" { "no node" } else { "one node" };
            let more = tokens.get(2).unwrap_or(more);
            Err(more.problem(format!("{} takes {wanted}, and nothing more", what.text)))
        }
    }
}

fn keep(statement: &Statement, kept: &Kept) -> Result<Verb, Problem> {
    let [as_name, of] = statement.rest() else {
        return Err(statement.problem("keep needs a name and a path, as keep before ops.per_s"));
    };
    let path = path(&of.text, kept).map_err(|message| of.problem(message))?;
    Ok(Verb::Keep(name(as_name)?, path))
}

/// A name: letters, digits, `-` and `_`.
fn name(token: &Token) -> Result<String, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if token.text.is_empty() || token.text.len() > 40 || !token.text.chars().all(fits) {
        let message = "a name has letters, digits, - and _ only, 40 at most";
        return Err(token.problem(message));
    }
    Ok(token.text.clone())
}
