//! The search for an order of one key's operations (Wing & Gong's algorithm with Lowe's memory of
//! visited configurations).
//!
//! Called by `linear` only, which explains what was simplified before. A depth-first search over
//! configurations: which operations are placed, and what the key then holds. An operation may be
//! placed next if it began before the end of every one that is not placed yet.
//!
//! # What is not tried, and why that is sound
//!
//! Let S be any order that continues the present one.
//!
//! * **A read that may be placed next and fits is placed at once.** It changes nothing, so it can
//!   be moved to the front of S.
//! * **A value with unplaced reads is not overwritten**: values are unique, so these reads could
//!   never be placed. After the step above the unplaced ones are those that may not be placed yet:
//!   one comparison with the latest beginning of them.
//! * **Of puts that nobody reads, only the one that must end first is tried**, and the same for
//!   deletions that found something. All of them may be placed next, now or later, and no answer
//!   tells them apart; if S places another one first, the two can change places in S: the one
//!   moves forward, which it may, the other moves back to a place before the end of the first,
//!   which comes before its own end. (A write conditional on a value is a read of it. One that asks
//!   only whether the key is there cannot tell two puts apart either.)
//! * **A configuration that took at least as much from each stock** of spares as another one that
//!   is equal otherwise: whatever continues it continues that one too.

use std::collections::HashMap;

use super::ValueId;

/// Configurations after which a search is given up. Histories of tests need a few for each
/// operation.
const CONFIGS_MAX: usize = 1_000_000;

/// What an operation does to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers what the key holds.
    Read(Option<ValueId>),
    /// Overwrites; `read`: some operation read this value.
    Put { value: ValueId, read: bool },
    /// Deletes something that is there.
    Take,
    /// Overwrites something that is there.
    Replace(ValueId),
    /// Makes the one of the other.
    Swap { from: Option<ValueId>, to: Option<ValueId> },
}

/// One operation that has an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub(super) kind: Kind,
    pub(super) invoke: u64,
    pub(super) latest: u64,
    /// Its index in the caller's list.
    pub(super) op: usize,
}

/// The operations of one key. Everything is sorted by its beginning.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub(super) tasks: Vec<Task>,
    /// Beginnings of unknown puts that nobody read.
    pub(super) spare_puts: Vec<u64>,
    /// Beginnings of unknown deletions.
    pub(super) spare_dels: Vec<u64>,
}

impl Problem {
    /// Makes the lists sorted, as the search needs them.
    pub(super) fn sort(&mut self) {
        self.tasks.sort_by_key(|task| (task.invoke, task.latest));
        self.spare_puts.sort_unstable();
        self.spare_dels.sort_unstable();
    }
}

/// One place of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// `Problem::tasks[_]`.
    Task(usize),
    SparePut,
    SpareDel,
}

/// What a search found.
#[derive(Debug)]
pub(super) enum Found {
    /// An order of all tasks.
    Order(Vec<Placed>),
    /// There is none.
    NoOrder,
    /// The search was too long; there may be an order.
    GaveUp,
}

/// A set of task numbers in which nearly all low ones are. Equal sets are equal values: words that
/// are full are not kept at the front, and the last one kept is never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Window {
    full_words: usize,
    words: Vec<u64>,
}

impl Window {
    fn has(&self, index: usize) -> bool {
        let Some(word) = (index / 64).checked_sub(self.full_words) else { return true };
        self.words.get(word).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    fn insert(&mut self, index: usize) {
        let word = index / 64 - self.full_words;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (index % 64);
        let full = self.words.iter().take_while(|bits| **bits == u64::MAX).count();
        if full > 0 {
            self.words.drain(..full);
            self.full_words += full;
        }
    }

    /// A number such that all below it are in the set.
    fn first_doubtful(&self) -> usize {
        let partly = self.words.first().map_or(0, |bits| bits.trailing_ones() as usize);
        self.full_words * 64 + partly
    }
}

#[derive(Debug, Clone, Default)]
struct Config {
    placed: Window,
    holds: Option<ValueId>,
    used: Used,
}

/// How much was taken from each stock of spares.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    puts: usize,
    dels: usize,
}

/// An order, as a list that shares its beginning with others: index of the one before, and this.
type Trail = Vec<(usize, Placed)>;
/// The trail's end for the empty order.
const NOTHING: usize = usize::MAX;

/// One search.
pub(super) struct Search<'a> {
    problem: &'a Problem,
    /// For each value read: when the last of its reads began.
    last_read: HashMap<ValueId, u64>,
    /// Every configuration met, with the least that was taken from the stocks on the way to it.
    seen: HashMap<(Window, Option<ValueId>), Vec<Used>>,
    trail: Trail,
    ahead: Vec<(Config, usize, usize)>,
}

impl<'a> Search<'a> {
    /// A search for an order of `problem`.
    pub(super) fn new(problem: &'a Problem) -> Self {
        let mut last_read = HashMap::new();
        for task in &problem.tasks {
            if let Kind::Read(Some(value)) | Kind::Swap { from: Some(value), .. } = task.kind {
                // Sorted by beginning: the last one stays.
                last_read.insert(value, task.invoke);
            }
        }
        let ahead = vec![(Config::default(), NOTHING, 0)];
        Self { problem, last_read, seen: HashMap::new(), trail: Vec::new(), ahead }
    }

