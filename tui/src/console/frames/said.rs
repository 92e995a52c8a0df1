//! What help, palette, hints and README.md say of keys is what the table of keys says.

use super::scenarios::{ALL, named};
use crate::console::action::ViewName;
use crate::console::keys::{all, full_name, key_name, key_named};
use crate::console::state::{Console, Input};
use crate::console::testing::{drawn, frame, press};
use crate::prompt::Key;

/// The words in the box of this title, which lies over the view.
fn words(console: &Console, (columns, rows): (u16, u16), title: &str) -> String {
    let buf = drawn(console, columns, rows);
    let symbol = |x: u16, y: u16| if x < columns { buf[(x, y)].symbol() } else { "" };
    let begins = |x: u16, y: u16| {
        let row: String = (x..columns).map(|x| symbol(x, y)).collect();
        row.starts_with(&format!("┌▸ {title} "))
    };
    let mut places = (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y)));
    let (left, top) = places.find(|(x, y)| begins(*x, *y)).expect("a box");
    let right = (left..columns).find(|x| symbol(*x, top) == "┐").expect("its right end");
    let inside = (top + 1..rows).take_while(|y| symbol(left, *y) == "│");
    let text: Vec<String> =
        inside.map(|y| (left + 1..right).map(|x| symbol(x, y)).collect()).collect();
    text.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All that help shows on such a screen, from the first row to the last.
fn all_help(size: (u16, u16)) -> Vec<String> {
    let mut console = named("calm").console.clone();
    console.size = size;
    press(&mut console, "?");
    let mut seen = vec![words(&console, size, "Keys")];
    loop {
        let before = console.overlay.clone();
        press(&mut console, "j");
        if console.overlay == before {
            return seen;
        }
        seen.push(words(&console, size, "Keys"));
    }
}

#[test]
fn help_shows_every_key() {
    for size in [(120, 36), (80, 24), (50, 12)] {
        let seen = all_help(size);
        for (view, binding) in all() {
            let name = full_name(view, binding);
            let keys: Vec<String> = binding.keys.iter().map(key_name).collect();
            let keys = if keys.is_empty() { format!(":{name}") } else { keys.join(" ") };
            let row = format!("{keys} {}", binding.help);
            let is_there = seen.iter().any(|text| text.contains(&row));
            assert!(is_there, "{row:?} at {size:?}");
        }
    }
}

#[test]
fn help_goes_back_at_once_from_its_end() {
    let mut console = named("calm").console.clone();
    console.size = (80, 24);
    press(&mut console, "?");
    (0..300).for_each(|_| press(&mut console, "j"));
    let end = frame(&console, 80, 24);
    press(&mut console, "k");
    assert_ne!(frame(&console, 80, 24), end);
}

#[test]
fn the_palette_has_everything() {
    let mut console = named("calm").console.clone();
    press(&mut console, ":");
    let mut seen = Vec::new();
    for _ in all() {
        seen.push(words(&console, (120, 36), "Do"));
        console.handle(console.model.now, Input::Key(Key::Down));
    }
    for (view, binding) in all() {
        let name = full_name(view, binding);
        let is_there = seen.iter().any(|text| text.split(' ').any(|word| word == name));
        assert!(is_there, "{name}");
    }
}

#[test]
fn the_hints_have_the_keys_that_matter() {
    for scenario in ALL.iter().filter(|one| one.is_main) {
        for view in ViewName::ALL {
            let console = scenario.in_view(view);
            for (columns, rows) in [(80, 24), (120, 36), (250, 90)] {
                let text = frame(&console, columns, rows);
                let hints = text.lines().last().expect("hints");
                let what = format!("{} {view:?} {columns}x{rows}: {hints}", scenario.name);
                let has = |key: &str| hints.split_whitespace().any(|word| word == key);
                if console.is_typing() {
                    assert!(
                        has("Esc"),
                        "a key would be text, and how to leave is not said: {what}"
                    );
                    continue;
                }
                for key in ["K", "S", "R", "P", "?"] {
                    assert!(has(key), "no {key}: {what}");
                }
                let own = all().filter(|(of, one)| *of == Some(view) && !one.hint.is_empty());
                for (_, binding) in own.take(2) {
                    let key = key_name(&binding.keys[0]);
                    assert!(has(&key), "no {key}: {what}");
                }
            }
        }
    }
}

#[test]
fn readme_names_every_view_and_no_key_that_does_nothing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let section = readme.split("\n## The console\n").nth(1).expect("a section on the console");
    let section = section.split("\n## ").next().expect("its text");
    for view in ViewName::ALL {
        let row = format!("| `{}` {} |", view.digit(), view.title());
        assert!(section.contains(&row), "{row}");
    }
    let prose: String = section.split("```").step_by(2).collect();
    let known: Vec<Key> = all().flat_map(|(_, one)| one.keys.iter().cloned()).collect();
    let mut seen = 0;
    for quoted in prose.split('`').skip(1).step_by(2) {
        let Some(key) = key_named(quoted) else { continue };
        seen += 1;
        assert!(known.contains(&key), "`{quoted}` does nothing");
    }
    assert!(seen > 12, "{seen} keys are named");
}
