//! Does every acknowledged write survive? A rule simple enough to be checked by eye.
//!
//! Called after everything was killed and started again, with the history so far and what every key
//! holds now. Weaker than `linear` where the two overlap, but independent of it: it never searches.
//! Never looks at reads of the history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Action, Op, Outcome, ValueId, Violation};

/// What each key holds at the end; `None`: not there.
pub(crate) type Finals = BTreeMap<Arc<str>, Option<ValueId>>;

/// Every violation of the rule: what a key holds at the end was written by an update after whose
/// end no acknowledged update of the key began. `finals` were read after all of `history`.
///
/// An update whose outcome is unknown has no end, so it may always be the last one.
pub(crate) fn check(history: &[Op], finals: &Finals) -> Vec<Violation> {
    let mut updates: BTreeMap<Arc<str>, Vec<&Op>> = BTreeMap::new();
    for op in history {
        let refused = op.outcome == Outcome::Failed;
        let read = op.action.effect().is_none();
        // A deletion that found nothing is a read as well, but an unknown one may be an update.
        let found_nothing =
            op.outcome == Outcome::Ok && matches!(op.action, Action::Del { found: false });
        if !(refused || read || found_nothing) {
            updates.entry(op.key.clone()).or_default().push(op);
        }
    }
    let mut keys: Vec<&Arc<str>> = finals.keys().chain(updates.keys()).collect();
    keys.sort();
    keys.dedup();
    let of_key = |key: &Arc<str>| updates.get(key).map_or(&[][..], Vec::as_slice);
    keys.into_iter().filter_map(|key| check_key(key, of_key(key), finals.get(key))).collect()
}

fn check_key(
    key: &Arc<str>,
    updates: &[&Op],
    holds: Option<&Option<ValueId>>,
) -> Option<Violation> {
    let wrong = |sentence: String, ops: Vec<&Op>| {
        let details = ops.into_iter().map(ToString::to_string).collect();
        Some(Violation { key: key.clone(), sentence, details })
    };
    let last =
        updates.iter().filter(|op| op.outcome == Outcome::Ok).max_by_key(|op| op.invoke).copied();
    let Some(holds) = holds else {
        return last.and_then(|op| wrong("was not read at the end".into(), vec![op]));
    };
    let may_be_last = |op: &Op| last.is_none_or(|last| op.latest() >= last.invoke);
    match holds {
        Some(value) => {
            let Some(writer) = updates.iter().find(|op| op.action.effect() == Some(Some(*value)))
            else {
                return wrong(format!("holds {value}, which nobody wrote"), Vec::new());
            };
            if may_be_last(writer) {
                return None;
            }
            let ops = vec![*writer].into_iter().chain(last).collect();
            wrong(format!("holds {value}, although the second of these was acknowledged"), ops)
        }
        None => {
            let deleted = |op: &&&Op| op.action.effect() == Some(None) && may_be_last(op);
            let written = last.is_some_and(|last| last.action.effect() != Some(None));
            if !written || updates.iter().any(|op| deleted(&op)) {
                return None;
            }
            wrong("is not there, although this was acknowledged".into(), last.into_iter().collect())
        }
    }
}
