//! Incidents at the right edge of the list: a bracket around the entries of each.
//!
//! Part of the view Events. An entry within a bracket that is not part of it is passed by a broken
//! line.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::kept::Rows;
use crate::console::look::{Look, Tone};
use crate::console::model::record::Entry;
use crate::console::model::story::Incident;
use crate::console::widgets::text;

/// Incidents that are drawn beside each other; more at the same time are not.
const LANES: usize = 2;

/// One incident as far as it is seen.
#[derive(Debug)]
struct Bracket {
    id: u32,
    lane: usize,
    /// The first and the last row that it has.
    from: usize,
    to: usize,
    /// Whether these are its first and its last entry of all.
    begins: bool,
    ends: bool,
    /// Whether it is over; none: it is not known any more.
    is_over: Option<bool>,
}

/// All that are seen.
#[derive(Debug)]
pub(super) struct Brackets {
    brackets: Vec<Bracket>,
    /// For each row: the incident that it is part of.
    of_row: Vec<Option<u32>>,
    compact: bool,
}

impl Brackets {
    /// The brackets around these entries.
    pub(super) fn new(
        shown: &[&Entry],
        rows: &Rows<'_>,
        incidents: &BTreeMap<u32, &Incident>,
        compact: bool,
    ) -> Self {
        let of_row: Vec<Option<u32>> = shown.iter().map(|entry| entry.incident).collect();
        let mut brackets: Vec<Bracket> = Vec::new();
        for (at, entry) in shown.iter().enumerate() {
            let Some(id) = entry.incident else { continue };
            let last = rows.ends(id).is_some_and(|(_, last)| last == entry.no);
            if let Some(bracket) = brackets.iter_mut().find(|bracket| bracket.id == id) {
                (bracket.to, bracket.ends) = (at, last);
                continue;
            }
            let begins = rows.ends(id).is_some_and(|(first, _)| first == entry.no);
            let is_over = incidents.get(&id).map(|incident| !incident.is_open());
            brackets.push(Bracket { id, lane: 0, from: at, to: at, begins, ends: last, is_over });
        }
        // Each in the first lane that is free; the extents are only known now.
        let mut free = [0_usize; LANES];
        brackets.retain_mut(|bracket| {
            let lane = free.iter().position(|from| *from <= bracket.from);
            let Some(lane) = lane else { return false };
            free[lane] = bracket.to + 1;
            bracket.lane = lane;
            true
        });
        Self { brackets, of_row, compact }
    }

    /// The columns that they take; none where no incident is seen.
    pub(super) fn width(&self) -> u16 {
        match (self.brackets.is_empty(), self.compact) {
            (true, _) => 0,
            (false, true) => 6,
            (false, false) => 14,
        }
    }

    /// Draws what stands beside a row.
    pub(super) fn draw(&self, look: &Look, row: usize, area: Rect, buf: &mut Buffer) {
        let mut label = None;
        for bracket in self.brackets.iter().filter(|one| (one.from..=one.to).contains(&row)) {
            let tone = if bracket.is_over == Some(false) { Tone::Bad } else { Tone::Dim };
            let is_own = self.of_row.get(row).copied().flatten() == Some(bracket.id);
            let glyph = match (is_own, row == bracket.from, row == bracket.to) {
                (false, ..) => look.glyphs.dashes_down,
                (true, true, _) if bracket.begins => look.glyphs.corners[1],
                (true, _, true) if bracket.ends && bracket.is_over == Some(false) => {
                    look.glyphs.head_down
                }
                (true, _, true) if bracket.ends => look.glyphs.corners[3],
                _ => look.glyphs.vertical,
            };
            let place = Rect { x: area.x + bracket.lane as u16, width: 1, ..area };
            text::put(look, place.intersection(area), buf, glyph, tone);
            if let Some(words) = self.label(bracket, row) {
                label = Some((words, tone));
            }
        }
        if let Some((words, tone)) = label {
            let by = area.width.min(LANES as u16 + 1);
            let place = Rect { x: area.x + by, width: area.width - by, ..area };
            text::put_elided(look, place, buf, &words, tone);
        }
    }

    fn label(&self, bracket: &Bracket, row: usize) -> Option<String> {
        if row == bracket.from {
            let id = bracket.id;
            return Some(if self.compact { format!("#{id}") } else { format!("incident {id}") });
        }
        if self.compact || row != bracket.to || !bracket.ends {
            return None;
        }
        Some(match bracket.is_over {
            Some(true) => "over".into(),
            Some(false) => "goes on".into(),
            None => return None,
        })
    }
}
