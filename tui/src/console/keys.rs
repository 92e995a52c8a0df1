//! The one table of keys: what each does, how it is called, what it says of itself.
//!
//! Read by `state` to find what a key does, by the hint bar, the help, the palette, the config file
//! and the tests, so that none of them can lie. A view's own keys go before the global ones.

use std::collections::BTreeMap;

use super::action::{Action, ViewName};
use super::views;
use crate::prompt::Key;

/// A key, or several, and what they do.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// By what name the palette and the config file know it.
    pub name: &'static str,
    /// The keys.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// In a word or two, for the hint bar; empty: it stands only in the help.
    pub hint: &'static str,
    /// In a sentence, for help and palette.
    pub help: &'static str,
    /// Whether it changes the cluster.
    pub changes: bool,
}

impl Binding {
    /// One that changes nothing.
    pub const fn of(
        name: &'static str,
        keys: &'static [Key],
        action: Action,
        hint: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, keys, action, hint, help, changes: false }
    }

    const fn changing(self) -> Self {
        Self { changes: true, ..self }
    }
}

/// A view's table: what its keys do, then a row for each: name, keys, act, hint, help.
macro_rules! bindings {
    (
        $action:path,
        $(($name:expr, $keys:expr, $act:expr, $hint:expr, $help:expr $(,)?)),* $(,)?
    ) => {
        &[$(Binding::of($name, $keys, $action($act), $hint, $help)),*]
    };
}
pub(super) use bindings;

/// What leads down, up, right and left in every view that has such a way.
pub const DOWN: &[Key] = &[Key::Down, Key::Char('j')];
/// See [`DOWN`].
pub const UP: &[Key] = &[Key::Up, Key::Char('k')];
/// See [`DOWN`].
pub const RIGHT: &[Key] = &[Key::Right, Key::Char('l')];
/// See [`DOWN`].
pub const LEFT: &[Key] = &[Key::Left, Key::Char('h')];
/// What leads a page down or up.
pub const PAGE_DOWN: &[Key] = &[Key::PageDown, Key::Ctrl('d')];
/// See [`PAGE_DOWN`].
pub const PAGE_UP: &[Key] = &[Key::PageUp, Key::Ctrl('u')];
/// What leads to one end of a list or the other.
pub const FIRST: &[Key] = &[Key::Home, Key::Char('g')];
/// See [`FIRST`].
pub const LAST: &[Key] = &[Key::End, Key::Char('G')];

const fn go(
    name: &'static str,
    keys: &'static [Key],
    view: ViewName,
    help: &'static str,
) -> Binding {
    Binding::of(name, keys, Action::Go(view), "", help)
}

