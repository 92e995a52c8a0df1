//! Keys that begin with what is typed, one of them selected.
//!
//! Part of the view Data. The cluster is asked a tick after the last change, not at each key.

use crate::console::effect::Effect;
use crate::console::model::Model;
use crate::console::model::clock::{At, ago, some};
use crate::console::views::Out;
use crate::prompt::Key;

/// Keys that are listed.
pub(super) const KEYS_MAX: usize = 200;
/// What is shown is asked for again after so long, milliseconds, and its age is said after so long.
const REFRESH_MS: u64 = 5_000;
const OLD_MS: u64 = 3 * REFRESH_MS;
/// What may be typed as the beginning of keys, bytes.
const PREFIX_BYTES_MAX: usize = 512;

/// The keys.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    /// What they begin with.
    pub(super) prefix: String,
    /// Keys are text for the prefix.
    pub(super) typing: bool,
    /// It is to be asked for.
    due: bool,
    /// The beginning of what was asked for and is not answered.
    awaited: Option<String>,
    /// When it was answered last.
    answered: At,
    /// What was found, and whether there are more; or why nothing was.
    found: Option<Result<(Vec<String>, bool), String>>,
    selected: Option<String>,
}

impl List {
    /// What was found.
    pub(super) fn keys(&self) -> &[String] {
        match &self.found {
            Some(Ok((keys, _))) => keys,
            _ => &[],
        }
    }

    /// The place of the selected key, or of the one that took it.
    pub(super) fn place(&self) -> Option<usize> {
        let (keys, selected) = (self.keys(), self.selected.as_ref()?);
        let place = keys.iter().position(|key| key == selected);
        let near = || keys.iter().position(|key| key > selected).unwrap_or(keys.len() - 1);
        (!keys.is_empty()).then(|| place.unwrap_or_else(near))
    }

    /// The selected key.
    pub(super) fn selected(&self) -> Option<&str> {
        self.place().map(|at| self.keys()[at].as_str())
    }

    /// Selects the key at a place.
    pub(super) fn select(&mut self, at: usize) {
        self.selected = self.keys().get(at).cloned().or_else(|| self.selected.take());
    }

    /// Nothing is selected any more; whether anything was.
    pub(super) fn deselect(&mut self) -> bool {
        self.selected.take().is_some()
    }

    /// Selects a later key, or an earlier one; without a selection the first.
    pub(super) fn step(&mut self, down: bool, by: usize) {
        let last = self.keys().len().saturating_sub(1);
        let at = match self.place() {
            None => 0,
            Some(at) if down => at.saturating_add(by).min(last),
            Some(at) => at.saturating_sub(by),
        };
        self.select(at);
    }

    /// How many there are, in words; how long ago, where that is long.
    pub(super) fn counted(&self, now: At) -> String {
        let counted = match &self.found {
            None => return "not asked yet".into(),
            Some(Err(why)) => return format!("not known: {why}"),
            Some(Ok((keys, true))) => format!("the first {} of more", keys.len()),
            Some(Ok((keys, false))) => some(keys.len() as u64, "key"),
        };
        match now.ms_since(self.answered) {
            age_ms if age_ms > OLD_MS => format!("{counted}, {} ago", ago(age_ms)),
            _ => counted,
        }
    }

    /// Whether the cluster has ever been asked.
    pub(super) fn is_known(&self) -> bool {
        self.found.is_some()
    }

    /// The keys may be others now.
    pub(super) fn ask_soon(&mut self) {
        self.due = true;
    }

    /// Asks, if that is due.
    pub(super) fn ask(&mut self, out: &mut Out) {
        if std::mem::take(&mut self.due) {
            self.awaited = Some(self.prefix.clone());
            out.effect(Effect::Scan(self.prefix.clone(), KEYS_MAX as u32));
        }
    }

    /// Time has passed: others write keys too. What is asked already is not asked again.
    pub(super) fn ticked(&mut self, model: &Model, out: &mut Out) {
        let age_ms = model.now.ms_since(self.answered);
        let is_old = self.found.is_some() && age_ms >= REFRESH_MS;
        self.due |= is_old && self.awaited.is_none() && model.is_served();
        self.ask(out);
    }

    /// The cluster's answer: one to an earlier prefix is of no use.
    pub(super) fn scanned(
        &mut self,
        prefix: &str,
        found: &Result<(Vec<String>, bool), String>,
        now: At,
    ) {
        self.awaited.take_if(|awaited| awaited == prefix);
        if prefix == self.prefix {
            self.answered = now;
            let mut found = found.clone();
            if let Ok((keys, more)) = &mut found {
                *more |= keys.len() > KEYS_MAX;
                keys.truncate(KEYS_MAX);
            }
            self.found = Some(found);
        }
    }

    /// A key while the prefix is typed; false: it is none of its.
    pub(super) fn typed(&mut self, key: &Key) -> bool {
        let before = self.prefix.len();
        match key {
            Key::Enter | Key::Tab => {
                self.typing = false;
                if self.place().is_none() {
                    self.select(0);
                }
            }
            Key::Escape | Key::Ctrl('c') => {
                self.typing = false;
                self.prefix.clear();
            }
            Key::Down => self.step(true, 1),
            Key::Up => self.step(false, 1),
            Key::Backspace | Key::Ctrl('h') => drop(self.prefix.pop()),
            Key::Ctrl('u') => self.prefix.clear(),
            Key::Char(c) if !c.is_control() => self.add(&c.to_string()),
            Key::Paste(text) => self.add(text),
            _ => return false,
        }
        if self.prefix.len() != before {
            self.due = true;
            self.selected = None;
        }
        true
    }

    fn add(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            if self.prefix.len() + c.len_utf8() <= PREFIX_BYTES_MAX {
                self.prefix.push(c);
            }
        }
    }
}
