//! The terminal as the console draws on it, and what comes from it.
//!
//! Used by `console` and `demo`. Whatever ends the process, `tui::terminal` puts the terminal back.

use std::io;

use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tui::console::run::{Did, End, Surface};
use tui::console::screen;
use tui::console::state::Console;
use tui::console::views::Pointed;
use tui::prompt::Key;
use tui::terminal::{self, Input, Mouse, MouseKind, Screen, Special};

/// Keys that are typed ahead; then the terminal keeps them.
const AHEAD: usize = 256;

/// What comes from the terminal and by signals, each as it comes.
pub(crate) fn inputs() -> io::Result<Inputs> {
    let (to, inputs) = mpsc::channel(AHEAD);
    let keys = to.clone();
    terminal::deliver_input(move |input| keys.blocking_send(input.map(did)).is_ok())?;
    take_signals(&to)?;
    Ok(inputs)
}

/// What comes by signals alone.
pub(crate) fn signals() -> io::Result<Inputs> {
    let (to, inputs) = mpsc::channel(AHEAD);
    take_signals(&to)?;
    Ok(inputs)
}

/// What a person does, as it comes.
pub(crate) type Inputs = mpsc::Receiver<io::Result<Did>>;

fn take_signals(to: &mpsc::Sender<io::Result<Did>>) -> io::Result<()> {
    for (kind, ends) in [
        (SignalKind::terminate(), Some(Signal::SIGTERM)),
        (SignalKind::hangup(), Some(Signal::SIGHUP)),
        (SignalKind::interrupt(), Some(Signal::SIGINT)),
        (SignalKind::from_raw(Signal::SIGCONT as i32), None),
    ] {
        let mut signals = signal(kind)?;
        let to = to.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let did = match ends {
                    Some(signal) => Did::Ended(End::Signal(signal as u8)),
                    None => Did::Continued,
                };
                if to.send(Ok(did)).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

fn did(input: Input) -> Did {
    match input {
        Input::Key(key) => Did::Key(key),
        Input::Resize => Did::Resized,
        Input::Special(Special::PageUp) => Did::Key(Key::PageUp),
        Input::Special(Special::PageDown) => Did::Key(Key::PageDown),
        Input::Special(Special::Function(1)) => Did::Key(Key::Char('?')),
        // The other function keys mean nothing, and nothing changes.
        Input::Special(Special::Function(_)) => Did::Resized,
        Input::Mouse(Mouse { kind, column, row }) => Did::Pointed(match kind {
            MouseKind::Click => Pointed::Click(column, row),
            MouseKind::WheelUp => Pointed::Wheel(column, row, false),
            MouseKind::WheelDown => Pointed::Wheel(column, row, true),
        }),
    }
}

/// The terminal, taken.
pub(crate) struct OnTerminal {
    screen: Screen,
}

impl OnTerminal {
    pub(crate) fn enter(mouse: bool) -> io::Result<Self> {
        Ok(Self { screen: Screen::enter(mouse)? })
    }
}

impl Surface for OnTerminal {
    fn draw(&mut self, console: &Console) -> io::Result<()> {
        self.screen.draw(|frame| screen::draw(console, frame.buffer_mut()))
    }

    fn size(&self) -> (u16, u16) {
        let (columns, rows) = terminal::size();
        let bounded = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        (bounded(columns), bounded(rows))
    }

    fn mouse(&mut self, taken: bool) -> io::Result<()> {
        self.screen.set_mouse(taken)
    }

    fn redraw(&mut self) -> io::Result<()> {
        self.screen.enter_again()
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.screen.leave_for_now();
        // The whole job stops, as with a program that leaves Ctrl-Z to the terminal.
        raise(Signal::SIGTSTP).map_err(io::Error::from)?;
        self.screen.enter_again()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        terminal::show(bytes)
    }
}
