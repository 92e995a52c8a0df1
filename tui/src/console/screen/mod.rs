//! The whole screen: header, tabs, story, the view, hints, and what lies over them.
//!
//! Used by the loop, by demos and by tests. Pure: a console and a buffer. The story keeps its
//! height whatever happens, so that nothing jumps.
//!
//! - this file: who gets which rows; `header`: how the cluster is, and the views' names
//! - `story`: what happened, how far it has healed, what to do; `hints`: the keys that work now
//! - `over`: questions, help, palette; `tiny`: what is left of it all on a very small terminal

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
            body: row(2 + story, rows - 3 - story),
            hints: row(rows - 1, 1),
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
    let areas = Areas::of(size);
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
        return;
    }
    header::draw(console, &seen, areas.header, buf);
    header::draw_tabs(console, &seen, areas.tabs, buf);
    story::draw(&seen, areas.story, buf);
    draw_view(console, &seen, areas.body, buf);
    hints::draw(console, &seen, areas.hints, buf);
    over::draw(console, &seen, buf);
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