    /// Searches.
    pub(super) fn run(mut self) -> Found {
        while let Some((mut config, mut end, mut count)) = self.ahead.pop() {
            let (bound, waiting) = self.place_reads(&mut config, &mut end, &mut count);
            if count == self.problem.tasks.len() {
                return Found::Order(self.order(end));
            }
            if self.seen.len() >= CONFIGS_MAX {
                return Found::GaveUp;
            }
            if self.is_new(&config) {
                self.branch(&config, end, count, bound, &waiting);
            }
        }
        Found::NoOrder
    }

    fn is_new(&mut self, config: &Config) -> bool {
        let before = self.seen.entry((config.placed.clone(), config.holds)).or_default();
        let used = config.used;
        if before.iter().any(|least| least.puts <= used.puts && least.dels <= used.dels) {
            return false;
        }
        before.push(used);
        true
    }

    /// Places all reads that fit now. Returns the end of the task that must end first, and all
    /// tasks that may be placed next, by their ends.
    fn place_reads(
        &mut self,
        config: &mut Config,
        end: &mut usize,
        count: &mut usize,
    ) -> (u64, Vec<usize>) {
        loop {
            let (bound, mut waiting) = self.waiting(config);
            let fits = |index: &usize| self.problem.tasks[*index].kind == Kind::Read(config.holds);
            let reads: Vec<usize> = waiting.iter().copied().filter(fits).collect();
            if reads.is_empty() {
                waiting.sort_by_key(|index| self.problem.tasks[*index].latest);
                return (bound, waiting);
            }
            *count += reads.len();
            for index in reads {
                config.placed.insert(index);
                *end = self.append(*end, Placed::Task(index));
            }
        }
    }

    fn waiting(&self, config: &Config) -> (u64, Vec<usize>) {
        let mut bound = u64::MAX;
        let mut waiting = Vec::new();
        let from = config.placed.first_doubtful();
        for (index, task) in self.problem.tasks.iter().enumerate().skip(from) {
            if task.invoke > bound {
                break;
            }
            if !config.placed.has(index) {
                bound = bound.min(task.latest);
                waiting.push(index);
            }
        }
        // The bound has shrunk on the way.
        waiting.retain(|index| self.problem.tasks[*index].invoke <= bound);
        (bound, waiting)
    }

    /// Puts every configuration that can follow `config` on the list, the most promising one last.
    fn branch(&mut self, config: &Config, end: usize, count: usize, bound: u64, waiting: &[usize]) {
        let still_to_be_read = config
            .holds
            .is_some_and(|value| self.last_read.get(&value).is_some_and(|at| *at > bound));
        if still_to_be_read {
            return;
        }
        let begun = |stock: &[u64], used: usize| stock.get(used).is_some_and(|at| *at <= bound);
        let tasks = &self.problem.tasks;
        let (mut unread_put_tried, mut take_tried) = (false, false);
        let mut next = Vec::new();
        for &index in waiting {
            let mut after = config.clone();
            let mut spare = None;
            match tasks[index].kind {
                Kind::Put { value, read } => {
                    if !read && std::mem::replace(&mut unread_put_tried, true) {
                        continue;
                    }
                    after.holds = Some(value);
                }
                Kind::Take => {
                    if std::mem::replace(&mut take_tried, true) {
                        continue;
                    }
                    if config.holds.is_none() {
                        if !begun(&self.problem.spare_puts, config.used.puts) {
                            continue;
                        }
                        after.used.puts += 1;
                        spare = Some(Placed::SparePut);
                    }
                    after.holds = None;
                }
                Kind::Read(None) => {
                    // It did not fit by itself, so the key is not empty.
                    if !begun(&self.problem.spare_dels, config.used.dels) {
                        continue;
                    }
                    after.used.dels += 1;
                    after.holds = None;
                    spare = Some(Placed::SpareDel);
                }
                Kind::Replace(value) => {
                    if config.holds.is_none() {
                        if !begun(&self.problem.spare_puts, config.used.puts) {
                            continue;
                        }
                        after.used.puts += 1;
                        spare = Some(Placed::SparePut);
                    }
                    after.holds = Some(value);
                }
                Kind::Swap { from, to } => {
                    if from.is_none() && config.holds.is_some() {
                        if !begun(&self.problem.spare_dels, config.used.dels) {
                            continue;
                        }
                        after.used.dels += 1;
                        spare = Some(Placed::SpareDel);
                    } else if from != config.holds {
                        continue;
                    }
                    after.holds = to;
                }
                Kind::Read(Some(_)) => continue,
            }
            after.placed.insert(index);
            next.push((after, spare, index));
        }
        for (after, spare, index) in next.into_iter().rev() {
            let end = spare.map_or(end, |spare| self.append(end, spare));
            let end = self.append(end, Placed::Task(index));
            self.ahead.push((after, end, count + 1));
        }
    }

    fn append(&mut self, end: usize, placed: Placed) -> usize {
        self.trail.push((end, placed));
        self.trail.len() - 1
    }

    fn order(&self, mut end: usize) -> Vec<Placed> {
        let mut order = Vec::new();
        while end != NOTHING {
            let (before, placed) = self.trail[end];
            order.push(placed);
            end = before;
        }
        order.reverse();
        order
    }
}
