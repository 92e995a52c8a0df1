//! A terminal with a program in it: a real pseudo-terminal, whose screen is read as a person would.
//!
//! Used by the tests of what is shown on terminals. The program is killed when this is dropped.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{MouseProtocolMode, Parser};

use super::procs::wait_for;

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);
const ROWS: NonZeroU16 = NonZeroU16::new(30).expect("rows");
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).expect("columns");

/// A terminal with a program in it.
pub(super) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<Parser>>,
    /// The terminal's modes before the program began.
    modes: String,
}

impl Terminal {
    /// Starts `command` on a terminal of its own; it keeps its files in `state`.
    pub(super) fn start(command: &Command, state: &Path) -> Self {
        Self::of_size(command, state, COLUMNS, ROWS)
    }

    /// The same on a terminal of so many columns and rows.
    pub(super) fn of_size(
        command: &Command,
        state: &Path,
        columns: NonZeroU16,
        rows: NonZeroU16,
    ) -> Self {
        let size = PtySize { rows: rows.get(), cols: columns.get(), ..PtySize::default() };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap_or_default());
        }
        builder.env("TERM", "xterm-256color");
        builder.env("XDG_STATE_HOME", state);
        builder.env("XDG_CONFIG_HOME", state);
        builder.cwd(state);
        let modes = modes(pair.master.as_ref());
        let child = pair.slave.spawn_command(builder).expect("the program starts");
        let keys = pair.master.take_writer().expect("its first use");
        let mut output = pair.master.try_clone_reader().expect("a terminal can be read");
        let screen = Arc::new(Mutex::new(Parser::new(rows, columns, 0)));
        let shown = screen.clone();
        // Ends with the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                lock(&shown).process(&bytes[..count]);
            }
        });
        Self { child, master: pair.master, keys, screen, modes }
    }

    /// The process of the program.
    pub(super) fn pid(&self) -> i32 {
        let pid = self.child.process_id().and_then(|pid| i32::try_from(pid).ok());
        pid.expect("it was started")
    }

    /// Types `keys`, all at once.
    pub(super) fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal takes keys");
        self.keys.flush().expect("a terminal takes keys");
    }

    /// Makes the terminal so many columns wide.
    pub(super) fn resize(&self, columns: u16) {
        let size = PtySize { rows: ROWS.get(), cols: columns, ..PtySize::default() };
        let columns = NonZeroU16::new(columns).expect("a column at least");
        lock(&self.screen).screen_mut().set_size(ROWS, columns);
        self.master.resize(size).expect("a terminal has a size");
    }

    /// What is on the screen, without the blanks at the end of its rows.
    pub(super) fn screen(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Waits until the screen is as `fits` says; what that is, `what` says.
    pub(super) fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) {
        let begin = std::time::Instant::now();
        wait_for(what, WAIT_MAX * 2, || {
            let screen = self.screen();
            assert!(begin.elapsed() < WAIT_MAX, "waited in vain for {what}; the screen:\n{screen}");
            fits(&screen).then_some(())
        });
    }

    /// Waits until the cursor stands in this column, counted from 0.
    pub(super) fn wait_column(&self, column: u16) {
        self.wait(&format!("the cursor in column {column}"), |_| {
            lock(&self.screen).screen().cursor_position().1 == column
        });
    }

    /// Waits until the last row that is not empty is `row`, and the cursor stands behind it.
    pub(super) fn wait_row(&self, row: &str) {
        self.wait(&format!("the row {row:?}"), |screen| self.is_row(screen, row));
    }

    /// Waits until the last row that is not empty is `row`, and the cursor stands behind it; types
    /// `again` whenever the last row ends with `sorry` instead.
    pub(super) fn wait_row_or(&mut self, row: &str, sorry: &str, again: &str) {
        let is = |screen: &str, sorry: &str| {
            let last = screen.trim_end_matches('\n').lines().last().unwrap_or_default();
            last.trim_end().ends_with(sorry)
        };
        let begin = std::time::Instant::now();
        while begin.elapsed() < WAIT_MAX {
            self.wait(&format!("the row {row:?}"), |screen| {
                self.is_row(screen, row) || is(screen, sorry)
            });
            let screen = self.screen();
            if self.is_row(&screen, row) {
                return;
            }
            self.type_keys(again);
            self.wait("another screen", |now| now != screen);
        }
        panic!("waited in vain for the row {row:?}; the screen:\n{}", self.screen());
    }

    fn is_row(&self, screen: &str, row: &str) -> bool {
        let last = screen.trim_end_matches('\n').lines().last().unwrap_or_default();
        let column = usize::from(lock(&self.screen).screen().cursor_position().1);
        last.trim_end() == row.trim_end() && column == row.chars().count()
    }

    /// Waits until the cursor stands behind `row`, whatever is below it.
    pub(super) fn wait_row_above(&self, row: &str) {
        self.wait(&format!("the row {row:?}"), |_| {
            let parser = lock(&self.screen);
            let (at, column) = parser.screen().cursor_position();
            let columns = parser.screen().size().1.get();
            let shown = parser.screen().rows(0, columns).nth(at.into()).unwrap_or_default();
            shown.trim_end() == row && usize::from(column) == row.chars().count()
        });
    }

    /// Whether the terminal's modes are those it had before the program began.
    pub(super) fn is_as_before(&self) -> bool {
        let parser = lock(&self.screen);
        let screen = parser.screen();
        let own = !screen.bracketed_paste() && !screen.hide_cursor() && !screen.alternate_screen();
        let mouse = screen.mouse_protocol_mode() == MouseProtocolMode::None;
        own && mouse && modes(self.master.as_ref()) == self.modes
    }

    /// Waits for the program's end, and gives its exit code; the terminal is as before.
    pub(super) fn ended(mut self) -> u32 {
        let status = wait_for("the program's end", WAIT_MAX, || {
            self.child.try_wait().expect("it is our child")
        });
        self.wait("the terminal's modes", |_| self.is_as_before());
        status.exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(screen: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("a terminal has modes"))
}
