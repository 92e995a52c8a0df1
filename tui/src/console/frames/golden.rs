//! Frames that are kept as files, in `pictures/frames`, and the one in README.md.
//!
//! To draw them anew, and read in the difference what changed:
//! `PIAZZA_DRAW=1 cargo test -p tui console`.

use std::collections::BTreeSet;

use super::scenarios::{ALL, Scenario, named};
use crate::console::action::ViewName;
use crate::console::look::{Look, ThemeName};
use crate::console::testing::{drawn, frame};
use crate::console::widgets::testing::expect_picture;

/// How a frame is drawn: with what theme, in ASCII or not.
#[derive(Clone, Copy)]
enum In {
    Dark,
    Mono,
    Light,
    Deuteranopia,
    Ascii,
}

impl In {
    fn look(self) -> (&'static str, Look) {
        let (name, theme) = match self {
            Self::Dark => ("dark", ThemeName::Dark),
            Self::Mono => ("mono", ThemeName::Mono),
            Self::Light => ("light", ThemeName::Light),
            Self::Deuteranopia => ("deuteranopia", ThemeName::Deuteranopia),
            Self::Ascii => ("ascii", ThemeName::Mono),
        };
        (name, Look::choose(Some(theme), false, None, matches!(self, Self::Ascii)))
    }
}

/// One kept frame.
struct Kept {
    scenario: &'static Scenario,
    view: ViewName,
    size: (u16, u16),
    in_: In,
}

const FULL: (u16, u16) = (120, 36);
const COMPACT: (u16, u16) = (80, 24);
const TINY: (u16, u16) = (50, 12);

/// All of them. Every view of the main scenarios, large and small; of the others the view that they
/// are about; without colours the small ones; other looks of what differs most in them.
fn kept() -> Vec<Kept> {
    let mut kept = Vec::new();
    for scenario in ALL.iter() {
        let own = scenario.console.view;
        for view in ViewName::ALL {
            let overlaid = scenario.console.overlay.is_some();
            let wanted = view == own || scenario.is_main;
            if !wanted && (view != ViewName::Overview || overlaid) {
                continue;
            }
            let mut keep = |size, in_| kept.push(Kept { scenario, view, size, in_ });
            keep(FULL, In::Dark);
            keep(COMPACT, if view == own { In::Dark } else { In::Mono });
            if view == own {
                keep(TINY, In::Dark);
                keep(COMPACT, In::Mono);
            }
        }
    }
    for (name, in_) in [("down", In::Light), ("down", In::Deuteranopia), ("in-doubt", In::Light)] {
        let scenario = named(name);
        kept.push(Kept { scenario, view: scenario.console.view, size: COMPACT, in_ });
    }
    for view in ViewName::ALL {
        kept.push(Kept { scenario: named("down"), view, size: COMPACT, in_: In::Ascii });
    }
    let cache = named("cache");
    kept.push(Kept { scenario: cache, view: ViewName::Cache, size: FULL, in_: In::Ascii });
    kept
}

impl Kept {
    fn name(&self) -> String {
        let view = self.view.title().to_lowercase();
        let ((columns, rows), (look, _)) = (self.size, self.in_.look());
        format!("frames/{}-{view}-{columns}x{rows}-{look}", self.scenario.name)
    }

    fn check(&self) {
        let mut console = self.scenario.in_view(self.view);
        console.settings.look = self.in_.look().1;
        expect_picture(&self.name(), &drawn(&console, self.size.0, self.size.1));
    }
}

#[test]
fn frames_are_as_they_are_kept() {
    let kept = kept();
    kept.iter().for_each(Kept::check);
    // One that nothing draws any more would never fail.
    let names: BTreeSet<String> = kept.iter().map(|one| format!("{}.txt", one.name())).collect();
    assert_eq!(names.len(), kept.len(), "two frames of one name");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/pictures/frames");
    let files = std::fs::read_dir(folder).expect("the folder of frames");
    for file in files {
        let name = file.expect("a file").file_name();
        let name = format!("frames/{}", name.to_string_lossy());
        assert!(names.contains(&name), "{name} is drawn by no test: remove it");
    }
}

/// Where README.md shows the console: the text of the first block of its section.
fn shown_in_readme(readme: &str) -> std::ops::Range<usize> {
    let section = readme.find("\n## The console\n").expect("a section on the console");
    let from = section + readme[section..].find("```\n").expect("a block") + 4;
    from..from + readme[from..].find("```").expect("the block's end")
}

#[test]
fn readme_shows_what_is_drawn() {
    let text = frame(&named("copying").console, COMPACT.0, COMPACT.1);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let mut readme = std::fs::read_to_string(path).expect("README.md");
    if std::env::var_os("PIAZZA_DRAW").is_some() {
        readme.replace_range(shown_in_readme(&readme), &text);
        std::fs::write(path, &readme).expect("README.md");
    }
    let shown = &readme[shown_in_readme(&readme)];
    assert!(
        shown == text,
        "README.md has\n{shown}\nbut this is drawn\n{text}\n\
         if that is right: PIAZZA_DRAW=1 cargo test -p tui console"
    );
}