/// The keys of every view.
pub const GLOBAL: &[Binding] = &[
    go(
        "overview",
        &[Key::Char('1')],
        ViewName::Overview,
        "show Overview: every server, and what goes on",
    ),
    go("ring", &[Key::Char('2')], ViewName::Ring, "show Ring: who owns which keys"),
    go("cache", &[Key::Char('3')], ViewName::Cache, "show Cache: sets, ways, bits and hands"),
    go("2pc", &[Key::Char('4')], ViewName::Txns, "show 2PC: transactions, step by step"),
    go("data", &[Key::Char('5')], ViewName::Data, "show Data: a prompt, and keys"),
    go("events", &[Key::Char('6')], ViewName::Events, "show Events: everything that came in"),
    Binding::of("next-view", &[Key::Tab], Action::Turn(true), "", "the view to the right"),
    Binding::of("previous-view", &[Key::BackTab], Action::Turn(false), "", "the view to the left"),
    Binding::of(
        "next-server",
        &[Key::Char('n')],
        Action::Select(true),
        "server",
        "select the next server: the one that K, S, R, P, E and D are about",
    ),
    Binding::of(
        "previous-server",
        &[Key::Char('N')],
        Action::Select(false),
        "",
        "select the server before",
    ),
    Binding::of("kill", &[Key::Char('K')], Action::Kill, "kill -9", "SIGKILL the selected server")
        .changing(),
    Binding::of(
        "stop",
        &[Key::Char('S')],
        Action::Stop,
        "stop",
        "ask the selected server to end; it stays down",
    )
    .changing(),
    Binding::of(
        "restart",
        &[Key::Char('R')],
        Action::Restart,
        "restart",
        "start the selected server, after ending it if it lives",
    )
    .changing(),
    Binding::of(
        "pause",
        &[Key::Char('P')],
        Action::Pause,
        "pause",
        "let the selected server stand still (SIGSTOP), or go on",
    )
    .changing(),
    Binding::of(
        "evict",
        &[Key::Char('E')],
        Action::Evict,
        "evict",
        "give the selected node's place to others at once; they copy what it held",
    )
    .changing(),
    Binding::of(
        "remove",
        &[Key::Char('D')],
        Action::Remove,
        "remove",
        "let the selected node give away what it holds and leave; first says what moves",
    )
    .changing(),
    Binding::of(
        "add",
        &[Key::Char('A')],
        Action::Add,
        "add",
        "start one more node, which copies its part; first says what moves",
    )
    .changing(),
    Binding::of(
        "freeze",
        &[Key::Char(' ')],
        Action::Freeze,
        "freeze",
        "freeze what is shown, or go on; what comes in meanwhile is kept",
    ),
    Binding::of("palette", &[Key::Char(':')], Action::Palette, "cmd", "do something by its name"),
    Binding::of("help", &[Key::Char('?')], Action::Help, "help", "show all keys"),
    Binding::of(
        "mouse",
        &[Key::Char('m')],
        Action::Mouse,
        "",
        "take the mouse, or leave it to the terminal, to mark and copy text",
    ),
    Binding::of("theme", &[Key::Char('T')], Action::Theme, "", "the next theme"),
    Binding::of(
        "confirm",
        &[],
        Action::Confirm,
        "",
        "ask before the cluster is changed, or do not",
    ),
    Binding::of(
        "read-only",
        &[],
        Action::ReadOnly,
        "",
        "change nothing from here on; or again, where the console was not started read-only",
    ),
    Binding::of("reconnect", &[Key::Ctrl('r')], Action::Reconnect, "", "connect again at once"),
    Binding::of("redraw", &[Key::Ctrl('l')], Action::Redraw, "", "draw everything anew"),
    Binding::of(
        "suspend",
        &[Key::Ctrl('z')],
        Action::Suspend,
        "",
        "stand still until the shell's fg",
    ),
    Binding::of("quit", &[Key::Char('q'), Key::Ctrl('c')], Action::Quit, "", "end the console"),
];

/// The keys of one view, beside the global ones.
pub fn of_view(view: ViewName) -> &'static [Binding] {
    match view {
        ViewName::Overview => views::overview::BINDINGS,
        ViewName::Ring => views::ring::BINDINGS,
        ViewName::Cache => views::cache::BINDINGS,
        ViewName::Txns => views::txns::BINDINGS,
        ViewName::Data => views::data::BINDINGS,
        ViewName::Events => views::events::BINDINGS,
    }
}

/// Which key does what, with what the config file says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// By a binding's name, for views with the view's in front as in `cache.slow`: its keys.
    chosen: BTreeMap<String, Vec<Key>>,
}

/// The name by which the config file knows a binding.
pub fn full_name(view: Option<ViewName>, binding: &Binding) -> String {
    match view {
        Some(view) => format!("{}.{}", view.title().to_lowercase(), binding.name),
        None => binding.name.to_owned(),
    }
}

impl Keys {
    /// The table with other keys for some of its names.
    ///
    /// # Errors
    /// A sentence: a name that nothing has, or a key that would do two things in one view.
    pub fn with(chosen: BTreeMap<String, Vec<Key>>) -> Result<Self, String> {
        let keys = Self { chosen };
        let names: Vec<String> = all().map(|(view, one)| full_name(view, one)).collect();
        if let Some(unknown) = keys.chosen.keys().find(|name| !names.contains(name)) {
            return Err(format!("nothing is called {unknown:?}; ? in the console shows the names"));
        }
        match keys.twice() {
            Some(sentence) => Err(sentence),
            None => Ok(keys),
        }
    }

    /// Keys that do two things in one table, in a sentence.
    pub fn twice(&self) -> Option<String> {
        let tables = ViewName::ALL.map(Some).into_iter().chain([None]);
        for view in tables {
            let table = view.map_or(GLOBAL, of_view);
            let mut taken: Vec<(Key, String)> = Vec::new();
            for binding in table {
                let name = full_name(view, binding);
                for key in self.of(view, binding) {
                    if let Some((_, other)) = taken.iter().find(|(known, _)| known == key) {
                        return Some(format!("{} means both {other} and {name}", key_name(key)));
                    }
                    taken.push((key.clone(), name.clone()));
                }
            }
            // A view's keys go before those of all views: one that changes the cluster must not be
            // hidden so, nor be pressed by somebody who means another view's.
            for binding in GLOBAL.iter().filter(|one| one.changes && view.is_some()) {
                let all = full_name(None, binding);
                for key in self.of(None, binding) {
                    if let Some((_, own)) = taken.iter().find(|(known, _)| known == key) {
                        let key = key_name(key);
                        return Some(format!("{key} means both {all}, in all views, and {own}"));
                    }
                }
            }
        }
        None
    }

