//! The last place where a supervisor is looked for, and directories that are elsewhere.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

/// A supervisor that says hello, and what its coordinators' addresses are.
fn supervisor(clients: &str, dir: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let dir = dir.display();
    let answer = format!(
        "{{\"ok\":true,\"server\":\"s\",\"dir\":\"{dir}\",\"pid\":1,\"clients\":{clients}}}"
    );
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().unwrap();
            for _ in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = writeln!(out, "{answer}");
            }
        }
    });
    address
}

/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";

fn named(addr: &str) -> Common {
    Common { addr: Some(addr.into()), ..Common::default() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Contract: "Found by `--supervisor` ... 127.0.0.1:9191, in that order"
#[test]
fn the_usual_port_is_the_last_and_only_of_the_cluster_that_is_meant() {
    let here = std::env::temp_dir();
    let own = supervisor(&format!("[\"{CLOSED}\"]"), &here);
    let found = |flag, addr, usual| run(find_or(flag, &named(addr), usual));
    assert_eq!(found(None, CLOSED, &own).unwrap(), own);
    assert_eq!(found(Some("there:1"), CLOSED, &own).unwrap(), "there:1");
    let in_dir = run(directory_or(None, &named(CLOSED), Path::new("no-such"), &own));
    assert_eq!(in_dir.unwrap(), here);
    // Another cluster's, none, and one that nothing is known of.
    for usual in [&supervisor("[\"127.0.0.1:2\"]", &here), CLOSED, &supervisor("[]", &here)] {
        let failure = found(None, CLOSED, usual).unwrap_err();
        assert_eq!((failure.exit, failure.code), (Exit::Refused, "not_connected"), "{usual}");
    }
    assert_eq!(SUPERVISOR, "127.0.0.1:9191");
}

#[test]
fn a_directory_of_another_machine_is_not_looked_into() {
    let away = supervisor("[]", Path::new("/no/such/directory"));
    let failure = run(directory(Some(&away), &Common::default())).unwrap_err();
    assert_eq!((failure.exit, failure.code), (Exit::Other, "elsewhere"));
}
