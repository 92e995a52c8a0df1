//! Tones, which say what a thing means, and themes, which say what that looks like.
//!
//! Used through `Look`. Colours are those of the 256-colour table, which every terminal of today
//! has and which look the same on all. The background is the terminal's own, but for bars and
//! selections. No meaning rests on a colour alone: whoever draws a state draws its glyph or word.

use std::fmt;
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

/// What a text or a mark means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Text,
    /// Less important than text.
    Dim,
    /// More important than text.
    Bright,
    /// As it should be.
    Good,
    /// Not as it should be, perhaps soon bad.
    Warn,
    /// Broken, lost or refused.
    Bad,
    /// Worth knowing.
    Info,
    /// What is looked for or pointed at.
    Accent,
    /// The title of a box or of a column.
    Title,
    /// Lines around and between things.
    Border,
    /// The row or cell that is selected: a background, put over what is drawn already.
    Selected,
    /// A key that may be pressed.
    Key,
    /// A key that changes the cluster.
    Danger,
    /// The story bar while all is well.
    Story,
    /// The story bar during an incident.
    StoryBad,
    /// The colour of a node, by its number; after the last colour the first comes again.
    Node(u8),
    /// A bar of figures.
    Bar,
    /// The last picture of what is not known any more.
    Stale,
}

/// The themes by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ThemeName {
    /// For dark backgrounds.
    #[default]
    Dark,
    /// For light backgrounds.
    Light,
    /// For dark backgrounds, and eyes that do not tell red from green: blue is good, orange bad.
    Deuteranopia,
    /// No colour at all, only attributes.
    Mono,
}

impl ThemeName {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Dark, Self::Light, Self::Deuteranopia, Self::Mono];
}

impl fmt::Display for ThemeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Deuteranopia => "deuteranopia",
            Self::Mono => "mono",
        })
    }
}

/// No theme has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTheme(String);

impl fmt::Display for UnknownTheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ThemeName::ALL.map(|name| name.to_string()).join(", ");
        write!(f, "no theme is called {:?}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownTheme {}

impl FromStr for ThemeName {
    type Err = UnknownTheme;

    fn from_str(name: &str) -> Result<Self, UnknownTheme> {
        let of_name = |theme: &Self| theme.to_string() == name;
        Self::ALL.into_iter().find(of_name).ok_or_else(|| UnknownTheme(name.to_owned()))
    }
}

/// The colours of a theme, in numbers of the 256-colour table. What is bold and what is a
/// background is the same in all of them.
#[derive(Debug, PartialEq, Eq)]
struct Colours {
    dim: u8,
    bright: u8,
    good: u8,
    warn: u8,
    bad: u8,
    info: u8,
    accent: u8,
    title: u8,
    border: u8,
    /// A background.
    selected: u8,
    key: u8,
    danger: u8,
    /// A text and its background, as the next.
    story: (u8, u8),
    story_bad: (u8, u8),
    bar: u8,
    nodes: [u8; 8],
}

const DARK: Colours = Colours {
    dim: 245,
    bright: 255,
    good: 78,
    warn: 221,
    bad: 203,
    info: 111,
    accent: 87,
    title: 153,
    border: 240,
    selected: 238,
    key: 222,
    danger: 209,
    story: (252, 236),
    story_bad: (230, 88),
    bar: 74,
    nodes: [75, 114, 215, 176, 80, 228, 147, 180],
};

const LIGHT: Colours = Colours {
    dim: 243,
    bright: 16,
    good: 28,
    warn: 130,
    bad: 160,
    info: 25,
    accent: 30,
    title: 18,
    border: 249,
    selected: 153,
    key: 94,
    danger: 124,
    story: (235, 254),
    story_bad: (88, 224),
    bar: 67,
    nodes: [25, 28, 130, 90, 30, 58, 61, 95],
};

const DEUTERANOPIA: Colours = Colours {
    good: 75,
    warn: 229,
    bad: 208,
    info: 153,
    accent: 231,
    key: 229,
    danger: 208,
    story_bad: (231, 94),
    bar: 68,
    nodes: [39, 229, 153, 180, 69, 255, 141, 110],
    ..DARK
};

impl Colours {
    fn style(&self, tone: Tone) -> Style {
        let of = |fg: u8| PLAIN.fg(Color::Indexed(fg));
        let on = |(fg, bg): (u8, u8)| of(fg).bg(Color::Indexed(bg));
        let bold = |style: Style| style.add_modifier(BOLD);
        match tone {
            Tone::Text => PLAIN,
            Tone::Dim => of(self.dim),
            Tone::Bright => bold(of(self.bright)),
            Tone::Good => of(self.good),
            Tone::Warn => of(self.warn),
            Tone::Bad => bold(of(self.bad)),
            Tone::Info => of(self.info),
            Tone::Accent => bold(of(self.accent)),
            Tone::Title => bold(of(self.title)),
            Tone::Border | Tone::Stale => of(self.border),
            Tone::Selected => bold(Style::new().bg(Color::Indexed(self.selected))),
            Tone::Key => bold(of(self.key)),
            Tone::Danger => bold(of(self.danger)),
            Tone::Story => on(self.story),
            Tone::StoryBad => bold(on(self.story_bad)),
            Tone::Node(number) => of(self.nodes[usize::from(number) % self.nodes.len()]),
            Tone::Bar => of(self.bar),
        }
    }
}

const PLAIN: Style = Style::new().fg(Color::Reset);
const BOLD: Modifier = Modifier::BOLD;

/// Attributes in place of colours.
fn without_colours(tone: Tone) -> Style {
    match tone {
        Tone::Text | Tone::Good | Tone::Info | Tone::Story | Tone::Bar => PLAIN,
        Tone::Dim | Tone::Border | Tone::Stale => PLAIN.add_modifier(Modifier::DIM),
        Tone::Bright | Tone::Accent | Tone::Title | Tone::Key => PLAIN.add_modifier(BOLD),
        Tone::Warn => PLAIN.add_modifier(Modifier::UNDERLINED),
        Tone::Bad | Tone::Danger => PLAIN.add_modifier(BOLD.union(Modifier::UNDERLINED)),
        Tone::Selected => Style::new().add_modifier(Modifier::REVERSED),
        Tone::StoryBad => PLAIN.add_modifier(BOLD.union(Modifier::REVERSED)),
        Tone::Node(number) if number % 2 == 1 => PLAIN.add_modifier(BOLD),
        Tone::Node(_) => PLAIN,
    }
}

/// What the tones are on this terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    name: ThemeName,
}

