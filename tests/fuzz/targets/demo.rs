//! Scripts of demos, which anybody may write.

use tui::demo::parse;

/// A script is read whole, or each mistake in it is told with a place that the text has.
pub fn demo(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Err(problems) = parse("fuzzed", text) else { return };
    assert!(!problems.is_empty(), "a script that is refused has a mistake");
    let lines: Vec<&str> = text.lines().collect();
    for problem in problems {
        let (line, column) = (problem.place.line, problem.place.column);
        assert!(line >= 1 && line <= lines.len().max(1), "{problem}: there is no such line");
        let width = lines.get(line - 1).map_or(0, |line| line.chars().count());
        assert!(column >= 1 && column <= width + 1, "{problem}: there is no such column");
        assert!(!problem.message.is_empty());
    }
}
