//! Hundreds of bad inputs on every port; after each of them the server still serves.
//!
//! A table of what parsers stumble over, and changes drawn from a seed of what is right. Another
//! seed: `PIAZZA_CONFORMANCE_SEED=7`. The client's port must answer each line and live on; between
//! servers a stranger is left, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::talk::{Talk, shown};
use super::{Site, checks};

checks! {
    801 the_client_port_answers_whatever_comes
        "A bad line is answered, and the connection lives on"
    802 the_supervisor_port_answers_whatever_comes
        "**A bad line is answered, and the connection lives on**",
        "same line protocol"
    803 the_peer_port_survives_whatever_comes
        "every session between servers begins with"
    804 the_nodes_survive_whatever_comes
        "every session between servers begins with"
}

/// How many inputs each port gets at least.
const INPUTS_MIN: usize = 300;
const MUTATIONS: usize = 240;
/// Until a server must have left a stranger who has said that nothing more comes.
const LEFT_MAX: Duration = Duration::from_secs(30);

/// A port of the cluster.
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) addr: SocketAddr,
}

/// The TCP ports that are known; of somebody else's cluster only that of its clients.
pub(super) fn ports(site: &Site) -> Vec<Port> {
    let mut ports = vec![Port { name: "client", addr: site.addr }];
    let Some(cluster) = &site.own else { return ports };
    ports.push(Port { name: "supervisor", addr: cluster.supervisor_addr() });
    ports.push(Port { name: "peer", addr: cluster.peer_addr() });
    for node in site.status()["nodes"].as_array().expect("a list") {
        let addr = node["addr"].as_str().and_then(|addr| addr.parse().ok());
        ports.push(Port { name: "node", addr: addr.unwrap_or_else(|| panic!("{node}")) });
    }
    ports
}

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn seed() -> u64 {
    std::env::var("PIAZZA_CONFORMANCE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What no line may be, on any port.
const NONSENSE: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b",",
    b":",
    b"{{}}",
    b"{}",
    b"[]",
    b"[[]]",
    b"null",
    b"true",
    b"0",
    b"-0",
    b"-",
    b"1e999",
    b"-1e-999",
    b"1e",
    b"0x10",
    b".5",
    b"Infinity",
    b"NaN",
    b"nul",
    b"\"op\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\0",
    b"\0\0\0\0\0\0\0\0",
    b"\x01\x02\x03",
    b"\x7f",
    b"\x1b[2J\x1b[31m",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xfe\xff\x00{",
    b"\xef\xbb\xbf{\"op\":\"hello\"}",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"{\"",
    b"{\"op",
    b"{\"op\"",
    b"{\"op\":",
    b"{\"op\":}",
    b"{\"op\":\"",
    b"{\"op\":\"hello\"",
    b"{\"op\":\"hello\",",
    b"{\"op\":\"hello\",}",
    b"{\"op\":\"hello\"]",
    b"{\"op\":\"hello\"}}",
    b"{\"op\":\"hello\"}{",
    b"{\"op\":\"hello\"} // nothing",
    b"/* nothing */ {\"op\":\"hello\"}",
    b"{op:\"hello\"}",
    b"{'op':'hello'}",
    b"{\"op\" \"hello\"}",
    b"{\"op\"=\"hello\"}",
    b"{\"op\":hello}",
    b"{\"op\":\"hel\0lo\"}",
    b"{\"op\":\"hello\\\"}",
    b"{\"op\":\"\\x68ello\"}",
    b"{\"op\":\"\\u006\"}",
    b"{\"op\":\"\\ud83d\"}",
    b"{\"op\":\"hello\xff\"}",
    b"{\"op\":null}",
    b"{\"op\":[\"hello\"]}",
    b"{\"op\":{\"op\":\"hello\"}}",
    b"{\"op\":1e999}",
    b"{\"op\":123456789012345678901234567890}",
    b"{\"op\":\"hello\",\"id\":1e999}",
    b"{\"op\":\"hello\",\"id\":18446744073709551616}",
    b"{\"op\":\"hello\",\"id\":-99999999999999999999}",
    b"{\"op\":\"hello\",\"id\":[[[[[[[[[[]]]]]]]]]]}",
    b"{\"op\":\"hello\",\"timeout_ms\":1e1}",
    b"{\"op\":\"hello\",\"timeout_ms\":-1}",
    b"{\"op\":\"hello\",\"timeout_ms\":007}",
    b"{\"op\":\"hello\",\"\":0}",
    b"{\"op\":\"hello\",\"\\u0000\":0}",
    b"{\"op\":\"hello\",\"__proto__\":{}}",
    b"{\"op\":\"hello\",\"op\":\"hello\"}",
    b"{\"op\":\"../../etc/passwd\"}",
    b"{\"op\":\"%s%s%s%n\"}",
    b"{\"op\":\"dance\"}",
    b"EHLO localhost",
    b"SSH-2.0-x",
    b"*1\r",
    b"get a",
    b"quit",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x80\x00\x00\x28\x72\xfe\x1d\x13",
];

/// Lines that are right at one port at least, and to be spoilt. None would change anything anywhere:
/// a name, store and cluster that do not exist, and nothing that ends a process.
const RIGHT: &[&[u8]] = &[
    b"{\"op\":\"get\",\"key\":\"conformance\",\"id\":7}",
    b"{\"op\":\"mget\",\"keys\":[\"a\",\"b\",\"\\u00e9\"],\"timeout_ms\":2000}",
    b"{\"op\":\"put\",\"key\":\"conformance-never\",\"value\":\"a\\n\",\"if_absent\":true}",
    b"{\"op\":\"txn\",\"if\":[{\"key\":\"a\",\"version\":null}],\"then\":[{\"op\":\"del\",\"key\":\"conformance-never\"}]}",
    b"{\"op\":\"scan\",\"prefix\":\"conformance-never\",\"after\":\"b\",\"limit\":10,\"values\":true}",
    b"{\"op\":\"outcome\",\"once\":\"0123456789abcdef\",\"key\":\"a\"}",
    b"{\"op\":\"cas\",\"key\":\"conformance-never\",\"value_b64\":\"AAEC\",\"version\":\"1.1\",\"once\":\"0123456789abcdef\"}",
    b"{\"op\":\"hello\",\"client\":\"x\",\"read_only\":true,\"id\":\"a\"}",
    b"{\"op\":\"admin\",\"action\":\"list\",\"id\":1}",
    b"{\"session\":1,\"n\":1,\"epoch\":1,\"body\":{\"batch\":{\"prepares\":[],\"decides\":[],\"reads\":[]}}}",
    b"{\"session\":1,\"n\":1,\"epoch\":9,\"body\":{\"open\":{\"protocol\":0,\"cluster\":\"00000000000000000000000000000000\"}}}",
    b"{\"protocol\":0,\"version\":\"x\",\"name\":\"nobody\",\"uuid\":\"00000000000000000000000000000000\",\"incarnation\":1,\"addr\":\"127.0.0.1:1\",\"pid\":1,\"supervisor\":null,\"durable\":true,\"fence\":0,\"ring\":null}",
];

/// What a change puts in.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\0",
    b"\xff",
    b"\n",
    b"\r",
    b" ",
    b"null",
    b"-1",
    b"1e400",
    b"\\u0000",
    b"\\ud800",
    b"\xf0\x9f\x98\x80",
    b"18446744073709551616",
    b"\"op\":\"get\",",
    b"[[[[[[[[[[",
    b"\xed\xa0\x80",
    b"\x7f",
];

/// `line`, spoilt once to four times.
fn spoilt(numbers: &mut Numbers, line: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(line.len().max(1));
        let end = (at + 1 + numbers.below(8)).min(line.len());
        match numbers.below(6) {
            _ if line.is_empty() => line.push(b'{'),
            0 => line[at] ^= 1 << numbers.below(8),
            1 => line[at] = numbers.next() as u8,
            2 => drop(line.drain(at..end)),
            3 => drop(line.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
            4 => line.truncate(at),
            _ => {
                let copy = line[at..end].to_vec();
                drop(line.splice(at..at, copy));
            }
        }
    }
    line
}

/// Every input, the same for the same seed.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = NONSENSE.iter().map(|input| input.to_vec()).collect();
    for open in [&b"["[..], b"{\"a\":", b"{\"op\":[", b"[{", b"\\", b"\"a\",", b"\xff"] {
        inputs.extend([100, 20_000].map(|times| open.repeat(times)));
    }
    let mut numbers = Numbers(seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for at in 0..MUTATIONS {
        inputs.push(spoilt(&mut numbers, RIGHT[at % RIGHT.len()]));
    }
    assert!(inputs.len() >= INPUTS_MIN, "{} inputs", inputs.len());
    inputs
}

/// How to repeat it.
fn about(at: usize, input: &[u8]) -> String {
    let seed = seed();
    format!("input {at} of PIAZZA_CONFORMANCE_SEED={seed}: {:?}", shown(input))
}

/// Sends each input to a port that answers lines: every line gets an answer in its form, those of
/// the table a refusal, and the connection lives on.
fn is_answered(addr: SocketAddr, serves: &mut dyn FnMut() -> bool) {
    let connect = || {
        let mut talk = Talk::open(addr);
        // So that what is right after all changes nothing; not every port has it.
        talk.ask(r#"{"op":"hello","read_only":true}"#);
        talk
    };
    let mut talk = connect();
    for (at, input) in inputs().iter().enumerate() {
        let about = about(at, input);
        talk.send([&input[..], b"\n{\"op\":\"hello\",\"id\":\"the next\"}\n"].concat());
        let mut refusals = 0;
        loop {
            let answer = talk.answer();
            if answer["id"] == "the next" {
                assert_eq!(answer["ok"], true, "{about}");
                break;
            }
            refusals += usize::from(answer["ok"] == false);
        }
        assert!(refusals > 0 || at >= NONSENSE.len(), "no refusal of {about}");
        assert!(serves(), "no service after {about}");
        if at % 50 == 49 {
            talk.end_input();
            talk.closes();
            talk = connect();
        }
    }
}

/// Sends each input to a port between servers, on a connection of its own, which must end.
fn is_left(port: &Port, serves: &mut dyn FnMut() -> bool) {
    for (at, input) in inputs().iter().enumerate() {
        let about = about(at, input);
        let mut stream = TcpStream::connect(port.addr)
            .unwrap_or_else(|error| panic!("{error}: the {} port, before {about}", port.name));
        stream.set_read_timeout(Some(LEFT_MAX)).expect("a socket");
        // It may be left before it is through.
        let _ = stream.write_all(&[&input[..], b"\n"].concat());
        let _ = stream.shutdown(Shutdown::Write);
        let ended = stream.read_to_end(&mut Vec::new());
        if let Err(error) = ended {
            let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(reset, "{error}: the {} port keeps whom it should leave: {about}", port.name);
        }
        assert!(serves(), "no service after {about} at the {} port", port.name);
    }
}

/// Serves: a client's update and read, on a connection that stays.
fn service(site: &Site) -> impl FnMut() -> bool {
    let (mut talk, key) = (site.open(), site.key());
    let mut count = 0;
    move || {
        count += 1;
        let (put, get) =
            (json!({"op": "put", "key": key, "value": "1"}), json!({"op": "get", "key": key}));
        // Not each time, since an update is for ever.
        let written = count % 20 != 1 || talk.ask(put.to_string())["ok"] == true;
        written && talk.ask(get.to_string())["value"] == "1"
    }
}

/// The processes of all servers: none may have ended.
fn processes(site: &Site) -> Vec<Value> {
    let status = site.status();
    let nodes = status["nodes"].as_array().expect("a list").iter();
    let mut all: Vec<Value> =
        nodes.map(|node| json!([node["name"], node["pid"], node["state"]])).collect();
    all.push(json!([status["coordinator"]["pid"], status["coordinator"]["epoch"]]));
    all
}

fn the_client_port_answers_whatever_comes(site: &Site) {
    let before = processes(site);
    is_answered(site.addr, &mut service(site));
    assert_eq!(processes(site), before);
}

/// All ports of a cluster of one's own with this name; says so where there is none.
fn own_ports(site: &Site, name: &str) -> Vec<Port> {
    if site.own.is_none() {
        println!("    SKIPPED: needs a cluster of its own");
    }
    ports(site).into_iter().filter(|port| port.name == name).collect()
}

fn the_supervisor_port_answers_whatever_comes(site: &Site) {
    let before = processes(site);
    for port in own_ports(site, "supervisor") {
        is_answered(port.addr, &mut || {
            let mut talk = Talk::open(port.addr);
            talk.ok(&json!({"op": "admin", "action": "list"}))["ok"] == true
        });
    }
    assert_eq!(processes(site), before);
}

fn the_peer_port_survives_whatever_comes(site: &Site) {
    let before = processes(site);
    for port in own_ports(site, "peer") {
        is_left(&port, &mut service(site));
    }
    assert_eq!(processes(site), before);
}

fn the_nodes_survive_whatever_comes(site: &Site) {
    let before = processes(site);
    for port in own_ports(site, "node") {
        is_left(&port, &mut service(site));
    }
    assert_eq!(processes(site), before);
}
