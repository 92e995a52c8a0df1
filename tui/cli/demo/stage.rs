//! What a demo does beside the console: its transcript, its requests in the background, the file
//! that it is recorded in.
//!
//! Used by `demo`.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol::load::{self, Distribution, Kind, Plan, Work};
use tokio::sync::oneshot;
use tui::console::run::Stage;
use tui::demo::cast;
use tui::demo::player::{Note, What};
use tui::demo::script::Load;
use tui::demo::transcript;

use crate::print::{self, Failure};

/// Longer than any demo.
const LOAD_MAX: Duration = Duration::from_secs(3_600);
/// Keys of a demo begin so.
const PREFIX: &str = "demo:";
/// How many connections fill its keys.
const FILLERS: usize = 4;

/// Takes what a demo says.
pub(super) struct Telling {
    addresses: String,
    prints: bool,
    json: bool,
    cast: Option<Rc<RefCell<Cast>>>,
    load: Option<Asking>,
    /// The last line, where it was a failure.
    unmet: Option<String>,
    passed: bool,
    /// That what was printed could not be.
    broken: Option<Failure>,
}

impl Telling {
    pub(super) fn new(
        addresses: &str,
        prints: bool,
        json: bool,
        cast: Option<Rc<RefCell<Cast>>>,
    ) -> Self {
        let addresses = addresses.to_owned();
        Self { addresses, prints, json, cast, load: None, unmet: None, passed: false, broken: None }
    }

    /// Whether something was not as the demo said; who was left alone at the end was not.
    pub(super) fn failed(&self) -> bool {
        self.unmet.is_some() || (self.prints && !self.passed)
    }

    /// Says what is still to be said, once the terminal is as it was.
    pub(super) fn finish(&mut self, was_watched: bool) -> Result<(), Failure> {
        self.load = None;
        if let Some(cast) = &self.cast {
            cast.borrow_mut().finish()?;
        }
        if let Some(failure) = self.broken.take() {
            return Err(failure);
        }
        match &self.unmet {
            Some(line) if was_watched => print::output(line.as_bytes()),
            _ => Ok(()),
        }
    }
}

impl Stage for Telling {
    fn load(&mut self, load: Option<&Load>) {
        // The one before ends first.
        self.load = None;
        self.load = load.map(|load| Asking::begin(self.addresses.clone(), load.clone()));
    }

    fn note(&mut self, note: &Note, picture: Option<&str>) {
        let label = match &note.what {
            What::Mark(name) => Some(name),
            What::Said(text) => Some(text),
            _ => None,
        };
        if let (Some(label), Some(cast)) = (label, &self.cast) {
            cast.borrow_mut().label(label);
        }
        self.passed |= note.what == What::Passed;
        // A program gets the last screen; a person has seen it.
        let picture = picture.filter(|_| self.json || note.what != What::Passed);
        let line = match self.json {
            true => format!("{}\n", transcript::json(note, picture)),
            false => transcript::line(note, picture),
        };
        if self.prints && self.broken.is_none() {
            self.broken = print::output(line.as_bytes()).err();
        }
        if let What::Unmet { .. } = note.what {
            self.unmet = Some(line);
        }
    }
}

/// Requests in the background, until this is dropped.
struct Asking {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Asking {
    fn begin(addresses: String, load: Load) -> Self {
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                tokio::select! {
                    () = ask(&addresses, &load) => {}
                    _ = stopped => {}
                }
            });
        };
        // Where the system has no thread left, the demo finds that nothing is asked.
        let thread = std::thread::Builder::new().name("requests".into()).spawn(run).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with was told.
            let _ = thread.join();
        }
    }
}

/// Puts every key once, then asks what the load says. What cannot be asked is missed by the demo
/// itself: it expects what comes of it.
async fn ask(addresses: &str, load: &Load) {
    let keys = Plan { keys: load.keys, prefix: PREFIX.into(), seed: load.seed, ..Plan::default() };
    let fill =
        Plan { work: Work::EachKey(Kind::Put), connections: FILLERS, depth: 8, ..keys.clone() };
    let Ok(mut filling) = load::start(addresses, fill).await else { return };
    filling.ended().await;
    let mix = format!("get={},put={}", load.reads, 100 - load.reads);
    let Ok(mix) = mix.parse() else { return };
    let distribution = match load.zipf {
        theta if theta > 0.0 => Distribution::Zipf { theta },
        _ => Distribution::Uniform,
    };
    let plan = Plan {
        work: Work::Drawn { mix, distribution },
        connections: load.clients as usize,
        rate: load.rate,
        duration: Some(LOAD_MAX),
        answer_wait: Duration::from_secs(10),
        ..keys
    };
    if let Ok(mut running) = load::start(addresses, plan).await {
        running.ended().await;
    }
}

/// A recording of the screen.
pub(super) struct Cast {
    path: PathBuf,
    file: BufWriter<File>,
    begun: Instant,
    broken: Option<io::Error>,
}

impl Cast {
    /// Begins one in a file that is not there yet.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let file = BufWriter::new(file);
        Ok(Self { path: path.to_owned(), file, begun: Instant::now(), broken: None })
    }

    fn at_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn header(&mut self, size: (u16, u16), title: &str) {
        self.begun = Instant::now();
        self.line(&cast::header(size.0, size.1, title));
    }

    pub(super) fn resized(&mut self, size: (u16, u16)) {
        self.line(&cast::resized(self.at_us(), size.0, size.1));
    }

    /// A whole frame: it is in the file when this returns.
    pub(super) fn frame(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.line(&cast::output(self.at_us(), &String::from_utf8_lossy(bytes)));
        }
    }

    fn label(&mut self, text: &str) {
        self.line(&cast::label(self.at_us(), text));
    }

    fn line(&mut self, line: &str) {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush());
        self.broken = self.broken.take().or(written.err());
    }

    /// Whether all of it is in the file.
    fn finish(&mut self) -> Result<(), Failure> {
        match self.broken.take() {
            Some(error) => Err(Failure::usage(format!("{}: {error}", self.path.display()))),
            None => Ok(()),
        }
    }
}
