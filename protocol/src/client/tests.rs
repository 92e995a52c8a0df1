//! The client against scripted peers: exact bytes in, exact bytes out.

use std::future::Future;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

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

fn quick() -> Options {
    let timeout = Duration::from_millis(50);
    Options { timeout, margin: Duration::from_millis(50), ..Options::default() }
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
    let (client, peer) = scripted(Options::default(), async |mut peer| {
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
    let (client, peer) = scripted(Options::default(), async |mut peer| {
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
    let options = Options { in_flight_requests: 3, ..Options::default() };
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
    let (client, peer) = scripted(Options::default(), async |mut peer| {
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
    let options = Options { in_flight_bytes: 64 << 20, ..Options::default() };
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
        let (client, _peer) = scripted(Options::default(), async move |mut peer| {
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
    let (client, peer) = scripted(Options::default(), async |mut peer| {
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
    let (client, peer) = scripted(Options::default(), async |mut peer| {
        say(&mut peer, "{\"ok\":false,\"code\":\"overloaded\",\"error\":\"too many\"}\n").await;
    })
    .await;
    peer.await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = client.get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("overloaded: too many"), "{error}");
}

#[tokio::test]
async fn every_address_is_tried_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap().to_string();
    let client = Client::connect(&format!("127.0.0.1:1, {good}"), Options::default()).await;
    assert_eq!(client.unwrap().address(), good);
    let error = Client::connect("127.0.0.1:1,nonsense", Options::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1: ") && text.contains("nonsense: "), "{text}");
    let error = Client::connect(" , ", Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("no address was given"), "{error}");
}
