//! The editor against a model that is too simple to be wrong, and by example.

use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::text;

fn editor(lines: &[&str]) -> Editor {
    Editor::new(History::of(lines.iter().map(|line| (*line).to_owned())))
}

fn feed(editor: &mut Editor, text: &str) {
    text.chars().for_each(|c| assert_eq!(editor.handle(Key::Char(c)), Outcome::Edited));
}

/// The text, with `|` where the cursor is.
fn shown(editor: &Editor) -> String {
    let (left, right) = editor.line().text().split_at(editor.line().cursor());
    format!("{left}|{right}")
}

/// Small numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Of a linear congruential generator the high bits are good.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Graphemes left and right of the cursor, as lists.
#[derive(Default)]
struct Model {
    left: Vec<String>,
    right: Vec<String>,
    cut: String,
}

fn graphemes(text: &str) -> Vec<String> {
    text.graphemes(true).map(Into::into).collect()
}

fn is_word(grapheme: &str) -> bool {
    grapheme.chars().any(char::is_alphanumeric)
}

fn is_ink(grapheme: &str) -> bool {
    !grapheme.trim().is_empty()
}

impl Model {
    /// Joined anew: what was apart may be one grapheme now, and then the cursor is behind it.
    fn settle(&mut self) {
        let (left, right) = (self.left.concat(), self.right.concat());
        let at = left.len();
        let mut seen = 0;
        (self.left, self.right) = graphemes(&(left + &right)).into_iter().partition(|grapheme| {
            let is_left = seen < at;
            seen += grapheme.len();
            is_left
        });
    }

    fn back(&self, belongs: fn(&str) -> bool) -> usize {
        let mut at = self.left.len();
        while at > 0 && !belongs(&self.left[at - 1]) {
            at -= 1;
        }
        while at > 0 && belongs(&self.left[at - 1]) {
            at -= 1;
        }
        at
    }

    fn ahead(&self) -> usize {
        let mut at = 0;
        while at < self.right.len() && !is_word(&self.right[at]) {
            at += 1;
        }
        while at < self.right.len() && is_word(&self.right[at]) {
            at += 1;
        }
        at
    }

    fn insert(&mut self, text: &str) {
        self.left.push(text.to_owned());
    }

    fn cut(&mut self, cut: Vec<String>) {
        if !cut.is_empty() {
            self.cut = cut.concat();
        }
    }

    fn apply(&mut self, key: &Key) {
        match key {
            Key::Char(c) => self.insert(&c.to_string()),
            Key::Paste(text) => self.insert(text),
            Key::Left => self.right.splice(..0, self.left.pop()).for_each(drop),
            Key::Right => {
                let moved = self.right.drain(..self.right.len().min(1)).collect::<Vec<_>>();
                self.left.extend(moved);
            }
            Key::Home => self.right.splice(..0, self.left.drain(..)).for_each(drop),
            Key::End => self.left.append(&mut self.right),
            Key::Alt('b') => {
                let at = self.back(is_word);
                self.right.splice(..0, self.left.drain(at..)).for_each(drop);
            }
            Key::Alt('f') => self.left.extend(self.right.drain(..self.ahead()).collect::<Vec<_>>()),
            Key::Backspace => drop(self.left.pop()),
            Key::Delete => drop(self.right.drain(..self.right.len().min(1))),
            Key::Ctrl('u') => {
                let cut = std::mem::take(&mut self.left);
                self.cut(cut);
            }
            Key::Ctrl('k') => {
                let cut = std::mem::take(&mut self.right);
                self.cut(cut);
            }
            Key::Ctrl('w') => {
                let cut = self.left.split_off(self.back(is_ink));
                self.cut(cut);
            }
            Key::AltBackspace => {
                let cut = self.left.split_off(self.back(is_word));
                self.cut(cut);
            }
            Key::Alt('d') => {
                let cut = self.right.drain(..self.ahead()).collect();
                self.cut(cut);
            }
            Key::Ctrl('y') => self.insert(&self.cut.clone()),
            other => panic!("{other:?}"),
        }
        self.settle();
    }
}

