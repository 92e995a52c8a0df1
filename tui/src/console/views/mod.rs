//! The six views: each a state of its own, keys of its own, and a picture out of the model.
//!
//! Used by `state`, which owns one of each, and by `screen`, which gives the shown one its place. A
//! view never changes the model and does nothing itself: it says what it wants in an [`Out`].
//!
//! - `overview`: every node and what goes on; `ring`: who owns which keys; `cache`: sets, ways,
//!   hands
//! - `txns`: two-phase commits; `data`: a prompt and keys; `events`: all that came in

pub mod cache;
pub mod data;
pub mod events;
pub mod overview;
pub mod ring;
pub mod txns;

use protocol::ids::Version;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::ViewName;
use super::effect::{Done, Effect};
use super::look::Look;
use super::model::Model;
use crate::prompt::Key;

/// What a view sees.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What is known: as it is now, or as it was when it was frozen.
    pub model: &'a Model,
    /// How to draw.
    pub look: &'a Look,
    /// The selected server.
    pub selected: &'a str,
    /// Whether there is little room: below 110 columns or 32 rows.
    pub compact: bool,
    /// Whether the cluster may not be changed from here.
    pub read_only: bool,
}

/// What a view wants done.
#[derive(Debug, Default)]
pub struct Out {
    /// Things to be done outside.
    pub effects: Vec<Effect>,
    /// The server to select.
    pub select: Option<String>,
    /// The view to show.
    pub go: Option<ViewName>,
    /// The transaction to show in the view of transactions.
    pub show_txn: Option<Version>,
    /// The key to show in the ring.
    pub show_key: Option<String>,
    /// A remark for the person, shown for a few seconds.
    pub remark: Option<String>,
}

impl Out {
    /// Adds a thing to be done.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

/// What a view wants to be told beside the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Whose cache: a node's name, or none for the coordinator's.
    pub server: Option<String>,
    /// The sets to look at: the first, and how many, 1 to 64.
    pub sets: Option<(u32, u32)>,
    /// The set to look at closely.
    pub set: Option<u32>,
    /// The transaction to watch.
    pub tx: Option<Version>,
}

/// A view.
pub trait View {
    /// What its keys do.
    type Act;

    /// Does what one of its keys means.
    fn act(&mut self, act: Self::Act, seen: &Seen<'_>, out: &mut Out);

    /// Whether keys are text for it now: then all but a few go to [`View::typed`].
    fn is_typing(&self) -> bool {
        false
    }

    /// Takes a key while it [`View::is_typing`]; false: it has no use for it.
    fn typed(&mut self, _key: &Key, _seen: &Seen<'_>, _out: &mut Out) -> bool {
        false
    }

    /// Takes what came of something that a view wanted.
    fn done(&mut self, _done: &Done, _seen: &Seen<'_>, _out: &mut Out) {}

    /// It is shown from now on.
    fn shown(&mut self, _seen: &Seen<'_>, _out: &mut Out) {}

    /// Takes a click at a place of `area`, or a turn of the wheel (down or up) there.
    fn pointed(&mut self, _at: Pointed, _area: Rect, _seen: &Seen<'_>, _out: &mut Out) {}

    /// Time has passed, a quarter of a second.
    fn ticked(&mut self, _seen: &Seen<'_>, _out: &mut Out) {}

    /// What it wants to be told while it is shown.
    fn wants(&self, _seen: &Seen<'_>) -> Wants {
        Wants::default()
    }

    /// Draws it.
    fn draw(&self, seen: &Seen<'_>, area: Rect, buf: &mut Buffer);
}

/// What the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointed {
    /// A click at this column and row of the screen.
    Click(u16, u16),
    /// A turn of the wheel at this column and row, down or up.
    Wheel(u16, u16, bool),
}
