//! What carries out the lines of the console's prompt: the commands of the shell, over a connection
//! that is kept, printing to the screen in place of the terminal.
//!
//! Used by `console` and `demo`.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tui::commands::Catalog;
use tui::console::run::{Commands, Running};

use crate::args::Common;
use crate::print::{self, Failure};
use crate::shell::grammar::{self, Place, Read, Typed};
use crate::shell::session::Session;

/// The commands, and their connection.
pub(crate) struct Prompt {
    session: Arc<Mutex<Session>>,
}

impl Prompt {
    /// Commands for the cluster that `common` names; with `read_only` its servers refuse updates.
    pub(crate) fn new(common: Common, read_only: bool) -> Self {
        Self { session: Arc::new(Mutex::new(Session::later(common, read_only))) }
    }
}

impl Commands for Prompt {
    fn catalog(&self) -> Catalog {
        grammar::catalog()
    }

    fn run(&mut self, line: &str, printed: mpsc::Sender<Vec<u8>>) -> Running {
        let (line, session) = (line.to_owned(), self.session.clone());
        Box::pin(print::shown_to(printed, async move {
            let mut session = session.lock().await;
            let result = carry_out(&mut session, &line).await;
            if let Err(failure) = result {
                print::told(Err(failure), false);
            }
        }))
    }
}

async fn carry_out(session: &mut Session, line: &str) -> Result<(), Failure> {
    let typed = match grammar::read(line) {
        Ok(Read::Nothing) => return Ok(()),
        Ok(Read::Help(help)) => return print::output(Place::Console.told(&help).as_bytes()),
        Ok(Read::Command(typed)) => typed,
        Err(problem) => {
            print::output(problem.excerpt(line).as_bytes())?;
            return Err(Failure::usage(&problem.message));
        }
    };
    match typed {
        Typed::Quit => print::output(b"Esc, then q, ends the console\n"),
        Typed::Help { command } => {
            print::output(grammar::help(command.as_deref(), Place::Console)?.as_bytes())
        }
        Typed::History => print::output(b"Up goes through the lines typed before\n"),
        Typed::Asked(asked) => match asked.typed_input()? {
            Some(input) => session.carry_out(asked, input).await.map(drop),
            None => Err(Failure::usage("here the value must stand in the line: put KEY VALUE")),
        },
    }
}
