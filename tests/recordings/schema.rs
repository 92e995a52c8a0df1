//! Kinds and fields of events as the contract names them: the notation of its section on events,
//! `kind {field,field:{field},field:[{field}],field:word|word}`, as paths.
//!
//! Used by the tests in `recordings`. Knows nothing of any event.

use std::collections::BTreeSet;

/// Paths like `txn.votes.node`, and `txn.votes.vote=yes` for words to choose from.
pub(super) type Paths = BTreeSet<String>;

/// Which kinds the contract names, with their fields.
pub(super) fn named(contract: &str) -> Paths {
    let section = contract.split_once("\n## 6. Events\n").expect("a section on events").1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut paths = Paths::new();
    for span in section.split('`').skip(1).step_by(2) {
        let Some((kind, fields)) = span.split_once(" {") else { continue };
        let is_kind = kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // What is asked for is no event.
        if !is_kind || kind == "subscribe" {
            continue;
        }
        let fields = format!("{{{fields}");
        paths.insert(kind.to_owned());
        let rest = add(kind, &fields, &mut paths);
        assert_eq!(rest, "", "after the fields of `{span}`");
    }
    paths
}

/// Adds what `text` describes below `path`: what is left of it behind that.
fn add<'a>(path: &str, text: &'a str, paths: &mut Paths) -> &'a str {
    if let Some(list) = text.strip_prefix('[') {
        return add(path, list, paths).strip_prefix(']').expect("a list ends with ]");
    }
    let Some(mut rest) = text.strip_prefix('{') else {
        let end = text.find([',', '}', ']']).unwrap_or(text.len());
        let words = text[..end].split('|');
        if words.clone().count() > 1 {
            paths.extend(words.map(|word| format!("{path}={word}")));
        }
        return &text[end..];
    };
    loop {
        rest = rest.trim_start();
        let end = rest.find([',', ':', '}']).expect("fields end with }");
        let field = format!("{path}.{}", &rest[..end]);
        // `...` stands for what is not said, and `topic:n` for a number each.
        let is_map = rest[end..].starts_with(":n}");
        if !is_map && &rest[..end] != "..." {
            paths.insert(field.clone());
        }
        rest = &rest[end..];
        if let Some(of) = rest.strip_prefix(':') {
            rest = if is_map { &of[1..] } else { add(&field, of, paths) };
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        rest = rest.strip_prefix(',').expect("a comma between two fields");
    }
}

/// What an event has: the paths of its fields that say something, and the words they say.
pub(super) fn told(path: &str, value: &serde_json::Value, paths: &mut Paths) {
    use serde_json::Value;
    /// No word of the contract is longer.
    const WORD_BYTES_MAX: usize = 24;
    match value {
        Value::Null => return,
        Value::Array(all) if all.is_empty() => return,
        Value::Array(all) => all.iter().for_each(|value| told(path, value, paths)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| told(&format!("{path}.{name}"), value, paths));
        }
        Value::String(word) if word.len() <= WORD_BYTES_MAX => {
            paths.insert(format!("{path}={word}"));
        }
        _ => {}
    }
    paths.insert(path.to_owned());
}

#[test]
fn the_notation_is_read() {
    let contract = "# T\n\n## 5. X\n`no {a}`\n\n## 6. Events\nFirst `one {a,b:[{c,d:x|y,e:{f}}],g}`, \
                    `subscribe {z}`.\n- `two {h:{topic:n}, i}` and `three {...}`; `four`.\n\n## 7. Y\n`no {a}`\n";
    let expected = "one one.a one.b one.b.c one.b.d one.b.d=x one.b.d=y one.b.e one.b.e.f one.g \
                    three two two.h two.i";
    let found: Vec<String> = named(contract).into_iter().collect();
    assert_eq!(found.join(" "), expected);
    let event = serde_json::json!({"a": null, "b": [{"c": 1}, {"d": "x"}], "e": [], "f": {}});
    let mut paths = Paths::new();
    told("one", &event, &mut paths);
    let found: Vec<String> = paths.into_iter().collect();
    assert_eq!(found.join(" "), "one one.b one.b.c one.b.d one.b.d=x one.f");
}
