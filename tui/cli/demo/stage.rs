//! What a demo does beside the console: its transcript, the file that it is recorded in, and what
//! goes on in the background.
//!
//! Used by `demo`.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use tui::console::run::Stage;
use tui::console::shop::Shop;
use tui::demo::cast;
use tui::demo::player::{Note, What};
use tui::demo::script::{Load, ShopPlan};
use tui::demo::transcript;

use super::background::Background;
use super::shop::Shopping;
use crate::print::{self, Failure};

/// Takes what a demo says.
pub(super) struct Telling {
    addresses: String,
    prints: bool,
    json: bool,
    cast: Option<Rc<RefCell<Cast>>>,
    load: Option<Background>,
    shop: Option<Shopping>,
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
        let (load, shop, unmet, broken) = Default::default();
        Self { addresses, prints, json, cast, load, shop, unmet, passed: false, broken }
    }

    /// Whether something was not as the demo said; who was left alone at the end was not.
    pub(super) fn failed(&self) -> bool {
        self.unmet.is_some() || (self.prints && !self.passed)
    }

    /// Says what is still to be said, once the terminal is as it was.
    pub(super) fn finish(&mut self, was_watched: bool) -> Result<(), Failure> {
        (self.load, self.shop) = (None, None);
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
        self.load = load.map(|load| Background::load(&self.addresses, load));
    }

    fn open_shop(&mut self, plan: &ShopPlan) {
        self.shop = Some(Shopping::begin(&self.addresses, plan));
    }

    fn close_shop(&mut self) {
        if let Some(shop) = &mut self.shop {
            shop.close();
        }
    }

    fn shop(&self) -> Option<Shop> {
        self.shop.as_ref().map(Shopping::told)
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
