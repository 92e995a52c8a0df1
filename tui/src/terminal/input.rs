//! What comes from the terminal, on a thread of its own.

use std::io;
use std::thread;

use crossterm::event::{self, Event};

use super::keys::key;
use crate::prompt::Key;

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    /// A key or a paste.
    Key(Key),
    /// Its size is another now.
    Resize,
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
            let input = match event::read() {
                Ok(Event::Resize(..)) => Input::Resize,
                Ok(Event::Paste(pasted)) => Input::Key(Key::Paste(pasted)),
                Ok(Event::Key(event)) => match key(event) {
                    Some(key) => Input::Key(key),
                    None => continue,
                },
                Ok(_) => continue,
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