impl Theme {
    /// The theme of this name.
    pub fn of(name: ThemeName) -> Self {
        Self { name }
    }

    /// Its name.
    pub fn name(&self) -> ThemeName {
        self.name
    }

    /// What `tone` is.
    pub fn style(&self, tone: Tone) -> Style {
        match self.name {
            ThemeName::Dark => DARK.style(tone),
            ThemeName::Light => LIGHT.style(tone),
            ThemeName::Deuteranopia => DEUTERANOPIA.style(tone),
            ThemeName::Mono => without_colours(tone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_is_found_by_its_name() {
        for name in ThemeName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let wrong = "blue".parse::<ThemeName>().unwrap_err().to_string();
        assert_eq!(wrong, "no theme is called \"blue\"; there are dark, light, deuteranopia, mono");
    }

    #[test]
    fn every_theme_tells_good_from_bad_and_what_is_selected() {
        for name in ThemeName::ALL {
            let theme = Theme::of(name);
            let of = |tone| theme.style(tone);
            assert_ne!(of(Tone::Good), of(Tone::Bad), "{name}");
            assert_ne!(of(Tone::Good), of(Tone::Warn), "{name}");
            assert_ne!(of(Tone::Warn), of(Tone::Bad), "{name}");
            assert_ne!(of(Tone::Story), of(Tone::StoryBad), "{name}");
            assert_ne!(of(Tone::Text), of(Tone::Text).patch(of(Tone::Selected)), "{name}");
            assert_ne!(of(Tone::Bad), of(Tone::Bad).patch(of(Tone::Selected)), "{name}");
            assert_eq!(of(Tone::Node(1)), of(Tone::Node(9)), "{name}");
        }
    }

    #[test]
    fn nothing_else_has_the_colour_of_what_is_bad() {
        for name in [ThemeName::Dark, ThemeName::Light, ThemeName::Deuteranopia] {
            let theme = Theme::of(name);
            let bad = theme.style(Tone::Bad).fg;
            for number in 0..8 {
                assert_ne!(theme.style(Tone::Node(number)).fg, bad, "{name} {number}");
            }
        }
    }

    #[test]
    fn without_colour_there_is_none() {
        let theme = Theme::of(ThemeName::Mono);
        let tones = [
            Tone::Text,
            Tone::Dim,
            Tone::Bright,
            Tone::Good,
            Tone::Warn,
            Tone::Bad,
            Tone::Info,
            Tone::Accent,
            Tone::Title,
            Tone::Border,
            Tone::Selected,
            Tone::Key,
            Tone::Danger,
            Tone::Story,
            Tone::StoryBad,
            Tone::Node(0),
            Tone::Node(1),
            Tone::Bar,
            Tone::Stale,
        ];
        for tone in tones {
            let style = theme.style(tone);
            assert!(matches!(style.fg, None | Some(Color::Reset)), "{tone:?}");
            assert_eq!(style.bg, None, "{tone:?}");
        }
    }
}
