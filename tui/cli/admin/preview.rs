//! What `piazza admin ... --dry-run` says of a change, for people. Pure: a preview in, text out.

use std::fmt::Write as _;

use protocol::reply::{ChangePreview, LoadPreview};
use tui::text::plural;

use crate::print::escaped;
use crate::status::{size, time};

/// Each part of a preview in a line of its own.
pub(super) fn text(preview: &ChangePreview) -> String {
    let mut lines = vec![copied(preview), takes(preview), at_risk(preview)];
    lines.push(format!(
        "primaries: {} of the keys get another one; afterwards the largest share is {:.2} times \
         the mean",
        percent(preview.primaries_moved),
        preview.max_over_mean
    ));
    lines.extend(preview.loads.iter().map(|load| loaded(preview, load)));
    for other in &preview.compared {
        let (moved, most) = (percent(other.primaries_moved), other.max_over_mean);
        let placement = safe(&other.placement);
        lines.push(format!("with {placement}: {moved} get another primary, largest {most:.2}"));
    }
    if let Some(moved) = preview.rebalance_moves.filter(|moved| *moved > 0.0) {
        lines.push(format!(
            "a new node takes its part of the largest arcs only, half of one with one token; \
             `piazza admin rebalance` would move the primaries of {} after that",
            percent(moved)
        ));
    }
    lines.into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

fn safe(text: &str) -> String {
    escaped(text.as_bytes(), false)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn keys(keys: Option<u64>) -> String {
    keys.map_or_else(
        || "an unknown number of keys".into(),
        |keys| format!("about {keys} {}", plural(keys, "key")),
    )
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown bytes".into(), |bytes| format!("about {}", size(bytes)))
}

fn copied(preview: &ChangePreview) -> String {
    if preview.arcs == 0 {
        return "copied: nothing".into();
    }
    let stretches = if preview.arcs == 1 { "stretch" } else { "stretches" };
    let (keys, bytes) = (keys(preview.keys), bytes(preview.bytes));
    format!("copied: {keys}, {bytes}, in {} {stretches} of the ring", preview.arcs)
}

fn takes(preview: &ChangePreview) -> String {
    let pace =
        format!("at most {}/s, less while clients are served", size(preview.copy_bytes_per_s));
    match preview.eta_ms {
        Some(ms) => format!("time: at least {}: {pace}", time(ms)),
        None => format!("time: unknown: {pace}"),
    }
}

fn at_risk(preview: &ChangePreview) -> String {
    if preview.one_copy <= 0.0 {
        return "copies at risk: none, each key has two complete copies or more all the time"
            .into();
    }
    let number = keys(preview.keys_one_copy);
    let part = percent(preview.one_copy);
    format!("copies at risk: until then {number}, {part}, have one complete copy only")
}

/// `n1: about 4000 keys, about 12 MiB, share 25.0 % -> about 3200 keys, about 10 MiB, 20.0 %`.
fn loaded(preview: &ChangePreview, load: &LoadPreview) -> String {
    let share = |shares: &std::collections::BTreeMap<String, f64>| {
        percent(shares.get(&load.node).copied().unwrap_or(0.0))
    };
    format!(
        "{}: {}, {}, share {} -> {}, {}, share {}",
        safe(&load.node),
        keys(load.keys_before),
        bytes(load.bytes_before),
        share(&preview.shares_before),
        keys(load.keys_after),
        bytes(load.bytes_after),
        share(&preview.shares_after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> ChangePreview {
        serde_json::from_value(serde_json::json!({
            "action": "add", "arcs": 2, "keys": 1_234, "bytes": 4_000_000, "eta_ms": 61_000,
            "copy_bytes_per_s": 65_536, "primaries_moved": 0.125, "one_copy": 0.5,
            "keys_one_copy": 700, "shares_before": {"n1": 1.0}, "shares_after": {"n1": 0.5},
            "max_over_mean": 1.5, "rebalance_moves": 0.25,
            "loads": [{"node": "n\u{1b}1", "keys_before": 9, "keys_after": 8, "bytes_before": 9}],
            "compared": [{"placement": "ascii-sum", "primaries_moved": 0.8, "max_over_mean": 1.0}]
        }))
        .expect("a preview")
    }

    #[test]
    fn all_that_is_known_is_said() {
        let text = text(&preview());
        for line in [
            "  copied: about 1234 keys, about 3906 KiB, in 2 stretches of the ring\n",
            "  time: at least 61 s: at most 64 KiB/s, less while clients are served\n",
            "  copies at risk: until then about 700 keys, 50.0 %, have one complete copy only\n",
            "  primaries: 12.5 % of the keys get another one; afterwards the largest share is 1.50",
            "  n\\u{1b}1: about 9 keys, about 9 B, share 0.0 % -> about 8 keys, unknown bytes",
            "  with ascii-sum: 80.0 % get another primary, largest 1.00\n",
            "would move the primaries of 25.0 % after that\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn what_is_unknown_is_said_to_be_so_and_never_0() {
        let unknown = ChangePreview {
            keys: None,
            bytes: None,
            eta_ms: None,
            keys_one_copy: None,
            loads: Vec::new(),
            ..preview()
        };
        let text = text(&unknown);
        assert!(text.contains("an unknown number of keys, unknown bytes"), "{text}");
        assert!(text.contains("time: unknown") && !text.contains("about 0"), "{text}");
        let safe = ChangePreview { one_copy: 0.0, arcs: 0, ..preview() };
        let text = super::text(&safe);
        assert!(text.contains("risk: none") && text.contains("copied: nothing"), "{text}");
    }
}
