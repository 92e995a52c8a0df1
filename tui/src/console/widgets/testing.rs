//! Pictures of buffers that a person can read and a test can compare.
//!
//! The larger ones are files in `tui/src/console/pictures/`: rows of text, and below them the
//! styles. To draw them anew, and read in the difference what changed:
//! `PIAZZA_DRAW=1 cargo test -p tui console`.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::console::look::{Look, ThemeName};
use crate::text as safe;

/// The look of a terminal of which nothing was asked.
pub(crate) fn look() -> Look {
    Look::default()
}

/// The look of plain ASCII.
pub(crate) fn ascii() -> Look {
    Look::choose(None, false, None, true)
}

/// The look without colours.
pub(crate) fn mono() -> Look {
    Look::choose(Some(ThemeName::Mono), false, None, false)
}

/// That many columns and rows.
pub(crate) fn area(width: u16, height: u16) -> Rect {
    Rect::new(0, 0, width, height)
}

/// What `draw` draws into so many columns and rows.
pub(crate) fn drawn<T>(
    width: u16,
    height: u16,
    draw: impl FnOnce(Rect, &mut Buffer) -> T,
) -> Buffer {
    let mut buf = Buffer::empty(area(width, height));
    draw(buf.area, &mut buf);
    buf
}

/// The rows of `buf` as text, without blanks at their ends.
pub(crate) fn text(buf: &Buffer) -> String {
    let row = |y| {
        let mut row = String::new();
        let mut x = buf.area.x;
        while x < buf.area.right() {
            let symbol = buf[(x, y)].symbol();
            row.push_str(symbol);
            x += safe::width(symbol).max(1) as u16;
        }
        row.trim_end().to_owned()
    };
    (buf.area.y..buf.area.bottom()).map(row).collect::<Vec<_>>().join("\n")
}

/// The styles of `buf`: below the rows a legend, one letter a style; in the rows runs of them, the
/// terminal's own style as a point.
pub(crate) fn styles(buf: &Buffer) -> String {
    let mut legend: Vec<Style> = Vec::new();
    let mut out = String::new();
    for y in buf.area.y..buf.area.bottom() {
        let mut runs: Vec<(char, usize)> = Vec::new();
        for x in buf.area.x..buf.area.right() {
            let letter = letter(&mut legend, buf[(x, y)].style());
            match runs.last_mut() {
                Some((last, count)) if *last == letter => *count += 1,
                _ => runs.push((letter, 1)),
            }
        }
        if runs.last().is_some_and(|(letter, _)| *letter == '.') {
            runs.pop();
        }
        let runs: Vec<_> = runs.iter().map(|(letter, count)| format!("{letter}{count}")).collect();
        let _ = writeln!(out, "{}", runs.join(" "));
    }
    for (at, style) in legend.iter().enumerate() {
        let letter = char::from(b'a' + (at % 26) as u8);
        let colors = [style.fg, style.bg].map(|color| color.unwrap_or_default());
        let bg = if colors[1] == Default::default() {
            String::new()
        } else {
            format!(" on {}", colors[1])
        };
        let modifier = style.add_modifier;
        let modifier = if modifier.is_empty() { String::new() } else { format!(" {modifier:?}") };
        let _ = writeln!(out, "{letter} = {}{bg}{modifier}", colors[0]);
    }
    out.trim_end().to_owned()
}

/// Compares what was drawn with the picture of this name.
#[track_caller]
pub(crate) fn expect_picture(name: &str, buf: &Buffer) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/pictures");
    let path = format!("{folder}/{name}.txt");
    let (rows, styles) = (text(buf), styles(buf));
    let drawn = format!("{}\n\n{styles}\n", rows.trim_end());
    if std::env::var_os("PIAZZA_DRAW").is_some() {
        let folder = std::path::Path::new(&path).parent().expect("a folder for pictures");
        std::fs::create_dir_all(folder).expect("a folder for pictures");
        std::fs::write(&path, &drawn).expect("a picture");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == drawn,
        "{path} has\n{expected}\nbut this was drawn\n{drawn}\n\
         if that is right: PIAZZA_DRAW=1 cargo test -p tui console"
    );
}

fn letter(legend: &mut Vec<Style>, style: Style) -> char {
    if style == ratatui::buffer::Cell::EMPTY.style() {
        return '.';
    }
    let at = legend.iter().position(|known| *known == style).unwrap_or_else(|| {
        legend.push(style);
        legend.len() - 1
    });
    char::from(b'a' + (at % 26) as u8)
}

/// Whether a terminal would only show what is in `buf`: each cell one character, as wide as its
/// place, and nothing that is obeyed or cannot be seen.
pub(crate) fn assert_safe(buf: &Buffer, ascii: bool, what: &str) {
    for (at, cell) in buf.content.iter().enumerate() {
        let symbol = cell.symbol();
        let (x, _) = buf.pos_of(at);
        assert_eq!(cell.diff_option, CellDiffOption::None, "{what}");
        assert_eq!(safe::shown(symbol), symbol, "{what}: {symbol:?}");
        let columns = safe::width(symbol) as u16;
        assert!((1..=2).contains(&columns), "{what}: {symbol:?}");
        assert!(x + columns <= buf.area.right(), "{what}: {symbol:?} is cut in half");
        assert!(!ascii || symbol.is_ascii(), "{what}: {symbol:?}");
    }
}
