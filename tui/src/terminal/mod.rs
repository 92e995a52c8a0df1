//! The terminal: raw mode and back, keys as they come, and the picture of a line as bytes.
//!
//! Used by the binary's shell, a line at a time, and by the console, which takes the whole screen.
//! Whatever ends the program, the terminal is as it was: [`Guard`] and [`Screen`] put it back when
//! they are dropped, the hook of [`restore_on_panic`] before a panic is told, and who handles a
//! signal calls [`leave`].

mod draw;
mod input;
mod keys;
mod off_screen;
mod screen;

use std::io::{self, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crossterm::terminal;

pub use draw::{cleared, drawn, finished};
pub use input::{Input, Mouse, MouseKind, Special, deliver_input};
pub use off_screen::OffScreen;
pub use screen::Screen;

/// What of the terminal is ours: nothing, the line that is edited, or the whole screen. Changed and
/// relied on under the lock of standard output only, so that nothing is drawn after it was left.
static OURS: AtomicU8 = AtomicU8::new(NOTHING);
const NOTHING: u8 = 0;
const LINE: u8 = 1;
const SCREEN: u8 = 2;
/// Whether a panic, of whatever thread, is the end of the process.
static PANIC_ENDS: AtomicBool = AtomicBool::new(false);
/// What the process ends with then, as one whose main thread panicked.
const PANIC_EXIT: i32 = 101;

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
        OURS.store(LINE, Ordering::SeqCst);
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
    let lock = io::stdout().lock();
    let as_before = match OURS.swap(NOTHING, Ordering::SeqCst) {
        LINE => AS_BEFORE,
        SCREEN => screen::AS_BEFORE,
        _ => return,
    };
    // Where the terminal has gone there is nothing to put back.
    let _ = show(as_before);
    let _ = terminal::disable_raw_mode();
    drop(lock);
}

/// Whoever panics leaves the terminal first. With the whole screen taken that is the end of the
/// process: what goes on without the panicked part would be drawn on a terminal that was left.
pub fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            told(info);
            if PANIC_ENDS.load(Ordering::SeqCst) {
                std::process::exit(PANIC_EXIT);
            }
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