#[test]
fn keys_do_what_they_do_to_lists_of_graphemes() {
    let pieces = [
        "a", "Z", "7", " ", " ", "-", "\"", "é", "e", "\u{301}", "漢", "ש", "ل", "\u{200d}", "👩",
        "💻", "🇩", "🇪", "\u{200b}", "\u{202e}", "ᄀ", "ᅡ", "\u{fe0f}",
    ];
    let moves = [
        Key::Left,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::Alt('b'),
        Key::Alt('f'),
        Key::Backspace,
        Key::Delete,
        Key::Ctrl('u'),
        Key::Ctrl('k'),
        Key::Ctrl('w'),
        Key::AltBackspace,
        Key::Alt('d'),
        Key::Ctrl('y'),
    ];
    for seed in 0..300 {
        let mut draw = Draw(seed);
        let (mut editor, mut model) = (Editor::default(), Model::default());
        for step in 0..200 {
            let key = match draw.below(10) {
                0..6 => Key::Char(pieces[draw.below(pieces.len())].chars().next().unwrap()),
                6 => Key::Paste(pieces[draw.below(pieces.len())].repeat(2)),
                _ => moves[draw.below(moves.len())].clone(),
            };
            editor.handle(key.clone());
            model.apply(&key);
            let expected = format!("{}|{}", model.left.concat(), model.right.concat());
            assert_eq!(shown(&editor), expected, "seed {seed}, step {step}: {key:?}");
            let width = 1 + draw.below(60);
            let view = editor.view("piazza> ", width, 8);
            let (left, right) = (text::width(&view.before), text::width(&view.after));
            let all = text::width(&view.prompt) + left + right;
            assert!(width < 16 || all <= width, "seed {seed}, step {step}, {width}: {view:?}");
        }
    }
}

#[test]
fn no_sequence_of_keys_leaves_the_line_or_the_row() {
    let keys = |draw: &mut Draw| match draw.below(24) {
        0..6 => Key::Char(['a', 'b', '漢', ' ', '"', '\u{301}'][draw.below(6)]),
        6 => Key::Up,
        7 => Key::Down,
        8 | 9 => Key::Tab,
        10 => Key::BackTab,
        11 => Key::Escape,
        12 | 13 => Key::Ctrl('r'),
        14 => Key::Ctrl(['c', 'd', 'g', 'l', 'z', 'x'][draw.below(6)]),
        15 => Key::Enter,
        16 => Key::Paste("one\r\ntwo\rthree\n".into()),
        17 => Key::Paste("漢".into()),
        18 => Key::Backspace,
        19 => Key::Left,
        20 => Key::Char('\u{7}'),
        _ => Key::Right,
    };
    let (mut completed, mut entered) = (0, 0);
    for seed in 0..300 {
        let mut draw = Draw(seed);
        let mut editor = editor(&["abba", "a b", "漢字", "baa", "abc"]);
        for step in 0..200 {
            match editor.handle(keys(&mut draw)) {
                Outcome::Complete => {
                    completed += 1;
                    let inserts = ["\"a b\"", "ab", "ab漢"];
                    let insert =
                        |text: &&str| Candidate { insert: (*text).into(), about: "it".into() };
                    let end = editor.line().cursor();
                    let candidates = inserts.iter().take(draw.below(4)).map(insert).collect();
                    let (range, more) = (0..end, draw.below(2) == 0);
                    let common = String::new();
                    editor.offer(Completion { range, common, candidates, more });
                }
                Outcome::Lines(lines) => {
                    entered += 1;
                    assert!(!lines.is_empty() && editor.line().text().is_empty());
                    assert!(lines.iter().all(|line| !line.contains(['\n', '\r', '\u{7}'])));
                    for line in &lines {
                        editor.remember(line);
                    }
                }
                _ => {}
            }
            let line = editor.line();
            assert!(line.text().is_char_boundary(line.cursor()), "seed {seed}, step {step}");
            let (width, rows) = (16 + draw.below(60), draw.below(10));
            let view = editor.view("piazza> ", width, rows);
            assert!(view.menu.len() <= rows, "seed {seed}, step {step}: {view:?}");
            assert!(view.menu.iter().all(|row| text::width(&row.text) < width));
            let row = [&view.prompt, &view.before, &view.after].map(|part| text::width(part));
            assert!(row.iter().sum::<usize>() <= width, "seed {seed}, step {step}: {view:?}");
        }
    }
    assert!(completed > 1_000 && entered > 1_000, "{completed} {entered}");
}

