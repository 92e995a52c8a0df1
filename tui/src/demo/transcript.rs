//! What a demo did, as lines: for a person, or one JSON object each.
//!
//! Used by the binary. Pure.

use std::fmt::Write as _;

use super::player::{Note, What};
use crate::text::escaped;

/// A note as a line for a person, newline included; `picture` is the screen of a shot, or of a
/// failure.
pub fn line(note: &Note, picture: Option<&str>) -> String {
    let at_s = note.at_us as f64 / 1e6;
    let escaped = |text: &str| escaped(text.as_bytes(), false);
    let text = escaped(&note.text);
    let said = match &note.what {
        // A caption's figure may be a key.
        What::Said(said) => format!("> {}", escaped(said)),
        What::Mark(name) => format!("== {name} =="),
        What::Done => text,
        What::Shot(_) => text,
        What::Kept(figure) => format!("{text}: {}", escaped(figure)),
        What::Met { took_us, limit_ms } => format!("{text}  ok{}", times(*took_us, *limit_ms)),
        What::Unmet { took_us, limit_ms, why } => {
            let times = times(*took_us, *limit_ms);
            format!("{text}  UNMET{times}\n          {}", escaped(why))
        }
        What::Passed => "passed".to_owned(),
    };
    let mut out = format!("[+{at_s:06.2}s] {said}\n");
    for row in picture.unwrap_or_default().lines() {
        writeln!(out, "    | {row}").expect("a text takes what is written to it");
    }
    out
}

fn times(took_us: u64, limit_ms: Option<u64>) -> String {
    let took_s = took_us as f64 / 1e6;
    limit_ms.map_or(String::new(), |limit| format!(" {took_s:.2}s (limit {}s)", limit as f64 / 1e3))
}

/// The same as one JSON object.
pub fn json(note: &Note, picture: Option<&str>) -> serde_json::Value {
    let mut object = serde_json::json!({
        "at_us": note.at_us,
        "step": note.step,
        "text": note.text,
    });
    let mut put = |name: &str, value: serde_json::Value| object[name] = value;
    let (result, took) = match &note.what {
        What::Met { took_us, limit_ms } => ("ok", Some((took_us, limit_ms))),
        What::Unmet { took_us, limit_ms, .. } => ("unmet", Some((took_us, limit_ms))),
        What::Passed => ("passed", None),
        _ => ("done", None),
    };
    put("result", result.into());
    if let Some((took_us, limit_ms)) = took {
        put("took_us", (*took_us).into());
        put("limit_ms", (*limit_ms).into());
    }
    match &note.what {
        What::Said(said) => put("caption", said.as_str().into()),
        What::Mark(name) => put("mark", name.as_str().into()),
        What::Shot(name) => put("shot", name.as_str().into()),
        What::Kept(figure) => put("kept", figure.as_str().into()),
        What::Unmet { why, .. } => put("why", why.as_str().into()),
        What::Done | What::Met { .. } | What::Passed => {}
    }
    if let Some(picture) = picture {
        put("frame", picture.into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(what: What) -> Note {
        Note { at_us: 4_120_000, step: 7, text: "wait nodes.up = 4".into(), what }
    }

    #[test]
    fn a_person_reads_times_and_what_was_found() {
        let met = note(What::Met { took_us: 1_410_000, limit_ms: Some(3_000) });
        assert_eq!(line(&met, None), "[+004.12s] wait nodes.up = 4  ok 1.41s (limit 3s)\n");
        let why = "nodes.up = 4: nodes.up is 5".to_owned();
        let unmet = note(What::Unmet { took_us: 3_000_000, limit_ms: Some(3_000), why });
        let text = line(&unmet, Some("a\nb"));
        assert!(text.contains("UNMET 3.00s (limit 3s)\n") && text.contains("nodes.up is 5\n"));
        assert!(text.ends_with("    | a\n    | b\n"), "{text}");
        let said = note(What::Said("the key \u{1b}[2J".into()));
        assert!(!line(&said, None).contains('\u{1b}'));
    }

    #[test]
    fn a_program_reads_one_object() {
        let shot = json(&note(What::Shot("end".into())), Some("frame"));
        assert_eq!((&shot["shot"], &shot["frame"]), (&"end".into(), &"frame".into()));
        let met = json(&note(What::Met { took_us: 5, limit_ms: None }), None);
        assert_eq!((met["took_us"].as_u64(), met["result"].as_str()), (Some(5), Some("ok")));
    }
}
