//! A screen that nobody sees: the bytes that a terminal of that size would be sent.
//!
//! Used where a screen is recorded. Asks no terminal anything.

use std::io;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::style;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::screen::Bytes;

/// What such a terminal is sent first: cleared, and no cursor.
const BEGIN: &[u8] = b"\x1b[0m\x1b[2J\x1b[H\x1b[?25l";

/// The screen.
#[derive(Debug)]
pub struct OffScreen {
    terminal: Terminal<CrosstermBackend<Bytes>>,
    bytes: Bytes,
    size: (u16, u16),
    begun: bool,
}

impl OffScreen {
    /// An empty one.
    ///
    /// # Errors
    /// None that is known; the library's own.
    pub fn new(size: (u16, u16)) -> io::Result<Self> {
        // As on a real screen: what is drawn without colours is drawn so by its theme.
        style::force_color_output(true);
        let bytes = Bytes::default();
        let area = Rect::new(0, 0, size.0, size.1);
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let terminal = Terminal::with_options(CrosstermBackend::new(bytes.clone()), options)?;
        Ok(Self { terminal, bytes, size, begun: false })
    }

    /// Its columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// The bytes that make the screen before this one; the first ones clear it.
    ///
    /// # Errors
    /// None that is known; the library's own.
    pub fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<Vec<u8>> {
        self.terminal.draw(view)?;
        let begin = if self.begun { &[][..] } else { BEGIN };
        self.begun = true;
        Ok([begin, &self.bytes.take()].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use ratatui::widgets::Paragraph;

    use super::*;

    #[test]
    fn a_terminal_that_is_sent_the_bytes_shows_the_screen() {
        let mut screen = OffScreen::new((20, 3)).unwrap();
        let sizes = [3, 20].map(|n| NonZero::new(n).unwrap());
        let mut seen = vt100::Parser::new(sizes[0], sizes[1], 0);
        for text in ["one\ntwo", "one\nthree", "é漢 x"] {
            let bytes =
                screen.draw(|frame| frame.render_widget(Paragraph::new(text), frame.area()));
            seen.process(&bytes.unwrap());
            assert_eq!(seen.screen().contents().trim_end(), text);
        }
    }
}
