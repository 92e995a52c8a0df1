//! What a user meets at the command line: exit codes, `--json`, and sentences that say what to do.
//!
//! One cluster for all commands, most of which ask about keys of their own. Each is the real
//! binary, started once a call.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::{TempDir, wait_for};
use super::ran::Ran;

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The command line, at one cluster.
struct Shell<'a>(&'a Cluster);

impl Shell<'_> {
    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.0.command();
        command.args(arguments).arg("--addr").arg(self.0.addr().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that is wrong as it stands ends before it reads.
        let _ = stdin.write_all(input);
        drop(stdin);
        Ran::of(child.wait_with_output().expect("it is our child"))
    }
}

impl Ran {
    /// It ended with this code; nothing but a failure writes to standard error.
    fn ended_quietly(self, code: i32) -> Self {
        let this = self.ended(code);
        assert_eq!(this.err.is_empty(), [0, 1].contains(&code) && !this.out.is_empty(), "{this:?}");
        this
    }

    /// Done, and this is all it printed.
    fn printed(self, out: &str) {
        let this = self.ended_quietly(0);
        assert_eq!(this.out, out, "{this:?}");
    }

    /// Failed with this code and sentence, in one line.
    fn failed(self, code: i32, sentence: &str) {
        let this = self.ended_quietly(code);
        assert_eq!((this.out.as_str(), this.err.lines().count()), ("", 1), "{this:?}");
        assert!(this.err.contains(sentence), "not {sentence:?}: {this:?}");
        assert!(this.err.starts_with("piazza: "), "{this:?}");
    }

    /// Failed with this code, and told why in an object with these fields.
    fn failed_with(self, code: i32, fields: &Value) {
        let this = self.ended_quietly(code);
        let object: Value =
            serde_json::from_str(&this.err).unwrap_or_else(|error| panic!("{error}: {this:?}"));
        assert_eq!((&object["ok"], object["error"].is_string()), (&json!(false), true), "{this:?}");
        for (name, value) in fields.as_object().expect("fields") {
            assert_eq!(&object[name], value, "{name} of {object}");
        }
    }

    /// The version of what was written.
    fn version(self) -> String {
        let this = self.ended_quietly(0);
        let object = this.object();
        object["version"].as_str().unwrap_or_else(|| panic!("no version: {this:?}")).to_owned()
    }
}

/// Contract: "Exit codes: 0 done; 1 not there, condition not met; 2 wrong usage, `bad_request`,
/// `too_large`; 3 refused and safe to retry, or never connected; 4 unknown outcome"
/// Contract: "`--json` on every client command (one object a line), human text otherwise; errors to
/// stderr"
#[test]
fn commands() {
    let mut cluster = Cluster::start("commands", 3, 2, &[]);
    cluster.wait_healthy(None);
    let shell = Shell(&cluster);
    put_if_absent(&shell);
    update(&shell);
    cas(&shell);
    del(&shell);
    mget(&shell);
    txn(&shell);
    outcome(&shell);
    scan(&shell);
    export(&shell);
    what_is_typed_wrong(&shell);
    watch(&shell);
    a_replica_is_down(&shell);
    cluster.kill_everything();
    // A process that has not quite ended may still take a connection.
    wait_for("nobody to listen", WAIT_MAX, || TcpStream::connect(cluster.addr()).err());
    let shell = Shell(&cluster);
    shell.run(&["put", "k", "v"]).failed(3, "cannot connect");
    shell.run(&["put", "k", "v", "--json"]).failed_with(3, &json!({"code": "not_connected"}));
}

