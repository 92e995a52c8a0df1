//! Going through the history: by Up and Down among the lines that begin as typed, and by Ctrl-R
//! among those that contain a text.
//!
//! Used by the editor. Neither changes the history.

use super::history::History;
use super::line::Line;

/// Going through the lines that begin as the one that was typed.
#[derive(Debug, Clone)]
pub(super) struct Browse {
    /// What had been typed before the first Up.
    typed: String,
    /// The line that is shown; one behind the newest: what was typed.
    at: usize,
}

impl Browse {
    pub(super) fn new(typed: &str, history: &History) -> Self {
        Self { typed: typed.to_owned(), at: history.len() }
    }

    /// The line in the place of `shown`, or `None` at the end of the history.
    pub(super) fn turn(&mut self, history: &History, shown: &str, forward: bool) -> Option<String> {
        let fits = |line: &str| line.starts_with(&self.typed) && line != shown;
        let found =
            if forward { history.behind(self.at, fits) } else { history.before(self.at, fits) };
        if let Some(at) = found {
            self.at = at;
            return history.get(at).map(Into::into);
        }
        let back = forward && self.at < history.len();
        back.then(|| {
            self.at = history.len();
            self.typed.clone()
        })
    }
}

/// A search under way.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// The line as it was, to go back to.
    pub(super) before: Line,
    wanted: String,
    at: Option<usize>,
}

impl Search {
    pub(super) fn new(before: Line) -> Self {
        Self { before, wanted: String::new(), at: None }
    }

    /// More of what is wanted: the line found may still be right.
    pub(super) fn add(&mut self, c: char, history: &History) {
        if self.wanted.len() < 256 {
            self.wanted.push(c);
            let end = self.at.map_or(history.len(), |at| at + 1);
            self.at = self.find(history, end);
        }
    }

    /// Less of it: from the newest line again.
    pub(super) fn shorten(&mut self, history: &History) {
        self.wanted.pop();
        self.at = self.find(history, history.len());
    }

    /// The next older line, if there is one.
    pub(super) fn older(&mut self, history: &History) {
        let end = self.at.unwrap_or(history.len());
        self.at = self.find(history, end).or(self.at);
    }

    fn find(&self, history: &History, end: usize) -> Option<usize> {
        let wanted = Some(&self.wanted).filter(|wanted| !wanted.is_empty())?;
        history.before(end, |line| line.contains(wanted))
    }

    pub(super) fn found<'a>(&self, history: &'a History) -> Option<&'a str> {
        self.at.and_then(|at| history.get(at))
    }

    /// The line found, as it is shown.
    pub(super) fn shown(&self, history: &History) -> Option<Line> {
        self.found(history).map(|found| {
            let mut line = Line::default();
            line.set(found);
            line
        })
    }

    pub(super) fn prompt(&self) -> String {
        let fails = if self.at.is_none() && !self.wanted.is_empty() { "nothing: " } else { "" };
        format!("({fails}{}) ", self.wanted)
    }
}
