//! What the keys of this view do, and which they are.

use super::Act;
use crate::console::action::Action;
use crate::console::keys::Binding;
use crate::prompt::Key;

const fn of(
    name: &'static str,
    keys: &'static [Key],
    act: Act,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding::of(name, keys, Action::Cache(act), hint, help)
}

/// Its keys.
pub const BINDINGS: &[Binding] = &[
    of(
        "slow",
        &[Key::Char('p')],
        Act::Play,
        "slow motion",
        "play the shown sweep step by step, or what would happen now; again: stand still, go on",
    ),
    of(
        "server",
        &[Key::Char('s'), Key::Char(']')],
        Act::Server(true),
        "cache",
        "the next server's cache",
    ),
    of(
        "previous-cache",
        &[Key::Char('[')],
        Act::Server(false),
        "",
        "the cache of the server before",
    ),
    of(
        "find",
        &[Key::Char('/')],
        Act::Find,
        "find key",
        "find the set of a key in the coordinator's cache",
    ),
    of(
        "next-entry",
        &[Key::Char('g')],
        Act::NextEntry,
        "next in use",
        "go to the next set that holds something",
    ),
    of(
        "older",
        &[Key::Char('<')],
        Act::Sweep(false),
        "older",
        "the sweep of this set before the shown one",
    ),
    of("newer", &[Key::Char('>')], Act::Sweep(true), "", "the sweep after the shown one"),
    of(
        "open",
        &[Key::Enter],
        Act::Open,
        "who wrote it",
        "show the transaction that wrote the entry of the selected way",
    ),
    of("down", &[Key::Down, Key::Char('j')], Act::Set(1), "", "the next set"),
    of("up", &[Key::Up, Key::Char('k')], Act::Set(-1), "", "the set before"),
    of("right", &[Key::Right, Key::Char('l')], Act::Way(true), "", "the next way of the set"),
    of("left", &[Key::Left, Key::Char('h')], Act::Way(false), "", "the way before"),
    of("page-down", &[Key::PageDown, Key::Ctrl('d')], Act::Set(64), "", "64 sets down"),
    of("page-up", &[Key::PageUp, Key::Ctrl('u')], Act::Set(-64), "", "64 sets up"),
    of("first-set", &[Key::Home], Act::Edge(false), "", "the first set"),
    of("last-set", &[Key::End], Act::Edge(true), "", "the last set"),
    of(
        "wait",
        &[Key::Char('w')],
        Act::Wait,
        "",
        "play the next sweep of this set in slow motion, as soon as it happens",
    ),
    of(
        "imagine",
        &[Key::Char('i')],
        Act::Imagine,
        "",
        "play what would happen if a new key came now: nothing happens in the cache",
    ),
    of("step", &[Key::Char('.')], Act::Step(true), "", "slow motion: one step on"),
    of("step-back", &[Key::Char(',')], Act::Step(false), "", "slow motion: one step back"),
    of(
        "end",
        &[Key::Escape],
        Act::End,
        "",
        "end slow motion, or waiting for it, or looking for a set in use",
    ),
];
