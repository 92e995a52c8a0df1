//! The whole screen: header, tabs, story, the view, hints, and what lies over them.
//!
//! Used by the loop, by demos and by tests. Pure: a console and a buffer. The story keeps its
//! height whatever happens, so that nothing jumps.
//!
//! - this file: who gets which rows; `header`: how the cluster is, and the views' names
//! - `story`: what happened, how far it has healed, what to do; `hints`: the keys that work now
//! - `caption`: what a demo says, in place of the hints
//! - `over`: questions, help, palette; `tiny`: what is left of it all on a very small terminal

mod caption;
mod header;
mod hints;
mod over;
mod story;
mod tiny;

pub(in crate::console) use over::help_end;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::action::ViewName;
use super::state::{Console, is_compact};
use super::views::{Seen, View as _};

/// Below this there is no view, only the story and the nodes.
const VIEW_COLUMNS: u16 = 80;
const VIEW_ROWS: u16 = 24;
/// Rows of the story, in every view.
const STORY_ROWS: u16 = 3;
/// Below this there is only the story.
const TINY_COLUMNS: u16 = 50;
const TINY_ROWS: u16 = 12;

/// Who gets which part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// How the cluster is.
    pub header: Rect,
    /// The views' names.
    pub tabs: Rect,
    /// The story.
    pub story: Rect,
    /// The view.
    pub body: Rect,
    /// The keys that work now.
    pub hints: Rect,
}

impl Areas {
    /// The parts of a screen of so many columns and rows.
    pub fn of(size: (u16, u16)) -> Self {
        Self::above(size, 1)
    }

    /// The parts of this console's screen, drawn on so many columns and rows.
    fn of_console(console: &Console, size: (u16, u16)) -> Self {
        let rows = if console.caption.is_some() { caption::ROWS } else { 1 };
        Self::above(size, rows)
    }

    /// The parts where so many rows at the bottom are kept.
    fn above(size: (u16, u16), hints: u16) -> Self {
        let (columns, rows) = size;
        let row = |y: u16, height: u16| {
            let y = y.min(rows);
            Rect { x: 0, y, width: columns, height: height.min(rows - y) }
        };
        if !shows_view(size) {
            let none = row(rows, 0);
            return Self {
                header: none,
                tabs: none,
                story: row(0, 2),
                body: row(2, rows),
                hints: none,
            };
        }
        let story = STORY_ROWS;
        Self {
            header: row(0, 1),
            tabs: row(1, 1),
            story: row(2, story),
            body: row(2 + story, rows - 2 - hints - story),
            hints: row(rows - hints, hints),
        }
    }

    /// The view whose name stands at this place.
    pub fn tab_at(&self, column: u16, row: u16) -> Option<ViewName> {
        if self.tabs.height == 0 || row != self.tabs.y {
            return None;
        }
        let mut places = header::tab_places();
        places.find(|(_, from, to)| (*from..*to).contains(&column)).map(|(view, _, _)| view)
    }
}

/// Whether there is room for a view.
pub fn shows_view((columns, rows): (u16, u16)) -> bool {
    columns >= VIEW_COLUMNS && rows >= VIEW_ROWS
}

/// Draws the console, all of it.
pub fn draw(console: &Console, buf: &mut Buffer) {
    let size = (buf.area.width, buf.area.height);
    let areas = Areas::of_console(console, size);
    if let Some(caption) = &console.caption
        && caption::draw_past(caption, areas, buf)
    {
        caption::draw(&console.settings.look, caption, areas.hints, buf);
        return;
    }
    let model = console.shown();
    let seen = Seen {
        model,
        look: &console.settings.look,
        selected: &console.selected,
        compact: is_compact(size),
        read_only: console.read_only.is_some() || console.model.forbids_updates(),
    };
    if !shows_view(size) {
        tiny::draw(console, &seen, size.0 >= TINY_COLUMNS && size.1 >= TINY_ROWS, buf);
        over::draw(console, &seen, buf);
        if let Some(caption) = &console.caption {
            let y = size.1.saturating_sub(caption::ROWS);
            let area = Rect { x: 0, y, width: size.0, height: size.1 - y };
            caption::draw(&console.settings.look, caption, area, buf);
        }
        return;
    }
    header::draw(console, &seen, areas.header, buf);
    header::draw_tabs(console, &seen, areas.tabs, buf);
    story::draw(&seen, areas.story, buf);
    draw_view(console, &seen, areas.body, buf);
    match &console.caption {
        Some(caption) => caption::draw(seen.look, caption, areas.hints, buf),
        None => hints::draw(console, &seen, areas.hints, buf),
    }
    over::draw(console, &seen, buf);
}

/// What was drawn, as text: a line a row, without blanks at its end.
pub fn text_of(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in buf.area.top()..buf.area.bottom() {
        let mut skip = 0;
        let mut row = String::new();
        for x in buf.area.left()..buf.area.right() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buf[(x, y)].symbol();
            skip = crate::text::width(symbol).saturating_sub(1);
            row.push_str(symbol);
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

fn draw_view(console: &Console, seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let views = &console.views;
    match console.view {
        ViewName::Overview => views.overview.draw(seen, area, buf),
        ViewName::Ring => views.ring.draw(seen, area, buf),
        ViewName::Cache => views.cache.draw(seen, area, buf),
        ViewName::Txns => views.txns.draw(seen, area, buf),
        ViewName::Data => views.data.draw(seen, area, buf),
        ViewName::Events => views.events.draw(seen, area, buf),
    }
}
