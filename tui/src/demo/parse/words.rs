//! What words mean: times, figures, predicates, captions.
//!
//! Part of `parse`.

use std::collections::BTreeMap;

use super::Problem;
use super::token::{Statement, Token};
use crate::commands::nearest;
use crate::demo::paths::{KEPT, Kind, Path, Value};
use crate::demo::script::{Operand, Piece, Predicate, Relation, Step, Term, Verb};
use crate::demo::{CAPTION_CHARS_MAX, TAKES_MS_MAX};

/// How long a wait goes on where nothing is said, milliseconds.
const WITHIN_MS: u64 = 10_000;
/// How long a figure is taken to be as it is shown, characters.
const FIGURE_CHARS: usize = 6;

/// Figures that were kept so far, and what they tell.
pub(super) type Kept = BTreeMap<String, Kind>;

/// Those that these steps keep.
pub(super) fn kept(steps: &[Step]) -> Kept {
    let kept = steps.iter().filter_map(|step| match &step.verb {
        Verb::Keep(name, path) => Some((name.clone(), path.kind())),
        _ => None,
    });
    kept.collect()
}

/// `did you mean ...?`, or what there is.
pub(super) fn meant(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are {}", known.join(", ")),
    }
}

/// A time: `200ms`, `2s`.
pub(super) fn duration(token: &Token) -> Result<u64, Problem> {
    let text = token.text.as_str();
    let (number, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1_000),
        (None, None) => (text, 0),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    let ms = ms.filter(|ms| (1..=TAKES_MS_MAX).contains(ms));
    ms.ok_or_else(|| {
        let most = TAKES_MS_MAX / 1_000;
        token.problem(format!("{text:?} is no time up to {most} s: write it as 200ms or 2s"))
    })
}

/// A path of the table, or a kept figure.
pub(super) fn path(text: &str, kept: &Kept) -> Result<Path, String> {
    let Some(name) = text.strip_prefix(KEPT) else { return Path::named(text) };
    match kept.get(name) {
        Some(kind) => Ok(Path::kept(name, *kind)),
        None if kept.is_empty() => {
            Err(format!("nothing is kept before this line: keep {name} PATH"))
        }
        None => {
            let names: Vec<&str> = kept.keys().map(String::as_str).collect();
            Err(format!("no figure was kept as {name:?}: {}", meant(name, &names)))
        }
    }
}

/// A predicate: comparisons with `and` between them.
pub(super) fn predicate(verb: &Token, tokens: &[Token], kept: &Kept) -> Result<Predicate, Problem> {
    let mut terms = Vec::new();
    let (mut before, mut from) = (verb, 0);
    let is_and = |token: &Token| !token.is_quoted && token.text == "and";
    loop {
        let rest = &tokens[from..];
        let and = rest.iter().position(is_and);
        terms.push(term(before, &rest[..and.unwrap_or(rest.len())], kept)?);
        let Some(and) = and else { break };
        before = &rest[and];
        from += and + 1;
    }
    Ok(Predicate { terms })
}

fn term(before: &Token, tokens: &[Token], kept: &Kept) -> Result<Term, Problem> {
    let Some(first) = tokens.first() else {
        let behind = &before.text;
        let message = format!("something to look at is missing behind {behind:?}: as nodes.up = 5");
        return Err(before.problem(message));
    };
    let glued = first.text.find(['=', '<', '>', '!']);
    if let Some(at) = glued.filter(|at| *at > 0) {
        let name = &first.text[..at];
        return Err(first.problem(format!("put blanks around the comparison: {name} = ...")));
    }
    let path = path(&first.text, kept).map_err(|message| first.problem(message))?;
    let text: Vec<String> = tokens.iter().map(written).collect();
    let text = text.join(" ");
    let [_, relation, with @ ..] = tokens else {
        if path.kind() != Kind::Flag {
            let message =
                format!("{} needs a comparison: = and {}", first.text, path.kind().example());
            return Err(first.problem(message));
        }
        let with = Operand::Literal(Value::Flag(true));
        return Ok(Term { path, relation: Relation::Is, with, text });
    };
    let names: Vec<&str> = Relation::ALL.iter().map(|(name, _)| *name).collect();
    let found = Relation::ALL.iter().find(|(name, _)| *name == relation.text);
    let found = found.ok_or_else(|| {
        let told = meant(&relation.text, &names);
        relation.problem(format!("{:?} compares nothing: {told}", relation.text))
    })?;
    let with = operand(&path, relation, with, kept)?;
    let orders = !matches!(found.1, Relation::Is | Relation::IsNot | Relation::Contains);
    let is_word = path.kind() == Kind::Word;
    if orders && (is_word || path.kind() == Kind::Flag) {
        let message = format!("{} has no order: compare it with = or !=", first.text);
        return Err(relation.problem(message));
    }
    if found.1 == Relation::Contains && !is_word {
        return Err(relation.problem(format!("{} is no text: compare it with =", first.text)));
    }
    Ok(Term { path, relation: found.1, with, text })
}

fn written(token: &Token) -> String {
    if token.is_quoted { format!("{:?}", token.text) } else { token.text.clone() }
}

