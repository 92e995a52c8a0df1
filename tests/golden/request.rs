//! What clients ask in a script.
//!
//! Called by `script`; the core's own types, made here without its parser.

use cluster::core::coordinator::{
    Action, AdminOp, CacheLook, Change, ClientOp, ExplainOp, Explainable, Seen, Test, Update, Write,
};
use cluster::core::time::Time;
use protocol::ids::{Key, Value};

use super::script::{key, version};

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) op: ClientOp,
    /// The keys that it names.
    pub(super) keys: Vec<Key>,
    /// As it stands in the script.
    pub(super) text: String,
}

/// The request that stands in a script.
pub(super) fn request(text: &str) -> Result<Request, String> {
    if let Some(rest) = text.strip_prefix("explain ") {
        return explain(text, rest.trim());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = text.to_owned();
    if let ["admin", words @ ..] = words.as_slice() {
        let op = AdminOp { action: action(words)?, dry_run: false, if_ring: None };
        return Ok(Request { op: ClientOp::Admin(op), keys: Vec::new(), text });
    }
    if let ["get" | "mget", keys @ ..] = words.as_slice()
        && !keys.is_empty()
    {
        let keys = keys.iter().map(|k| key(k)).collect::<Result<Vec<_>, String>>()?;
        let op = match (words[0], keys.as_slice()) {
            ("get", [key]) => ClientOp::Get(key.clone()),
            ("mget", _) => ClientOp::Mget(keys.clone()),
            _ => return Err("`get` has one key, `mget` several".into()),
        };
        return Ok(Request { op, keys, text });
    }
    let (update, keys) = match words.as_slice() {
        ["txn", ..] => txn(text.trim_start_matches("txn"))?,
        [_, k, ..] => (single(&words, key(k)?)?, vec![key(k)?]),
        _ => return Err(format!("`{text}` is no request")),
    };
    Ok(Request { op: ClientOp::Update(update), keys, text })
}

/// `explain get k`, `explain run put k v`: the request behind it, carried out or not.
fn explain(text: &str, rest: &str) -> Result<Request, String> {
    let (run, rest) = rest.strip_prefix("run ").map_or((false, rest), |rest| (true, rest));
    let Request { op, keys, .. } = request(rest.trim())?;
    let of = match op {
        ClientOp::Get(key) => Explainable::Get(key),
        ClientOp::Update(update) => Explainable::Update(update),
        _ => return Err(format!("`{rest}` is not explained")),
    };
    // When it came is filled in when it comes.
    let seen = Seen { began: Time::default(), parsed: Time::default(), look: CacheLook::None };
    let op = ClientOp::Explain(Box::new(ExplainOp { of, run, seen }));
    Ok(Request { op, keys, text: text.to_owned() })
}

fn action(words: &[&str]) -> Result<Action, String> {
    Ok(match words {
        ["add"] => Action::Add,
        ["rebalance"] => Action::Rebalance,
        ["evict", node] => Action::Evict((*node).to_owned()),
        ["remove", node] => Action::Remove((*node).to_owned()),
        ["cancel", change] => Action::Cancel((*change).to_owned()),
        _ => return Err(format!("`admin {}` is no change", words.join(" "))),
    })
}

fn single(words: &[&str], key: Key) -> Result<Update, String> {
    match words {
        ["put", _, v] => Ok(Update::put(key, Value::from(*v))),
        ["put", _, v, "if-absent"] => Ok(Update::put_if_absent(key, Value::from(*v))),
        ["update", _, v] => Ok(Update::put_existing(key, Value::from(*v))),
        ["cas", _, v, at] => Ok(Update::cas(key, Value::from(*v), version(at)?)),
        ["del", _] => Ok(Update::del(key, None)),
        ["del", _, at] => Ok(Update::del(key, Some(version(at)?))),
        _ => Err(format!("`{}` is no request", words.join(" "))),
    }
}

/// `if k 1.2, if k absent, put k v, update k v, del k`, in any order.
fn txn(legs: &str) -> Result<(Update, Vec<Key>), String> {
    let (mut tests, mut writes) = (Vec::new(), Vec::new());
    for leg in legs.split(',') {
        let words: Vec<&str> = leg.split_whitespace().collect();
        match words.as_slice() {
            ["if", k, "absent"] => tests.push(Test { key: key(k)?, version: None }),
            ["if", k, at] => tests.push(Test { key: key(k)?, version: Some(version(at)?) }),
            ["put", k, v] => writes.push((key(k)?, Change::Put(Value::from(*v)))),
            ["update", k, v] => writes.push((key(k)?, Change::Update(Value::from(*v)))),
            ["del", k] => writes.push((key(k)?, Change::Del)),
            _ => return Err(format!("`{}` is no part of a transaction", leg.trim())),
        }
    }
    let mut keys: Vec<Key> = writes.iter().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    if keys.is_empty() || keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a transaction writes something, and each key once".into());
    }
    keys.extend(tests.iter().map(|test| test.key.clone()));
    let writes = writes.into_iter().map(|(key, change)| Write { key, change }).collect();
    Ok((Update::txn(tests, writes), keys))
}
