//! A demo as it was read: plain data.
//!
//! Made by `parse`, looked through by `check`, played by `player`. What a predicate means is here
//! too, since it needs nothing but values.

use crate::console::action::ViewName;
use crate::console::effect::MemberChange;
use crate::prompt::Key;
use protocol::supervisor::ProcAction;

use super::paths::{Path, Value};

/// A demo.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Its name: the file's without its ending.
    pub name: String,
    /// What it is about, as a question or a few words.
    pub title: String,
    /// What it shows, in a sentence, for the list.
    pub about: String,
    /// How long it takes, milliseconds.
    pub takes_ms: u64,
    /// The cluster that it needs.
    pub cluster: ClusterPlan,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Where something stands in the file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where it begins.
    pub place: Place,
    /// As it is written.
    pub text: String,
    /// What is done.
    pub verb: Verb,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Asks much of the cluster from here on, in place of what was asked before.
    Load(Load),
    /// Asks nothing more of it.
    Unload,
    /// Opens a shop on the cluster.
    Shop(ShopPlan),
    /// Closes it, and checks whether all adds up.
    CloseShop,
    /// Shows that view.
    View(ViewName),
    /// Selects a server.
    Select(String),
    /// Presses keys, one after the other.
    Press(Vec<Key>),
    /// Types a text, a letter after the other.
    Type(String),
    /// Carries out a line, as the prompt does.
    Run(String),
    /// Does something to a server, without a key.
    Process(ProcAction),
    /// Changes who is a member.
    Member(MemberChange),
    /// Asks what a change of the membership would do, and shows that.
    Preview(MemberChange),
    /// Says something.
    Caption(Vec<Piece>),
    /// Lets everybody look for so many milliseconds.
    Pause(u64),
    /// A place to find again in a recording.
    Mark(String),
    /// Waits until something is so, milliseconds at most.
    Wait(Predicate, u64),
    /// Something is so now, or the demo has failed.
    Expect(Predicate),
    /// Remembers a figure under a name.
    Keep(String, Path),
    /// Puts the screen as it is into the transcript.
    Shot(String),
}

/// A piece of a caption.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Words.
    Words(String),
    /// What is found there when it is said.
    Figure(Path),
}

/// The cluster of a demo: flags of `piazza up`; what is not said is as usual there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPlan {
    /// How many nodes.
    pub nodes: u16,
    /// Flags and their values.
    pub flags: Vec<(&'static str, String)>,
    /// Whether faults may be ordered.
    pub lab: bool,
}

/// What is asked of the cluster in the background. First every key is put once.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Requests a second; none: the next as soon as there is an answer.
    pub rate: Option<u64>,
    /// How many keys.
    pub keys: u32,
    /// The part of reads among the requests, 0 to 100.
    pub reads: u32,
    /// How unequally keys are drawn; 0: all alike.
    pub zipf: f64,
    /// Connections.
    pub clients: u32,
    /// Repeats what is drawn.
    pub seed: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self { rate: None, keys: 400, reads: 80, zipf: 0.0, clients: 4, seed: 42 }
    }
}

/// A shop in the background: its customers change carts with `cas` and buy with `txn`, and all that
/// is acknowledged is written down beside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopPlan {
    /// Things that the shoppers do a second, all together; none: as many as they can.
    pub rate: Option<u32>,
    /// How many shoppers; two share a cart.
    pub shoppers: u32,
    /// How many articles there are.
    pub articles: u32,
    /// How many pieces of each.
    pub stock: u64,
    /// Repeats what the shoppers want.
    pub seed: u64,
}

impl Default for ShopPlan {
    fn default() -> Self {
        Self { rate: None, shoppers: 16, articles: 32, stock: 1_000, seed: 42 }
    }
}

/// Whether something is so.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// All of these hold.
    pub terms: Vec<Term>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// What is looked at.
    pub path: Path,
    /// How it is compared.
    pub relation: Relation,
    /// With what.
    pub with: Operand,
    /// As it is written.
    pub text: String,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are the same.
    Is,
    /// They differ.
    IsNot,
    /// The first is smaller.
    Below,
    /// The first is larger.
    Above,
    /// The first is not larger.
    AtMost,
    /// The first is not smaller.
    AtLeast,
    /// The second is a part of the first.
    Contains,
}

impl Relation {
    /// As it is written.
    pub const ALL: [(&'static str, Self); 7] = [
        ("=", Self::Is),
        ("!=", Self::IsNot),
        ("<", Self::Below),
        (">", Self::Above),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("contains", Self::Contains),
    ];

    fn holds(self, a: &Value, b: &Value) -> bool {
        match (self, a, b) {
            (Self::Contains, Value::Word(a), Value::Word(b)) => a.contains(b),
            (Self::Contains, ..) => false,
            (Self::Is, a, b) => a.is_same(b),
            (Self::IsNot, a, b) => !a.is_same(b),
            (_, Value::Number(a), Value::Number(b)) => match self {
                Self::Below => a < b,
                Self::Above => a > b,
                Self::AtMost => a <= b,
                _ => a >= b,
            },
            _ => false,
        }
    }
}

/// What something is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A value that stands there.
    Literal(Value),
    /// So many times what is found at another place.
    Times(f64, Path),
}

impl Predicate {
    /// The first comparison that does not hold, with what was found; `read` looks.
    pub fn unmet(&self, read: impl Fn(&Path) -> Option<Value>) -> Option<String> {
        self.terms.iter().find_map(|term| term.unmet(&read))
    }
}

impl Term {
    fn unmet(&self, read: impl Fn(&Path) -> Option<Value>) -> Option<String> {
        let found = read(&self.path);
        let said = |path: &Path, value: Option<&Value>| match value {
            Some(value) => format!("{} is {}", path.text(), path.kind().shown(value)),
            None => format!("{} is not known", path.text()),
        };
        let mut why = said(&self.path, found.as_ref());
        let with = match &self.with {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Times(times, path) => {
                let other = read(path);
                why = format!("{why} and {}", said(path, other.as_ref()));
                match other {
                    Some(Value::Number(number)) => Some(Value::Number(number * times)),
                    other => other,
                }
            }
        };
        let holds = found.zip(with).is_some_and(|(found, with)| self.relation.holds(&found, &with));
        (!holds).then(|| format!("{}: {why}", self.text))
    }
}
