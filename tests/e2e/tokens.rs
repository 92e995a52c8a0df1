//! Tokens at the command line: who is let in, what is said to the others, and that without tokens no
//! port is opened to other machines.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use protocol::client::{Client, Options, Supervisor};
use protocol::event::{Subscribe, Topic};
use protocol::token::Token;

use super::cluster::{Cluster, alone, binary};
use super::procs::{Mark, TempDir};
use super::ran::{Ran, piazza};
use super::terminal::Terminal;

/// A file that `piazza token new` has made; its path.
fn token(dir: &TempDir, name: &str) -> String {
    let path = dir.path().join(name);
    let made = Command::new(binary()).args(["token", "new"]).arg(&path).output().expect("it runs");
    assert!(made.status.success(), "{made:?}");
    path.to_str().expect("text").to_owned()
}

/// A server that must not start; what it says.
fn refused(mark: &Mark, dir: &TempDir, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(dir.path()).stdin(Stdio::null());
    let ran = Ran::of(mark.put_on(&mut command).output().expect("it runs")).ended(2);
    assert!(ran.err.starts_with("piazza: ") && ran.out.is_empty(), "{ran:?}");
    ran.err
}

/// Contract: "listening on any other address is refused at start with the sentence what to do"
#[test]
fn without_tokens_no_port_is_opened_to_others() {
    let _alone = alone();
    let (dir, mark) = (TempDir::new("no-tokens"), Mark::new());
    let (admin, peer) = (token(&dir, "admin"), token(&dir, "peer"));
    let refused = |arguments: &[&str]| refused(&mark, &dir, arguments);
    let up = ["up", "--headless", "--any-port", "--dir", "data"];
    for (flag, say) in [
        ("--listen", "--admin-token-file"),
        ("--control-listen", "--admin-token-file"),
        ("--peer-listen", "--peer-token-file"),
    ] {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let told = refused(&[&up[..], &[flag, address]].concat());
            assert!(told.contains(flag) && told.contains(say), "{told}");
            assert!(told.contains("piazza token new") && told.contains("127.0.0.1"), "{told}");
        }
    }
    // One kind of token is not the other.
    let public = "0.0.0.0:0";
    refused(&[&up[..], &["--listen", public, "--peer-token-file", &peer]].concat());
    refused(&[&up[..], &["--peer-listen", public, "--admin-token-file", &admin]].concat());
    refused(&["coordinator", "--listen", public, "--peer-listen", "127.0.0.1:0"]);
    refused(&["coordinator", "--listen", "127.0.0.1:0", "--peer-listen", public]);
    refused(&["node", "--join", "192.0.2.1:9090", "--dir", "n1", "--name", "n1"]);
    assert!(!dir.path().join("n1").exists() && !dir.path().join("data").exists());

    fs::set_permissions(&admin, Permissions::from_mode(0o644)).expect("our file");
    let told = refused(&[&up[..], &["--admin-token-file", &admin]].concat());
    assert!(told.contains("chmod 600"), "{told}");
    let told =
        refused(&[&up[..], &["--client-token-file", &peer, "--peer-token-file", &peer]].concat());
    assert!(told.contains("the same token"), "{told}");
    let told = refused(&[&up[..], &["--viewer-token-file", "none"]].concat());
    assert!(told.contains("--viewer-token-file") && told.contains("none"), "{told}");
}

/// What stands in the files below `dir`.
fn all_text(dir: &Path) -> String {
    let entries = fs::read_dir(dir).expect("a directory").filter_map(Result::ok);
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => all_text(&entry.path()),
            _ => String::from_utf8_lossy(&fs::read(entry.path()).expect("a file")).into_owned(),
        })
        .collect()
}

/// The client library shows its token on each connection, those of events too.
fn events_are_told(cluster: &Cluster, viewer: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let secret = fs::read_to_string(viewer).expect("a token");
        let token = Some(Token::new(secret.trim_end()).expect("a token"));
        let options = Options { token: token.clone(), ..Options::default() };
        let client = Client::connect(&cluster.addr().to_string(), options).await.expect("let in");
        let wants =
            Subscribe { topics: [Topic::Member].into_iter().collect(), ..Subscribe::default() };
        client.subscribe(wants).await.expect("let in").next().await.expect("a snapshot");
        let address = cluster.supervisor_addr().to_string();
        let wait = Duration::from_secs(30);
        let supervisor = Supervisor::connect(&address, wait, token).await.expect("let in");
        supervisor.subscribe().await.expect("let in").next().await.expect("a snapshot");
    });
}

/// The console says what its token does not allow, before it asks whether that is meant.
fn console_refuses_to_kill(cluster: &Cluster, token: &str, [header, why]: [&str; 2]) {
    let state = TempDir::new("tokens-console");
    let size = |n: u16| std::num::NonZeroU16::new(n).expect("a size");
    let mut command = cluster.command();
    command.arg("console").arg("--dir").arg(cluster.data());
    command.args(["--read-only=false", "--token-file", token]);
    let mut terminal = Terminal::of_size(&command, state.path(), size(120), size(36));
    terminal.wait("its header", |screen| screen.contains("3/3 up") && screen.contains(header));
    terminal.type_keys("K");
    terminal.wait("the reason", |screen| screen.contains(why) && !screen.contains("Cancel"));
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
}

