//! The messages of a transaction: who told whom what, and when.
//!
//! Lanes are parties, time goes downwards, a message is an arrow from lane to lane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text;
use crate::console::look::{Look, Tone};

/// One party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// The row since which it is gone, if it is.
    pub gone_since: Option<usize>,
}

/// What one row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A message between two lanes.
    Message {
        /// The number of the lane that sent it.
        from: usize,
        /// The number of the lane to which it went.
        to: usize,
        /// What it says.
        text: String,
        /// Whether it never came there.
        lost: bool,
    },
    /// What one party did.
    Note {
        /// The number of its lane.
        lane: usize,
        /// What that was.
        text: String,
        /// What it means.
        tone: Tone,
    },
    /// One party waits.
    Wait {
        /// The number of its lane.
        lane: usize,
        /// What it waits for.
        text: String,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, as it is to be shown; nothing where that is not known.
    pub at: Option<String>,
    /// What.
    pub what: Happening,
}

/// Messages between lanes.
#[derive(Debug, Clone, Copy)]
pub struct Ladder<'a> {
    /// The parties, from the left.
    pub lanes: &'a [Lane],
    /// What happened, the oldest first.
    pub steps: &'a [Step],
    /// The first row that is drawn.
    pub first: usize,
    /// The selected row.
    pub selected: Option<usize>,
    /// What the times are, over them.
    pub unit: &'a str,
}

/// Columns between two lanes, where there is room for them and where there is more.
const SPACING: (u16, u16) = (12, 24);
/// Columns right of the last lane, for what is told there.
const TAIL: u16 = 12;

/// Where the lanes are.
struct Plan {
    gutter: u16,
    begin: u16,
    spacing: u16,
    area: Rect,
}

impl Plan {
    /// The column of a lane.
    fn x(&self, lane: usize) -> u16 {
        let lane = u16::try_from(lane).unwrap_or(u16::MAX);
        self.begin.saturating_add(lane.saturating_mul(self.spacing))
    }

    /// Part of a row, from one column to before another.
    fn part(&self, y: u16, from: u16, to: u16) -> Rect {
        let from = from.clamp(self.area.left(), self.area.right());
        let to = to.clamp(from, self.area.right());
        Rect { x: from, y, width: to - from, height: 1 }
    }
}

impl Ladder<'_> {
    /// Draws the names of the lanes and below them as many steps as there is room for; that many.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) -> usize {
        let area = area.intersection(buf.area);
        if area.height == 0 || area.width < 4 {
            return 0;
        }
        let plan = self.plan(look, area);
        let unit = Rect { width: plan.gutter, height: 1, ..area };
        text::put_right(look, unit, buf, self.unit, Tone::Dim);
        for (lane, party) in self.lanes.iter().enumerate() {
            self.name(look, buf, &plan, lane, party);
        }
        let rows = area.top() + 1..area.bottom();
        for ((at, step), y) in self.steps.iter().enumerate().skip(self.first).zip(rows) {
            self.step(look, buf, &plan, at, step, y);
        }
        usize::from(area.height) - 1
    }

    fn plan(&self, look: &Look, area: Rect) -> Plan {
        let times = self.steps.iter().filter_map(|step| step.at.as_deref());
        let widest = times.chain([self.unit]).map(|at| text::width(look, at)).max().unwrap_or(0);
        let gutter = widest.saturating_add(2).min(area.width / 4);
        let lanes = u16::try_from(self.lanes.len()).unwrap_or(u16::MAX).max(1);
        let room = area.width - gutter - 3;
        let spacing = match lanes {
            1 => SPACING.1,
            _ => room.saturating_sub(TAIL) / (lanes - 1),
        };
        Plan {
            gutter,
            begin: area.x + gutter + 2,
            spacing: spacing.clamp(SPACING.0, SPACING.1),
            area,
        }
    }

    /// A name stands over its lane, as near to its middle as there is room.
    fn name(&self, look: &Look, buf: &mut Buffer, plan: &Plan, lane: usize, party: &Lane) {
        let x = plan.x(lane);
        let width = text::width(look, &party.name).min(plan.spacing - 1);
        let begin = x.saturating_sub(width / 2).max(plan.area.x + plan.gutter + 1);
        let room = plan.part(plan.area.y, begin, begin.saturating_add(width));
        text::put_elided(look, room, buf, &party.name, party.tone);
    }

    fn step(&self, look: &Look, buf: &mut Buffer, plan: &Plan, at: usize, step: &Step, y: u16) {
        let selected = self.selected == Some(at);
        if selected {
            let mark = plan.part(y, plan.area.x, plan.area.x + 1);
            text::put(look, mark, buf, look.glyphs.pointer, Tone::Accent);
        }
        if let Some(time) = &step.at {
            let room = plan.part(y, plan.area.x + 1, plan.area.x + plan.gutter);
            text::put_right(look, room, buf, time, Tone::Dim);
        }
        for (lane, party) in self.lanes.iter().enumerate() {
            let gone = party.gone_since.is_some_and(|since| at >= since);
            let line = if gone { look.glyphs.dashes_down } else { look.glyphs.vertical };
            let x = plan.x(lane);
            text::put(look, plan.part(y, x, x.saturating_add(1)), buf, line, Tone::Border);
        }
        let row = Row { look, plan, lanes: self.lanes, y };
        match &step.what {
            Happening::Message { from, to, text, lost } if from != to => {
                row.message(buf, (*from, *to), text, *lost);
            }
            Happening::Message { from: lane, text, .. } => {
                row.note(buf, *lane, look.glyphs.branch_right, text, Tone::Text);
            }
            Happening::Note { lane, text, tone } => {
                row.note(buf, *lane, look.glyphs.square, text, *tone);
            }
            Happening::Wait { lane, text } => {
                row.note(buf, *lane, look.glyphs.dashes_down, text, Tone::Dim);
            }
        }
        if selected {
            let row = Rect { y, height: 1, ..plan.area };
            buf.set_style(row, look.style(Tone::Selected));
        }
    }
}

