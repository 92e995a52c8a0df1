//! What is drawn that is not text: lines, bars, marks, states; as Unicode and in plain ASCII.
//!
//! Used by the widgets and by whoever writes a mark into a text. Each glyph is one column wide.

/// Where a server is in its life, as far as a glyph shows it. The word stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It serves.
    Up,
    /// It has not been heard for a while.
    Suspect,
    /// It is gone.
    Down,
    /// Its process is stopped.
    Paused,
    /// It becomes a member, or takes up what it missed.
    Joining,
    /// It hands over what it has.
    Leaving,
    /// It works on something that others wait for.
    Busy,
    /// Nobody knows.
    Unknown,
    /// Others have its place.
    Evicted,
}

/// One set of glyphs.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Whether all of them are ASCII; then texts are drawn in ASCII too.
    pub ascii: bool,
    /// A horizontal line.
    pub horizontal: &'static str,
    /// A vertical line.
    pub vertical: &'static str,
    /// The corners of a box: top left, top right, bottom left, bottom right.
    pub corners: [&'static str; 4],
    /// Where two lines cross.
    pub cross: &'static str,
    /// A vertical line with a branch to the right.
    pub branch_right: &'static str,
    /// A vertical line with a branch to the left.
    pub branch_left: &'static str,
    /// A horizontal line that is interrupted.
    pub dashes: &'static str,
    /// A vertical line that is interrupted.
    pub dashes_down: &'static str,
    /// The axis left of a plot.
    pub axis: &'static str,
    /// The heavy bar at the left of a story.
    pub edge: &'static str,
    /// The head of an arrow to the right.
    pub head_right: &'static str,
    /// The head of an arrow to the left.
    pub head_left: &'static str,
    /// A mark below a point of a plot.
    pub head_up: &'static str,
    /// What grows less.
    pub head_down: &'static str,
    /// The row that is selected; where the hand of a clock stands.
    pub pointer: &'static str,
    /// The next victim, behind it.
    pub victim: &'static str,
    /// A bit that is set; a way that was used.
    pub full: &'static str,
    /// A bit that is clear.
    pub clear: &'static str,
    /// Nothing there; a step still ahead.
    pub dot: &'static str,
    /// Done.
    pub done: &'static str,
    /// Under way.
    pub now: &'static str,
    /// Failed; a server that is gone.
    pub failed: &'static str,
    /// Lost on its way; served by another.
    pub lost: &'static str,
    /// Something that a server did by itself.
    pub square: &'static str,
    /// A key's place.
    pub diamond: &'static str,
    /// A text that was cut.
    pub ellipsis: &'static str,
    /// The cursor of a text field.
    pub cursor: &'static str,
    /// From here to there.
    pub arrow: &'static str,
    /// A heartbeat that never came.
    pub missed: &'static str,
    /// Bars by eighths of a row, the full one last.
    pub bars: [&'static str; 8],
    /// Delays by eighths, the longest last.
    pub beats: [&'static str; 8],
    /// Bars by eighths of a column, the full one last.
    pub blocks: [&'static str; 8],
    /// A bar that is only waiting.
    pub light: &'static str,
    /// States: up, suspect, down, paused, joining, leaving, busy, unknown, evicted.
    states: [&'static str; 9],
}

impl Glyphs {
    /// For terminals of today.
    pub const UNICODE: Self = Self {
        ascii: false,
        horizontal: "─",
        vertical: "│",
        corners: ["┌", "┐", "└", "┘"],
        cross: "┼",
        branch_right: "├",
        branch_left: "┤",
        dashes: "╌",
        dashes_down: "╎",
        axis: "▕",
        edge: "▌",
        head_right: "▶",
        head_left: "◀",
        head_up: "▲",
        head_down: "▼",
        pointer: "▸",
        victim: "◂",
        full: "●",
        clear: "○",
        dot: "·",
        done: "✓",
        now: "▶",
        failed: "✗",
        lost: "╳",
        square: "■",
        diamond: "◆",
        ellipsis: "…",
        cursor: "▏",
        arrow: "→",
        missed: "x",
        bars: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        beats: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        blocks: ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
        light: "░",
        states: ["●", "◐", "✗", "‖", "◌", "◇", "◍", "?", "⊘"],
    };

    /// For terminals, fonts and recordings that know nothing else.
    pub const ASCII: Self = Self {
        ascii: true,
        horizontal: "-",
        vertical: "|",
        corners: ["+", "+", "+", "+"],
        cross: "+",
        branch_right: "+",
        branch_left: "+",
        dashes: "-",
        dashes_down: ":",
        axis: "|",
        edge: "|",
        head_right: ">",
        head_left: "<",
        head_up: "^",
        head_down: "v",
        pointer: ">",
        victim: "<",
        full: "o",
        clear: "-",
        dot: ".",
        done: "*",
        now: ">",
        failed: "x",
        lost: "x",
        square: "#",
        diamond: "@",
        ellipsis: "~",
        cursor: "_",
        arrow: ">",
        missed: "x",
        bars: [".", ":", "-", "=", "+", "*", "%", "#"],
        beats: ["1", "2", "3", "4", "5", "6", "7", "8"],
        blocks: ["-", "-", "-", "=", "=", "=", "#", "#"],
        light: ":",
        states: ["o", "~", "x", "=", "%", "-", "*", "?", "0"],
    };

    /// The glyph of a state.
    pub fn state(&self, state: State) -> &'static str {
        self.states[state as usize]
    }

    /// Those of which there is one each.
    fn single(&self) -> [&'static str; 29] {
        [
            self.horizontal,
            self.vertical,
            self.cross,
            self.branch_right,
            self.branch_left,
            self.dashes,
            self.dashes_down,
            self.axis,
            self.edge,
            self.head_right,
            self.head_left,
            self.head_up,
            self.head_down,
            self.pointer,
            self.victim,
            self.full,
            self.clear,
            self.dot,
            self.done,
            self.now,
            self.failed,
            self.lost,
            self.square,
            self.diamond,
            self.ellipsis,
            self.cursor,
            self.arrow,
            self.missed,
            self.light,
        ]
    }

    /// One grapheme in the nearest ASCII of as many columns, for sets that are ASCII.
    pub(crate) fn plain(grapheme: &str, columns: usize) -> String {
        let place = Self::UNICODE.single().into_iter().position(|glyph| glyph == grapheme);
        let near = match (place, grapheme) {
            (Some(place), _) => Self::ASCII.single()[place],
            (None, "←" | "≤") => "<",
            (None, "≥") => ">",
            (None, "↑") => "^",
            (None, "↓") => "v",
            (None, "×") => "x",
            (None, "‘" | "’") => "'",
            (None, "“" | "”") => "\"",
            (None, "–" | "—" | "−") => "-",
            (None, _) => return "?".repeat(columns),
        };
        near.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    const STATES: [State; 9] = [
        State::Up,
        State::Suspect,
        State::Down,
        State::Paused,
        State::Joining,
        State::Leaving,
        State::Busy,
        State::Unknown,
        State::Evicted,
    ];

    fn all(glyphs: &Glyphs) -> Vec<&'static str> {
        let Glyphs { corners, bars, beats, blocks, states, .. } = glyphs;
        [&glyphs.single()[..], corners, bars, beats, blocks, states].concat()
    }

    #[test]
    fn a_glyph_is_one_column_wide_and_ascii_where_that_is_said() {
        for glyphs in [&Glyphs::UNICODE, &Glyphs::ASCII] {
            for glyph in all(glyphs) {
                assert_eq!(text::width(glyph), 1, "{glyph}");
                assert!(!glyphs.ascii || glyph.is_ascii(), "{glyph}");
            }
        }
    }

    #[test]
    fn states_differ_in_their_glyphs() {
        for glyphs in [&Glyphs::UNICODE, &Glyphs::ASCII] {
            for (at, state) in STATES.into_iter().enumerate() {
                let others = STATES.into_iter().filter(|other| *other != state);
                assert!(others.clone().all(|other| glyphs.state(other) != glyphs.state(state)));
                assert_eq!(state as usize, at);
            }
        }
    }

    #[test]
    fn other_characters_become_as_many_columns_of_ascii() {
        assert_eq!(Glyphs::plain("→", 1), ">");
        assert_eq!(Glyphs::plain("漢", 2), "??");
    }
}
