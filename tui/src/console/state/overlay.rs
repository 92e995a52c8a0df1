//! What lies over a view: a question before the cluster is changed, the help, the palette.
//!
//! Part of the console's state; drawn by `screen`.

use protocol::supervisor::ProcAction;

use super::{Console, PAGE};
use crate::console::action::Action;
use crate::console::effect::{Effect, MemberOrder, Quit};
use crate::console::keys::{self, Binding, full_name};
use crate::console::screen::help_end;
use crate::console::views::{Out, Pointed};
use crate::prompt::Key;

/// What lies over the view.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// A question before the cluster is changed.
    Ask(Question),
    /// What becomes of the cluster: 0 stop all, 1 leave running, 2 cancel.
    Quit {
        /// The focused answer.
        focused: usize,
    },
    /// All keys, from this row on.
    Help {
        /// The first row that is shown.
        from: usize,
    },
    /// Something to do, chosen by its name.
    Palette(Palette),
}

/// A question before the cluster is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What would be done.
    pub action: Wanted,
    /// In a few words.
    pub title: String,
    /// What that would mean, a sentence a line.
    pub said: Vec<String>,
    /// Whether yes is focused; at first it is not.
    pub yes: bool,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A process, at its supervisor.
    Process(ProcAction),
    /// Who is a member, at the coordinator.
    Member(MemberOrder),
}

/// What is typed to find something to do, and what is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// What is typed.
    pub text: String,
    /// Which of the found ones is focused.
    pub focused: usize,
}

/// Longest text in the palette, characters.
const PALETTE_CHARS_MAX: usize = 40;

impl Palette {
    /// What fits what is typed, with its name: names that begin so first.
    pub fn found(&self) -> Vec<(String, &'static Binding)> {
        let typed = self.text.to_lowercase();
        let named = keys::all().map(|(view, one)| (full_name(view, one), one));
        let fits = |(name, one): &(String, &Binding)| {
            name.contains(&typed) || one.help.to_lowercase().contains(&typed)
        };
        let mut found: Vec<(String, &'static Binding)> = named.filter(fits).collect();
        found.sort_by_key(|(name, _)| (!name.starts_with(&typed), !name.contains(&typed)));
        found
    }
}

impl Console {
    pub(super) fn overlay_key(&mut self, key: &Key, out: &mut Out) {
        let Some(overlay) = self.overlay.take() else { return };
        if *key == Key::Escape || *key == Key::Ctrl('c') {
            return;
        }
        match overlay {
            Overlay::Ask(question) => self.answer(question, key, out),
            Overlay::Quit { focused } => self.answer_quit(focused, key, out),
            Overlay::Help { from } => {
                let from = match key {
                    Key::Down | Key::Char('j') => from + 1,
                    Key::Up | Key::Char('k') => from.saturating_sub(1),
                    Key::Char(' ') => from + 10,
                    Key::Char('?' | 'q') | Key::Enter => return,
                    _ => from,
                };
                self.overlay = Some(Overlay::Help { from: from.min(help_end(self)) });
            }
            Overlay::Palette(palette) => self.palette_key(palette, key, out),
        }
    }

    fn answer(&mut self, mut question: Question, key: &Key, out: &mut Out) {
        match key {
            Key::Char('y' | 'Y') => return self.do_it(question.action, out),
            Key::Enter if question.yes => return self.do_it(question.action, out),
            Key::Enter | Key::Char('n' | 'N' | 'q') => return,
            Key::Tab | Key::BackTab | Key::Left | Key::Right => question.yes = !question.yes,
            _ => {}
        }
        self.overlay = Some(Overlay::Ask(question));
    }

    fn do_it(&mut self, wanted: Wanted, out: &mut Out) {
        match wanted {
            Wanted::Process(action) => self.order(action, out),
            Wanted::Member(order) => self.order_members(order, out),
        }
    }

