//! The client against scripted peers: exact bytes in, exact bytes out.

use std::future::Future;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

mod explained;

type Peer = BufReader<TcpStream>;

/// A client, and the task of the peer that `script` plays for it.
async fn scripted<F, S>(options: Options, script: S) -> (Client, JoinHandle<()>)
where
    S: FnOnce(Peer) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(BufReader::new(stream)).await;
    });
    (Client::connect(&address, options).await.unwrap(), peer)
}

/// One connection, and nothing is repeated.
fn single() -> Options {
    Options { repeat_for: Duration::ZERO, ..Options::default() }
}

fn quick() -> Options {
    let timeout = Duration::from_millis(50);
    Options { timeout, margin: Duration::from_millis(50), ..single() }
}

async fn line(peer: &mut Peer) -> String {
    let mut line = String::new();
    peer.read_line(&mut line).await.unwrap();
    line
}

async fn say(peer: &mut Peer, text: &str) {
    peer.get_mut().write_all(text.as_bytes()).await.unwrap();
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test]
async fn calls_are_written_to_the_letter_and_their_answers_understood() {
    let (client, peer) = scripted(single(), async |mut peer| {
        let dialogue = [
            (
                r#"{"op":"get","timeout_ms":5000,"key":"a\"b"}"#,
                r#"{"ok":true,"value":"v","version":"1.2"}"#,
            ),
            (
                r#"{"op":"get","timeout_ms":5000,"key":"a"}"#,
                r#"{"ok":false,"code":"not_found","error":"x"}"#,
            ),
            (
                r#"{"op":"put","timeout_ms":5000,"key":"a","value":"v"}"#,
                r#"{"ok":true,"version":"1.3"}"#,
            ),
            (
                r#"{"op":"put","timeout_ms":5000,"key":"a","value_b64":"/w=="}"#,
                r#"{"ok":false,"code":"replica_down","error":"x","node":"n1"}"#,
            ),
            (
                r#"{"op":"put","timeout_ms":5000,"key":"a","value":""}"#,
                r#"{"ok":false,"code":"unknown_outcome","error":"x","version":"1.4"}"#,
            ),
            (
                r#"{"op":"del","timeout_ms":5000,"key":"a"}"#,
                r#"{"ok":false,"code":"not_found","error":"x"}"#,
            ),
            (r#"{"op":"del","timeout_ms":5000,"key":"a"}"#, r#"{"ok":true,"version":"1.5"}"#),
            (
                r#"{"op":"hello","timeout_ms":5000,"client":"me"}"#,
                r#"{"ok":true,"server":"piazza 0","protocol":1}"#,
            ),
        ];
        for (request, reply) in dialogue {
            assert_eq!(line(&mut peer).await.trim_end(), request);
            say(&mut peer, &format!("{reply}\n")).await;
        }
        assert_eq!(line(&mut peer).await, "", "the client closes");
    })
    .await;
    let found = client.get(&key("a\"b")).await.unwrap().unwrap();
    assert_eq!((found.value.as_bytes(), found.version.to_string()), (&b"v"[..], "1.2".into()));
    assert_eq!(client.get(&key("a")).await.unwrap(), None);
    assert_eq!(client.put(&key("a"), b"v").await.unwrap().to_string(), "1.3");
    let refused = client.put(&key("a"), b"\xff").await.unwrap_err();
    assert!(matches!(&refused, ClientError::Retry(reply) if reply.node.as_deref() == Some("n1")));
    assert!(refused.is_safe_to_repeat());
    let unknown = client.put(&key("a"), b"").await.unwrap_err();
    assert!(matches!(unknown, ClientError::Unknown { version: Some(v), .. } if v.counter() == 4));
    assert_eq!(client.del(&key("a")).await.unwrap(), Deleted::NotFound);
    assert!(matches!(client.del(&key("a")).await.unwrap(), Deleted::Done(_)));
    assert_eq!(client.hello("me", false).await.unwrap().protocol, 1);
    let other = client.clone();
    client.close().await;
    let after = other.get(&key("a")).await.unwrap_err();
    assert!(matches!(after, ClientError::NotConnected(_)) && other.is_lost(), "{after}");
    peer.await.unwrap();
}

#[tokio::test]
async fn many_calls_share_the_connection_and_get_their_own_answers() {
    let (client, peer) = scripted(single(), async |mut peer| {
        // All hundred arrive before the first is answered; the replies come in odd pieces.
        let mut replies = String::new();
        for _ in 0..100 {
            let request = line(&mut peer).await;
            let name = request.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap();
            replies +=
                &format!("{{\"ok\":true,\"value\":\"of {name}\",\"version\":\"1.1\"}}\r\n\n");
        }
        for piece in replies.as_bytes().chunks(7) {
            peer.get_mut().write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let calls = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = key(&format!("k{number}"));
            let found = client.get(&key).await.unwrap().unwrap();
            assert_eq!(found.value.as_bytes(), format!("of k{number}").as_bytes());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    peer.await.unwrap();
}

#[tokio::test]
async fn no_more_is_in_flight_than_allowed() {
    let options = Options { in_flight_requests: 3, ..single() };
    let (client, peer) = scripted(options, async |mut peer| {
        for _ in 0..4 {
            let mut requests = Vec::new();
            let wait = Duration::from_millis(30);
            while let Ok(request) = timeout(wait, line(&mut peer)).await {
                requests.push(request);
            }
            assert_eq!(requests.len(), 3);
            say(&mut peer, &"{\"ok\":true,\"version\":\"1.1\"}\n".repeat(3)).await;
        }
    })
    .await;
    let calls = (0..12).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.put(&key("a"), b"v").await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    peer.await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_means_different_things_to_different_calls() {
    let (client, peer) = scripted(single(), async |mut peer| {
        line(&mut peer).await;
        line(&mut peer).await;
    })
    .await;
    let (a, b) = (key("a"), key("b"));
    let (get, put) = tokio::join!(client.get(&a), client.put(&b, b"v"));
    assert!(matches!(get.unwrap_err(), ClientError::Lost(_)));
    let put = put.unwrap_err();
    assert!(matches!(put, ClientError::Unknown { cause: UnknownCause::Lost(_), .. }), "{put}");
    let later = client.put(&b, b"v").await.unwrap_err();
    assert!(matches!(later, ClientError::NotConnected(_)) && later.is_safe_to_repeat());
    peer.await.unwrap();
}

#[tokio::test]
async fn what_was_never_sent_is_known_not_to_have_happened() {
    // The peer reads nothing, so that large requests pile up behind the socket's buffers.
    let options = Options { in_flight_bytes: 64 << 20, ..single() };
    let (go, gone) = oneshot::channel::<()>();
    let (client, peer) = scripted(options, async |peer| {
        gone.await.unwrap();
        drop(peer);
    })
    .await;
    let value = vec![b'v'; 1 << 20];
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let (client, value) = (client.clone(), value.clone());
            tokio::spawn(async move { client.put(&key("a"), &value).await.unwrap_err() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    go.send(()).unwrap();
    let (mut sent, mut unsent) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            ClientError::Unknown { .. } => sent += 1,
            ClientError::NotConnected(_) => unsent += 1,
            other => panic!("{other}"),
        }
    }
    assert!(sent >= 1 && unsent >= 1, "sent {sent}, unsent {unsent}");
    peer.await.unwrap();
}

#[tokio::test]
async fn a_slow_peer_ends_the_wait_and_in_the_end_the_connection() {
    let (client, peer) = scripted(quick(), async |mut peer| {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
    })
    .await;
    let (a, b) = (key("a"), key("b"));
    let begun = Instant::now();
    let (get, put) = tokio::join!(client.get(&a), client.put(&b, b"v"));
    assert!(matches!(get.unwrap_err(), ClientError::Late(_)));
    let put = put.unwrap_err();
    assert!(matches!(put, ClientError::Unknown { cause: UnknownCause::Late(_), .. }), "{put}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    peer.await.unwrap();
    assert!(client.is_lost());
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let options = Options { margin: Duration::from_secs(5), ..quick() };
    let (client, peer) = scripted(options, async |mut peer| {
        line(&mut peer).await;
        line(&mut peer).await;
        say(&mut peer, "{\"ok\":true,\"value\":\"1\",\"version\":\"1.1\"}\n").await;
        say(&mut peer, "{\"ok\":true,\"value\":\"2\",\"version\":\"1.1\"}\n").await;
    })
    .await;
    // The first caller goes away after its request was sent.
    let first = timeout(Duration::from_millis(30), client.get(&key("a"))).await;
    assert!(first.is_err());
    let second = client.get(&key("b")).await.unwrap().unwrap();
    assert_eq!(second.value.as_bytes(), b"2");
    peer.await.unwrap();
}

#[tokio::test]
async fn an_update_waiting_for_room_at_its_deadline_was_not_sent() {
    let options = Options { in_flight_requests: 1, ..quick() };
    let (client, peer) = scripted(options, async |mut peer| {
        assert!(line(&mut peer).await.contains("\"a\""));
        assert_eq!(line(&mut peer).await, "");
    })
    .await;
    let (a, b) = (key("a"), key("b"));
    let (first, second) = tokio::join!(client.put(&a, b"v"), client.put(&b, b"v"));
    assert!(matches!(first.unwrap_err(), ClientError::Unknown { .. }));
    assert!(matches!(second.unwrap_err(), ClientError::Late(_)));
    peer.await.unwrap();
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let garbage = ["HTTP/1.1 400 Bad Request\n", "{\"ok\":1}\n", "{\"ok\":true}\n", "\x01\n"];
    for text in garbage {
        let (client, _peer) = scripted(single(), async move |mut peer| {
            line(&mut peer).await;
            line(&mut peer).await;
            say(&mut peer, &text.repeat(2)).await;
            line(&mut peer).await;
        })
        .await;
        let (a, b) = (key("a"), key("b"));
        let (get, put) = tokio::join!(client.get(&a), client.put(&b, b"v"));
        let get = get.unwrap_err();
        assert!(matches!(get, ClientError::Protocol(_) | ClientError::Lost(_)), "{get}");
        let put = put.unwrap_err();
        assert!(matches!(put, ClientError::Unknown { .. }), "{put}");
    }
}

#[tokio::test]
async fn an_endless_reply_ends_the_connection() {
    let (client, peer) = scripted(single(), async |mut peer| {
        line(&mut peer).await;
        say(&mut peer, "{\"ok\":true,\"value\":\"").await;
        let piece = vec![b'a'; 1 << 20];
        for _ in 0..6 {
            // Fails once the client has had enough.
            let _ = peer.get_mut().write_all(&piece).await;
        }
    })
    .await;
    let error = client.get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("a reply is longer than 4194304 bytes"), "{error}");
    peer.await.unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_the_connection_is_quoted() {
    let (client, peer) = scripted(single(), async |mut peer| {
        say(&mut peer, "{\"ok\":false,\"code\":\"overloaded\",\"error\":\"too many\"}\n").await;
    })
    .await;
    peer.await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = client.get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("overloaded: too many"), "{error}");
}

/// Contract: "a comma list tries each"
#[tokio::test]
async fn every_address_is_tried_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap().to_string();
    let client = Client::connect(&format!("127.0.0.1:1, {good}"), single()).await;
    assert_eq!(client.unwrap().address(), good);
    let error = Client::connect("127.0.0.1:1,nonsense", single()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1: ") && text.contains("nonsense: "), "{text}");
    let error = Client::connect(" , ", single()).await.unwrap_err();
    assert!(error.to_string().contains("no address was given"), "{error}");
}

/// A client that repeats, and the task of a server that plays one script a connection.
async fn repeating(scripts: Vec<Vec<&'static str>>) -> (Client, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = BufReader::new(stream);
            for reply in script {
                requests.push(line(&mut peer).await);
                // Nothing to say: the connection ends instead.
                if !reply.is_empty() {
                    say(&mut peer, &format!("{reply}\n")).await;
                }
            }
        }
        requests
    });
    (Client::connect(&address, Options::default()).await.unwrap(), server)
}

fn once(request: &str) -> &str {
    request.split("\"once\":\"").nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test]
async fn conditional_calls_are_written_to_the_letter_and_their_answers_understood() {
    let (client, peer) = scripted(single(), async |mut peer| {
        let mismatch = r#"{"ok":false,"code":"version_mismatch","error":"x","version":"1.9"}"#;
        let dialogue = [
            (
                r#"{"op":"put","timeout_ms":70,"key":"a","value":"v","if_absent":true}"#,
                r#"{"ok":false,"code":"exists","error":"x","version":"1.2"}"#,
            ),
            (
                r#"{"op":"update","timeout_ms":70,"key":"a","value":"v"}"#,
                r#"{"ok":true,"version":"1.3"}"#,
            ),
            (
                r#"{"op":"cas","timeout_ms":70,"key":"a","value":"v","version":"1.3"}"#,
                mismatch,
            ),
            (
                r#"{"op":"del","timeout_ms":70,"key":"a","version":"1.3"}"#,
                r#"{"ok":true,"version":"1.4"}"#,
            ),
            (
                r#"{"op":"mget","timeout_ms":70,"keys":["a","b"]}"#,
                r#"{"ok":true,"values":[null,{"value":"v","version":"1.5"}]}"#,
            ),
            (
                concat!(
                    r#"{"op":"txn","timeout_ms":70,"if":[{"key":"a","version":"1.3"},"#,
                    r#"{"key":"b","version":null}],"then":[{"op":"put","key":"a","value":"v"},"#,
                    r#"{"op":"update","key":"b","value":"w"},{"op":"del","key":"c"}]}"#
                ),
                r#"{"ok":true,"version":"1.6"}"#,
            ),
            (
                r#"{"op":"scan","timeout_ms":70,"prefix":"p","limit":2,"values":true}"#,
                concat!(
                    r#"{"ok":true,"items":[{"key":"p1","version":"1.1","bytes":1,"value":"v"}],"#,
                    r#""next":"p1"}"#
                ),
            ),
            (
                r#"{"op":"scan","timeout_ms":70,"prefix":"p","after":"p1","limit":2,"values":true}"#,
                r#"{"ok":true,"items":[],"next":null}"#,
            ),
            (
                r#"{"op":"outcome","timeout_ms":70,"version":"1.6"}"#,
                r#"{"ok":true,"state":"in_doubt"}"#,
            ),
        ];
        for (request, reply) in dialogue {
            assert_eq!(line(&mut peer).await.trim_end(), request);
            say(&mut peer, &format!("{reply}\n")).await;
        }
    })
    .await;
    let client = client.with_timeout(Duration::from_millis(70));
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let version: Version = "1.3".parse().unwrap();
    let exists = client.put_if_absent(&a, b"v").await.unwrap_err();
    assert!(matches!(&exists, ClientError::Condition(reply) if reply.code == ErrorCode::Exists));
    assert_eq!(client.update(&a, b"v").await.unwrap(), version);
    let late = client.cas(&a, b"v", version).await.unwrap_err();
    let ClientError::Condition(reply) = late else { panic!("{late}") };
    assert_eq!(reply.version.unwrap().to_string(), "1.9");
    client.del_if(&a, version).await.unwrap();
    let values = client.mget(&[a.clone(), b.clone()]).await.unwrap();
    assert!(values[0].is_none() && values[1].as_ref().unwrap().value.as_bytes() == b"v");
    let txn = client.txn().if_version(&a, version).if_absent(&b);
    txn.put(&a, b"v").update(&b, b"w").del(&c).commit().await.unwrap();
    let mut scan = client.scan("p").limit(2).with_values();
    assert_eq!(scan.next().await.unwrap().unwrap().items.len(), 1);
    assert_eq!(scan.next().await.unwrap().unwrap().items.len(), 0);
    assert_eq!(scan.next().await.unwrap(), None);
    let of = UpdateName::Version("1.6".parse().unwrap());
    assert_eq!(client.outcome(of).await.unwrap(), UpdateState::InDoubt);
    peer.await.unwrap();
}

/// Contract: "The client library always sets it, and so may retry updates by itself"
#[tokio::test]
async fn an_update_is_repeated_under_one_name_until_it_is_settled() {
    let (client, server) = repeating(vec![
        vec![r#"{"ok":false,"code":"aborted","error":"x","reason":"x"}"#, ""],
        vec![
            r#"{"ok":false,"code":"unknown_outcome","error":"x","version":"1.1"}"#,
            r#"{"ok":true,"version":"1.1"}"#,
            r#"{"ok":true,"version":"1.2"}"#,
            r#"{"ok":true,"value":"v","version":"1.2"}"#,
        ],
    ])
    .await;
    assert_eq!(client.put(&key("a"), b"v").await.unwrap().to_string(), "1.1");
    client.put(&key("a"), b"v").await.unwrap();
    client.get(&key("a")).await.unwrap();
    let requests = server.await.unwrap();
    assert_eq!(requests.len(), 6);
    assert!(requests[..4].iter().all(|request| *request == requests[0]), "{requests:?}");
    let (first, second) = (once(&requests[0]), once(&requests[4]));
    assert!(first != second && (16..=64).contains(&first.len()), "{first} {second}");
    assert!(!requests[5].contains("once"), "reads have no name");
}

#[tokio::test]
async fn what_is_settled_or_wrong_is_not_repeated() {
    let (client, server) = repeating(vec![
        vec![r#"{"ok":false,"code":"not_found","error":"x"}"#, ""],
        vec![r#"{"ok":false,"code":"version_mismatch","error":"x"}"#, ""],
        vec![r#"{"ok":false,"code":"forbidden","error":"x"}"#],
    ])
    .await;
    let a = key("a");
    let version = Version::from_number(1);
    assert!(matches!(client.update(&a, b"v").await.unwrap_err(), ClientError::Condition(_)));
    // Lost, then settled by its repetition.
    let error = client.cas(&a, b"v", version).await.unwrap_err();
    assert!(matches!(error, ClientError::Condition(_)), "{error}");
    // Lost, then refused: that says nothing about the first attempt.
    let error = client.put(&a, b"v").await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    assert_eq!(server.await.unwrap().len(), 5);
}

/// H68: a server that never settles anything is asked for as long as was said, and no longer.
/// Contract: "may retry updates by itself, for at most 30 s"
#[tokio::test]
async fn h68_repeating_ends_when_patience_does() {
    let replies = [
        r#"{"ok":false,"code":"unknown_outcome","error":"x","version":"1.1"}"#,
        r#"{"ok":false,"code":"replica_down","error":"x","node":"n1","retry_after_ms":1}"#,
    ];
    let options = Options { repeat_for: Duration::from_millis(300), ..single() };
    let (client, peer) = scripted(options, async move |mut peer| {
        let mut asked = 0;
        while !line(&mut peer).await.is_empty() {
            say(&mut peer, &format!("{}\n", replies[usize::from(asked > 0)])).await;
            asked += 1;
        }
        assert!(asked > 1, "asked {asked} times");
    })
    .await;
    let error = timeout(Duration::from_secs(30), client.put(&key("a"), b"v")).await;
    let error = error.expect("it ends").unwrap_err();
    // What was refused later does not say that the first attempt has not happened.
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    client.close().await;
    peer.await.unwrap();
}

#[tokio::test]
async fn a_condition_denies_a_lost_attempt_only_if_it_is_never_met_again() {
    const NOT_FOUND: &str = r#"{"ok":false,"code":"not_found","error":"x","key":"a"}"#;
    const EXISTS: &str = r#"{"ok":false,"code":"exists","error":"x","version":"1.1"}"#;
    const OTHER_A: &str = r#"{"ok":false,"code":"version_mismatch","error":"x","key":"a"}"#;
    const OTHER_B: &str = r#"{"ok":false,"code":"version_mismatch","error":"x","key":"b"}"#;
    const OPEN: &str = r#"{"ok":false,"code":"unknown_outcome","error":"x","version":"1.1"}"#;
    let (client, server) = repeating(vec![
        vec![""],
        vec![NOT_FOUND, ""],
        vec![NOT_FOUND, ""],
        vec![EXISTS, ""],
        vec![OTHER_A, ""],
        vec![OTHER_B, OPEN, NOT_FOUND],
    ])
    .await;
    let (a, b) = (key("a"), key("b"));
    let version = Version::from_number(1);
    let unknown = |error: &ClientError| matches!(error, ClientError::Unknown { .. });
    // The key may be there again when the first attempt arrives, or gone.
    let error = client.del(&a).await.unwrap_err();
    assert!(unknown(&error), "{error}");
    let error = client.del_if(&a, version).await.unwrap_err();
    assert!(!unknown(&error), "{error}");
    let error = client.put_if_absent(&a, b"v").await.unwrap_err();
    assert!(unknown(&error), "{error}");
    let txn = || client.txn().if_version(&a, version).if_absent(&b).put(&a, b"v");
    let error = txn().commit().await.unwrap_err();
    assert!(!unknown(&error), "{error}");
    let error = txn().commit().await.unwrap_err();
    assert!(unknown(&error), "{error}");
    // The server has read this one, and tells its repetition what became of it.
    assert_eq!(client.del(&a).await.unwrap(), Deleted::NotFound);
    assert_eq!(server.await.unwrap().len(), 12);
}

#[tokio::test]
async fn a_client_that_was_closed_repeats_nothing() {
    let (client, server) = repeating(vec![vec![]]).await;
    let other = client.clone();
    client.close().await;
    let error = other.put(&key("a"), b"v").await.unwrap_err();
    assert!(matches!(error, ClientError::NotConnected(_)), "{error}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_watch_tells_every_change_and_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (_calls, _) = listener.accept().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = BufReader::new(stream);
        let request = line(&mut peer).await;
        let text = concat!(
            "{\"ok\":true,\"version\":\"1.1\"}\n",
            "{\"watch\":\"put\",\"key\":\"a\",\"value\":\"v\",\"version\":\"1.2\"}\n",
            "{\"watch\":\"news\"}\n{\"watch\":\"del\",\"key\":\"a\",\"version\":\"1.3\"}\n",
            "{\"watch\":\"lost\"}\n"
        );
        for piece in text.as_bytes().chunks(7) {
            peer.get_mut().write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        request
    });
    let client = Client::connect(&address, Options::default()).await.unwrap();
    let mut watch = client.watch_prefix("").await.unwrap();
    assert_eq!(watch.version().to_string(), "1.1");
    let put = watch.next().await.unwrap();
    assert_eq!((put.key.as_str(), put.version.counter()), ("a", 2));
    assert_eq!(put.value.unwrap().as_bytes(), b"v");
    assert_eq!(watch.next().await.unwrap().value, None);
    let end = watch.next().await.unwrap_err();
    assert!(matches!(end, ClientError::WatchLost), "{end}");
    assert!(matches!(watch.next().await.unwrap_err(), ClientError::Lost(_)));
    assert_eq!(server.await.unwrap(), "{\"op\":\"watch\",\"timeout_ms\":5000,\"prefix\":\"\"}\n");
}
