//! The loop: what comes in goes to the console, what it wants done is done, what has changed is
//! drawn.
//!
//! Called by the binary. The only part of the console with sockets, tasks and a clock. Nothing is
//! awaited that could keep keys or the screen waiting: signals first, then keys, then answers, then
//! what the cluster tells, so much at a time. Nothing changed: nothing is drawn.
//!
//! - this file: what is wired to what; `turn`: one turn of the loop
//! - `feeds`: the connections that tell; `deeds`: what is asked and written; `player`: a recording
//!   instead of feeds; `file`: a recording as it is written; `play`: a demo in a person's place

mod deeds;
mod feeds;
mod file;
mod play;
mod player;
mod turn;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use protocol::event::Subscribe;
use protocol::token::Token;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::effect::{Done, Quit};
use super::model::feed::FeedName;
use super::state::Console;
use super::views::Pointed;
use crate::demo::player::Player;
use crate::prompt::Key;

pub use file::RecordError;
pub use play::Stage;
pub use turn::End;

/// What the console is drawn on. Where there is no terminal behind it, nothing is done of what only
/// a terminal can do.
pub trait Surface {
    /// Draws all of it.
    ///
    /// # Errors
    /// The terminal's own.
    fn draw(&mut self, console: &Console) -> io::Result<()>;

    /// Its columns and rows.
    fn size(&self) -> (u16, u16);

    /// Takes the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    /// The terminal's own.
    fn mouse(&mut self, _taken: bool) -> io::Result<()> {
        Ok(())
    }

    /// Draws everything anew the next time.
    ///
    /// # Errors
    /// The terminal's own.
    fn redraw(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the terminal back, stands still, and takes it again once the process goes on.
    ///
    /// # Errors
    /// The terminal's own.
    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Sends these bytes to the terminal as they are.
    ///
    /// # Errors
    /// The terminal's own.
    fn send(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// What a person does.
#[derive(Debug)]
pub enum Did {
    /// A key.
    Key(Key),
    /// The mouse.
    Pointed(Pointed),
    /// The terminal has another size.
    Resized,
    /// The process goes on after somebody else stopped it.
    Continued,
    /// It shall end.
    Ended(End),
}

/// A line of the prompt, being carried out.
pub type Running = Pin<Box<dyn Future<Output = ()>>>;

/// Who carries out the lines of the prompt.
pub trait Commands {
    /// What may be typed.
    fn catalog(&self) -> crate::commands::Catalog;

    /// Carries out a line, and sends what it prints.
    fn run(&mut self, line: &str, printed: mpsc::Sender<Vec<u8>>) -> Running;
}

/// Says where the coordinator is, read anew; may take a moment. None: that is not known.
pub type Find = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Where everything is.
#[derive(Clone)]
pub struct Wiring {
    /// The coordinator's address; several with commas between them.
    pub coordinator: String,
    /// The supervisor's, if it is known before the coordinator tells it.
    pub supervisor: Option<String>,
    /// What knows where the coordinator is, once it is not heard any more.
    pub find: Option<Find>,
    /// What to show them.
    pub token: Option<Token>,
    /// Where to record what comes in.
    pub record: Option<PathBuf>,
    /// What to play instead of asking a cluster.
    pub replay: Option<PathBuf>,
}

/// What tells the tasks what to do.
struct Told {
    wants: watch::Sender<Subscribe>,
    coordinator: watch::Sender<Option<String>>,
    supervisor: watch::Sender<Option<String>>,
    hurry: watch::Sender<u64>,
    find: Option<Find>,
}

/// Runs the console until a person, a signal or the terminal ends it.
///
/// # Errors
/// What the terminal says, or a recording that cannot be read or written.
pub async fn run(
    console: Console,
    surface: &mut dyn Surface,
    inputs: mpsc::Receiver<io::Result<Did>>,
    commands: &mut dyn Commands,
    wiring: Wiring,
) -> Result<End, RecordError> {
    run_with(console, surface, inputs, commands, wiring, None).await
}

/// The same, with a demo in the place of a person until it has ended, or is handed over; `stage` is
/// told what it does, and does what is no matter of the console's.
///
/// # Errors
/// As [`run`].
pub async fn play(
    console: Console,
    surface: &mut dyn Surface,
    inputs: mpsc::Receiver<io::Result<Did>>,
    commands: &mut dyn Commands,
    wiring: Wiring,
    demo: (Player, &mut dyn Stage),
) -> Result<End, RecordError> {
    run_with(console, surface, inputs, commands, wiring, Some(demo)).await
}

async fn run_with(
    mut console: Console,
    surface: &mut dyn Surface,
    inputs: mpsc::Receiver<io::Result<Did>>,
    commands: &mut dyn Commands,
    wiring: Wiring,
    demo: Option<(Player, &mut dyn Stage)>,
) -> Result<End, RecordError> {
    console.size = surface.size();
    console.views.data.set_catalog(commands.catalog());
    let (to, fed) = mpsc::channel(feeds::QUEUE);
    let (wants, wants_seen) = watch::channel(console.subscribe());
    let (coordinator, coordinator_seen) = watch::channel(Some(wiring.coordinator.clone()));
    let (supervisor, supervisor_seen) = watch::channel(wiring.supervisor.clone());
    let (hurry, hurry_seen) = watch::channel(0);
    let mut tasks = JoinSet::new();
    let record = match &wiring.record {
        Some(path) => Some(file::RecordFile::create(path)?),
        None => None,
    };
    if let Some(path) = &wiring.replay {
        let records = file::read(path)?;
        tasks.spawn(player::play(records, to));
    } else {
        for (name, address) in
            [(FeedName::Coordinator, coordinator_seen), (FeedName::Supervisor, supervisor_seen)]
        {
            let (wants, hurry) = (wants_seen.clone(), hurry_seen.clone());
            let orders = feeds::Orders { address, wants, hurry };
            let token = wiring.token.clone();
            let records = record.is_some();
            let feeder = feeds::Feeder { name, orders, token, to: to.clone(), records, dropped: 0 };
            tasks.spawn(feeder.run());
        }
        drop(to);
    }
    let name = console.settings.own_name.clone();
    let hands = deeds::Hands::new(coordinator.subscribe(), wiring.token, name);
    let told = Told { wants, coordinator, supervisor, hurry, find: wiring.find };
    let mut turns = turn::Turns::new(console, surface, commands, hands, told, tasks, record);
    turns.playing = demo.map(|(player, stage)| play::Playing::new(player, stage));
    turns.run(inputs, fed).await
}

/// How the console ends, for the binary: what becomes of the cluster.
impl From<Quit> for End {
    fn from(quit: Quit) -> Self {
        match quit {
            Quit::Leave => Self::Left,
            Quit::StopAll => Self::Stopped,
        }
    }
}

/// An answer, or none because its task is gone.
type Answer = Option<Done>;

#[cfg(test)]
mod tests;