/// Contract: "put KEY [VALUE|-]"
/// Contract: "`--raw` exact bytes"
fn put_if_absent(shell: &Shell<'_>) {
    let version = shell.run(&["put", "new", "1", "--if-absent", "--json"]).version();
    let there = format!("is there already, with version {version}");
    shell.run(&["put", "new", "2", "--if-absent"]).failed(1, &there);
    let fields = json!({"code": "exists", "version": version});
    shell.run(&["put", "new", "2", "--if-absent", "--json"]).failed_with(1, &fields);
    let object = shell.run(&["get", "new", "--json"]).ended_quietly(0).object();
    assert_eq!(object, json!({"key": "new", "value": "1", "version": version}));
    let ran =
        shell.run_with(&["put", "input", "-", "--if-absent"], b"from\ninput").ended_quietly(0);
    assert!(ran.out.starts_with("written, version "), "{ran:?}");
    shell.run(&["get", "input", "--raw"]).printed("from\ninput");
}

/// Contract: "· update ·"
fn update(shell: &Shell<'_>) {
    shell.run(&["update", "up", "1"]).failed(1, "there is no key \"up\"");
    shell.run(&["update", "up", "1", "--json"]).failed_with(1, &json!({"code": "not_found"}));
    shell.run(&["put", "up", "1"]).ended_quietly(0);
    let object = shell.run(&["update", "up", "-2", "--json"]).ended_quietly(0).object();
    assert_eq!(object["key"], "up", "{object}");
    shell.run_with(&["update", "up"], b"3").ended_quietly(0);
    shell.run(&["get", "up"]).printed("3\n");
}

/// Contract: "cas KEY VALUE VERSION"
fn cas(shell: &Shell<'_>) {
    let first = shell.run(&["put", "swap", "1", "--json"]).version();
    shell.run(&["cas", "none", "2", &first]).failed(1, "there is no key \"none\"");
    let second = shell.run(&["cas", "swap", "2", &first, "--json"]).version();
    assert_ne!(first, second);
    let has = format!("key \"swap\" has version {second}, not the one asked for");
    shell.run(&["cas", "swap", "3", &first]).failed(1, &has);
    let fields = json!({"code": "version_mismatch", "key": "swap", "version": second});
    shell.run(&["cas", "swap", "3", &first, "--json"]).failed_with(1, &fields);
    shell.run(&["cas", "swap", "3", "nonsense"]).wrong_usage("versions look like");
    shell.run(&["get", "swap"]).printed("2\n");
}

/// Contract: "· del ·"
fn del(shell: &Shell<'_>) {
    let first = shell.run(&["put", "gone", "1", "--json"]).version();
    let second = shell.run(&["put", "gone", "2", "--json"]).version();
    let has = format!("key \"gone\" has version {second}");
    shell.run(&["del", "gone", "--if-version", &first]).failed(1, &has);
    let fields = json!({"code": "version_mismatch", "key": "gone", "version": second});
    shell.run(&["del", "gone", "--if-version", &first, "--json"]).failed_with(1, &fields);
    let object =
        shell.run(&["del", "gone", "--if-version", &second, "--json"]).ended_quietly(0).object();
    assert_eq!(object["key"], "gone", "{object}");
    for again in [&["del", "gone"][..], &["del", "gone", "--if-version", &second]] {
        shell.run(again).failed(1, "there is no key \"gone\"");
        let again = [again, &["--json"]].concat();
        shell.run(&again).failed_with(1, &json!({"code": "not_found"}));
    }
}