#[test]
fn up_goes_through_what_begins_as_typed() {
    let mut editor = editor(&["get a", "put a 1", "get b", "del a"]);
    feed(&mut editor, "get");
    editor.handle(Key::Up);
    assert_eq!(shown(&editor), "get b|");
    editor.handle(Key::Up);
    assert_eq!(shown(&editor), "get a|");
    assert_eq!(editor.handle(Key::Up), Outcome::Refused(""));
    editor.handle(Key::Down);
    editor.handle(Key::Down);
    assert_eq!(shown(&editor), "get|");
    // Another key ends it; then Up begins with what is there now.
    editor.handle(Key::Up);
    feed(&mut editor, "x");
    assert_eq!(editor.handle(Key::Up), Outcome::Refused(""));
    assert_eq!(editor.handle(Key::Ctrl('c')), Outcome::Interrupt(true));
    assert_eq!(editor.handle(Key::Ctrl('c')), Outcome::Interrupt(false));
    editor.handle(Key::Up);
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(vec!["del a".into()]));
}

#[test]
fn a_search_finds_older_and_older_lines() {
    let mut editor = editor(&["get apple", "put apple 1", "get pear"]);
    feed(&mut editor, "now");
    editor.handle(Key::Ctrl('r'));
    feed(&mut editor, "app");
    let view = editor.view("piazza> ", 80, 8);
    assert_eq!((view.prompt.as_str(), view.before.as_str()), ("(app) ", "put apple 1"));
    editor.handle(Key::Ctrl('r'));
    assert_eq!(editor.view("", 80, 8).before, "get apple");
    editor.handle(Key::Ctrl('r'));
    assert_eq!(editor.view("", 80, 8).before, "get apple");
    feed(&mut editor, "x");
    assert_eq!(editor.view("", 80, 8).prompt, "(nothing: appx) ");
    editor.handle(Key::Escape);
    assert_eq!(shown(&editor), "now|");
    editor.handle(Key::Ctrl('r'));
    feed(&mut editor, "pe");
    editor.handle(Key::Left);
    assert_eq!(shown(&editor), "get pea|r");
    editor.handle(Key::Ctrl('r'));
    feed(&mut editor, "1");
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(vec!["put apple 1".into()]));
}

fn offered(inserts: &[&str], common: &str, range: std::ops::Range<usize>) -> Completion {
    let candidate = |text: &&str| Candidate { insert: (*text).into(), about: String::new() };
    let candidates = inserts.iter().map(candidate).collect();
    Completion { range, common: common.into(), candidates, more: false }
}

