//! Every path can be named, read and shown, on what a real cluster has told.

use super::*;
use crate::console::testing::played;

/// A path of this row, with something likely in its variable part.
fn example(entry: &Entry) -> Path {
    let text = entry
        .name
        .replace("NODE", "n3")
        .replace("SERVER", "coordinator")
        .replace("KEY", "user:42.a")
        .replace("OP", "put")
        .replace("STEP", "down");
    Path::named(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_row_is_found_by_its_own_name() {
    for entry in ENTRIES {
        let path = example(entry);
        let Of::Entry(found, slot) = &path.of else { panic!("{path:?}") };
        assert_eq!(found.name, entry.name);
        assert_eq!(slot.is_empty(), entry.slot().is_none(), "{}", entry.name);
        assert!(!entry.about.is_empty() && entry.about.len() < 60, "{}", entry.name);
    }
}

#[test]
fn a_real_cluster_is_read() {
    let console = played("kill", 6_000);
    let read = |text: &str| {
        let path = Path::named(text).expect(text);
        path.read(&console).map(|value| path.kind().shown(&value))
    };
    let shown = |text: &str| read(text).unwrap_or_default();
    assert_eq!(shown("coordinator.state"), "active");
    assert_eq!(shown("incident.open"), "yes");
    let killed = shown("incident.server");
    assert_ne!(shown(&format!("node.{killed}.state")), "up");
    assert_eq!(shown(&format!("process.{killed}.state")), "dead");
    assert!(
        shown("incident.until.suspected").ends_with("s"),
        "{}",
        shown("incident.until.suspected")
    );
    assert_eq!(read("lookup.key"), None);
    assert_eq!(read("node.n77.state"), None);
    // Whatever is known, nothing panics.
    for at_ms in [0, 500, 3_000, 20_000] {
        let console = played("kill", at_ms);
        for entry in ENTRIES {
            let path = example(entry);
            let _ = path.read(&console).map(|value| path.kind().shown(&value));
        }
    }
}

#[test]
fn figures_are_shown_as_a_person_reads_them() {
    for (kind, number, shown) in [
        (Kind::Count, 12_345.0, "12,345"),
        (Kind::Share, 0.2, "20 %"),
        (Kind::Time, 1_410_000.0, "1.4 s"),
        (Kind::Time, 2_400.0, "2.4 ms"),
        (Kind::Rate, 199.6, "200"),
        (Kind::Times, 1.05, "1.05"),
        (Kind::Times, 1.0, "1"),
    ] {
        assert_eq!(kind.shown(&Value::Number(number)), shown);
    }
    assert_eq!(Kind::Flag.shown(&Value::Flag(false)), "no");
}

/// `demos/README.md` lists all of them, and no others.
#[test]
fn the_readme_lists_every_path() {
    let readme = include_str!("../../../../demos/README.md");
    let rows: Vec<String> =
        ENTRIES.iter().map(|one| format!("| `{}` | {} |", one.name, one.about)).collect();
    for row in &rows {
        assert!(
            readme.contains(row),
            "demos/README.md lacks this row; all are:\n{}",
            rows.join("\n")
        );
    }
}
