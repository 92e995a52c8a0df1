//! Consoles in the states that a person may find them in.
//!
//! Each is made once; whoever draws it another way takes a copy.

use std::sync::LazyLock;

use super::hand::{cluster, link, numbered};
use crate::console::action::{Action, ViewName};
use crate::console::model::clock::At;
use crate::console::model::feed::{FeedName, FeedState};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{play, played, press, recorded};

/// A state of things.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// In the view that shows it best.
    pub(super) console: Console,
    /// Whether every view of it is kept.
    pub(super) is_main: bool,
}

impl Scenario {
    /// The console in another view.
    pub(super) fn in_view(&self, view: ViewName) -> Console {
        let mut console = self.console.clone();
        if console.view != view {
            console.act_now(Action::Go(view));
        }
        console
    }
}

/// Makes a console.
type Make = fn() -> Console;

/// One that was recorded: the recording, until when, the view, and what is pressed there.
type Recorded = (&'static str, u64, ViewName, &'static str);

/// The recorded ones, each with its name.
const RECORDED: &[(&str, Recorded)] = &[
    ("calm", ("calm", 6_000, ViewName::Overview, "")),
    ("down", ("kill", 4_000, ViewName::Overview, "")),
    ("paused", ("pause", 5_500, ViewName::Overview, "")),
    ("coordinator-away", ("coordinator-killed", 5_000, ViewName::Overview, "")),
    ("in-doubt", ("doubt", 4_500, ViewName::Txns, "")),
    ("killed", ("kill", 2_300, ViewName::Overview, "")),
    ("recovered", ("kill", 8_100, ViewName::Overview, "")),
    ("crashed", ("crash", 2_500, ViewName::Overview, "")),
    ("coordinator-crashed", ("coordinator", 2_600, ViewName::Overview, "")),
    ("recovering", ("recovering", 4_800, ViewName::Overview, "")),
    ("resolved", ("doubt", 7_000, ViewName::Txns, "")),
    ("transaction", ("calm", 6_000, ViewName::Txns, "\n")),
    ("cache", ("cache", 4_900, ViewName::Cache, "jj")),
    ("lagged", ("lagged", 14_000, ViewName::Events, "")),
    ("gave-up", ("gave-up", 18_000, ViewName::Overview, "")),
    ("question", ("calm", 6_000, ViewName::Overview, "K")),
    ("help", ("kill", 4_000, ViewName::Overview, "?")),
    ("palette", ("kill", 4_000, ViewName::Ring, ":ca")),
    ("evicting", ("evict", 3_500, ViewName::Overview, "")),
    ("copying", ("evict", 6_000, ViewName::Overview, "")),
    ("copying-ring", ("evict", 6_000, ViewName::Ring, "")),
    ("healed", ("evict", 12_300, ViewName::Overview, "")),
    ("returning", ("evict", 13_550, ViewName::Overview, "")),
    ("returned", ("evict", 14_500, ViewName::Overview, "")),
    ("adding", ("add", 4_500, ViewName::Ring, "")),
    ("removing", ("remove", 3_500, ViewName::Overview, "")),
    ("removed", ("remove", 9_300, ViewName::Overview, "")),
    ("rot-found", ("rot", 3_900, ViewName::Overview, "")),
    ("rot-events", ("rot", 3_900, ViewName::Events, "")),
    ("rot-repaired", ("rot", 5_900, ViewName::Overview, "")),
    ("rot-over", ("rot", 11_500, ViewName::Events, "")),
    ("unreadable", ("unreadable", 4_500, ViewName::Overview, "")),
];

/// Of so many of them, the first, every view is kept.
const MAIN: usize = 5;

pub(super) static ALL: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (place, (name, (recording, until_ms, view, keys))) in RECORDED.iter().enumerate() {
        let mut console = prepared(recording, *until_ms, *view);
        press(&mut console, keys);
        all.push(Scenario { name, console, is_main: place < MAIN });
    }
    let made: [(&str, Make); 8] = [
        ("nothing-heard", || Console::new(Settings::default())),
        ("refused", refused),
        ("disconnected", disconnected),
        ("read-only", read_only),
        ("quit", quit),
        ("frozen", frozen),
        ("one-node", || cluster(&numbered(1))),
        ("fifty-nodes", fifty),
    ];
    let made = made.map(|(name, make)| Scenario { name, console: make(), is_main: false });
    all.extend(made);
    all
});

/// The scenario of that name.
pub(super) fn named(name: &str) -> &'static Scenario {
    ALL.iter().find(|one| one.name == name).expect("a scenario")
}

/// A recording up to a moment, with what it is about selected.
fn prepared(recording: &str, until_ms: u64, view: ViewName) -> Console {
    let mut console = played(recording, until_ms);
    console.size = (120, 36);
    console.selected = match recording {
        "coordinator" | "coordinator-killed" | "recovering" | "cache" => "coordinator".into(),
        "calm" | "lagged" => "n1".into(),
        "add" => "n6".into(),
        "remove" | "rot" | "unreadable" => "n2".into(),
        _ => "n3".into(),
    };
    if view != ViewName::Overview {
        console.act_now(Action::Go(view));
    }
    console.handle(console.model.now, Input::Tick);
    console
}

fn refused() -> Console {
    let mut console =
        Console::new(Settings { address: "10.0.0.7:8080".into(), ..Settings::default() });
    link(&mut console, 0, FeedName::Coordinator, FeedState::Connecting);
    let why = "10.0.0.7:8080: Connection refused (os error 111)";
    link(&mut console, 40, FeedName::Coordinator, FeedState::Lost(why.into()));
    console.handle(At(3_000_000), Input::Tick);
    console
}

fn disconnected() -> Console {
    let mut console = prepared("calm", 6_000, ViewName::Overview);
    for feed in [FeedName::Coordinator, FeedName::Supervisor] {
        let why = "the connection was lost before the answer came";
        link(&mut console, 6_100, feed, FeedState::Lost(why.into()));
    }
    console.handle(At(9_100_000), Input::Tick);
    console
}

fn read_only() -> Console {
    let why = "started with --read-only";
    let read_only = Some(why.to_owned());
    let mut console = Console::new(Settings { read_only, ..Settings::default() });
    play(&mut console, &recorded("kill"), 0, 4_000);
    console.selected = "n3".into();
    press(&mut console, "K");
    console
}

fn quit() -> Console {
    let mut console = Console::new(Settings { owns_cluster: true, ..Settings::default() });
    play(&mut console, &recorded("calm"), 0, 6_000);
    press(&mut console, "q");
    console
}

fn frozen() -> Console {
    let mut console = prepared("kill", 1_900, ViewName::Overview);
    press(&mut console, " ");
    play(&mut console, &recorded("kill"), 1_900, 4_000);
    console
}

fn fifty() -> Console {
    let mut console = cluster(&numbered(50));
    console.selected = "n42".into();
    let change = serde_json::json!({"event": "member_state", "seq": 1_000, "source": "coordinator",
        "node": "n42", "from": "up", "to": "down", "reason": "silence"});
    super::hand::tell(&mut console, 1_400, FeedName::Coordinator, &change);
    console.handle(At(1_500_000), Input::Tick);
    console
}