#[test]
fn tab_puts_in_what_is_certain_and_then_goes_round() {
    let mut editor = editor(&[]);
    feed(&mut editor, "get a");
    assert_eq!(editor.handle(Key::Tab), Outcome::Complete);
    editor.offer(offered(&["apple"], "apple", 4..5));
    assert_eq!(shown(&editor), "get apple |");
    editor.handle(Key::Ctrl('w'));
    feed(&mut editor, "a");
    editor.handle(Key::Tab);
    editor.offer(offered(&["ab1", "ab2"], "ab", 4..5));
    assert_eq!(shown(&editor), "get ab|");
    assert_eq!(editor.view("", 80, 8).menu.len(), 2);
    editor.handle(Key::Tab);
    editor.handle(Key::Tab);
    assert_eq!(shown(&editor), "get ab2|");
    assert!(editor.view("", 80, 8).menu[1].chosen);
    editor.handle(Key::Tab);
    assert_eq!(shown(&editor), "get ab1|");
    // Enter takes it; only the next one runs the line.
    assert_eq!(editor.handle(Key::Enter), Outcome::Edited);
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(vec!["get ab1".into()]));
    feed(&mut editor, "get a");
    editor.offer(offered(&["ab1", "ab2"], "ab", 4..5));
    editor.handle(Key::BackTab);
    editor.handle(Key::Escape);
    assert_eq!(shown(&editor), "get ab|");
    // What is about an earlier line is not put into this one.
    assert_eq!(editor.offer(offered(&["x"], "x", 0..2)), Outcome::Refused(""));
    let none = editor.offer(offered(&[], "", 4..6));
    assert_eq!(none, Outcome::Refused("nothing that is known begins so"));
}

#[test]
fn pasted_lines_wait_for_enter() {
    let mut editor = editor(&[]);
    feed(&mut editor, "get |");
    editor.handle(Key::Left);
    editor.handle(Key::Paste("a\r\nget b\rget c".into()));
    assert_eq!(shown(&editor), "get c||");
    let hint = editor.view("", 80, 8).hint.unwrap();
    assert!(hint.starts_with("  2 pasted above; Enter runs all"), "{hint}");
    let all = ["get a", "get b", "get c|"].map(Into::into).into();
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(all));
    editor.handle(Key::Paste("get a\nget b\n".into()));
    assert_eq!(editor.handle(Key::Ctrl('d')), Outcome::Edited);
    assert_eq!(
        editor.handle(Key::Enter),
        Outcome::Lines(["get a", "get b"].map(Into::into).into())
    );
    editor.handle(Key::Paste("get a\n".into()));
    assert_eq!(editor.handle(Key::Ctrl('c')), Outcome::Interrupt(true));
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(vec![String::new()]));
    let much = editor.handle(Key::Paste("x\n".repeat(2_000)));
    assert!(matches!(much, Outcome::Refused(why) if why.contains("piazza shell < FILE")));
    let full = editor.handle(Key::Paste("x".repeat(TEXT_BYTES_MAX + 1)));
    assert!(matches!(full, Outcome::Refused(_)));
    editor.handle(Key::Paste("x".repeat(TEXT_BYTES_MAX)));
    assert!(matches!(editor.handle(Key::Char('x')), Outcome::Refused(_)));
}

#[test]
fn a_secret_is_not_shown_and_has_no_history() {
    let mut editor = Editor::masked();
    feed(&mut editor, "hunter2漢");
    let view = editor.view("value: ", 80, 8);
    assert_eq!((view.before.as_str(), view.after.as_str()), ("********", ""));
    assert_eq!(editor.handle(Key::Tab), Outcome::Refused(""));
    assert_eq!(editor.handle(Key::Ctrl('r')), Outcome::Refused(""));
    assert_eq!(editor.handle(Key::Up), Outcome::Refused(""));
    assert!(matches!(editor.handle(Key::Paste("a\nb".into())), Outcome::Refused(_)));
    assert_eq!(editor.handle(Key::Enter), Outcome::Lines(vec!["hunter2漢".into()]));
}

#[test]
fn of_a_long_line_the_part_around_the_cursor_is_seen() {
    let mut editor = editor(&[]);
    feed(&mut editor, "0123456789abcdefghijklmnopqrstuvwxyz");
    let view = |editor: &Editor| {
        let view = editor.view("> ", 22, 0);
        format!("{}|{}", view.before, view.after)
    };
    assert_eq!(view(&editor), "<ijklmnopqrstuvwxyz|");
    editor.handle(Key::Home);
    assert_eq!(view(&editor), "|0123456789abcdefgh>");
    (0..18).for_each(|_| drop(editor.handle(Key::Right)));
    assert_eq!(view(&editor), "<6789abcdefgh|ijklm>");
}
