//! The demos that come with the program: each is played at once and unseen, and all that it says
//! must be so, also in its recording; a demo that says what is not so fails and shows the screen.
//! On a terminal a person lets it stand, looks back, goes on, and takes the cluster over.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{beside_others, binary};
use super::procs::{Mark, TempDir, wait_for};
use super::ran::Ran;
use super::terminal::Terminal;

/// `piazza demo` that keeps all it makes in `dir`.
fn command(mark: &Mark, dir: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    mark.put_on(&mut command).arg("demo").args(arguments);
    command.env("TMPDIR", dir.path()).current_dir(dir.path());
    command
}

/// Waits until no process of a demo is left; no directory of it may be.
fn nothing_stays(mark: &Mark, dir: &TempDir, what: &str) {
    wait_for("the end of all that it started", Duration::from_secs(30), || {
        mark.pids().is_empty().then_some(())
    });
    let left = fs::read_dir(dir.path()).expect("our directory").flatten();
    let left = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let left: Vec<String> = left.filter(|name| name.contains("demo-")).collect();
    assert!(left.is_empty(), "{what} leaves {left:?}");
}

/// Runs `piazza demo` with nothing to read; nothing of it may stay.
fn demo(dir: &TempDir, arguments: &[&str]) -> Ran {
    let mark = Mark::new();
    let mut command = command(&mark, dir, arguments);
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    nothing_stays(&mark, dir, &format!("{command:?}"));
    Ran::of(output)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demos")
}

/// The names of the list.
fn names(dir: &TempDir) -> Vec<String> {
    let listed = demo(dir, &["--list", "--json"]).ended(0).objects();
    let name = |one: &Value| one["name"].as_str().map(str::to_owned);
    listed.iter().map(|one| name(one).expect("each has a name")).collect()
}

/// Contract: "piazza demo [NAME|FILE] [--list|--present|--fast|--headless] [--cast FILE.cast] [--json]"
#[test]
fn every_demo_is_in_the_list_and_all_it_says_is_so() {
    let _turn = beside_others();
    let dir = TempDir::new("demos");
    let names = names(&dir);
    let files = fs::read_dir(folder()).expect("the demos").flatten();
    let files = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        Some(name.strip_suffix(".demo")?.to_owned())
    });
    let mut files: Vec<String> = files.collect();
    let mut sorted = names.clone();
    files.sort();
    sorted.sort();
    assert_eq!(sorted, files, "what lies in demos/ is what is listed");
    let _taken = Taken::usual_ports();
    for name in names {
        let begun = Instant::now();
        let cast = dir.path().join(format!("{name}.cast"));
        let cast = cast.to_str().expect("text");
        // Where there is no terminal nobody need say so.
        let mut arguments = vec![&*name, "--fast", "--json", "--cast", cast];
        arguments.extend((name != "tour").then_some("--headless"));
        let ran = demo(&dir, &arguments);
        let last = ran.out.lines().last().unwrap_or_default().to_owned();
        assert_eq!(ran.code, Some(0), "{name}: {last}\n{}", ran.err);
        let steps = ran.objects();
        let passed = steps.last().expect("it has steps");
        assert_eq!(passed["result"], "passed", "{name}");
        let said = |field: &str| -> Vec<&str> {
            steps.iter().filter_map(|step| step[field].as_str()).collect()
        };
        assert!(!said("caption").is_empty() && said("result").contains(&"ok"), "{name}");
        let replayed = Replayed::of(Path::new(cast));
        let shown: Vec<&str> = replayed.screen.iter().map(String::as_str).collect();
        let frame = passed["frame"].as_str().expect("the last screen");
        assert_eq!(shown, frame.lines().collect::<Vec<_>>(), "{name}: its recording");
        for label in said("mark").into_iter().chain(said("caption")) {
            assert!(replayed.labels.iter().any(|one| one == label), "{name}: {label:?}");
        }
        println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
        if name == "tour" {
            // Nobody's recording is overwritten.
            demo(&dir, &arguments).ended(2);
        }
    }
}

/// The ports that a cluster has where nothing is said. What cannot be taken is somebody else's,
/// which is as good.
struct Taken {
    _streams: Vec<TcpListener>,
    _datagrams: Option<UdpSocket>,
}

impl Taken {
    fn usual_ports() -> Self {
        let streams = [8080, 9090, 9191].map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let _datagrams = UdpSocket::bind(("127.0.0.1", 9090)).ok();
        Self { _streams: streams.into_iter().flatten().collect(), _datagrams }
    }
}

/// A recording, as a strict player of asciicast, version 2, leaves the terminal.
struct Replayed {
    screen: Vec<String>,
    labels: Vec<String>,
    /// How often the terminal got another size.
    resized: usize,
}

