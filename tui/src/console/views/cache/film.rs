//! A sweep of a set's hand: what led to it, each step, what came of it; and such a sweep in slow
//! motion, with the set as it was at each step.
//!
//! Used by the view's state, which moves it, and by the pictures, which show it.

use protocol::event::{CacheEvict, CacheSet, EvictStep, StepAction, Trigger};

use super::known::{Bits, WAYS_MAX};
use crate::console::widgets::grid::Way as Bit;

/// Ticks that each step is shown.
const TICKS_A_STEP: u8 = 4;

/// A sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sweep {
    /// What needed room, and whether it was read or written; none: nothing did, this is what would
    /// happen now.
    pub(super) cause: Option<(Trigger, String)>,
    /// The ways that the hand came by.
    pub(super) steps: Vec<EvictStep>,
    /// The way that was emptied.
    pub(super) victim: Option<u16>,
    /// The way that was filled.
    pub(super) filled: Option<u16>,
    /// Where the hand stood, and where it stopped.
    pub(super) hand: (u16, u16),
}

impl From<&CacheEvict> for Sweep {
    fn from(told: &CacheEvict) -> Self {
        let before = told.steps.first().map_or(told.hand_after, |step| step.way);
        Self {
            cause: Some((told.trigger, told.trigger_key.as_str().to_owned())),
            steps: told.steps.clone(),
            victim: Some(told.victim),
            filled: told.filled_way,
            hand: (before, told.hand_after),
        }
    }
}

impl Sweep {
    /// What would happen if a key that is not there needed room now.
    pub(super) fn pretend(set: &CacheSet, ways: u16) -> Self {
        let ways = ways.clamp(1, WAYS_MAX);
        let bits = Bits::of_set(set, ways);
        let hand = set.hand % ways;
        let Some(victim) = bits.victim() else {
            let filled = bits.first_empty();
            return Self { cause: None, steps: vec![], victim: None, filled, hand: (hand, hand) };
        };
        let key = |way: u16| set.ways.iter().find(|one| one.way == way).map(|one| one.key.clone());
        let mut steps = Vec::new();
        for step in 0..=ways {
            let way = (hand + step) % ways;
            // In the second round the first one has cleared all bits.
            let referenced = step < ways && bits.of(way) == Bit::Referenced;
            let action = if referenced { StepAction::SecondChance } else { StepAction::Evict };
            steps.push(EvictStep { way, key: key(way), referenced, action });
            if !referenced {
                break;
            }
        }
        let hand = (hand, (victim + 1) % ways);
        Self { cause: None, steps, victim: Some(victim), filled: Some(victim), hand }
    }

    /// Whether the hand came by all ways and had to go on into a second round.
    pub(super) fn is_second_round(&self) -> bool {
        let last = self.steps.last().map(|step| step.way);
        self.steps.iter().rev().skip(1).any(|step| Some(step.way) == last)
    }
}

/// One way as it was at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its bit, or that it was empty.
    pub(super) bit: Bit,
    /// Whether that is as the sweep met it; else it is as it is now.
    pub(super) met: bool,
}

/// A sweep in slow motion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Film {
    /// Of which set.
    pub(super) set: u32,
    /// What is shown.
    pub(super) sweep: Sweep,
    /// The set before the sweep.
    before: Vec<Slot>,
    /// The step: 0 before the first, then each of the sweep, then that a way is filled.
    at: usize,
    ticks: u8,
    /// Whether it goes on by itself.
    pub(super) is_playing: bool,
}

impl Film {
    /// From the beginning. `now` is the set as it is now, for what the hand did not meet.
    pub(super) fn new(set: u32, sweep: Sweep, now: Option<&CacheSet>, ways: u16) -> Self {
        let ways = ways.clamp(1, WAYS_MAX);
        let bits = now.map(|now| Bits::of_set(now, ways));
        let slot = |way: u16| {
            let met = sweep.steps.iter().find(|step| step.way == way);
            let bit = match (met, &sweep.cause) {
                (Some(step), _) if step.key.is_none() => Bit::Empty,
                (Some(step), _) if step.referenced => Bit::Referenced,
                (Some(_), _) => Bit::Clear,
                // What is filled without the hand's help was empty.
                (None, Some(_)) if sweep.filled == Some(way) => Bit::Empty,
                (None, _) => bits.map_or(Bit::Empty, |bits| bits.of(way)),
            };
            Slot { bit, met: met.is_some() || sweep.cause.is_none() }
        };
        let before = (0..ways).map(slot).collect();
        Self { set, sweep, before, at: 0, ticks: 0, is_playing: true }
    }

    /// The step that is shown.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The last step.
    pub(super) fn last(&self) -> usize {
        self.sweep.steps.len() + 1
    }

    /// Whether all has been shown.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.last()
    }

    /// One step on, or back, by hand.
    pub(super) fn step(&mut self, on: bool) {
        self.is_playing = false;
        self.ticks = 0;
        self.at = if on { (self.at + 1).min(self.last()) } else { self.at.saturating_sub(1) };
    }

    /// Goes on, stands still, or begins again.
    pub(super) fn play_or_pause(&mut self) {
        if self.is_over() {
            self.at = 0;
        }
        self.ticks = 0;
        self.is_playing = !self.is_playing;
    }

    /// A quarter of a second has passed.
    pub(super) fn tick(&mut self) {
        if !self.is_playing {
            return;
        }
        self.ticks += 1;
        if self.ticks >= TICKS_A_STEP {
            self.ticks = 0;
            self.at = (self.at + 1).min(self.last());
            self.is_playing = !self.is_over();
        }
    }

    /// The set at the step that is shown, and its hand.
    pub(super) fn picture(&self) -> (Vec<Slot>, u16) {
        let mut slots = self.before.clone();
        for step in self.sweep.steps.iter().take(self.at) {
            let Some(slot) = slots.get_mut(usize::from(step.way)) else { continue };
            match step.action {
                StepAction::SecondChance => slot.bit = Bit::Clear,
                StepAction::Evict => slot.bit = Bit::Empty,
                StepAction::Skip | StepAction::Other => {}
            }
        }
        if self.is_over() {
            let filled = self.sweep.filled.and_then(|way| slots.get_mut(usize::from(way)));
            if let Some(slot) = filled {
                *slot = Slot { bit: Bit::Clear, met: true };
            }
            return (slots, self.sweep.hand.1);
        }
        let step = self.at.checked_sub(1).and_then(|at| self.sweep.steps.get(at));
        (slots, step.map_or(self.sweep.hand.0, |step| step.way))
    }
}