/// Contract: "· mget ·"
fn mget(shell: &Shell<'_>) {
    let version = shell.run(&["put", "m1", "one", "--json"]).version();
    shell.run_with(&["put", "m2"], b"\0\xff").ended_quietly(0);
    shell.run(&["mget", "m1", "m1"]).printed("m1\tone\nm1\tone\n");
    let some = shell.run(&["mget", "m1", "m0"]).ended_quietly(1);
    assert_eq!(some.out, "m1\tone\nm0\n");
    let some = shell.run(&["mget", "m1", "m0", "m2", "--json"]).ended_quietly(1).objects();
    assert_eq!(some[0], json!({"key": "m1", "value": "one", "version": version}));
    assert_eq!(some[1], json!({"key": "m0", "value": null}));
    assert_eq!((&some[2]["value_b64"], some.len()), (&json!("AP8="), 3), "{some:?}");
    shell.run(&["mget"]).wrong_usage("required arguments");
    shell.run(&["mget", ""]).failed(2, "a key must have at least one byte");
    let large = vec![b'x'; 1 << 20];
    let keys = ["large-1", "large-2", "large-3", "large-4", "large-5"];
    keys.iter().for_each(|key| drop(shell.run_with(&["put", key], &large).ended_quietly(0)));
    let all = [&["mget"][..], &keys].concat();
    shell.run(&all).failed(2, "ask for fewer keys");
    let all = [&all[..], &["--json"]].concat();
    shell.run(&all).failed_with(2, &json!({"code": "too_large", "what": "reply"}));
    shell.run_with(&["put", "larger"], &[large, vec![b'x']].concat()).failed(2, "the limit is");
    keys.iter().for_each(|key| drop(shell.run(&["del", key]).ended_quietly(0)));
}

/// Contract: "txn FILE|-"
fn txn(shell: &Shell<'_>) {
    let both = br#"{"if":[{"key":"t1","version":null}],
        "then":[{"op":"put","key":"t1","value":"1"},{"op":"put","key":"t2","value":"2"}]}"#;
    let version = shell.run_with(&["txn", "-", "--json"], both).version();
    shell.run(&["mget", "t1", "t2"]).printed("t1\t1\nt2\t2\n");
    let has = format!("key \"t1\" has version {version}");
    shell.run_with(&["txn", "-"], both).failed(1, &has);
    let fields = json!({"code": "version_mismatch", "key": "t1", "version": version});
    shell.run_with(&["txn", "-", "--json"], both).failed_with(1, &fields);
    let missing = br#"{"then":[{"op":"del","key":"t0"},{"op":"put","key":"t1","value":"3"}]}"#;
    shell.run_with(&["txn", "-"], missing).failed(1, "key \"t0\" does not exist");
    let fields = json!({"code": "not_found", "key": "t0"});
    shell.run_with(&["txn", "-", "--json"], missing).failed_with(1, &fields);
    shell.run(&["get", "t1"]).printed("1\n");
    let condition = json!({"if": [{"key": "t1", "version": version}],
        "then": [{"op": "update", "key": "t1", "value": "4"}, {"op": "del", "key": "t2"}]});
    let files = TempDir::new("commands-txn");
    let file = files.path().join("txn.json");
    std::fs::write(&file, condition.to_string()).expect("a file in the test's own directory");
    let file = file.to_str().expect("a plain path");
    let ran = shell.run(&["txn", file]).ended_quietly(0);
    assert!(ran.out.starts_with("done, version "), "{ran:?}");
    shell.run(&["mget", "t1", "t2"]).ended_quietly(1).is("t1\t4\nt2\n");
    shell.run_with(&["txn", "-"], b"nonsense").failed(2, "see piazza txn --help");
    shell.run_with(&["txn", "-"], b"{\"then\":[]}").failed(2, "1 to 128 elements");
    shell.run(&["txn", "/nowhere/txn.json"]).failed(2, "cannot read /nowhere/txn.json");
}

/// Contract: "outcome VERSION"
fn outcome(shell: &Shell<'_>) {
    let version = shell.run(&["put", "fate", "1", "--json"]).version();
    let ran = shell.run(&["outcome", &version]).ended_quietly(0);
    assert!(ran.out.starts_with("committed"), "{ran:?}");
    let object = shell.run(&["outcome", &version, "--json"]).ended_quietly(0).object();
    assert_eq!(object, json!({"version": version, "state": "committed"}));
    // Of an epoch that there was not yet.
    let object = shell.run(&["outcome", "1000.1", "--json"]);
    assert_eq!(object.code, Some(4), "{object:?}");
    assert_eq!(object.object(), json!({"version": "1000.1", "state": "unknown"}));
    shell.run(&["outcome", "nonsense"]).wrong_usage("versions look like");
}