    fn answer_quit(&mut self, focused: usize, key: &Key, out: &mut Out) {
        let answer = match key {
            Key::Char('s' | 'S') => 0,
            Key::Char('l' | 'L') => 1,
            Key::Char('c' | 'C' | 'n' | 'q') => 2,
            Key::Enter => focused,
            Key::Tab | Key::Right | Key::Left | Key::BackTab => {
                let step = if matches!(key, Key::Tab | Key::Right) { 1 } else { 2 };
                self.overlay = Some(Overlay::Quit { focused: (focused + step) % 3 });
                return;
            }
            _ => {
                self.overlay = Some(Overlay::Quit { focused });
                return;
            }
        };
        match answer {
            0 => out.effect(Effect::Quit(Quit::StopAll)),
            1 => out.effect(Effect::Quit(Quit::Leave)),
            _ => {}
        }
    }

    fn palette_key(&mut self, mut palette: Palette, key: &Key, out: &mut Out) {
        let found = palette.found();
        match key {
            Key::Enter => {
                if let Some((_, binding)) = found.get(palette.focused) {
                    self.act(binding.action, out);
                }
                return;
            }
            Key::Down | Key::Tab => {
                palette.focused = (palette.focused + 1).min(found.len().saturating_sub(1));
            }
            Key::Up | Key::BackTab => palette.focused = palette.focused.saturating_sub(1),
            Key::PageDown => {
                palette.focused = (palette.focused + PAGE).min(found.len().saturating_sub(1));
            }
            Key::PageUp => palette.focused = palette.focused.saturating_sub(PAGE),
            Key::End => palette.focused = found.len().saturating_sub(1),
            Key::Home => palette.focused = 0,
            Key::Backspace if palette.text.is_empty() => return,
            Key::Backspace => {
                palette.text.pop();
                palette.focused = 0;
            }
            Key::Char(c) if palette.text.chars().count() < PALETTE_CHARS_MAX => {
                palette.text.push(*c);
                palette.focused = 0;
            }
            _ => {}
        }
        self.overlay = Some(Overlay::Palette(palette));
    }

    pub(super) fn overlay_pointed(&mut self, at: Pointed, out: &mut Out) {
        let key = match at {
            Pointed::Wheel(_, _, true) => Key::Down,
            Pointed::Wheel(_, _, false) => Key::Up,
            // A click beside a question must never answer it.
            Pointed::Click(..) => return,
        };
        if matches!(self.overlay, Some(Overlay::Help { .. } | Overlay::Palette(_))) {
            self.overlay_key(&key, out);
        }
    }

    /// Shows all keys, or what can be done by name.
    pub(super) fn lay_over(&mut self, action: Action) {
        self.overlay = match action {
            Action::Help => Some(Overlay::Help { from: 0 }),
            Action::Palette => Some(Overlay::Palette(Palette::default())),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::state::Input;
    use crate::console::testing::{frame, played, press};

    fn key(console: &mut Console, key: Key) {
        console.handle(console.model.now, Input::Key(key));
    }

    #[test]
    fn a_palette_says_that_there_is_more_and_shows_it() {
        let mut console = played("calm", 2_000);
        console.size = (120, 36);
        console.act_now(Action::Palette);
        let all = Palette::default().found();
        assert!(frame(&console, 120, 36).contains("more below"));
        let focused = |console: &Console| match &console.overlay {
            Some(Overlay::Palette(palette)) => palette.focused,
            _ => usize::MAX,
        };
        key(&mut console, Key::PageDown);
        assert!(focused(&console) > 1 && focused(&console) < all.len());
        key(&mut console, Key::End);
        let shown = frame(&console, 120, 36);
        assert!(shown.contains(&all[all.len() - 1].0) && !shown.contains("more below"), "{shown}");
        key(&mut console, Key::Home);
        assert_eq!(focused(&console), 0);
        press(&mut console, "kill");
        assert!(!frame(&console, 120, 36).contains("not now: "));
        console.read_only = Some("it was started with --read-only".into());
        assert!(frame(&console, 120, 36).contains("not now: "));
    }

    #[test]
    fn a_key_that_does_nothing_says_so() {
        let mut console = played("calm", 2_000);
        press(&mut console, "Z");
        let shown = frame(&console, 120, 36);
        assert!(shown.contains("Z does nothing here; ? shows the keys"), "{shown}");
    }
}
