//! What the keys of this view do, and which they are.

use super::Act;
use crate::console::action::Action;
use crate::console::keys::{self, Binding, bindings};
use crate::prompt::Key;

/// Its keys.
pub const BINDINGS: &[Binding] = bindings!(
    Action::Cache,
    (
        "slow",
        &[Key::Char('p')],
        Act::Play,
        "slow motion",
        "play the shown sweep step by step, or what would happen now; again: stand still, go on",
    ),
    (
        "server",
        &[Key::Char('s'), Key::Char(']')],
        Act::Server(true),
        "cache",
        "the next server's cache",
    ),
    ("previous-cache", &[Key::Char('[')], Act::Server(false), "", "the cache of the server before"),
    (
        "find",
        &[Key::Char('/')],
        Act::Find,
        "find key",
        "find the set of a key in the coordinator's cache",
    ),
    (
        "next-entry",
        &[Key::Char('g')],
        Act::NextEntry,
        "next in use",
        "go to the next set that holds something",
    ),
    (
        "older",
        &[Key::Char('<')],
        Act::Sweep(false),
        "older",
        "the sweep of this set before the shown one",
    ),
    ("newer", &[Key::Char('>')], Act::Sweep(true), "", "the sweep after the shown one"),
    (
        "open",
        &[Key::Enter],
        Act::Open,
        "who wrote it",
        "show the transaction that wrote the entry of the selected way",
    ),
    ("down", keys::DOWN, Act::Set(1), "", "the next set"),
    ("up", keys::UP, Act::Set(-1), "", "the set before"),
    ("right", keys::RIGHT, Act::Way(true), "", "the next way of the set"),
    ("left", keys::LEFT, Act::Way(false), "", "the way before"),
    ("page-down", keys::PAGE_DOWN, Act::Set(64), "", "64 sets down"),
    ("page-up", keys::PAGE_UP, Act::Set(-64), "", "64 sets up"),
    ("first-set", &[Key::Home], Act::Edge(false), "", "the first set"),
    ("last-set", &[Key::End], Act::Edge(true), "", "the last set"),
    (
        "wait",
        &[Key::Char('w')],
        Act::Wait,
        "",
        "play the next sweep of this set in slow motion, as soon as it happens",
    ),
    (
        "imagine",
        &[Key::Char('i')],
        Act::Imagine,
        "",
        "play what would happen if a new key came now: nothing happens in the cache",
    ),
    ("step", &[Key::Char('.')], Act::Step(true), "", "slow motion: one step on"),
    ("step-back", &[Key::Char(',')], Act::Step(false), "", "slow motion: one step back"),
    (
        "end",
        &[Key::Escape],
        Act::End,
        "",
        "end slow motion, or waiting for it, or looking for a set in use",
    ),
);
