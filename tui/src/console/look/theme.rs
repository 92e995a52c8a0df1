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

/// What every tone is.
#[derive(Debug, PartialEq, Eq)]
struct Palette {
    text: Style,
    dim: Style,
    bright: Style,
    good: Style,
    warn: Style,
    bad: Style,
    info: Style,
    accent: Style,
    title: Style,
    border: Style,
    selected: Style,
    key: Style,
    danger: Style,
    story: Style,
    story_bad: Style,
    bar: Style,
    stale: Style,
    nodes: [Style; 8],
}

const fn fg(color: u8) -> Style {
    Style::new().fg(Color::Indexed(color))
}

const fn on(fg: u8, bg: u8) -> Style {
    Style::new().fg(Color::Indexed(fg)).bg(Color::Indexed(bg))
}

const fn nodes(colors: [u8; 8]) -> [Style; 8] {
    let [a, b, c, d, e, f, g, h] = colors;
    [fg(a), fg(b), fg(c), fg(d), fg(e), fg(f), fg(g), fg(h)]
}

const PLAIN: Style = Style::new().fg(Color::Reset);
const BOLD: Modifier = Modifier::BOLD;

static DARK: Palette = Palette {
    text: PLAIN,
    dim: fg(245),
    bright: fg(255).add_modifier(BOLD),
    good: fg(78),
    warn: fg(221),
    bad: fg(203).add_modifier(BOLD),
    info: fg(111),
    accent: fg(87).add_modifier(BOLD),
    title: fg(153).add_modifier(BOLD),
    border: fg(240),
    selected: Style::new().bg(Color::Indexed(238)).add_modifier(BOLD),
    key: fg(222).add_modifier(BOLD),
    danger: fg(209).add_modifier(BOLD),
    story: on(252, 236),
    story_bad: on(230, 88).add_modifier(BOLD),
    bar: fg(74),
    stale: fg(240),
    nodes: nodes([75, 114, 215, 176, 80, 228, 147, 180]),
};

static LIGHT: Palette = Palette {
    text: PLAIN,
    dim: fg(243),
    bright: fg(16).add_modifier(BOLD),
    good: fg(28),
    warn: fg(130),
    bad: fg(160).add_modifier(BOLD),
    info: fg(25),
    accent: fg(30).add_modifier(BOLD),
    title: fg(18).add_modifier(BOLD),
    border: fg(249),
    selected: Style::new().bg(Color::Indexed(153)).add_modifier(BOLD),
    key: fg(94).add_modifier(BOLD),
    danger: fg(124).add_modifier(BOLD),
    story: on(235, 254),
    story_bad: on(88, 224).add_modifier(BOLD),
    bar: fg(67),
    stale: fg(249),
    nodes: nodes([25, 28, 130, 90, 30, 58, 61, 95]),
};

static DEUTERANOPIA: Palette = Palette {
    text: PLAIN,
    dim: fg(245),
    bright: fg(255).add_modifier(BOLD),
    good: fg(75),
    warn: fg(229),
    bad: fg(208).add_modifier(BOLD),
    info: fg(153),
    accent: fg(231).add_modifier(BOLD),
    title: fg(153).add_modifier(BOLD),
    border: fg(240),
    selected: Style::new().bg(Color::Indexed(238)).add_modifier(BOLD),
    key: fg(229).add_modifier(BOLD),
    danger: fg(208).add_modifier(BOLD),
    story: on(252, 236),
    story_bad: on(231, 94).add_modifier(BOLD),
    bar: fg(68),
    stale: fg(240),
    nodes: nodes([39, 229, 153, 180, 69, 255, 141, 110]),
};

static MONO: Palette = Palette {
    text: PLAIN,
    dim: PLAIN.add_modifier(Modifier::DIM),
    bright: PLAIN.add_modifier(BOLD),
    good: PLAIN,
    warn: PLAIN.add_modifier(Modifier::UNDERLINED),
    bad: PLAIN.add_modifier(BOLD.union(Modifier::UNDERLINED)),
    info: PLAIN,
    accent: PLAIN.add_modifier(BOLD),
    title: PLAIN.add_modifier(BOLD),
    border: PLAIN.add_modifier(Modifier::DIM),
    selected: Style::new().add_modifier(Modifier::REVERSED),
    key: PLAIN.add_modifier(BOLD),
    danger: PLAIN.add_modifier(BOLD.union(Modifier::UNDERLINED)),
    story: PLAIN,
    story_bad: PLAIN.add_modifier(BOLD.union(Modifier::REVERSED)),
    bar: PLAIN,
    stale: PLAIN.add_modifier(Modifier::DIM),
    nodes: [
        PLAIN,
        PLAIN.add_modifier(BOLD),
        PLAIN,
        PLAIN.add_modifier(BOLD),
        PLAIN,
        PLAIN.add_modifier(BOLD),
        PLAIN,
        PLAIN.add_modifier(BOLD),
    ],
};

/// What the tones are on this terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    name: ThemeName,
    palette: &'static Palette,
}

impl Theme {
    /// The theme of this name.
    pub fn of(name: ThemeName) -> Self {
        let palette = match name {
            ThemeName::Dark => &DARK,
            ThemeName::Light => &LIGHT,
            ThemeName::Deuteranopia => &DEUTERANOPIA,
            ThemeName::Mono => &MONO,
        };
        Self { name, palette }
    }

    /// Its name.
    pub fn name(&self) -> ThemeName {
        self.name
    }

    /// What `tone` is.
    pub fn style(&self, tone: Tone) -> Style {
        let palette = self.palette;
        match tone {
            Tone::Text => palette.text,
            Tone::Dim => palette.dim,
            Tone::Bright => palette.bright,
            Tone::Good => palette.good,
            Tone::Warn => palette.warn,
            Tone::Bad => palette.bad,
            Tone::Info => palette.info,
            Tone::Accent => palette.accent,
            Tone::Title => palette.title,
            Tone::Border => palette.border,
            Tone::Selected => palette.selected,
            Tone::Key => palette.key,
            Tone::Danger => palette.danger,
            Tone::Story => palette.story,
            Tone::StoryBad => palette.story_bad,
            Tone::Node(number) => palette.nodes[usize::from(number) % palette.nodes.len()],
            Tone::Bar => palette.bar,
            Tone::Stale => palette.stale,
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
