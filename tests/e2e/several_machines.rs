//! Servers one at a time, each from a file of its own, as on several machines.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{alone, binary};
use super::procs::{Mark, TempDir, dying_with_us, wait_for};
use super::ran::Ran;
use super::wire::ask;

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Servers without a supervisor; what is left of them is killed with the mark.
struct Machines {
    mark: Mark,
    dir: TempDir,
}

impl Machines {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("a file of ours");
    }

    /// A server, and the addresses that it prints once it listens.
    fn start(&self, arguments: &[&str]) -> (Child, Value) {
        let mut command = dying_with_us(binary());
        let log = self.dir.path().join("stderr");
        let log = fs::File::options().create(true).append(true).open(log).expect("a file of ours");
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        self.mark.put_on(&mut command).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it starts");
        let out = child.stdout.take().expect("it is piped");
        let line = BufReader::new(out).lines().map_while(Result::ok).next();
        let Some(line) = line else {
            let said = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
            panic!("{arguments:?} did not begin: {said}");
        };
        (child, serde_json::from_str(&line).expect("JSON"))
    }

    fn ran(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        Ran::of(self.mark.put_on(&mut command).output().expect("it runs"))
    }
}

/// SIGKILL, and its end.
fn kill(mut child: Child) {
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
}

fn wait_healthy(client: SocketAddr) -> Value {
    wait_for("three nodes up", WAIT_MAX, || {
        let status = ask(client, &json!({"op": "status"}))?;
        let nodes = status["nodes"].as_array()?;
        let up = nodes.iter().filter(|node| node["state"] == "up").count();
        (status["coordinator"]["state"] == "active" && up == 3).then_some(status)
    })
}

/// A cluster whose servers are started one at a time; a node and then the coordinator die, and come
/// back from their files.
/// Contract: "the servers one at a time, for several machines (flags, or --config FILE.toml)"
#[test]
fn servers_are_started_from_files() {
    let _alone = alone();
    let machines = Machines { mark: Mark::new(), dir: TempDir::new("several-machines") };
    machines.ran(&["token", "new", "peer.token"]).ended(0);
    let told = "listen = '127.0.0.1:0'\npeer-listen = '0.0.0.0:0'\nnodes = 3\nreplicas = 2\n\
                heartbeat-ms = 200\nlease-ms = 1000\npeer-token-file = 'peer.token'\n\
                limit = ['idle_ms=123000']\n";
    machines.write("coordinator.toml", told);
    let (coordinator, said) = machines.start(&["coordinator", "--config", "coordinator.toml"]);
    let address = |name: &str| -> SocketAddr {
        said[name].as_str().and_then(|text| text.parse().ok()).expect("an address")
    };
    let (client, port) = (address("client"), address("peer").port());
    let node = |name: &str| {
        let file = format!(
            "# The machine of {name}.\njoin = '127.0.0.1:{port}'\nname = '{name}'\n\
             dir = '{name}'\nheartbeat-ms = 200\npeer-token-file = 'peer.token'\n\
             node-cache = '16x2'\n"
        );
        machines.write(&format!("{name}.toml"), &file);
        machines.start(&["node", "--config", &format!("{name}.toml")]).0
    };
    let mut nodes: Vec<Child> = ["a", "b", "c"].map(node).into();
    let status = wait_healthy(client);
    let cluster = &status["cluster"];
    assert_eq!((&cluster["nodes"], &cluster["replicas"]), (&json!(3), &json!(2)));
    assert_eq!(cluster["limits"]["idle_ms"], 123_000);
    assert!(status["supervisor"].is_null(), "{status}");

    let put = ask(client, &json!({"op": "put", "key": "k", "value": "v"})).expect("an answer");
    assert_eq!(put["ok"], true, "{put}");
    kill(nodes.remove(0));
    nodes.push(machines.start(&["node", "--config=a.toml"]).0);
    wait_healthy(client);

    kill(coordinator);
    // What is typed wins over the file: the same ports again.
    let (client, port) = (client.to_string(), format!("0.0.0.0:{port}"));
    let flags = ["--listen", &client, "--peer-listen", &port, "--config", "coordinator.toml"];
    let (again, said) = machines.start(&[&["coordinator"], &flags[..]].concat());
    assert_eq!(said["client"], client);
    wait_healthy(client.parse().expect("an address"));
    assert_eq!(machines.ran(&["get", "k", "--addr", &client]).ended(0).out, "v\n");
    // What was pushed last is `a`, and before it `c`.
    let leaver = nodes.remove(1);
    end_of_removed(&machines, &client, "c", leaver);
    nodes.into_iter().chain([again]).for_each(kill);
}

/// A node that nobody supervises is removed: it ends by itself and says why, and whoever starts it
/// again is told the same.
/// Contract: "`remove {node}` (drain, leave; its process is then stopped and not restarted)"
fn end_of_removed(machines: &Machines, client: &str, name: &str, mut leaver: Child) {
    let order = ["admin", "remove", name, "--yes", "--addr", client];
    let removed = machines.ran(&order).ended(0);
    assert!(removed.out.contains(&format!("(remove {name}) is done")), "{removed:?}");
    let end_of = |child: &mut Child| {
        wait_for(name, WAIT_MAX, || child.try_wait().expect("it is our child")).code()
    };
    let said = || {
        let log = fs::read_to_string(machines.dir.path().join("stderr")).unwrap_or_default();
        log.matches(&format!("{name} was removed from the cluster")).count()
    };
    let code = end_of(&mut leaver);
    assert!(code.is_some_and(|code| code != 0) && said() > 0, "{code:?}");
    let before = said();
    let (mut again, _) = machines.start(&["node", "--config", &format!("{name}.toml")]);
    assert_eq!(end_of(&mut again), code);
    assert!(said() > before);
    let status = ask(client.parse().expect("an address"), &json!({"op": "status"}));
    let status = status.expect("an answer");
    let names = status["nodes"].as_array().expect("a list").iter().map(|node| &node["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["a", "b"], "{status}");
}

#[test]
fn what_is_wrong_in_a_file_is_told() {
    let machines = Machines { mark: Mark::new(), dir: TempDir::new("wrong-files") };
    let refused = |name: &str| {
        let ran = machines.ran(&["node", "--config", name, "--name", "n1"]).ended(2);
        assert!(ran.out.is_empty(), "{ran:?}");
        ran.err
    };
    let join = "join = '127.0.0.1:1'\ndir = 'd'\n";
    machines.write("name.toml", &format!("{join}heartbeat = 5\n"));
    assert!(refused("name.toml").starts_with("piazza: name.toml: line 3: heartbeat: "));
    machines.write("type.toml", &format!("{join}heartbeat-ms = [5]\n"));
    assert!(refused("type.toml").starts_with("piazza: type.toml: line 3: heartbeat-ms: "));
    machines.write("more.toml", &format!("{join}nodes = 5\n"));
    assert!(refused("more.toml").contains("line 3: nodes: no such flag"), "of the coordinator");
    machines.write("less.toml", "join = '127.0.0.1:1'\n");
    assert!(refused("less.toml").contains("--dir"));
    machines.write("long.toml", &"#".repeat(1 << 20));
    assert!(refused("long.toml").contains("longer than"));
    assert!(refused("none.toml").starts_with("piazza: none.toml: No such file"));
    assert!(refused(".").starts_with("piazza: .: "));
    assert!(!machines.dir.path().join("d").exists());
}
