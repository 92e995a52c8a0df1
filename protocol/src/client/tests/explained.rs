//! Requests that are explained: an update that is carried out is repeated like any other.

use super::*;

const WAY: &str = r#""hash":"00000000000000aa","nodes":["n1"],"set":1,"steps":[],"total_us":7"#;

fn put() -> Op<'static> {
    Op::Put { key: "a".into(), value: b"v"[..].into(), if_absent: false }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Contract: "The client library always sets it, and so may retry updates by itself"
#[tokio::test]
async fn an_explained_update_is_repeated_under_one_name() {
    let unknown = r#"{"ok":false,"code":"unknown_outcome","error":"x","version":"1.1""#;
    let (client, server) = repeating(vec![
        vec![""],
        vec![leak(format!("{unknown},{WAY}}}")), leak(format!("{{\"ok\":true,{WAY}}}"))],
    ])
    .await;
    let explanation = client.explain(put(), true).await.unwrap();
    assert_eq!(explanation.answer.unwrap().total_us, Some(7));
    assert!(explanation.line.starts_with(b"{\"ok\":true"));
    let requests = server.await.unwrap();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| *request == requests[0]), "{requests:?}");
    assert!(requests[0].contains(r#""op":"explain""#) && !once(&requests[0]).is_empty());
}

#[tokio::test]
async fn what_is_refused_is_explained_and_what_is_not_carried_out_has_no_name() {
    let refused = leak(format!(r#"{{"ok":false,"code":"exists","error":"x",{WAY}}}"#));
    let plan = leak(format!("{{\"ok\":true,{WAY}}}"));
    let (client, server) = repeating(vec![vec![refused, plan, plan]]).await;
    let refusal = client.explain(put(), true).await.unwrap().answer.unwrap_err();
    assert_eq!(refusal.error.code, ErrorCode::Exists);
    assert!(refusal.explained.is_some());
    client.explain(put(), false).await.unwrap().answer.unwrap();
    client.explain(Op::Get { key: "a".into() }, true).await.unwrap().answer.unwrap();
    let requests = server.await.unwrap();
    assert!(requests[1..].iter().all(|request| !request.contains("once")), "{requests:?}");
}
