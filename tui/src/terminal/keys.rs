//! A key as the terminal sends it, to the key that the line editor knows.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::input::Special;
use crate::prompt::Key;

/// The key, if it is one that means anything.
pub(super) fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    Some(match event.code {
        // Control and Alt together type characters on some keyboards.
        KeyCode::Char(c) if control == alt => Key::Char(c),
        // What a terminal sends for a line feed, as in a paste that it does not mark.
        KeyCode::Char('j') if control => Key::Enter,
        KeyCode::Char(c) if control => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Alt(c.to_ascii_lowercase()),
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace if alt || control => Key::AltBackspace,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Left if control || alt => Key::WordLeft,
        KeyCode::Left => Key::Left,
        KeyCode::Right if control || alt => Key::WordRight,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}

/// The key, if it is one that the line editor does not know and others do.
pub(super) fn special(event: KeyEvent) -> Option<Special> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::PageUp => Special::PageUp,
        KeyCode::PageDown => Special::PageDown,
        KeyCode::F(number) => Special::Function(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_editor() {
        let of = |code, modifiers| key(KeyEvent::new(code, modifiers));
        let (none, control, alt) = (KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT);
        for (code, modifiers, expected) in [
            (KeyCode::Char('a'), none, Some(Key::Char('a'))),
            (KeyCode::Char('A'), KeyModifiers::SHIFT, Some(Key::Char('A'))),
            (KeyCode::Char('A'), control, Some(Key::Ctrl('a'))),
            (KeyCode::Char('j'), control, Some(Key::Enter)),
            (KeyCode::Char('@'), control | alt, Some(Key::Char('@'))),
            (KeyCode::Char('b'), alt, Some(Key::Alt('b'))),
            (KeyCode::Left, control, Some(Key::WordLeft)),
            (KeyCode::Right, alt, Some(Key::WordRight)),
            (KeyCode::Backspace, alt, Some(Key::AltBackspace)),
            (KeyCode::F(1), none, None),
        ] {
            assert_eq!(of(code, modifiers), expected, "{code:?} {modifiers:?}");
        }
        let released = KeyEventKind::Release;
        let event = KeyEvent::new_with_kind(KeyCode::Char('a'), none, released);
        assert_eq!(key(event), None);
    }
}
