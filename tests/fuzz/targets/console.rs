//! A recording of the console, which is whatever a file holds, and what the console makes of it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tui::console::action::{Action, ViewName};
use tui::console::model::clock::At;
use tui::console::model::feed::Fed;
use tui::console::state::{Console, Input, Settings};
use tui::console::{recording, screen};

/// Whatever a recording holds is read or refused with a line's number; what is read can be fed to a
/// console, which draws it in every view with nothing in any cell that a terminal would obey.
pub fn recording(data: &[u8]) {
    let records = match recording::read(data) {
        Ok((_, records)) => records,
        Err(error) => {
            let lines = data.split(|byte| *byte == b'\n').count() as u64;
            assert!((1..=lines).contains(&error.number), "{error}");
            return;
        }
    };
    let mut console = Console::new(Settings::default());
    let mut last = At::default();
    for record in records {
        let (at, fed): (At, Fed) = record.into();
        console.handle(at, Input::Fed(fed));
        last = at;
    }
    console.handle(last, Input::Tick);
    for view in ViewName::ALL {
        console.act_now(Action::Go(view));
        let size = Rect::new(0, 0, 80, 24);
        console.size = (size.width, size.height);
        let mut buffer = Buffer::empty(size);
        screen::draw(&console, &mut buffer);
        for cell in &buffer.content {
            assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
        }
    }
}