/// One row that is drawn.
struct Row<'a> {
    look: &'a Look,
    plan: &'a Plan,
    lanes: &'a [Lane],
    y: u16,
}

impl Row<'_> {
    /// One column.
    fn cell(&self, buf: &mut Buffer, x: u16, glyph: &str, tone: Tone) {
        text::put(self.look, self.plan.part(self.y, x, x.saturating_add(1)), buf, glyph, tone);
    }

    fn note(&self, buf: &mut Buffer, lane: usize, glyph: &str, what: &str, tone: Tone) {
        if lane >= self.lanes.len() {
            return;
        }
        let x = self.plan.x(lane);
        self.cell(buf, x, glyph, tone);
        let room = self.plan.part(self.y, x.saturating_add(2), self.plan.area.right());
        let taken = text::put_elided(self.look, room, buf, what, tone);
        // A lane that goes through a text would be read as part of it.
        self.cell(buf, room.x + taken, " ", tone);
    }

    fn message(&self, buf: &mut Buffer, (from, to): (usize, usize), what: &str, lost: bool) {
        if from.max(to) >= self.lanes.len() {
            return;
        }
        let (look, plan, glyphs) = (self.look, self.plan, self.look.glyphs);
        let tone = if lost { Tone::Bad } else { Tone::Text };
        let line_tone = if lost { Tone::Bad } else { self.lanes[from].tone };
        let (begin, end) = (plan.x(from), plan.x(to));
        let line = if lost { glyphs.dashes } else { glyphs.horizontal };
        for x in begin.min(end).saturating_add(1)..begin.max(end).min(plan.area.right()) {
            self.cell(buf, x, line, line_tone);
        }
        for lane in from.min(to) + 1..from.max(to) {
            self.cell(buf, plan.x(lane), glyphs.cross, line_tone);
        }
        let (head, at) = match end > begin {
            true => (glyphs.head_right, end.saturating_sub(1)),
            false => (glyphs.head_left, end.saturating_add(1)),
        };
        self.cell(buf, at, if lost { glyphs.lost } else { head }, line_tone);
        // The text stands in the gap beside its sender, where the eye begins.
        let gap = plan.spacing - 1;
        let near = if end > begin { begin.saturating_add(1) } else { begin.saturating_sub(gap) };
        let label = format!(" {} ", text::elided(look, what, gap.saturating_sub(3)));
        let width = text::width(look, &label);
        let spare = gap.saturating_sub(width);
        // The head has one column of the gap, on one side or the other.
        let x = near.saturating_add(if end > begin { spare / 2 } else { spare.div_ceil(2) });
        text::put(look, plan.part(self.y, x, x.saturating_add(width)), buf, &label, tone);
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
