//! What the console wants done, and what came of it.
//!
//! Made by `state`, carried out by `run`; nothing here does anything.

use protocol::event::Subscribe;
use protocol::ids::RingNumber;
use protocol::reply::{ChangePreview, LocateReply};
use protocol::supervisor::ProcAction;

/// Something that the console wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Be told this by the coordinator from now on.
    Subscribe(Box<Subscribe>),
    /// Try to connect at once.
    Reconnect,
    /// Have the supervisor do this.
    Process(ProcAction),
    /// Have the coordinator change who is a member, or say what that would do.
    Member(MemberOrder),
    /// Ask where a key lies, and what its nodes hold of it.
    Locate(String),
    /// Ask for keys that begin so, so many at most.
    Scan(String, u32),
    /// Ask for keys that complete what is typed.
    Complete(String),
    /// Carry out a line of the prompt, with what stands for its value if that was typed apart.
    Run(String),
    /// End what the prompt carries out.
    Interrupt,
    /// Write these lines to a file of this name in the working directory.
    Export(String, Vec<String>),
    /// Put this text onto the terminal's clipboard.
    Copy(String),
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Stand still until a shell lets the console go on.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// End.
    Quit(Quit),
}

/// A change of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// One more node.
    Add,
    /// This one gives away what it has, and leaves.
    Remove(String),
    /// Others get this one's place at once.
    Evict(String),
}

impl MemberChange {
    /// In two words.
    pub fn words(&self) -> String {
        match self {
            Self::Add => "add a node".into(),
            Self::Remove(node) => format!("remove {node}"),
            Self::Evict(node) => format!("evict {node}"),
        }
    }
}

/// What the coordinator is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberOrder {
    /// Which change.
    pub change: MemberChange,
    /// Only under this ring.
    pub ring: Option<RingNumber>,
    /// Only say what it would do.
    pub dry_run: bool,
}

impl MemberOrder {
    /// For a person.
    pub fn words(&self) -> String {
        let words = self.change.words();
        if self.dry_run { format!("what it means to {words}") } else { words }
    }
}

/// How the console ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quit {
    /// The cluster goes on.
    Leave,
    /// The cluster is stopped first.
    StopAll,
}

/// Keys that complete what is typed: the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completions {
    /// These, sorted.
    pub keys: Vec<String>,
    /// Whether there are more.
    pub more: bool,
    /// Whether all of those begin with what these have in common.
    pub alike: bool,
}

/// What came of something.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// The supervisor has done it, or says in a sentence why not.
    Process(ProcAction, Result<(), String>),
    /// The coordinator has begun it, or says what it would do; or in a sentence why not.
    Member(MemberOrder, Result<Option<Box<ChangePreview>>, String>),
    /// Where a key lies.
    Located(String, Result<Box<LocateReply>, String>),
    /// Keys that begin so, and whether there are more.
    Scanned(String, Result<(Vec<String>, bool), String>),
    /// Keys that complete what is typed.
    Completed(String, Option<Completions>),
    /// A piece of what a line of the prompt prints.
    Printed(Vec<u8>),
    /// A line of the prompt has ended, after so many milliseconds.
    Ended(u64),
    /// Where lines were written to, or why they were not.
    Exported(Result<String, String>),
}
