//! Words and quoted texts, with their places; statements of them.
//!
//! Part of `parse`.

use super::Problem;
use crate::demo::script::Place;

/// A word, or a quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Where it begins; of a quoted text, its quote.
    pub(super) place: Place,
    pub(super) is_quoted: bool,
}

impl Token {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.place, message)
    }

    /// The place of its character with this number.
    pub(super) fn place_of(&self, nth: usize) -> Place {
        let quote = usize::from(self.is_quoted);
        Place { column: self.place.column + quote + nth, ..self.place }
    }
}

/// A verb with all that belongs to it: at least one word.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) words: Vec<Token>,
    /// As it is written.
    pub(super) text: String,
}

impl Statement {
    /// What stands behind the verb.
    pub(super) fn rest(&self) -> &[Token] {
        &self.words[1..]
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        self.words[0].problem(message)
    }

    /// The one word behind the verb.
    pub(super) fn only(&self, wanted: &str) -> Result<&Token, Problem> {
        match self.rest() {
            [] => Err(self.problem(format!("{} needs {wanted}", self.words[0].text))),
            [only] => Ok(only),
            [_, more, ..] => {
                Err(more
                    .problem(format!("{} takes {wanted}, and nothing more", self.words[0].text)))
            }
        }
    }

    /// The one quoted text behind the verb.
    pub(super) fn quoted(&self) -> Result<String, Problem> {
        let token = self.only("a text in quotes")?;
        if !token.is_quoted {
            return Err(token.problem(format!("put quotes around it: \"{} ...\"", token.text)));
        }
        if token.text.trim().is_empty() {
            return Err(token.problem("the text is empty"));
        }
        Ok(token.text.clone())
    }
}

/// All statements, and the texts that do not end.
pub(super) fn statements(text: &str) -> (Vec<Statement>, Vec<Problem>) {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        if let Err(problem) = of_line(line, at + 1, &mut all) {
            problems.push(problem);
        }
    }
    (all, problems)
}

fn of_line(line: &str, number: usize, all: &mut Vec<Statement>) -> Result<(), Problem> {
    let letters: Vec<char> = line.chars().collect();
    let mut words = Vec::new();
    let (mut at, mut from) = (0, 0);
    let mut end = |words: &mut Vec<Token>, from: usize, to: usize| {
        if !words.is_empty() {
            let text: String = letters[from..to].iter().collect();
            let words = std::mem::take(words);
            all.push(Statement { words, text: text.trim().to_owned() });
        }
    };
    while let Some(letter) = letters.get(at).copied() {
        let place = Place { line: number, column: at + 1 };
        match letter {
            '#' => break,
            ';' => {
                end(&mut words, from, at);
                from = at + 1;
                at += 1;
            }
            '"' => {
                let (text, behind) = quoted(&letters, at, place)?;
                words.push(Token { text, place, is_quoted: true });
                at = behind;
            }
            letter if letter.is_whitespace() => at += 1,
            _ => {
                let is_end = |c: &char| c.is_whitespace() || *c == ';' || *c == '"';
                let length = letters[at..].iter().position(is_end).unwrap_or(letters.len() - at);
                let text = letters[at..at + length].iter().collect();
                words.push(Token { text, place, is_quoted: false });
                at += length;
            }
        }
    }
    end(&mut words, from, at);
    Ok(())
}

/// The text that begins with the quote at `at`, and where what follows it begins.
fn quoted(letters: &[char], at: usize, place: Place) -> Result<(String, usize), Problem> {
    let length = letters[at + 1..].iter().position(|c| *c == '"');
    let length = length.ok_or_else(|| {
        Problem::at(place, "the text does not end: put a \" behind it, on the same line")
    })?;
    Ok((letters[at + 1..=at + length].iter().collect(), at + length + 2))
}
