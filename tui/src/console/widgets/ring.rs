//! What the two pictures of the ring, `circle` and `line`, are drawn of.
//!
//! Places are turns: 0 at the top, clockwise, 1 at the top again.

use crate::console::look::Tone;

/// A part of the ring that one node owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Arc {
    /// Where it begins.
    pub from: f64,
    /// Where it ends; before its begin where it goes over the top.
    pub to: f64,
    /// The number of its node, for its colour.
    pub node: u8,
    /// Its name; nothing is written if empty.
    pub label: String,
    /// Whether its node does not serve it.
    pub broken: bool,
}

/// A part of the ring that a node learns.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// Where it begins.
    pub from: f64,
    /// Where it ends; before its begin where it goes over the top.
    pub to: f64,
    /// The number of the node that gets it.
    pub node: u8,
    /// How much of it is there, 0 to 1.
    pub done: f64,
}

impl Move {
    /// Its begin, its length, and how much of that is there, in turns; none if it has no length.
    pub(super) fn span(&self) -> Option<(f64, f64, f64)> {
        let length = turn(self.to - self.from).filter(|length| *length > 0.0)?;
        let done = if self.done.is_finite() { self.done.clamp(0.0, 1.0) } else { 0.0 };
        Some((turn(self.from)?, length, length * done))
    }
}

/// A place on the ring to be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// Where.
    pub at: f64,
    /// On the line, one column.
    pub glyph: &'static str,
    /// Beside it.
    pub label: String,
    /// What it means.
    pub tone: Tone,
}

/// The way from a key's place clockwise to those of the nodes that hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// The key's place.
    pub from: f64,
    /// The nodes' places, in the order in which they are met.
    pub stops: Vec<f64>,
}

/// A place, between 0 and 1; none if it is no number.
pub(super) fn turn(at: f64) -> Option<f64> {
    at.is_finite().then(|| at.rem_euclid(1.0))
}

impl Arc {
    /// Its begin and its length in turns; none if it has no length.
    pub(super) fn span(&self) -> Option<(f64, f64)> {
        let length = self.to - self.from;
        let whole = length >= 1.0;
        let length = if whole { 1.0 } else { turn(length)? };
        Some((turn(self.from)?, length)).filter(|(_, length)| *length > 0.0)
    }
}

impl Walk {
    /// From the first place past all stops, in turns.
    pub(super) fn span(&self) -> Option<(f64, f64)> {
        let from = turn(self.from)?;
        let mut end = from;
        for stop in &self.stops {
            end += turn(stop - end)?;
        }
        // Past a whole turn there is nothing new to be seen.
        Some((from, (end - from).min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arc_goes_clockwise() {
        let span = |from, to| {
            let arc = Arc { from, to, node: 0, label: String::new(), broken: false };
            arc.span().map(|(from, length)| ((from * 1e3).round(), (length * 1e3).round()))
        };
        assert_eq!(span(0.25, 0.5), Some((250.0, 250.0)));
        assert_eq!(span(0.9, 0.1), Some((900.0, 200.0)));
        assert_eq!(span(0.0, 1.0), Some((0.0, 1_000.0)));
        assert_eq!(span(0.3, 0.3), None);
        assert_eq!(span(f64::NAN, 0.3), None);
        assert_eq!(span(f64::NEG_INFINITY, f64::INFINITY), None);
    }

    #[test]
    fn a_walk_meets_its_stops_in_order() {
        let walk = Walk { from: 0.8, stops: vec![0.9, 0.1, 0.3] };
        let (from, length) = walk.span().unwrap();
        assert!((from - 0.8).abs() < 1e-9 && (length - 0.5).abs() < 1e-9);
    }
}
