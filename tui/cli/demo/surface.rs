//! Screens that nobody sees, and screens that are recorded.
//!
//! Used by `demo`.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tui::console::run::Surface;
use tui::console::screen;
use tui::console::state::Console;
use tui::terminal::OffScreen;

use super::stage::Cast;
use crate::print::Failure;

/// A screen of that size that nobody sees.
pub(super) struct Unseen(pub(super) (u16, u16));

impl Surface for Unseen {
    fn draw(&mut self, _console: &Console) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> (u16, u16) {
        self.0
    }
}

/// A screen, and a file with what was on it.
pub(super) struct Recorded {
    shown: Box<dyn Surface>,
    off: OffScreen,
    cast: Rc<RefCell<Cast>>,
}

impl Recorded {
    pub(super) fn new(
        shown: Box<dyn Surface>,
        cast: Rc<RefCell<Cast>>,
        title: &str,
    ) -> Result<Self, Failure> {
        let off = OffScreen::new(shown.size()).map_err(super::system)?;
        cast.borrow_mut().header(shown.size(), title);
        Ok(Self { shown, off, cast })
    }
}

impl Surface for Recorded {
    fn draw(&mut self, console: &Console) -> io::Result<()> {
        self.shown.draw(console)?;
        let size = self.shown.size();
        if size != self.off.size() {
            self.off = OffScreen::new(size)?;
            self.cast.borrow_mut().resized(size);
        }
        let bytes = self.off.draw(|frame| screen::draw(console, frame.buffer_mut()))?;
        self.cast.borrow_mut().frame(&bytes);
        Ok(())
    }

    fn size(&self) -> (u16, u16) {
        self.shown.size()
    }

    fn mouse(&mut self, taken: bool) -> io::Result<()> {
        self.shown.mouse(taken)
    }

    fn redraw(&mut self) -> io::Result<()> {
        self.shown.redraw()
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.shown.suspend()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shown.send(bytes)
    }
}