/// Contract: "· scan ·"
fn scan(shell: &Shell<'_>) {
    let versions: Vec<String> = (1..=5)
        .map(|number| format!("scan/{number}"))
        .map(|key| shell.run(&["put", &key, "value", "--json"]).version())
        .collect();
    let line = |number: usize| format!("scan/{number}\t{}\t5", versions[number - 1]);
    let lines = |numbers: &[usize]| -> String {
        numbers.iter().map(|number| format!("{}\n", line(*number))).collect()
    };
    shell.run(&["scan", "scan/"]).printed(&lines(&[1, 2, 3, 4, 5]));
    shell.run(&["scan", "scan/", "--limit", "2"]).printed(&lines(&[1, 2]));
    shell.run(&["scan", "scan/", "--after", "scan/3"]).printed(&lines(&[4, 5]));
    shell.run(&["scan", "scan/5", "--values"]).printed(&format!("{}\tvalue\n", line(5)));
    let objects = shell.run(&["scan", "scan/", "--json"]).ended_quietly(0).objects();
    assert_eq!(objects[1], json!({"key": "scan/2", "version": versions[1], "bytes": 5}));
    let object = shell.run(&["scan", "scan/2", "--values", "--json"]).ended_quietly(0).object();
    assert_eq!(object["value"], "value", "{object}");
    let nothing = shell.run(&["scan", "scan/6"]);
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (Some(0), "", ""));
    shell.run(&["scan", "--after", ""]).failed(2, "a key must have at least one byte");
}

/// Contract: "import FILE|- · export [FILE] (NDJSON {key,value} or value_b64; --csv)"
fn export(shell: &Shell<'_>) {
    let all = shell.run(&["export"]).ended_quietly(0);
    let keys: Vec<Value> = all.objects().into_iter().map(|object| object["key"].clone()).collect();
    let listed = shell.run(&["scan", "--json"]).ended_quietly(0).objects();
    let listed: Vec<Value> = listed.into_iter().map(|object| object["key"].clone()).collect();
    assert_eq!(keys, listed);
    assert!(all.out.contains("{\"key\":\"m2\",\"value_b64\":\"AP8=\"}\n"), "{}", all.out);
    let files = TempDir::new("commands-export");
    let path = |name: &str| files.path().join(name).to_str().expect("a plain path").to_owned();
    let told = format!("exported {} keys\n", keys.len());
    shell.run(&["export", &path("all")]).printed(&told);
    let written = std::fs::read_to_string(path("all")).expect("it was written");
    assert_eq!(written, all.out);
    let object = shell.run(&["export", &path("csv"), "--csv", "--json"]).ended_quietly(0).object();
    assert_eq!(object, json!({"exported": keys.len()}));
    shell.run(&["export", "/nowhere/all"]).failed(2, "cannot write /nowhere/all");

    // What was exported can be imported, byte for byte.
    shell.run(&["del", "m2"]).ended_quietly(0);
    shell.run(&["import", &path("all")]).ended_quietly(0);
    assert_eq!(shell.run(&["export"]).ended_quietly(0).out, all.out);
}

fn what_is_typed_wrong(shell: &Shell<'_>) {
    shell.run(&["dance"]).wrong_usage("unrecognized subcommand");
    shell.run(&["cas", "k", "v"]).wrong_usage("<VERSION>");
    shell.run(&["watch"]).wrong_usage("required arguments");
    shell.run(&["watch", "k", "--prefix", "p"]).wrong_usage("cannot be used with");
    let key = "k".repeat(257);
    shell.run(&["get", &key]).failed(2, "at most 256");
    shell.run(&["get", &key, "--json"]).failed_with(2, &json!({"code": "usage"}));
}

impl Ran {
    /// Not understood; what is said then is the parser's.
    fn wrong_usage(self, words: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{self:?}");
        assert!(self.err.contains(words), "not {words:?}: {self:?}");
    }

