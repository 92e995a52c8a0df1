//! A recording of the screen as a file that terminals' players read: asciicast, version 2.
//!
//! Used by the binary, which writes it. Pure: what was drawn goes in, lines come out. Times are
//! from the beginning; each frame is one line; marks and captions are labels.

use serde_json::json;

/// The first line, newline included.
pub fn header(columns: u16, rows: u16, title: &str) -> String {
    let header = json!({
        "version": 2,
        "width": columns,
        "height": rows,
        "title": title,
        "idle_time_limit": 2,
        "env": {"TERM": "xterm-256color"},
    });
    format!("{header}\n")
}

/// What was drawn `at_us` microseconds after the beginning.
pub fn output(at_us: u64, data: &str) -> String {
    event(at_us, "o", data)
}

/// A label there.
pub fn label(at_us: u64, text: &str) -> String {
    event(at_us, "m", text)
}

/// The terminal has another size from there on.
pub fn resized(at_us: u64, columns: u16, rows: u16) -> String {
    event(at_us, "r", &format!("{columns}x{rows}"))
}

fn event(at_us: u64, kind: &str, data: &str) -> String {
    format!("[{}.{:06},{},{}]\n", at_us / 1_000_000, at_us % 1_000_000, json!(kind), json!(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_players_read() {
        let header = header(120, 36, "a \"demo\"");
        let read: serde_json::Value = serde_json::from_str(&header).expect("JSON");
        assert_eq!((read["version"].as_u64(), read["width"].as_u64()), (Some(2), Some(120)));
        assert_eq!(output(1_250_000, "\u{1b}[1mé"), "[1.250000,\"o\",\"\\u001b[1mé\"]\n");
        assert_eq!(label(5, "kill"), "[0.000005,\"m\",\"kill\"]\n");
        assert_eq!(resized(0, 80, 24), "[0.000000,\"r\",\"80x24\"]\n");
    }
}