impl Replayed {
    fn of(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("it was recorded");
        assert!(text.ends_with('\n'), "the last line is whole");
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let header = lines.next().expect("a header");
        let (rows, columns) = size_of(&header);
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        let (mut before, mut labels, mut resized) = (0.0, Vec::new(), 0);
        for event in lines {
            let [at, code, data] = &event.as_array().expect("a list")[..] else {
                panic!("three things: {event}")
            };
            let at = at.as_f64().expect("seconds");
            assert!(at >= before, "times rise: {event}");
            before = at;
            let data = data.as_str().expect("text");
            match code.as_str() {
                Some("o") => terminal.process(data.as_bytes()),
                Some("m") => labels.push(data.to_owned()),
                Some("r") => {
                    let (columns, rows) = data.split_once('x').expect("COLUMNSxROWS");
                    let side = |text: &str| text.parse::<NonZeroU16>().expect("a number");
                    terminal.screen_mut().set_size(side(rows), side(columns));
                    resized += 1;
                }
                _ => panic!("no event of a screen: {event}"),
            }
        }
        let columns = terminal.screen().size().1.get();
        let screen = terminal.screen().rows(0, columns);
        let screen = screen.map(|row| row.trim_end().to_owned()).collect();
        Self { screen, labels, resized }
    }
}

/// The rows and columns of a recording's header, of which nothing is but what players know.
fn size_of(header: &Value) -> (NonZeroU16, NonZeroU16) {
    assert_eq!(header["version"].as_u64(), Some(2), "{header}");
    for (name, value) in header.as_object().expect("an object") {
        let fits = match name.as_str() {
            "version" | "width" | "height" | "timestamp" => value.is_u64(),
            "duration" | "idle_time_limit" => value.is_number(),
            "title" | "command" => value.is_string(),
            "env" => value.as_object().is_some_and(|env| env.values().all(Value::is_string)),
            _ => false,
        };
        assert!(fits, "{name} in {header}");
    }
    let side = |name: &str| header[name].as_u64().and_then(|side| u16::try_from(side).ok());
    let side = |name: &str| side(name).and_then(NonZeroU16::new).expect("a side");
    (side("height"), side("width"))
}

/// A cluster that is told never to evict does not heal by itself: the demo says what it found, and
/// shows the screen.
#[test]
fn a_demo_whose_cluster_does_otherwise_fails() {
    let _turn = beside_others();
    let dir = TempDir::new("demo-sabotage");
    let text = fs::read_to_string(folder().join("heal.demo")).expect("it is there");
    let sabotaged = text.replace("evict=3s", "evict=never").replace("within 20s", "within 4s");
    assert_ne!(text, sabotaged);
    let file = dir.path().join("sabotaged.demo");
    fs::write(&file, sabotaged).expect("our directory");
    let file = file.to_str().expect("text");
    let ran = demo(&dir, &[file, "--headless", "--fast"]).ended(1);
    assert!(ran.out.contains("UNMET"), "{}", ran.out);
    assert!(ran.out.contains("node.n4.state = evicted: node.n4.state is"), "{}", ran.out);
    assert!(ran.out.contains("[1 Overview]") && ran.out.contains("n4 "), "{}", ran.out);
    assert!(!ran.out.contains("passed"), "{}", ran.out);
}

#[test]
fn a_bad_script_is_told_with_its_place_and_nothing_is_started() {
    let dir = TempDir::new("demo-bad");
    let file = dir.path().join("bad.demo");
    let text = "title \"T\"\nabout \"A\"\ntakes 9s\ncluster 3\nwait nodes.upp = 3\nprss K\n";
    fs::write(&file, text).expect("our directory");
    let ran = demo(&dir, &[file.to_str().expect("text"), "--headless"]).ended(2);
    assert!(ran.out.is_empty() && ran.err.contains("bad.demo:5:6: "), "{ran:?}");
    assert!(ran.err.contains("did you mean \"nodes.up\"?"), "{ran:?}");
    assert!(ran.err.contains("bad.demo:6:1: unknown verb \"prss\": did you mean \"press\"?"));
    let ran = demo(&dir, &["kill-primry"]).ended(2);
    assert!(ran.err.contains("did you mean \"kill-primary\"?"), "{ran:?}");
    let listed = demo(&dir, &[]).ended(0);
    assert!(listed.out.contains("kill-primary ") && listed.out.contains(" s  "), "{listed:?}");
}

/// What somebody writes behind the shop's back makes it not add up.
#[test]
fn a_shop_that_somebody_meddles_with_fails() {
    let _turn = beside_others();
    let dir = TempDir::new("demo-meddled");
    let text = fs::read_to_string(folder().join("shopping.demo")).expect("it is there");
    // Without the deaths, which are no matter here.
    let (begin, rest) = text.split_once("mark    \"a node dies\"").expect("a node dies");
    let (_, end) = rest.split_once("mark    \"the sums\"").expect("the sums");
    let end = end.replace(" and shop.orders > kept.served", "").replace("within 60s", "within 15s");
    let meddled = format!("{begin}run \"put shop:stock/0003 7\"\nwait prompt.busy = no\n{end}");
    let file = dir.path().join("meddled.demo");
    fs::write(&file, meddled).expect("our directory");
    let ran = demo(&dir, &[file.to_str().expect("text"), "--headless", "--fast"]).ended(1);
    assert!(ran.out.contains("shop.state is does not add up: shop:stock/0003: "), "{}", ran.out);
    assert!(ran.out.contains("[1 Overview]") && !ran.out.contains("passed"), "{}", ran.out);
}