/// What something is compared with: a value, a path, or so many times one.
fn operand(
    path: &Path,
    relation: &Token,
    tokens: &[Token],
    kept: &Kept,
) -> Result<Operand, Problem> {
    let wanted = path.kind().example();
    let missing = || relation.problem(format!("{:?} needs {wanted} behind it", relation.text));
    let (times, token) = match tokens {
        [] => return Err(missing()),
        [token] => (None, token),
        [times, by, token] if by.text == "x" => {
            let number = times.text.parse().ok().filter(|number: &f64| number.is_finite());
            let number = number
                .ok_or_else(|| times.problem("a number stands before x, as 2 x kept.before"))?;
            (Some(number), token)
        }
        [_, more, ..] => {
            let message = format!("{:?} is too much here: put quotes around a text", more.text);
            return Err(more.problem(message));
        }
    };
    let is_path = !token.is_quoted && (times.is_some() || token.text.contains('.'));
    let is_number = token.text.starts_with(|c: char| c.is_ascii_digit());
    if is_path && (!is_number || times.is_some()) {
        let other = self::path(&token.text, kept).map_err(|message| token.problem(message))?;
        if other.kind() != path.kind() {
            let message = format!(
                "{} and {} cannot be compared: the one is {wanted}, the other {}",
                path.text(),
                other.text(),
                other.kind().example()
            );
            return Err(token.problem(message));
        }
        return Ok(Operand::Times(times.unwrap_or(1.0), other));
    }
    let value = literal(path.kind(), &token.text);
    value.map(Operand::Literal).ok_or_else(|| {
        token.problem(format!(
            "{} is compared with {wanted}, not with {:?}",
            path.text(),
            token.text
        ))
    })
}

fn literal(kind: Kind, text: &str) -> Option<Value> {
    let number = |text: &str, unit: f64| {
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let number: f64 = text.parse().ok().filter(|_| plain && !text.is_empty())?;
        Some(Value::Number(number * unit))
    };
    match kind {
        Kind::Word => Some(Value::Word(text.to_owned())).filter(|_| !text.is_empty()),
        Kind::Flag => match text {
            "yes" => Some(Value::Flag(true)),
            "no" => Some(Value::Flag(false)),
            _ => None,
        },
        Kind::Share => number(text.strip_suffix('%')?, 0.01),
        Kind::Time => match (text.strip_suffix("ms"), text.strip_suffix("us")) {
            (Some(ms), _) => number(ms, 1e3),
            (_, Some(us)) => number(us, 1.0),
            _ => number(text.strip_suffix('s')?, 1e6),
        },
        Kind::Count | Kind::Rate | Kind::Times => number(text, 1.0),
    }
}

/// What is waited for, and how long at most: `PREDICATE within 5s`.
pub(super) fn within(statement: &Statement, kept: &Kept) -> Result<(Predicate, u64), Problem> {
    let tokens = statement.rest();
    let is_within = |token: &Token| !token.is_quoted && token.text == "within";
    let (tokens, limit_ms) = match tokens.iter().position(is_within) {
        None => (tokens, WITHIN_MS),
        Some(at) => {
            let limit_ms = match &tokens[at + 1..] {
                [limit] => duration(limit)?,
                [] => return Err(tokens[at].problem("within needs a time, as 5s")),
                [_, more, ..] => return Err(more.problem("nothing stands behind within 5s")),
            };
            (&tokens[..at], limit_ms)
        }
    };
    Ok((predicate(&statement.words[0], tokens, kept)?, limit_ms))
}

/// A caption: words, and paths in braces.
pub(super) fn caption(token: &Token, kept: &Kept) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let letters: Vec<char> = token.text.chars().collect();
    let at = |nth: usize, message: String| Problem::at(token.place_of(nth), message);
    let (mut from, mut length) = (0, 0);
    while from < letters.len() {
        let open = letters[from..].iter().position(|c| *c == '{').map(|n| from + n);
        let words = &letters[from..open.unwrap_or(letters.len())];
        if let Some(nth) = words.iter().position(|c| *c == '}') {
            let message = "a brace is closed that was not opened: write {path}";
            return Err(at(from + nth, message.into()));
        }
        if let Some(nth) = figure(words) {
            let message = "a figure in a caption is taken from what the console knows: write \
                           {path} in its place";
            return Err(at(from + nth, message.into()));
        }
        length += words.len();
        if !words.is_empty() {
            pieces.push(Piece::Words(words.iter().collect()));
        }
        let Some(open) = open else { break };
        let close = letters[open..].iter().position(|c| *c == '}').map(|n| open + n);
        let close =
            close.ok_or_else(|| at(open, "the brace is not closed: write {path}".into()))?;
        let name: String = letters[open + 1..close].iter().collect();
        let path = path(&name, kept).map_err(|message| at(open + 1, message))?;
        pieces.push(Piece::Figure(path));
        length += FIGURE_CHARS;
        from = close + 1;
    }
    if length > CAPTION_CHARS_MAX {
        let message = format!(
            "the caption has about {length} characters, and there is room for \
             {CAPTION_CHARS_MAX}: make two of it"
        );
        return Err(token.problem(message));
    }
    Ok(pieces)
}

/// Where a figure begins in these words: a digit that is not part of a name, as that of `n3` is.
fn figure(words: &[char]) -> Option<usize> {
    let is_digit = |nth: &usize| words[*nth].is_ascii_digit();
    let of_name = |nth: usize| {
        let before = words[..nth].iter().rev();
        before.take_while(|c| c.is_alphanumeric()).last().is_some_and(|c| c.is_alphabetic())
    };
    (0..words.len()).filter(is_digit).find(|nth| !of_name(*nth))
}
