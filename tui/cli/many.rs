//! `mget`, `scan`, `txn`, `watch` and `outcome`: what is about more than one key, or about updates.
//!
//! Called by `asked`. Results are lines: with `--json` objects that carry everything, otherwise the
//! same with tabs between, a value last and as it is. Text from outside is escaped on terminals.

use std::fs::File;
use std::io;
use std::path::Path;

use protocol::client::{Client, ClientError};
use protocol::ids::Key;
use protocol::json;
use protocol::limits::Limits;
use protocol::reply::{Change, Item, UpdateState, Versioned, watch_del_line, watch_put_line};
use protocol::request::{self, Op, Request, SCAN_ITEMS_MAX, UpdateName};

use crate::args::{MgetArgs, OutcomeArgs, ScanArgs, TxnArgs, WatchArgs};
use crate::kv;
use crate::print::{self, Exit, Failure};

/// `mget KEY...`.
pub(crate) async fn mget(client: &Client, args: &MgetArgs) -> Result<Exit, Failure> {
    let keys = args.keys.iter().map(|key| kv::key(key)).collect::<Result<Vec<_>, _>>()?;
    let values = client.mget(&keys).await?;
    let mut out = Vec::new();
    for (key, found) in keys.iter().zip(&values) {
        write_found(&mut out, key, found.as_ref(), args.common.json);
    }
    print::lines(&out)?;
    // As for `get`: a script shall notice that something is not there.
    Ok(if values.iter().all(Option::is_some) { Exit::Done } else { Exit::NotThere })
}

/// `scan [PREFIX]`.
pub(crate) async fn scan(client: &Client, args: &ScanArgs) -> Result<Exit, Failure> {
    let mut scan = client.scan(&args.prefix);
    if let Some(after) = &args.after {
        scan = scan.after(&kv::key(after)?);
    }
    if args.values {
        scan = scan.with_values();
    }
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        scan = scan.limit(left.min(u64::from(SCAN_ITEMS_MAX)) as u32);
        let Some(page) = scan.next().await? else { break };
        left = left.saturating_sub(page.items.len() as u64);
        let mut out = Vec::new();
        let (json, terminal) = (args.common.json, print::on_terminal());
        page.items.iter().for_each(|item| write_item(&mut out, item, json, terminal));
        print::lines(&out)?;
    }
    Ok(Exit::Done)
}

/// `txn FILE|-`, of which `text` is what stands there.
pub(crate) async fn txn(client: &Client, args: &TxnArgs, text: Vec<u8>) -> Result<Exit, Failure> {
    let version = client.carry_out(txn_op(&with_op(text)?)?).await?;
    let line = if args.common.json {
        format!("{{\"version\":\"{version}\"}}\n")
    } else {
        format!("done, version {version}\n")
    };
    print::output(line.as_bytes())?;
    Ok(Exit::Done)
}

/// What stands in the file, or in standard input.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file.as_os_str() == "-" {
        return kv::input(io::stdin().lock(), "standard input");
    }
    let name = file.display().to_string();
    let file =
        File::open(file).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    kv::input(file, &name)
}

/// A request from the object with `if` and `then` that `text` is.
pub(crate) fn with_op(text: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let Some(fields) = text.trim_ascii().strip_prefix(b"{") else {
        let sentence = "a transaction is one JSON object: see piazza txn --help";
        return Err(Failure::usage(sentence));
    };
    Ok([b"{\"op\":\"txn\",", fields].concat())
}

/// Understood here, so that what is wrong is known before anything is sent.
pub(crate) fn txn_op(text: &[u8]) -> Result<Op<'_>, Failure> {
    match request::parse(text, &Limits::default()) {
        Ok(Request { op, id: None, timeout_ms: None, once: None }) => Ok(op),
        Ok(_) => Err(Failure::usage("a transaction has the fields if and then, and no others")),
        Err(rejected) => Err(Failure::usage(rejected.error.error)),
    }
}

/// `watch KEY|--prefix P`.
pub(crate) async fn watch(client: &Client, args: &WatchArgs) -> Result<Exit, Failure> {
    let mut watch = match (&args.key, &args.prefix) {
        (Some(key), _) => client.watch_key(&kv::key(key)?).await?,
        (None, prefix) => client.watch_prefix(prefix.as_deref().unwrap_or_default()).await?,
    };
    loop {
        // However it ends, changes may have been missed.
        let lost = |error| match error {
            ClientError::Lost(_) => ClientError::WatchLost,
            error => error,
        };
        let change = watch.next().await.map_err(lost)?;
        print::lines(&change_line(&change, args.common.json))?;
    }
}

/// `outcome VERSION`.
pub(crate) async fn outcome(client: &Client, args: &OutcomeArgs) -> Result<Exit, Failure> {
    let version = args.version;
    let state = client.outcome(UpdateName::Version(version)).await?;
    let line = if args.common.json {
        format!("{{\"version\":\"{version}\",\"state\":\"{}\"}}\n", state.as_str())
    } else {
        format!("{}\n", told(state))
    };
    print::output(line.as_bytes())?;
    Ok(outcome_exit(state))
}

fn told(state: UpdateState) -> &'static str {
    match state {
        UpdateState::Committed => "committed: it happened",
        UpdateState::Aborted => "aborted: it did not happen and never will",
        UpdateState::InDoubt => "in doubt: it is not decided yet, ask again",
        UpdateState::Unknown => {
            "unknown: there is no record of it; it may be on its way, was never sent, or was \
             decided too long ago"
        }
    }
}

fn outcome_exit(state: UpdateState) -> Exit {
    match state {
        UpdateState::Committed => Exit::Done,
        UpdateState::Aborted => Exit::NotThere,
        UpdateState::InDoubt | UpdateState::Unknown => Exit::Unknown,
    }
}

