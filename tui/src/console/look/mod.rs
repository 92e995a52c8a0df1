//! How the console looks: a theme (what a tone is on this terminal) and a set of glyphs.
//!
//! Made once at the start, handed to everything that draws. Pure.
//!
//! - `theme`: tones, and the themes that give them colours
//! - `glyphs`: what is drawn that is not text, as Unicode and in plain ASCII

mod glyphs;
mod theme;

use ratatui::style::Style;

pub use glyphs::{Glyphs, State};
pub use theme::{Theme, ThemeName, Tone, UnknownTheme};

/// A theme and a set of glyphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What colours and attributes the tones are.
    pub theme: Theme,
    /// What lines, bars and marks are made of.
    pub glyphs: &'static Glyphs,
}

impl Default for Look {
    fn default() -> Self {
        Self::choose(None, false, None, false)
    }
}

impl Look {
    /// The look that a person asked for. A theme of the command line goes before `NO_COLOR`, which
    /// goes before the configured one.
    pub fn choose(
        flag: Option<ThemeName>,
        no_color: bool,
        config: Option<ThemeName>,
        ascii: bool,
    ) -> Self {
        let unless_asked = if no_color { Some(ThemeName::Mono) } else { config };
        let theme = Theme::of(flag.or(unless_asked).unwrap_or_default());
        let glyphs = if ascii { &Glyphs::ASCII } else { &Glyphs::UNICODE };
        Self { theme, glyphs }
    }

    /// What `tone` is.
    pub fn style(&self, tone: Tone) -> Style {
        self.theme.style(tone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_theme_gets_it_in_this_order() {
        let (light, dark) = (Some(ThemeName::Light), Some(ThemeName::Dark));
        for (flag, no_color, config, expected) in [
            (light, true, dark, ThemeName::Light),
            (None, true, light, ThemeName::Mono),
            (None, false, light, ThemeName::Light),
            (None, false, None, ThemeName::Dark),
        ] {
            let look = Look::choose(flag, no_color, config, false);
            assert_eq!(look.theme.name(), expected);
        }
    }

    #[test]
    fn ascii_is_of_any_theme() {
        let look = Look::choose(None, false, Some(ThemeName::Light), true);
        assert_eq!(look.glyphs, &Glyphs::ASCII);
        assert_eq!(Look::default().glyphs, &Glyphs::UNICODE);
    }
}
