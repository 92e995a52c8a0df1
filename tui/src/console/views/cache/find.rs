//! Finding sets: that of a key, by asking the coordinator, and the next one that holds something,
//! by looking at page after page.
//!
//! Part of the view's state.

use super::known::{Bits, Known};
use super::{PAGE_SETS, State};
use crate::console::effect::Effect;
use crate::console::views::{Out, Seen};
use crate::prompt::Key;

/// The longest key, bytes.
const KEY_BYTES_MAX: usize = protocol::ids::KEY_BYTES_MAX;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Find {
    /// Nothing.
    #[default]
    Nothing,
    /// A key that is being typed.
    Typing(String),
    /// The set of this key.
    Asked(String),
    /// It was in this set, in this way if it was cached.
    Found(String, u32, Option<u16>),
    /// A set that holds something, on so many pages at most.
    Hunt(u32),
}

impl Find {
    pub(super) fn begin(&mut self) {
        *self = Self::Typing(String::new());
    }

    pub(super) fn end(&mut self) {
        *self = Self::Nothing;
    }

    pub(super) fn stop_hunting(&mut self) {
        if matches!(self, Self::Hunt(_)) {
            self.end();
        }
    }

    /// What has been typed.
    pub(super) fn typed(&self) -> Option<&str> {
        if let Self::Typing(text) = self { Some(text) } else { None }
    }

    pub(super) fn is_awaited(&self, key: &str) -> bool {
        matches!(self, Self::Asked(asked) if asked == key)
    }

    pub(super) fn found(&mut self, key: &str, set: u32, way: Option<u16>) {
        *self = Self::Found(key.to_owned(), set, way);
    }

    /// Takes a key while something is typed; false: it is of no use here.
    pub(super) fn take(&mut self, key: &Key, out: &mut Out) -> bool {
        let Self::Typing(text) = self else { return false };
        let add = |text: &mut String, c: char| {
            if text.len() + c.len_utf8() <= KEY_BYTES_MAX {
                text.push(c);
            }
        };
        match key {
            Key::Char(c) => add(text, *c),
            Key::Paste(pasted) => {
                pasted.chars().take(KEY_BYTES_MAX).for_each(|c| add(text, c));
            }
            Key::Backspace => drop(text.pop()),
            Key::Ctrl('u') => text.clear(),
            Key::Escape => self.end(),
            Key::Enter if text.is_empty() => self.end(),
            Key::Enter => {
                out.effect(Effect::Locate(text.clone()));
                *self = Self::Asked(std::mem::take(text));
            }
            _ => return false,
        }
        true
    }
}

impl State {
    /// Selects the next set that holds something, or begins to look for one on other pages.
    pub(super) fn hunt(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let known = Known::of(seen.model, self.server());
        if let Some(set) = in_use(&known, self.set / PAGE_SETS, self.set.checked_add(1)) {
            return self.go_to(set, seen);
        }
        match known.shape() {
            None => out.remark = Some("nothing is known of this cache yet".into()),
            Some((sets, _)) => {
                // Once round: this page comes again at last, for the sets before the selected one.
                self.turn_page(sets);
                self.find = Find::Hunt(sets.div_ceil(PAGE_SETS));
            }
        }
    }

    fn turn_page(&mut self, sets: u32) {
        let page = self.set / PAGE_SETS + 1;
        let set = if page >= sets.div_ceil(PAGE_SETS) { 0 } else { page * PAGE_SETS };
        if set != self.set {
            self.set = set;
            self.leave_set();
        }
    }

    /// Looks at the page that has come, and goes on to the next if it is empty.
    pub(super) fn hunt_on(&mut self, seen: &Seen<'_>, out: &mut Out) {
        let Find::Hunt(left) = self.find else { return };
        let known = Known::of(seen.model, self.server());
        let page = self.set / PAGE_SETS;
        if known.row(page * PAGE_SETS).is_none() {
            return;
        }
        if let Some(set) = in_use(&known, page, None) {
            return self.go_to(set, seen);
        }
        let sets = known.shape().map_or(PAGE_SETS, |(sets, _)| sets);
        match left.checked_sub(1).filter(|left| *left > 0) {
            Some(left) => {
                self.turn_page(sets);
                self.find = Find::Hunt(left);
            }
            None => {
                out.remark = Some(format!("no set of {}'s cache holds anything", known.who()));
                self.find.end();
            }
        }
    }
}

/// The first set of a page that holds something, from a set on.
fn in_use(known: &Known<'_>, page: u32, from: Option<u32>) -> Option<u32> {
    let (ways, rows) = (known.ways(), known.rows()?.1);
    let of_page = rows.iter().filter(|row| row.set / PAGE_SETS == page);
    let mut later = of_page.filter(|row| from.is_none_or(|from| row.set >= from));
    let holds = |bits: Bits| !bits.is_empty();
    later.find(|row| Bits::of_row(row, ways).is_some_and(holds)).map(|row| row.set)
}