/// A key and what was found there; null, or the key alone, where there is no such key.
fn write_found(out: &mut Vec<u8>, key: &Key, found: Option<&Versioned>, as_json: bool) {
    match found {
        Some(found) if as_json => out.extend_from_slice(&kv::value_object(key, found)),
        None if as_json => {
            out.extend_from_slice(b"{\"key\":");
            json::write_string(out, key.as_str());
            out.extend_from_slice(b",\"value\":null}\n");
        }
        Some(found) => {
            out.extend_from_slice(key.as_bytes());
            out.push(b'\t');
            out.extend_from_slice(found.value.as_bytes());
            out.push(b'\n');
        }
        None => {
            out.extend_from_slice(key.as_bytes());
            out.push(b'\n');
        }
    }
}

/// Where a person reads it, on a `terminal`, an item is one line whatever its key and value are.
fn write_item(out: &mut Vec<u8>, item: &Item, as_json: bool, terminal: bool) {
    let value = item.value.as_ref().map(|value| value.as_bytes());
    if as_json {
        out.extend_from_slice(b"{\"key\":");
        json::write_string(out, item.key.as_str());
        if let Some(value) = value {
            out.push(b',');
            json::write_value(out, value);
        }
        let (version, bytes) = (item.version, item.bytes);
        let rest = format!(",\"version\":\"{version}\",\"bytes\":{bytes}}}\n");
        out.extend_from_slice(rest.as_bytes());
        return;
    }
    let safe = |bytes: &[u8]| match terminal {
        true => print::escaped(bytes, false).into_bytes(),
        false => bytes.to_vec(),
    };
    out.extend(safe(item.key.as_bytes()));
    out.extend_from_slice(format!("\t{}\t{}", item.version, item.bytes).as_bytes());
    if let Some(value) = value {
        out.push(b'\t');
        out.extend(safe(value));
    }
    out.push(b'\n');
}

fn change_line(change: &Change, as_json: bool) -> Vec<u8> {
    let Change { key, value, version } = change;
    match value {
        Some(value) if as_json => watch_put_line(key.as_str(), value.as_bytes(), *version).into(),
        None if as_json => watch_del_line(key.as_str(), *version).into(),
        Some(value) => {
            let mut line = format!("put\t{}\t{version}\t", key.as_str()).into_bytes();
            line.extend_from_slice(value.as_bytes());
            line.push(b'\n');
            line
        }
        None => format!("del\t{}\t{version}\n", key.as_str()).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("a\"b").unwrap()
    }

    #[test]
    fn lines_are_for_people_or_for_programs() {
        let version = "3.17".parse().unwrap();
        let found = Versioned { value: "v".into(), version };
        let item = Item { key: key(), version, bytes: 1, value: Some("v".into()) };
        let keys_only = Item { value: None, ..item.clone() };
        let put = Change { key: key(), value: Some("v".into()), version };
        let del = Change { value: None, ..put.clone() };
        let mut text = Vec::new();
        write_found(&mut text, &key(), Some(&found), false);
        write_found(&mut text, &key(), None, false);
        write_item(&mut text, &item, false, false);
        write_item(&mut text, &keys_only, false, false);
        text.extend(change_line(&put, false));
        text.extend(change_line(&del, false));
        let expected = "a\"b\tv\na\"b\na\"b\t3.17\t1\tv\na\"b\t3.17\t1\nput\ta\"b\t3.17\tv\n\
                        del\ta\"b\t3.17\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let mut text = Vec::new();
        let split = Item { key: Key::new("a\n\tb").unwrap(), ..item.clone() };
        write_item(&mut text, &split, false, true);
        assert_eq!(text, b"a\\n\\tb\t3.17\t1\tv\n", "a line a key");
        let mut text = Vec::new();
        write_found(&mut text, &key(), Some(&found), true);
        write_found(&mut text, &key(), None, true);
        write_item(&mut text, &item, true, true);
        write_item(&mut text, &keys_only, true, true);
        text.extend(change_line(&put, true));
        text.extend(change_line(&del, true));
        let objects: Vec<serde_json::Value> = String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(objects.len(), 6);
        assert!(objects.iter().all(|object| object["key"] == "a\"b"));
        assert!(objects[1]["value"].is_null() && objects[3]["bytes"] == 1);
        assert_eq!((&objects[4]["watch"], &objects[5]["watch"]), (&"put".into(), &"del".into()));
    }

    #[test]
    fn a_transaction_is_read_and_checked_before_it_is_sent() {
        let read = |text: &str| {
            let line = with_op(text.as_bytes().to_vec()).map_err(|failure| failure.message)?;
            txn_op(&line).map(|op| op.name()).map_err(|failure| failure.message)
        };
        let write = r#"{"op":"put","key":"a","value":"b"}"#;
        assert_eq!(read(&format!("\n{{ \"then\" :\n[{write}]}}\n")), Ok("txn"));
        for (wrong, why) in [
            ("[]", "a transaction is one JSON object"),
            ("{\"then\":[]}", "then must have 1 to 128 elements"),
            ("{\"then\":[{\"op\":\"get\"}]}", "then[0].op is \"get\""),
            (&format!("{{\"then\":[{write}],\"id\":1}}"), "a transaction has the fields if and"),
            (&format!("{{\"then\":[{write}],\"op\":\"txn\"}}"), "op is there twice"),
        ] {
            let message = read(wrong).unwrap_err();
            assert!(message.starts_with(why), "{wrong}: {message}");
        }
    }

    #[test]
    fn an_outcome_has_an_exit_code() {
        let exits = UpdateState::ALL.map(outcome_exit);
        assert_eq!(exits, [Exit::Done, Exit::NotThere, Exit::Unknown, Exit::Unknown]);
    }
}
