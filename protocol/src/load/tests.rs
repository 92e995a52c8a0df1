//! Loads against servers that are made up here: right ones, odd ones, silent ones.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::frame::{Frame, Framer};
use crate::reply::REPLY_BYTES_MAX;
use crate::token::Token;

/// What connections show.
const SECRET: &str = "a token of forty bytes, as long as needed";
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Every line that a server was asked, and what it answers to the n-th of all; `None` closes.
type Answer = fn(usize, &str) -> Option<String>;
type Asked = Arc<Mutex<Vec<String>>>;

/// A server; its address and what it was asked.
async fn serve(answer: Answer) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let all = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = all.clone();
            tokio::spawn(async move {
                let mut framer = Framer::new(1 << 20);
                while stream.read_buf(framer.read_space()).await.is_ok_and(|count| count > 0) {
                    while let Some(Frame::Line(line)) = framer.next_frame() {
                        let line = String::from_utf8(line.to_vec()).unwrap();
                        let number = all.lock().unwrap().len();
                        all.lock().unwrap().push(line.clone());
                        let Some(answer) = answer(number, &line) else { return };
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, asked)
}

fn ok(_: usize, _: &str) -> Option<String> {
    Some("{\"ok\":true,\"version\":\"1.1\"}\n".into())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WAIT_MAX, future).await.expect("it ends") })
}

async fn done(address: &str, plan: Plan) -> Report {
    let mut running = start(address, plan).await.unwrap();
    running.ended().await;
    check(running.report())
}

/// Its parts add up.
fn check(report: Report) -> Report {
    let counts = report.kinds.values().map(|kind| kind.count);
    assert_eq!(counts.sum::<u64>(), report.ops, "{report:?}");
    for kind in report.kinds.values() {
        assert_eq!(kind.outcomes.values().sum::<u64>(), kind.count, "{report:?}");
    }
    let answered: u64 = report.kinds.values().map(|kind| kind.latency.count).sum();
    assert_eq!(answered + report.errors().values().sum::<u64>(), report.ops, "{report:?}");
    report
}

fn drawn(mix: &str) -> Work {
    Work::Drawn { mix: mix.parse().unwrap(), distribution: Distribution::Uniform }
}

#[test]
fn so_many_operations_are_done_and_no_more() {
    run(async {
        let (address, asked) = serve(ok).await;
        for (connections, depth, rate) in
            [(1, 1, None), (3, 8, None), (8, 64, None), (3, 2, Some(20_000)), (1, 1, Some(500))]
        {
            asked.lock().unwrap().clear();
            let mix = drawn("get=2,put=1,update=1,del=1");
            let ops = Some(500);
            let plan = Plan { work: mix, connections, depth, rate, ops, ..Plan::default() };
            let report = done(&address, plan).await;
            assert_eq!((report.ops, report.count(OK)), (500, 500), "{report:?}");
            assert_eq!((report.unsent, report.unanswered, report.connections_lost), (0, 0, 0));
            assert_eq!(report.kinds.len(), 4);
            assert_eq!(asked.lock().unwrap().len(), 500);
            assert_eq!(report.start_delay.count, if rate.is_some() { 500 } else { 0 });
        }
    });
}

#[test]
fn a_seed_asks_the_same_again() {
    run(async {
        let (address, asked) = serve(ok).await;
        let asked_of = async |seed| {
            asked.lock().unwrap().clear();
            let plan = Plan { seed, connections: 1, ops: Some(200), ..Plan::default() };
            done(&address, plan).await;
            asked.lock().unwrap().clone()
        };
        let first = asked_of(1).await;
        assert_eq!(first, asked_of(1).await);
        assert_ne!(first, asked_of(2).await);
    });
}

