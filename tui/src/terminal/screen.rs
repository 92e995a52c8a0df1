//! The whole screen: taken, drawn on frame by frame, and put back as it was.
//!
//! Used by the console's loop. Frames go out whole, each between the marks that make a terminal
//! show it at once, and none after the terminal was left.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::{style, terminal};
use ratatui::{Frame, Terminal};

use super::{NOTHING, OURS, PANIC_ENDS, SCREEN, leave, restore_on_panic, show};

/// The other screen, cleared; no cursor; pastes marked.
const TAKEN: &[u8] = b"\x1b[?1049h\x1b[0m\x1b[2J\x1b[?25l\x1b[?2004h";
/// Clicks and the wheel are told, with columns beyond 223 too; motion is not.
const MOUSE: &[u8] = b"\x1b[?1000h\x1b[?1006h";
/// The mouse is the terminal's again, to select text with.
const NO_MOUSE: &[u8] = b"\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l";
/// What is between is shown at once.
const FRAME: (&[u8], &[u8]) = (b"\x1b[?2026h", b"\x1b[?2026l");
/// No frame under way; no mouse, no focus, no marked pastes; attributes off; the cursor shown; the
/// first screen.
pub(super) const AS_BEFORE: &[u8] = b"\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\
    \x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";

/// The bytes of a frame, until it is whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Bytes {
    pub(super) fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The whole screen, ours until this is dropped or [`leave`] is called.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Bytes>>,
    bytes: Bytes,
    mouse: bool,
}

impl Screen {
    /// Takes the screen; with `mouse` its clicks are told too. From now on a panic of any thread
    /// puts the terminal back and ends the process.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        restore_on_panic();
        // What is drawn without colours is drawn so by its theme. Told `NO_COLOR`, the library
        // writes resets in place of colours, which take the attributes with them.
        style::force_color_output(true);
        let bytes = Bytes::default();
        let terminal = Terminal::new(CrosstermBackend::new(bytes.clone()))?;
        let mut screen = Self { terminal, bytes, mouse };
        PANIC_ENDS.store(true, Ordering::SeqCst);
        screen.enter_again()?;
        Ok(screen)
    }

    /// Draws what differs from the frame before. The size is the terminal's at this moment.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(view)?;
        let frame = [FRAME.0, &self.bytes.take(), FRAME.1].concat();
        self.show_if_ours(&frame)
    }

    /// Whether the mouse's clicks are told.
    pub fn has_mouse(&self) -> bool {
        self.mouse
    }

    /// Has the mouse's clicks told, or gives the mouse back to the terminal.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn set_mouse(&mut self, mouse: bool) -> io::Result<()> {
        self.mouse = mouse;
        self.show_if_ours(if mouse { MOUSE } else { NO_MOUSE })
    }

    /// Gives the terminal back for a while, as it was: before the process stops itself.
    pub fn leave_for_now(&mut self) {
        leave();
    }

    /// Takes the screen again, whoever had it meanwhile; the next frame is drawn whole.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn enter_again(&mut self) -> io::Result<()> {
        // Who was stopped by somebody else never left, and finds the terminal as that one left it.
        leave();
        terminal::enable_raw_mode()?;
        // Clearing the old one would ask the terminal where its cursor is, and take the answer from
        // whoever reads its keys.
        self.terminal = Terminal::new(CrosstermBackend::new(self.bytes.clone()))?;
        self.bytes.take();
        let lock = io::stdout().lock();
        OURS.store(SCREEN, Ordering::SeqCst);
        show(TAKEN)?;
        show(if self.mouse { MOUSE } else { b"" })?;
        drop(lock);
        Ok(())
    }

    fn show_if_ours(&self, bytes: &[u8]) -> io::Result<()> {
        let _lock = io::stdout().lock();
        if OURS.load(Ordering::SeqCst) == NOTHING {
            return Ok(());
        }
        show(bytes)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
        PANIC_ENDS.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
