//! The key that is looked up: what is typed, what was asked, what the coordinator answered.
//!
//! Part of the view Ring. An answer may come late, or for a text that is not there any more: only
//! the one that belongs to the present text is shown.

use protocol::ids::KEY_BYTES_MAX;
use protocol::reply::LocateReply;

use crate::console::effect::Effect;
use crate::console::model::Model;
use crate::console::model::clock::At;
use crate::console::model::txns::TxnRow;
use crate::console::views::Out;
use crate::prompt::Key;

/// Questions that are under way at most.
const ASKED_MAX: usize = 4;
/// After so many ticks a question counts as lost.
const ASKED_TICKS: u32 = 40;
/// Finished transactions that are looked at for one of the key.
const TXNS_LOOKED: usize = 100;

/// What the coordinator answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Where the key lies, or why that is not known.
    pub(super) told: Result<Box<LocateReply>, String>,
    /// When that came.
    pub(super) at: At,
    /// What was known of the key's nodes and its updates then.
    saw: Saw,
}

/// What makes an answer old when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Saw {
    states: Vec<&'static str>,
    doubts: usize,
    ring: String,
    served: bool,
    /// The newest finished update of the key.
    txn: Option<u64>,
}

impl Saw {
    fn is_older_than(&self, now: &Self) -> bool {
        let part = |saw: &Self| (saw.doubts, saw.served, saw.ring.clone());
        self.states != now.states || part(self) != part(now) || now.txn > self.txn
    }
}

/// The key that is looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookup {
    text: String,
    typing: bool,
    /// Whether the present text is still to be asked.
    due: bool,
    asked: Vec<(String, u32)>,
    answer: Option<Answer>,
}

impl Lookup {
    /// What is typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether keys go into the text.
    pub(super) fn is_typing(&self) -> bool {
        self.typing
    }

    /// Whether an answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.due || self.asked.iter().any(|(text, _)| *text == self.text)
    }

    /// The answer to the present text.
    pub(super) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Where the key lies, if that is known.
    pub(super) fn located(&self) -> Option<&LocateReply> {
        self.answer.as_ref()?.told.as_deref().ok()
    }

    /// Keys go into the text from now on.
    pub(super) fn begin(&mut self) {
        self.typing = true;
    }

    /// No key any more.
    pub(super) fn clear(&mut self) {
        *self = Self { asked: std::mem::take(&mut self.asked), ..Self::default() };
    }

    /// Asks for this key, at once.
    pub(super) fn show(&mut self, key: &str, out: &mut Out) {
        self.clear();
        self.insert(key);
        self.ask(out);
    }

    /// Asks for the present text again.
    pub(super) fn again(&mut self) {
        self.due = !self.text.is_empty();
    }

    /// Takes a key; false: it has no use for it.
    pub(super) fn typed(&mut self, key: &Key) -> bool {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            // One line only: what follows was meant for something else.
            Key::Paste(text) => self.insert(text.lines().next().unwrap_or("")),
            Key::Backspace => {
                self.text.pop();
                self.changed();
            }
            Key::Ctrl('u') => {
                self.text.clear();
                self.changed();
            }
            Key::Enter => self.typing = false,
            Key::Escape => self.clear(),
            Key::Left | Key::Right | Key::Home | Key::End | Key::Delete => {}
            _ => return false,
        }
        true
    }

    /// Adds as much of `added` as a key has room for.
    fn insert(&mut self, added: &str) {
        for c in added.chars() {
            if self.text.len() + c.len_utf8() > KEY_BYTES_MAX {
                break;
            }
            self.text.push(c);
        }
        self.changed();
    }

    fn changed(&mut self) {
        self.answer = None;
        self.due = !self.text.is_empty();
    }

    /// A tick: at most one question goes out, for the latest text.
    pub(super) fn ticked(&mut self, model: &Model, out: &mut Out) {
        for (_, ticks) in &mut self.asked {
            *ticks += 1;
        }
        // A question that is never answered is asked once more.
        let lost = |(text, ticks): &(String, u32)| *ticks >= ASKED_TICKS && *text == self.text;
        self.due |= self.asked.iter().any(lost) && !self.text.is_empty();
        self.asked.retain(|(_, ticks)| *ticks < ASKED_TICKS);
        if let Some(answer) = &self.answer
            && answer.saw.is_older_than(&self.saw(model, answer.told.as_deref().ok()))
        {
            self.due = true;
        }
        if self.due && model.is_served() {
            self.ask(out);
        }
    }

    fn ask(&mut self, out: &mut Out) {
        let known = self.asked.iter().any(|(text, _)| *text == self.text);
        if known || self.asked.len() >= ASKED_MAX || self.text.is_empty() {
            return;
        }
        self.due = false;
        self.asked.push((self.text.clone(), 0));
        out.effect(Effect::Locate(self.text.clone()));
    }

    /// An answer has come.
    pub(super) fn told(
        &mut self,
        model: &Model,
        text: &str,
        told: &Result<Box<LocateReply>, String>,
    ) {
        self.asked.retain(|(asked, _)| asked != text);
        if text == self.text && !text.is_empty() {
            let saw = self.saw(model, told.as_deref().ok());
            self.answer = Some(Answer { told: told.clone(), at: model.now, saw });
        }
    }

    fn saw(&self, model: &Model, located: Option<&LocateReply>) -> Saw {
        let nodes = located.map_or(&[][..], |located| &located.nodes);
        let states = nodes.iter().map(|node| model.nodes.get(node.as_str()));
        let states = states.map(|node| node.map_or("", |node| node.word())).collect();
        let of_key = |row: &&TxnRow| row.txn.any_key(|key| key == self.text);
        let known = |row: &&TxnRow| row.txn.key.is_some();
        let mut newest = model.txns.past().take(TXNS_LOOKED).filter(known);
        let txn = newest.find(of_key).map(|row| row.no);
        Saw {
            states,
            doubts: model.txns.in_doubt_now(),
            ring: model.ring.number.clone(),
            served: model.is_served(),
            txn,
        }
    }
}