    /// The keys of a binding.
    pub fn of<'a>(&'a self, view: Option<ViewName>, binding: &'a Binding) -> &'a [Key] {
        self.chosen.get(&full_name(view, binding)).map_or(binding.keys, Vec::as_slice)
    }

    /// What a key does in a view.
    pub fn action(&self, view: ViewName, key: &Key) -> Option<&'static Binding> {
        let own = of_view(view).iter().find(|one| self.of(Some(view), one).contains(key));
        own.or_else(|| GLOBAL.iter().find(|one| self.of(None, one).contains(key)))
    }
}

/// Every binding with its view.
pub fn all() -> impl Iterator<Item = (Option<ViewName>, &'static Binding)> {
    let own = ViewName::ALL.into_iter();
    let own = own.flat_map(|view| of_view(view).iter().map(move |one| (Some(view), one)));
    GLOBAL.iter().map(|one| (None, one)).chain(own)
}

/// A key as a person reads it, and as the config file names it.
pub fn key_name(key: &Key) -> String {
    match key {
        Key::Char(' ') => "Space".into(),
        Key::Char(c) => c.to_string(),
        Key::Ctrl(c) => format!("Ctrl-{c}"),
        Key::Alt(c) => format!("Alt-{c}"),
        Key::Escape => "Esc".into(),
        Key::BackTab => "Shift-Tab".into(),
        Key::Paste(_) => "Paste".into(),
        other => format!("{other:?}"),
    }
}

/// The key of that name.
pub fn key_named(name: &str) -> Option<Key> {
    let mut letters = name.chars();
    if let (Some(only), None) = (letters.next(), letters.next()) {
        return Some(Key::Char(only));
    }
    let letter = |text: &str| text.chars().next().filter(|_| text.chars().count() == 1);
    if let Some(rest) = name.strip_prefix("Ctrl-") {
        return letter(rest).map(|c| Key::Ctrl(c.to_ascii_lowercase()));
    }
    if let Some(rest) = name.strip_prefix("Alt-") {
        return letter(rest).map(|c| Key::Alt(c.to_ascii_lowercase()));
    }
    NAMED.iter().find(|key| key_name(key) == name).cloned()
}

/// Keys that have a name of their own.
const NAMED: &[Key] = &[
    Key::Char(' '),
    Key::Enter,
    Key::Tab,
    Key::BackTab,
    Key::Backspace,
    Key::Delete,
    Key::Left,
    Key::Right,
    Key::Up,
    Key::Down,
    Key::PageUp,
    Key::PageDown,
    Key::Home,
    Key::End,
    Key::Escape,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things_and_no_view_hides_a_dangerous_one() {
        assert_eq!(Keys::default().twice(), None);
        for view in ViewName::ALL {
            for own in of_view(view) {
                let hidden = GLOBAL.iter().filter(|one| one.changes);
                let mut hidden = hidden.filter(|one| one.keys.iter().any(|k| own.keys.contains(k)));
                assert!(hidden.next().is_none(), "{} of {view:?}", own.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_every_binding_says_what_it_does() {
        let mut names: Vec<String> = all().map(|(view, one)| full_name(view, one)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(all().all(|(_, one)| !one.help.is_empty() && !one.name.contains(['.', ' '])));
    }

    #[test]
    fn keys_can_be_chosen_but_not_twice() {
        let with = |name: &str, key: Key| Keys::with([(name.to_owned(), vec![key])].into());
        let keys = with("kill", Key::Ctrl('k')).unwrap();
        let action = |key| keys.action(ViewName::Ring, &key).map(|one| one.action);
        assert_eq!(action(Key::Ctrl('k')), Some(Action::Kill));
        assert_eq!(action(Key::Char('K')), None);
        assert!(with("kill", Key::Char('S')).unwrap_err().contains("both"));
        for (name, key, words) in [
            ("kill", 'p', "p means both kill, in all views, and cache.slow"),
            ("cache.slow", 'K', "K means both kill, in all views, and cache.slow"),
        ] {
            assert_eq!(with(name, Key::Char(key)).unwrap_err(), words);
        }
        assert!(with("explode", Key::Char('x')).unwrap_err().contains("explode"));
    }

    #[test]
    fn every_key_of_the_table_has_a_name_that_reads_back() {
        for key in all().flat_map(|(_, one)| one.keys) {
            assert_eq!(key_named(&key_name(key)).as_ref(), Some(key), "{key:?}");
        }
    }
}
