//! What a person can have the console do; keys, palette and demos all come to these.
//!
//! Plain data. Which key does what is in `keys`.

use super::views;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Show that view.
    Go(ViewName),
    /// The view to the right, or to the left.
    Turn(bool),
    /// Select the server below, or above.
    Select(bool),
    /// SIGKILL the selected server.
    Kill,
    /// Ask the selected server to end.
    Stop,
    /// End the selected server, if it lives, and start it.
    Restart,
    /// Let the selected server stand still, or go on.
    Pause,
    /// One more node.
    Add,
    /// The selected node gives away what it has, and leaves.
    Remove,
    /// Others get the selected node's place.
    Evict,
    /// Freeze what is shown, or go on.
    Freeze,
    /// Show all keys.
    Help,
    /// Choose something to do by its name.
    Palette,
    /// Take the mouse, or leave it to the terminal.
    Mouse,
    /// The next theme.
    Theme,
    /// Ask before the cluster is changed, or do not.
    Confirm,
    /// Change nothing from here on, or again.
    ReadOnly,
    /// Connect again at once.
    Reconnect,
    /// Draw everything anew.
    Redraw,
    /// Stand still until the shell lets us go on.
    Suspend,
    /// End.
    Quit,
    /// What only the overview knows.
    Overview(views::overview::Act),
    /// What only the ring knows.
    Ring(views::ring::Act),
    /// What only the caches' view knows.
    Cache(views::cache::Act),
    /// What only the transactions' view knows.
    Txns(views::txns::Act),
    /// What only the prompt's view knows.
    Data(views::data::Act),
    /// What only the events' view knows.
    Events(views::events::Act),
}

/// The views, in the order of their digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub enum ViewName {
    /// Every node, and what goes on.
    #[default]
    Overview,
    /// Who owns which keys.
    Ring,
    /// Sets, ways, bits and hands.
    Cache,
    /// Two-phase commits.
    Txns,
    /// A prompt, and keys.
    Data,
    /// Everything that came in.
    Events,
}

impl ViewName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Ring, Self::Cache, Self::Txns, Self::Data, Self::Events];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Ring => "Ring",
            Self::Cache => "Cache",
            Self::Txns => "2PC",
            Self::Data => "Data",
            Self::Events => "Events",
        }
    }

    /// Its digit.
    pub fn digit(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).map_or(1, |at| at + 1)
    }

    /// The one to the right, or to the left; after the last comes the first.
    pub fn turned(self, right: bool) -> Self {
        let step = if right { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(self.digit() - 1 + step) % Self::ALL.len()]
    }
}