#[test]
fn each_key_is_asked_for_once_behind_the_token() {
    run(async {
        let (address, asked) = serve(|number, line| match line.contains("auth") {
            true => Some("{\"ok\":true,\"role\":\"client\"}\n".into()),
            false => ok(number, line),
        })
        .await;
        let token = Some(Token::new(SECRET).unwrap());
        let work = Work::EachKey(Kind::Put);
        let plan = Plan { work, keys: 100, connections: 4, depth: 3, token, ..Plan::default() };
        assert!(!format!("{plan:?}").contains(SECRET));
        let report = done(&address, plan.clone()).await;
        assert_eq!(report.kinds[&Kind::Put].count, 100);
        let asked = asked.lock().unwrap();
        let auth = format!(r#"{{"op":"auth","token":"{SECRET}"}}"#);
        assert!(asked[..4].iter().all(|line| *line == auth), "{:?}", asked[0]);
        let key = |line: &String| line.split('"').nth(7).unwrap().to_owned();
        let keys: BTreeSet<String> = asked[4..].iter().map(key).collect();
        assert_eq!((keys.len(), asked.len()), (100, 104), "{:?}", asked[4]);
        let right: Vec<String> = (0..100).map(|number| plan.key(number)).collect();
        assert!(right.iter().all(|key| keys.contains(key)), "{keys:?}");
    });
}

#[test]
fn a_refused_token_is_told() {
    run(async {
        let refuse: Answer =
            |_, _| Some("{\"ok\":false,\"code\":\"unauthorized\",\"error\":\"no\"}\n".into());
        let (address, _) = serve(refuse).await;
        let token = Some(Token::new(SECRET).unwrap());
        let result = start(&address, Plan { token, ops: Some(1), ..Plan::default() }).await;
        let Err(StartError::Connect(ClientError::Fix(reply))) = result else { panic!() };
        assert_eq!(reply.code.as_str(), "unauthorized");
    });
}

#[test]
fn answers_are_counted_by_what_they_say() {
    run(async {
        let (address, _) = serve(|number, _| {
            let code =
                |code| Some(format!("{{\"ok\":false,\"code\":\"{code}\",\"error\":\"x\"}}\n"));
            match number % 5 {
                0 => code("replica_down"),
                1 => code("not_found"),
                2 => code("one_of_a_newer_server"),
                3 => Some("{ \"version\":\"1.1\", \"ok\" : true }\n".into()),
                _ => ok(number, ""),
            }
        })
        .await;
        let plan = Plan { connections: 1, depth: 10, ops: Some(1000), ..Plan::default() };
        let report = done(&address, plan).await;
        assert_eq!((report.count("replica_down"), report.count("not_found")), (200, 200));
        assert_eq!((report.count("other"), report.count(OK)), (200, 400));
        let errors = report.errors();
        assert_eq!(errors.keys().collect::<Vec<_>>(), ["other", "replica_down"]);
    });
}

#[test]
fn whatever_a_server_answers_all_operations_end() {
    let odd: [Answer; 6] = [
        |number, line| if number % 7 == 6 { None } else { ok(number, line) },
        |number, line| if number % 7 == 6 { Some("\u{0}{\n".into()) } else { ok(number, line) },
        |number, line| if number % 7 == 6 { Some("{\"ok\":1}\n".into()) } else { ok(number, line) },
        |number, line| if number % 7 == 6 { Some("GET / H\n".into()) } else { ok(number, line) },
        |number, line| ok(number, line).map(|one| one.repeat(1 + number % 7 / 6)),
        |number, line| {
            if number % 7 == 6 { Some("x".repeat(REPLY_BYTES_MAX + 2)) } else { ok(number, line) }
        },
    ];
    for (which, answer) in odd.into_iter().enumerate() {
        run(async {
            let (address, _) = serve(answer).await;
            let plan = Plan { connections: 2, depth: 3, ops: Some(40), ..Plan::default() };
            let report = done(&address, plan).await;
            assert_eq!(report.ops, 40, "server {which}: {report:?}");
            assert!(report.connections_lost > 0 && report.last_loss.is_some(), "server {which}");
            assert!(report.count(OK) > 20, "server {which}: {report:?}");
        });
    }
}

#[test]
fn a_load_stops_at_once() {
    run(async {
        let (address, asked) = serve(|_, _| Some(String::new())).await;
        let plan = Plan { depth: 4, duration: Some(WAIT_MAX * 10), ..Plan::default() };
        let mut running = start(&address, plan).await.unwrap();
        while asked.lock().unwrap().len() < 64 {
            tokio::task::yield_now().await;
        }
        running.stopper().stop();
        running.ended().await;
        let report = check(running.report());
        assert_eq!((report.ops, report.unanswered), (0, 64));
        assert_eq!(running.report(), report);
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up_and_the_rest_was_unsent() {
    run(async {
        let (address, _) = serve(|_, _| Some(String::new())).await;
        let plan = Plan {
            connections: 2,
            rate: Some(1000),
            duration: Some(Duration::from_millis(100)),
            answer_wait: Duration::from_millis(300),
            ..Plan::default()
        };
        let report = done(&address, plan).await;
        assert_eq!((report.count(CONNECTION_LOST), report.unsent), (2, 98), "{report:?}");
        assert_eq!((report.connections_lost, report.rate_asked), (2, Some(1000)));
        assert!(report.last_loss.unwrap().contains("not answered in time"));
    });
}

#[test]
fn a_cas_learns_the_version_of_its_key() {
    run(async {
        let (address, _) = serve(|number, line| {
            if line.contains("\"version\":\"3.7\"") {
                return Some("{\"ok\":true,\"version\":\"3.7\"}\n".into());
            }
            assert!(line.contains("\"version\":\"0.0\""), "{number}: {line}");
            let mismatch = "{\"ok\":false,\"code\":\"version_mismatch\",\"version\":\"3.7\"}\n";
            Some(mismatch.into())
        })
        .await;
        let plan = Plan { keys: 5, connections: 1, ops: Some(100), ..Plan::default() };
        let report = done(&address, Plan { work: drawn("cas=1"), ..plan }).await;
        assert_eq!((report.count("version_mismatch"), report.count(OK)), (5, 95));
        assert!(report.errors().is_empty());
    });
}

#[test]
fn every_update_has_a_name_of_its_own() {
    run(async {
        let (address, asked) = serve(ok).await;
        let plan =
            Plan { once: true, work: drawn("get=1,put=1"), ops: Some(200), ..Plan::default() };
        done(&address, plan).await;
        let asked = asked.lock().unwrap();
        let (mut names, mut gets) = (BTreeSet::new(), 0);
        for line in asked.iter() {
            let request = crate::request::parse(line.as_bytes(), &Default::default()).unwrap();
            match request.once {
                Some(once) => assert!(names.insert(once.into_owned()), "{line}"),
                None => gets += 1,
            }
        }
        assert!(gets > 0 && names.len() > 50 && gets + names.len() == 200, "{gets} gets");
    });
}