/// A cluster that other machines can reach, and all commands with its tokens.
/// Contract: "`--token-file`/`PIAZZA_TOKEN`"
#[test]
fn commands_show_their_token() {
    let dir = TempDir::new("tokens");
    let [client, viewer, admin, peer] =
        ["client", "viewer", "admin", "peer"].map(|name| token(&dir, name));
    let any = "0.0.0.0:0";
    let flags = [
        ["--listen", any],
        ["--peer-listen", any],
        ["--control-listen", any],
        ["--client-token-file", &client],
        ["--viewer-token-file", &viewer],
        ["--admin-token-file", &admin],
        ["--peer-token-file", &peer],
    ]
    .concat();
    let cluster = Cluster::start("tokens", 3, 2, &flags);
    let data = cluster.data().to_string_lossy().into_owned();
    let at = ["--dir", data.as_str()];
    let by = |file: &str, arguments: &[&str]| {
        piazza(&cluster, &[arguments, &at, &["--token-file", file]].concat())
    };
    let bare = |arguments: &[&str]| piazza(&cluster, &[arguments, &at].concat());

    by(&viewer, &["wait", "healthy", "--timeout", "60s"]).ended(0);
    let told = bare(&["wait", "ready", "--timeout", "60s"]).ended(5).err;
    assert!(told.contains("--token-file") && told.contains("PIAZZA_TOKEN"), "{told}");
    for command in [&["put", "k", "v"][..], &["get", "k"], &["status"], &["export"], &["scan"]] {
        let failure = bare(command).ended(5);
        assert!(failure.err.contains("--token-file"), "{failure:?}");
    }
    assert_eq!(bare(&["get", "k", "--json"]).ended(5).object()["code"], "unauthorized");
    assert_eq!(by(&viewer, &["put", "k", "v", "--json"]).ended(5).object()["code"], "forbidden");
    by(&client, &["put", "k", "v"]).ended(0);
    assert_eq!(by(&viewer, &["get", "k"]).ended(0).out, "v\n");
    // The peer token is none of a client's; a stranger's neither.
    assert_eq!(by(&peer, &["get", "k", "--json"]).ended(5).object()["code"], "unauthorized");
    let stranger = token(&dir, "stranger");
    assert!(by(&stranger, &["get", "k"]).ended(5).err.contains("not one of the server's"));

    let secret = fs::read_to_string(&client).expect("a token");
    let env = |text: &str, arguments: &[&str]| {
        let mut command = cluster.command();
        command.args(arguments).args(at).env("PIAZZA_TOKEN", text).stdin(Stdio::null());
        Ran::of(command.output().expect("it runs"))
    };
    env(secret.trim_end(), &["put", "k", "w"]).ended(0);
    assert_eq!(env("", &["get", "k", "--token-file", &viewer]).ended(0).out, "w\n");
    assert_eq!(env("short", &["get", "k", "--token-file", &viewer]).ended(0).out, "w\n");
    assert!(env("short", &["get", "k"]).ended(2).err.contains("PIAZZA_TOKEN"));
    fs::set_permissions(&stranger, Permissions::from_mode(0o640)).expect("our file");
    assert!(by(&stranger, &["get", "k"]).ended(2).err.contains("chmod 600"));

    let records = dir.path().join("records").to_string_lossy().into_owned();
    fs::write(&records, "{\"key\":\"a\",\"value\":\"1\"}\n").expect("a file");
    by(&client, &["import", &records]).ended(0);
    by(&viewer, &["import", &records]).ended(5);
    assert_eq!(by(&viewer, &["export"]).ended(0).objects().len(), 2);
    by(&viewer, &["locate", "k"]).ended(0);

    assert!(by(&client, &["admin", "kill", "n2"]).ended(5).err.contains("admin token"));
    assert!(bare(&["admin", "kill", "n2"]).ended(5).err.contains("--token-file"));
    by(&client, &["admin", "evict", "n2"]).ended(5);
    by(&admin, &["admin", "restart", "n2"]).ended(0);
    // The servers have proved themselves to each other again.
    by(&admin, &["admin", "restart", "coordinator"]).ended(0);
    by(&viewer, &["wait", "healthy", "--timeout", "60s"]).ended(0);
    assert_eq!(by(&viewer, &["get", "k"]).ended(0).out, "w\n");

    events_are_told(&cluster, &viewer);
    for (file, words) in [
        (&viewer, ["READ-ONLY", "the token of a viewer"]),
        (&client, ["READ-ONLY but keys", "the token of a client"]),
    ] {
        console_refuses_to_kill(&cluster, file, words);
    }

    let logs = all_text(&cluster.data().join("logs"));
    for file in [&client, &viewer, &admin, &peer] {
        let secret = fs::read_to_string(file).expect("a token");
        assert!(!logs.contains(secret.trim_end()), "the token of {file} is in a log");
    }
    assert!(bare(&["down"]).ended(5).err.contains("--token-file"));
    assert!(by(&client, &["down"]).ended(5).err.contains("admin"));
    by(&admin, &["down"]).ended(0);
}
