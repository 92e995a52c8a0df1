//! Imports into a scripted server that refuses, loses and forgets.

use std::collections::BTreeMap;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What the server does with its n-th put.
#[derive(Clone, Copy)]
enum Does {
    Stores,
    Refuses(&'static str),
    /// Stores it, but closes the connection instead of saying so.
    Hangs,
}

type Stored = Arc<std::sync::Mutex<BTreeMap<String, Vec<String>>>>;

/// A server that acts out `script` and then stores everything; its address and what it stored.
async fn server(script: Vec<Does>) -> (String, Stored) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stored = Stored::default();
    let seen = stored.clone();
    tokio::spawn(async move {
        let mut script = script.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.split();
            let mut lines = tokio::io::BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let request: serde_json::Value = serde_json::from_str(&line).unwrap();
                if request["op"] == "hello" {
                    let limits = "{\"key_bytes\":8,\"value_bytes\":8}";
                    let reply = format!(
                        "{{\"ok\":true,\"server\":\"x\",\"protocol\":1,\"limits\":{limits}}}\n"
                    );
                    write.write_all(reply.as_bytes()).await.unwrap();
                    continue;
                }
                let does = script.next().unwrap_or(Does::Stores);
                if let Does::Refuses(code) = does {
                    let reply = format!("{{\"ok\":false,\"code\":\"{code}\",\"error\":\"no\"}}\n");
                    write.write_all(reply.as_bytes()).await.unwrap();
                    continue;
                }
                let text = |name: &str| request[name].as_str().unwrap().to_owned();
                seen.lock().unwrap().entry(text("key")).or_default().push(text("value"));
                if matches!(does, Does::Hangs) {
                    break;
                }
                write.write_all(b"{\"ok\":true,\"version\":\"1.1\"}\n").await.unwrap();
            }
        }
    });
    (address, stored)
}

async fn imported(script: Vec<Does>, text: &str) -> (Result<Exit, Failure>, Stored) {
    let (addresses, stored) = server(script).await;
    let input = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
    let target = Target { addresses, hint: String::new() };
    let options = Options { repeat_for: Duration::ZERO, ..Options::default() };
    let line = (target, options);
    let result = import(input, Format::Csv, line, &ProgressBar::hidden(), false).await;
    (result, stored)
}

fn last(stored: &Stored, key: &str) -> Option<String> {
    stored.lock().unwrap().get(key).and_then(|values| values.last().cloned())
}

#[tokio::test]
async fn many_keys_arrive() {
    let text: String = (0..2000).map(|number| format!("k{number},{number}\n")).collect();
    let (result, stored) = imported(Vec::new(), &text).await;
    assert_eq!(result.unwrap(), Exit::Done);
    assert_eq!(stored.lock().unwrap().len(), 2000);
    assert_eq!(last(&stored, "k1999").as_deref(), Some("1999"));
}

#[tokio::test]
async fn what_is_refused_is_repeated_and_the_order_of_a_key_is_kept() {
    let script = ["overloaded", "replica_down", "timeout", "aborted", "unknown_outcome"];
    let script = script.map(Does::Refuses).to_vec();
    let (result, stored) = imported(script, "a,1\na,2\na,3\nb,1\n").await;
    assert_eq!(result.unwrap(), Exit::Done);
    assert_eq!(stored.lock().unwrap()["a"], ["1", "2", "3"]);
    assert_eq!(last(&stored, "b").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_and_the_put_repeated() {
    let script = vec![Does::Stores, Does::Hangs, Does::Hangs];
    let (result, stored) = imported(script, "a,1\nb,2\nc,3\n").await;
    assert_eq!(result.unwrap(), Exit::Done);
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(last(&stored, key).as_deref(), Some(value));
    }
}

#[tokio::test]
async fn a_bad_line_ends_the_import_and_nothing_after_it_is_sent() {
    for bad in ["b", "muchtoolong,1", "b,muchtoolong"] {
        let (result, stored) = imported(Vec::new(), &format!("a,1\n{bad}\nc,3\n")).await;
        let failure = result.unwrap_err();
        assert_eq!((failure.exit, failure.code), (Exit::Usage, "bad_line"));
        assert!(failure.message.starts_with("line 2: "), "{}", failure.message);
        assert!(failure.message.contains("imported 1 key before"), "{}", failure.message);
        assert_eq!(last(&stored, "a").as_deref(), Some("1"));
        assert_eq!(last(&stored, "c"), None);
    }
}

#[tokio::test]
async fn what_can_never_succeed_ends_the_import_at_once() {
    let script = vec![Does::Stores, Does::Refuses("forbidden")];
    let (result, _) = imported(script, "a,1\nb,2\nc,3\n").await;
    let failure = result.unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::Other, "forbidden"));
    assert!(failure.message.starts_with("line 2: no (imported "), "{}", failure.message);
}

#[test]
fn the_summary_is_one_line() {
    let time = Duration::from_millis(2500);
    assert_eq!(summary(5000, time, false), "imported 5000 keys in 2.5 s, 2000/s\n");
    assert_eq!(summary(5, time, true), "{\"imported\":5,\"seconds\":2.500,\"per_s\":2}\n");
    assert!(summary(0, Duration::ZERO, false).starts_with("imported 0 keys in 0.0 s, 0/s"));
}
