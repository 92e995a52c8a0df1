//! A demo out of a text: one verb a line, or several with `;` between them.
//!
//! Used by `library` and by whoever reads a file. Finds as many mistakes as there are lines with
//! one, and never fails in any other way, whatever the text.

mod token;
mod verbs;
mod words;

use std::fmt;

use super::check;
use super::script::{ClusterPlan, Place, Script, Step};
use token::{Statement, statements};

/// What is wrong in a script, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what was probably meant.
    pub message: String,
}

impl Problem {
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place.line, self.place.column, self.message)
    }
}

/// Longest text that is read, bytes.
const BYTES_MAX: usize = 64 << 10;
/// Most steps of a demo.
const STEPS_MAX: usize = 500;

/// What stands before the first step.
#[derive(Debug, Default)]
struct Head {
    title: Option<String>,
    about: Option<String>,
    takes_ms: Option<u64>,
    cluster: Option<ClusterPlan>,
}

/// Reads a demo and checks it whole.
///
/// # Errors
/// All that is wrong with it, in the order of the lines.
pub fn parse(name: &str, text: &str) -> Result<Script, Vec<Problem>> {
    let top = Place { line: 1, column: 1 };
    if text.len() > BYTES_MAX {
        let message = format!("a demo has at most {BYTES_MAX} bytes, and this text {}", text.len());
        return Err(vec![Problem::at(top, message)]);
    }
    let (statements, mut problems) = statements(text);
    let mut head = Head::default();
    let mut steps: Vec<Step> = Vec::new();
    for statement in &statements {
        if let Err(problem) = take(statement, &mut head, &mut steps) {
            problems.push(problem);
        }
    }
    let Head { title, about, takes_ms, cluster } = head;
    for (is_there, what) in [
        (title.is_some(), "title \"...\""),
        (about.is_some(), "about \"...\""),
        (takes_ms.is_some(), "takes 60s"),
        (cluster.is_some(), "cluster 5"),
        (!steps.is_empty(), "a step, as caption \"...\""),
    ] {
        // A line of the head that is wrong has been told of.
        if !is_there && problems.is_empty() {
            problems.push(Problem::at(top, format!("the demo lacks {what}")));
        }
    }
    if let (Some(title), Some(about), Some(takes_ms), Some(cluster)) =
        (title, about, takes_ms, cluster)
    {
        let name = name.to_owned();
        let script = Script { name, title, about, takes_ms, cluster, steps };
        problems.extend(check::check(&script));
        if problems.is_empty() {
            return Ok(script);
        }
    }
    problems.sort_by_key(|problem| problem.place);
    Err(problems)
}

fn take(statement: &Statement, head: &mut Head, steps: &mut Vec<Step>) -> Result<(), Problem> {
    let verb = &statement.words[0];
    let begun = !steps.is_empty();
    let again = |is_there: bool| match (is_there, begun) {
        (true, _) => Err(verb.problem(format!("{} is there twice", verb.text))),
        (_, true) => Err(verb.problem(format!("{} must stand before the first step", verb.text))),
        _ => Ok(()),
    };
    match verb.text.as_str() {
        "title" => {
            again(head.title.is_some())?;
            head.title = Some(statement.quoted()?);
        }
        "about" => {
            again(head.about.is_some())?;
            head.about = Some(statement.quoted()?);
        }
        "takes" => {
            again(head.takes_ms.is_some())?;
            head.takes_ms = Some(words::duration(statement.only("a time, as 60s")?)?);
        }
        "cluster" => {
            again(head.cluster.is_some())?;
            head.cluster = Some(verbs::cluster(statement)?);
        }
        _ => {
            if steps.len() == STEPS_MAX {
                return Err(verb.problem(format!("a demo has at most {STEPS_MAX} steps")));
            }
            let kept = words::kept(steps);
            let verb = verbs::verb(statement, &kept)?;
            steps.push(Step {
                place: statement.words[0].place,
                text: statement.text.clone(),
                verb,
            });
        }
    }
    Ok(())
}
