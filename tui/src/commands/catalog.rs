//! What may be typed: commands, their options, and what their places take.
//!
//! Filled by the binary from the grammar of its command line; read by `complete`. Plain data.

/// All commands.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// In the order shown.
    pub commands: Vec<Command>,
}

/// A command.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// What is typed.
    pub name: String,
    /// What it does, in a few words.
    pub about: String,
    /// With their two dashes.
    pub options: Vec<Choice>,
    /// What stands behind the name, in order.
    pub places: Vec<Takes>,
    /// Whether the last place may be taken again and again.
    pub repeats: bool,
}

/// An option.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What is typed.
    pub name: String,
    /// What it does, in a few words.
    pub about: String,
    /// What follows it, if anything does.
    pub takes: Option<Takes>,
}

/// What stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A key, or the beginning of keys.
    Key,
    /// The name of a command.
    Command,
    /// Anything else.
    Other,
}

impl Catalog {
    /// The command of that name.
    pub fn command(&self, name: &[u8]) -> Option<&Command> {
        self.commands.iter().find(|command| command.name.as_bytes() == name)
    }
}

impl Command {
    pub(super) fn option(&self, name: &[u8]) -> Option<&Choice> {
        self.options.iter().find(|option| option.name.as_bytes() == name)
    }

    pub(super) fn place(&self, at: usize) -> Option<Takes> {
        let last = self.places.last().filter(|_| self.repeats);
        self.places.get(at).or(last).copied()
    }
}