    /// This is all that it printed.
    fn is(self, out: &str) {
        assert_eq!(self.out, out, "{self:?}");
    }
}

/// A `watch` under way.
struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    fn start(shell: &Shell<'_>, arguments: &[&str]) -> Self {
        let mut child = shell.start(arguments);
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(WAIT_MAX).expect("a watch tells every change")
    }

    /// Waits until it has begun: then it tells a change of `key`.
    fn begun(self, shell: &Shell<'_>, key: &str) -> Self {
        wait_for("the first line of a watch", WAIT_MAX, || {
            shell.run(&["put", key, "begin"]).ended_quietly(0);
            self.lines.recv_timeout(Duration::from_millis(100)).ok()
        });
        shell.run(&["put", key, "begun"]).ended_quietly(0);
        while !self.line().contains("begun") {}
        self
    }

    fn ended(self) -> Ran {
        Ran::of(self.child.wait_with_output().expect("it is our child"))
    }
}

/// Contract: "watch KEY|--prefix P"
/// Contract: "Ctrl-C 130"
fn watch(shell: &Shell<'_>) {
    let one = Watching::start(shell, &["watch", "seen/1"]).begun(shell, "seen/1");
    let all = Watching::start(shell, &["watch", "--prefix", "seen/", "--json"]);
    let all = all.begun(shell, "seen/2");
    let put = shell.run(&["put", "seen/1", "value", "--json"]).version();
    let del = shell.run(&["del", "seen/1", "--json"]).version();
    assert_eq!(one.line(), format!("put\tseen/1\t{put}\tvalue"));
    assert_eq!(one.line(), format!("del\tseen/1\t{del}"));
    let object = |line: String| -> Value { serde_json::from_str(&line).expect("JSON lines") };
    let told = json!({"watch": "put", "key": "seen/1", "value": "value", "version": put});
    assert_eq!(object(all.line()), told);
    let told = json!({"watch": "del", "key": "seen/1", "version": del});
    assert_eq!(object(all.line()), told);

    // Ctrl-C is how it is meant to end.
    let pid = Pid::from_raw(i32::try_from(one.child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it runs");
    let ran = one.ended();
    assert_eq!((ran.code, ran.err.as_str()), (Some(130), ""), "{ran:?}");

    // A new coordinator cannot tell what it has missed.
    let before = shell.0.pid("coordinator");
    shell.0.sigkill("coordinator");
    all.ended().failed_with(3, &json!({"code": "watch_lost"}));
    shell.0.wait_healthy(before);
}

/// What needs the node is refused at once, and the exit code says that trying again is safe.
fn a_replica_is_down(shell: &Shell<'_>) {
    let key = "needs-all";
    shell.run(&["put", key, "1"]).ended_quietly(0);
    let victim = shell.0.locate(key)[1].clone();
    shell.0.kill(&victim);
    wait_for("the dead node suspect or down", WAIT_MAX, || {
        shell.0.node_state(&victim).filter(|state| state == "suspect" || state == "down")
    });
    let words = format!("node {victim} holds a copy of this key and is down");
    shell.run(&["put", key, "2"]).failed(3, &words);
    let fields = json!({"code": "replica_down", "node": victim});
    for arguments in [&["put", key, "2"][..], &["update", key, "2"], &["del", key]] {
        let arguments = [arguments, &["--json"]].concat();
        shell.run(&arguments).failed_with(3, &fields);
    }
    let then = format!(r#"{{"then":[{{"op":"put","key":"{key}","value":"2"}}]}}"#);
    shell.run_with(&["txn", "-", "--json"], then.as_bytes()).failed_with(3, &fields);
    shell.run(&["get", key]).printed("1\n");
    shell.0.restart(&victim);
    shell.0.wait_healthy(None);
    shell.run(&["put", key, "2"]).ended_quietly(0);
}
