//! What comes from the terminal, on a thread of its own.

use std::io;
use std::thread;

use crossterm::event::{self, Event, MouseButton, MouseEvent, MouseEventKind};

use super::keys::{key, special};
use crate::prompt::Key;

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    /// A key or a paste.
    Key(Key),
    /// A key that the line editor does not know.
    Special(Special),
    /// The mouse, where it was asked for.
    Mouse(Mouse),
    /// Its size is another now.
    Resize,
}

/// A key that the line editor does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, by its number.
    Function(u8),
}

/// Something that was done with the mouse, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouse {
    /// What.
    pub kind: MouseKind,
    /// The column, from 0.
    pub column: u16,
    /// The row, from 0.
    pub row: u16,
}

/// What may be done with a mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MouseKind {
    /// Its left button was pressed.
    Click,
    /// Its wheel was turned upwards.
    WheelUp,
    /// Its wheel was turned downwards.
    WheelDown,
}

/// What came of the mouse, if it is anything that means something.
fn mouse(event: MouseEvent) -> Option<Mouse> {
    let kind = match event.kind {
        MouseEventKind::Down(MouseButton::Left) => MouseKind::Click,
        MouseEventKind::ScrollUp => MouseKind::WheelUp,
        MouseEventKind::ScrollDown => MouseKind::WheelDown,
        _ => return None,
    };
    Some(Mouse { kind, column: event.column, row: event.row })
}

/// An event as an input, if it is one.
fn input(event: Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resize),
        Event::Paste(pasted) => Some(Input::Key(Key::Paste(pasted))),
        Event::Key(event) => {
            key(event).map(Input::Key).or_else(|| special(event).map(Input::Special))
        }
        Event::Mouse(event) => mouse(event).map(Input::Mouse),
        _ => None,
    }
}

/// Reads the terminal until it has gone or `deliver` says that nobody listens; its last call has
/// the error. The thread ends with the process: nothing can wake it from its reading.
///
/// # Errors
/// The system's, where it has no thread left.
pub fn deliver_input(
    mut deliver: impl FnMut(io::Result<Input>) -> bool + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        loop {
            let input = match event::read().map(input) {
                Ok(Some(input)) => input,
                Ok(None) => continue,
                Err(error) => {
                    deliver(Err(error));
                    return;
                }
            };
            if !deliver(Ok(input)) {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".into()).spawn(run).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

    fn of_mouse(kind: MouseEventKind) -> Option<Mouse> {
        mouse(MouseEvent { kind, column: 7, row: 3, modifiers: KeyModifiers::NONE })
    }

    #[test]
    fn a_click_and_the_wheel_are_all_there_is_of_a_mouse() {
        let at = |kind| Some(Mouse { kind, column: 7, row: 3 });
        let left = MouseButton::Left;
        assert_eq!(of_mouse(MouseEventKind::Down(left)), at(MouseKind::Click));
        assert_eq!(of_mouse(MouseEventKind::ScrollUp), at(MouseKind::WheelUp));
        assert_eq!(of_mouse(MouseEventKind::ScrollDown), at(MouseKind::WheelDown));
        let right = MouseButton::Right;
        for other in [
            MouseEventKind::Up(left),
            MouseEventKind::Drag(left),
            MouseEventKind::Down(right),
            MouseEventKind::Moved,
        ] {
            assert_eq!(of_mouse(other), None, "{other:?}");
        }
    }

    #[test]
    fn keys_that_the_editor_does_not_know() {
        let of = |code| input(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        for (code, expected) in [
            (KeyCode::PageUp, Special::PageUp),
            (KeyCode::PageDown, Special::PageDown),
            (KeyCode::F(5), Special::Function(5)),
        ] {
            assert!(matches!(of(code), Some(Input::Special(is)) if is == expected), "{code:?}");
        }
        assert!(matches!(of(KeyCode::Char('a')), Some(Input::Key(Key::Char('a')))));
        assert!(of(KeyCode::CapsLock).is_none());
        let released = KeyEventKind::Release;
        let event = KeyEvent::new_with_kind(KeyCode::F(5), KeyModifiers::NONE, released);
        assert!(input(Event::Key(event)).is_none());
    }
}
