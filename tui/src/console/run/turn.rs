//! One turn of the loop after the other.
//!
//! Part of `run`.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::deeds::{self, Hands};
use super::feeds;
use super::file::{RecordError, RecordFile};
use super::play::Playing;
use super::{Answer, Commands, Did, Running, Surface, Told};
use crate::console::effect::{Done, Effect};
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::{Console, Input};

/// Without input, a picture no sooner after the one before.
const PICTURE: Duration = Duration::from_millis(50);
/// With input.
const PICTURE_OF_INPUT: Duration = Duration::from_millis(16);
/// Ages move on even if nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// What the cluster tells that is taken before keys are looked at again.
const FED_AT_ONCE: usize = 256;
/// Pieces of output that wait for the screen.
const PRINTED: usize = 64;

/// How the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was closed; the cluster goes on.
    Left,
    /// It was closed, and the cluster is stopped.
    Stopped,
    /// By a signal of this number.
    Signal(u8),
}

/// A line of the prompt that is carried out.
struct Carried {
    running: Running,
    printed: mpsc::Receiver<Vec<u8>>,
    begun: Instant,
}

impl Carried {
    fn ended(&self) -> Done {
        Done::Ended(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// All that the loop has.
pub(super) struct Turns<'a> {
    pub(super) console: Console,
    surface: &'a mut dyn Surface,
    commands: &'a mut dyn Commands,
    hands: Hands,
    told: Told,
    /// The feeds.
    _feeds: JoinSet<()>,
    /// What was asked, until it is answered.
    asked: JoinSet<Done>,
    /// Where the coordinator is, while that is looked up.
    found: JoinSet<Option<String>>,
    record: Option<RecordFile>,
    carried: Option<Carried>,
    pub(super) playing: Option<Playing<'a>>,
    begun: Instant,
    drawn: Option<Instant>,
    pub(super) dirty: bool,
    touched: bool,
    pub(super) end: Option<End>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(
        console: Console,
        surface: &'a mut dyn Surface,
        commands: &'a mut dyn Commands,
        hands: Hands,
        told: Told,
        feeds: JoinSet<()>,
        record: Option<RecordFile>,
    ) -> Self {
        Self {
            console,
            surface,
            commands,
            hands,
            told,
            _feeds: feeds,
            asked: JoinSet::new(),
            found: JoinSet::new(),
            record,
            carried: None,
            playing: None,
            begun: Instant::now(),
            drawn: None,
            dirty: true,
            touched: true,
            end: None,
        }
    }

    pub(super) fn now(&self) -> At {
        At(i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<io::Result<Did>>,
        mut fed: mpsc::Receiver<feeds::Told>,
    ) -> Result<End, RecordError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut batch = Vec::with_capacity(FED_AT_ONCE);
        while self.end.is_none() {
            self.play()?;
            if self.end.is_some() {
                break;
            }
            let due = self.due();
            let (plays, next) = self.next_step();
            tokio::select! {
                biased;
                input = inputs.recv() => self.did(input.unwrap_or_else(gone)?)?,
                () = sleep_until(due), if self.dirty => self.draw()?,
                () = sleep_until(next), if plays => {}
                answer = self.asked.join_next(), if !self.asked.is_empty() => {
                    self.answered(answer.and_then(Result::ok))?;
                }
                found = self.found.join_next(), if !self.found.is_empty() => {
                    self.moved(found.and_then(Result::ok).flatten());
                }
                printed = printed(&mut self.carried) => self.printed(printed)?,
                count = fed.recv_many(&mut batch, FED_AT_ONCE) => {
                    if count == 0 {
                        // Every feed has ended: they end only with the loop.
                        return Err(io::Error::other("nothing tells the console any more").into());
                    }
                    for told in batch.drain(..) {
                        self.fed(told)?;
                    }
                }
                _ = ticks.tick() => self.tick()?,
            }
        }
        if let Some(record) = &mut self.record {
            record.flush()?;
        }
        let end = self.end.unwrap_or(End::Left);
        if end == End::Stopped && !self.stop_cluster().await {
            return Ok(End::Left);
        }
        Ok(end)
    }

    /// When the next picture is due.
    fn due(&self) -> Instant {
        let wait = if self.touched { PICTURE_OF_INPUT } else { PICTURE };
        self.drawn.map_or_else(Instant::now, |drawn| drawn + wait)
    }

    pub(super) fn draw(&mut self) -> Result<(), RecordError> {
        self.surface.draw(&self.console)?;
        self.drawn = Some(Instant::now());
        self.dirty = false;
        self.touched = false;
        Ok(())
    }

    fn did(&mut self, did: Did) -> Result<(), RecordError> {
        self.dirty = true;
        self.touched = true;
        match did {
            Did::Key(key) if self.playing.is_some() => self.play_key(&key),
            Did::Key(key) => self.handle(Input::Key(key)),
            // While a demo plays the mouse means nothing.
            Did::Pointed(_) if self.playing.is_some() => Ok(()),
            Did::Pointed(at) => self.handle(Input::Pointed(at)),
            Did::Resized => {
                let (columns, rows) = self.surface.size();
                self.handle(Input::Resize(columns, rows))
            }
            Did::Continued => {
                self.surface.redraw()?;
                let (columns, rows) = self.surface.size();
                self.handle(Input::Resize(columns, rows))
            }
            Did::Ended(end) => {
                self.end = Some(end);
                Ok(())
            }
        }
    }

    fn fed(&mut self, told: feeds::Told) -> Result<(), RecordError> {
        let at = self.now();
        if let Some(record) = &mut self.record {
            let cluster = self.console.model.cluster.as_ref();
            let cluster = cluster.map_or("", |cluster| cluster.name.as_str());
            record.add(at, &told.fed, told.line.as_deref(), cluster)?;
        }
        self.dirty = true;
        if let Fed::Link(FeedName::Coordinator, FeedState::Lost(_)) = &told.fed {
            self.find();
        }
        self.handle(Input::Fed(told.fed))?;
        if self.console.model.supervisor.is_some() {
            let address = &self.console.model.supervisor;
            self.told.supervisor.send_if_modified(|known| {
                let moved = known != address;
                if moved {
                    known.clone_from(address);
                }
                moved
            });
        }
        Ok(())
    }

    /// Looks up where the coordinator is now; one that was started again may be elsewhere.
    fn find(&mut self) {
        if let Some(find) = self.told.find.clone().filter(|_| self.found.is_empty()) {
            self.found.spawn_blocking(move || find());
        }
    }

    fn moved(&mut self, found: Option<String>) {
        let Some(address) = found else { return };
        self.told.coordinator.send_if_modified(|known| {
            let moved = known.as_ref() != Some(&address);
            if moved {
                self.console.settings.address.clone_from(&address);
                *known = Some(address);
            }
            moved
        });
    }

    fn tick(&mut self) -> Result<(), RecordError> {
        self.dirty = true;
        if let Some(record) = &mut self.record {
            record.flush()?;
        }
        self.handle(Input::Tick)
    }

    fn answered(&mut self, answer: Answer) -> Result<(), RecordError> {
        let Some(done) = answer else { return Ok(()) };
        self.dirty = true;
        self.touched = true;
        self.handle(Input::Done(done))
    }

    fn printed(&mut self, printed: Option<Vec<u8>>) -> Result<(), RecordError> {
        let done = match printed {
            Some(bytes) => Done::Printed(bytes),
            None => match self.carried.take() {
                Some(carried) => carried.ended(),
                None => return Ok(()),
            },
        };
        self.answered(Some(done))
    }

    pub(super) fn handle(&mut self, input: Input) -> Result<(), RecordError> {
        let now = self.now();
        for effect in self.console.handle(now, input) {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), RecordError> {
        let hands = self.hands.clone();
        match effect {
            Effect::Subscribe(wants) => {
                self.told.wants.send_replace(*wants);
            }
            Effect::Reconnect => self.told.hurry.send_modify(|n| *n = n.wrapping_add(1)),
            Effect::Process(action) => {
                let address = self.told.supervisor.borrow().clone();
                self.asked.spawn(hands.process(address, action));
            }
            Effect::Member(order) => {
                self.asked.spawn(hands.member(order));
            }
            Effect::Locate(key) => {
                self.asked.spawn(hands.locate(key));
            }
            Effect::Scan(prefix, most) => {
                self.asked.spawn(hands.scan(prefix, most));
            }
            Effect::Complete(prefix) => {
                self.asked.spawn(hands.complete(prefix));
            }
            Effect::Export(name, lines) => {
                self.asked.spawn_blocking(move || deeds::export(&name, &lines));
            }
            Effect::Run(line) => {
                let (to, printed) = mpsc::channel(PRINTED);
                let running = self.commands.run(&line, to);
                self.carried = Some(Carried { running, printed, begun: Instant::now() });
            }
            Effect::Interrupt => {
                if let Some(carried) = self.carried.take() {
                    self.answered(Some(Done::Printed(b"interrupted\n".to_vec())))?;
                    self.answered(Some(carried.ended()))?;
                }
            }
            Effect::Copy(text) => self.surface.send(&deeds::clipboard(&text))?,
            Effect::Mouse(taken) => self.surface.mouse(taken)?,
            Effect::Redraw => self.surface.redraw()?,
            Effect::Suspend => {
                self.surface.suspend()?;
                self.did(Did::Continued)?;
            }
            Effect::Quit(quit) => self.end = Some(quit.into()),
        }
        Ok(())
    }

    /// Stops the cluster; whether it is stopped.
    async fn stop_cluster(&mut self) -> bool {
        let address = self.told.supervisor.borrow().clone();
        match address {
            // The supervisor may be gone before its answer comes: then it has done what was asked.
            Some(address) => {
                let _ = self.hands.shut_down(&address).await;
                true
            }
            None => false,
        }
    }
}

fn gone() -> io::Result<Did> {
    Err(io::Error::other("nothing reads the terminal any more"))
}

/// The next piece of what the line being carried out prints; none: it has ended.
async fn printed(carried: &mut Option<Carried>) -> Option<Vec<u8>> {
    let Some(carried) = carried else { return std::future::pending().await };
    loop {
        tokio::select! {
            biased;
            piece = carried.printed.recv() => return piece,
            () = &mut carried.running, if !carried.printed.is_closed() => {
                // What was printed is still to be shown.
                carried.printed.close();
            }
        }
    }
}
