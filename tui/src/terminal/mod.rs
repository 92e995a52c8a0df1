//! The terminal: raw mode and back, keys as they come, and the picture of a line as bytes.
//!
//! Used by the binary's shell. Whatever ends the program, the terminal is as it was: [`Guard`] puts
//! it back when it is dropped, the hook of [`restore_on_panic`] before a panic is told, and who
//! handles a signal calls [`leave`].

mod draw;
mod input;
mod keys;

use std::io::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::terminal;

pub use draw::{cleared, drawn, finished};
pub use input::{Input, deliver_input};

/// Whether the terminal is ours.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Tells the terminal to mark what is pasted.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
/// Pastes as before; all attributes off; the cursor shown.
const AS_BEFORE: &[u8] = b"\x1b[?2004l\x1b[0m\x1b[?25h";

/// The terminal, ours until this is dropped.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Every key comes at once and none is echoed.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn enter() -> io::Result<Self> {
        restore_on_panic();
        terminal::enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let guard = Self(());
        show(MARK_PASTES)?;
        Ok(guard)
    }

    /// Takes the terminal again after somebody else had it.
    ///
    /// # Errors
    /// The terminal's own.
    pub fn enter_again(self) -> io::Result<Self> {
        drop(self);
        Self::enter()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

/// Puts the terminal back as it was, if it is ours.
pub fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        // Where the terminal has gone there is nothing to put back.
        let _ = show(AS_BEFORE);
        let _ = terminal::disable_raw_mode();
    }
}

/// Whoever panics leaves the terminal first.
pub fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            told(info);
        }));
    });
}

/// Writes to the terminal, whole and at once.
///
/// # Errors
/// The terminal's own.
pub fn show(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Columns and rows; those of an old terminal where it does not tell.
pub fn size() -> (usize, usize) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns.into(), rows.into()),
        _ => (80, 24),
    }
}