const SMALL: &str = "\
title   \"T\"
about   \"A\"
takes   120s
cluster 1 replicas=1 heartbeat=250ms
wait    nodes.up = 1 and coordinator.state = active within 60s
caption \"The first words.\"
caption \"The second words.\"
caption \"The third words.\"
pause   100s
caption \"The last words.\"
expect  nodes.up = 1
";

/// A demo of its own cluster of one node, on a terminal; nothing of it stays.
struct Watched {
    terminal: Terminal,
    mark: Mark,
    dir: TempDir,
}

impl Watched {
    fn play(arguments: &[&str]) -> Self {
        const COLUMNS: NonZeroU16 = NonZeroU16::new(120).expect("columns");
        const ROWS: NonZeroU16 = NonZeroU16::new(36).expect("rows");
        let (mark, dir) = (Mark::new(), TempDir::new("demo-watched"));
        fs::write(dir.path().join("small.demo"), SMALL).expect("our directory");
        let command = command(&mark, &dir, &[&["small.demo"], arguments].concat());
        let terminal = Terminal::of_size(&command, dir.path(), COLUMNS, ROWS);
        Self { terminal, mark, dir }
    }

    /// Types `keys`, and waits until all these words are on the screen.
    fn types(&mut self, keys: &str, words: &[&str]) {
        self.terminal.type_keys(keys);
        self.sees(words);
    }

    fn sees(&self, words: &[&str]) {
        let all = |screen: &str| words.iter().all(|word| screen.contains(word));
        self.terminal.wait(&words.join(", "), all);
    }

    /// For how long the node is up, as the screen has it.
    fn up_s(&self) -> Option<f64> {
        let screen = self.terminal.screen();
        let (_, behind) = screen.split_once("· up ")?;
        behind.split_once(" s")?.0.parse().ok()
    }

    /// Leaves; nothing stays but what it was told to write.
    fn leave(mut self) -> TempDir {
        self.terminal.type_keys("q");
        assert_eq!(self.terminal.ended(), 0);
        nothing_stays(&self.mark, &self.dir, "a demo on a terminal");
        self.dir
    }
}

#[test]
fn a_presenter_presses_enter_and_takes_the_cluster_over() {
    let _turn = beside_others();
    let mut demo = Watched::play(&["--present"]);
    demo.sees(&["The first words.", "Enter goes on", "1/1 up"]);
    // Longer than it would leave it to be read.
    let since = wait_for("the age of n1", Duration::from_secs(60), || demo.up_s());
    wait_for("some seconds", Duration::from_secs(60), || {
        (demo.up_s()? > since + 3.0).then_some(())
    });
    demo.sees(&["The first words.", "Enter goes on"]);
    demo.types("\r", &["The second words.", "Enter goes on"]);
    // Keys of the console are not those of a demo.
    demo.types("4\r", &["The third words.", "[1 Overview]"]);
    demo.types("\x1b", &["the cluster is yours", "LIVE"]);
    demo.types("2", &["[2 Ring]", "1/1 up"]);
    // A key at the very moment of another size is a key.
    for columns in 100..110 {
        demo.terminal.resize(columns);
        demo.types("1", &["[1 Overview]"]);
        demo.terminal.resize(columns + 20);
        demo.types("2", &["[2 Ring]"]);
    }
    demo.leave();
}

#[test]
fn a_viewer_lets_a_demo_stand_looks_back_and_goes_on() {
    let _turn = beside_others();
    let mut demo = Watched::play(&["--cast", "small.cast"]);
    // By itself, as far as the long pause.
    demo.sees(&["The third words.", " 5/7 "]);
    demo.types(" ", &["The third words.", "stands, Space plays"]);
    demo.types("b", &["The second words.", "earlier; n, b, Space"]);
    demo.types("b", &["The first words.", "earlier; n, b, Space"]);
    demo.types("n", &["The second words.", "earlier; n, b, Space"]);
    demo.terminal.type_keys(" ");
    demo.terminal.wait("that it plays", |screen| {
        screen.contains("The third words.") && !screen.contains("Space")
    });
    demo.types("++", &["2x"]);
    demo.types("---", &["0.75x"]);
    demo.terminal.resize(100);
    demo.types("n", &["The last words.", "q ends, Esc stays"]);
    demo.types("\x1b", &["the cluster is yours", "LIVE"]);
    let dir = demo.leave();
    let replayed = Replayed::of(&dir.path().join("small.cast"));
    assert_eq!(replayed.resized, 1);
    assert!(replayed.labels.iter().any(|label| label == "The last words."));
    let last = replayed.screen.join("\n");
    assert!(last.contains("LIVE") && !last.contains("The last words."), "{last}");
}
