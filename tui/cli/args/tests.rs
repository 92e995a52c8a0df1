//! What can be typed, and what it means when nothing more is said.

use super::*;
use clap::CommandFactory;

#[test]
fn the_grammar_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn a_value_may_be_a_negative_number_or_a_dash() {
    for value in ["-5", "-", "", "a b"] {
        let args = Args::try_parse_from(["piazza", "put", "k", value, "--json"]).unwrap();
        let Command::Asked(crate::asked::Asked::Put(put)) = args.command else {
            panic!("{args:?}")
        };
        assert_eq!(put.value, Some(value.into()));
        assert!(put.common.json);
    }
    assert!(Args::try_parse_from(["piazza", "get", "k", "--addr", "a", "--dir", "b"]).is_err());
    assert!(Args::try_parse_from(["piazza", "wait", "rady"]).is_err());
}

#[test]
fn versions_and_targets_are_checked_before_anything_is_sent() {
    let right = |typed: &str| Args::try_parse_from(typed.split(' ')).is_ok();
    assert!(right("piazza cas k -5 3.17") && right("piazza del k --if-version 3.17"));
    assert!(right("piazza watch k") && right("piazza watch --prefix k"));
    assert!(right("piazza scan") && right("piazza scan p --values --limit 5"));
    assert!(right("piazza export") && right("piazza export f --csv") && right("piazza txn -"));
    for wrong in ["cas k v", "cas k v 3", "outcome 3.", "mget", "watch", "watch k --prefix p"] {
        assert!(!right(&format!("piazza {wrong}")), "{wrong}");
    }
}

/// Contract: "[--dir ./piazza-data] [--listen 127.0.0.1:8080] [--peer-listen] [--control-listen]
/// [--any-port] [--headless|--detach] [--fresh]"
/// Contract: "[--cache 4096x8] [--node-cache SxW] [--heartbeat-ms 500] [--lease-ms 2000]"
/// Contract: "[--cache-bytes N]"
/// Contract: "[--storage disk|memory] [--key-bytes-max] [--value-bytes-max]"
/// Contract: "Default ports: client 8080; registration TCP and heartbeats UDP 9090; supervisor 9191"
/// Contract: "127.0.0.1:9191, same line protocol"
/// Contract: "TCP, `127.0.0.1:8080` by default"
#[test]
fn up_has_the_defaults_of_the_contract() {
    let parse = |typed: &str| Args::try_parse_from(typed.split(' '));
    let shown = |typed: &str| format!("{:?}", parse(typed).unwrap());
    let up = shown("piazza up");
    for default in [
        "dir: \"./piazza-data\"",
        " listen: 127.0.0.1:8080",
        "peer_listen: 127.0.0.1:9090",
        "control_listen: 127.0.0.1:9191",
        "any_port: false",
        "headless: false",
        "detach: false",
        "fresh: false",
        "heartbeat_ms: 500ms",
        "lease_ms: 2s",
        "cache_bytes: 268435456",
        "key_bytes_max: 256",
        "value_bytes_max: 1048576",
    ] {
        assert!(up.contains(default), "{default:?} is not in {up}");
    }
    let all = "piazza up --nodes 3 --replicas 1 --tokens 2 --dir d --listen 127.0.0.1:1 \
               --peer-listen 127.0.0.1:2 --control-listen 127.0.0.1:3 --any-port --headless \
               --fresh --cache 2x2 --node-cache 4x3 --heartbeat-ms 50 --lease-ms 300 \
               --cache-bytes 100000 --storage memory --key-bytes-max 20 --value-bytes-max 1000 \
               --placement ascii-sum --serial-updates";
    let all = shown(all);
    for told in
        ["nodes: Some(3)", " listen: 127.0.0.1:1,", "placement: Some(AsciiSum)", "lease_ms: 300ms"]
    {
        assert!(all.contains(told), "{told:?} is not in {all}");
    }
    assert!(parse("piazza up --detach").is_ok() && parse("piazza up --storage disk").is_ok());
    assert!(parse("piazza up --headless --detach").is_err());
    for tokens in ["0", "1025", "100000", "x"] {
        let error = parse(&format!("piazza up --tokens {tokens}")).unwrap_err().to_string();
        assert!(error.contains("is not a number of tokens from 1 to 1024"), "{error}");
    }
    let coordinator = shown("piazza coordinator");
    assert!(coordinator.contains(" listen: 127.0.0.1:8080"), "{coordinator}");
    assert!(coordinator.contains("peer_listen: 127.0.0.1:9090"), "{coordinator}");
    let cache = |typed: &str| shown(typed).contains("sets: 4096, ways: 8");
    assert!(cache("piazza up") && cache("piazza up --cache 4096x8"), "{up}");
}

/// Contract: "piazza coordinator ... · node --join ADDR ... the servers one at a time"
/// Contract: "logs [NAME] [-f]"
/// Contract: "wait ready|healthy [--timeout 30s]"
/// Contract: "piazza admin kill|stop|start|restart|pause|resume|evict|remove|add|rebalance|repair|cancel|set"
/// Contract: "[--dry-run] [--yes] [--no-wait]"
#[test]
fn commands_are_those_of_the_contract() {
    let right = |typed: &str| Args::try_parse_from(typed.split(' ')).is_ok();
    for typed in [
        "coordinator --nodes 3",
        "node --join 127.0.0.1:9090 --dir d --name n1",
        "down",
        "logs",
        "logs n1 -f",
        "wait ready",
        "wait healthy --timeout 30s",
        "get k --raw",
        "admin kill n1 --yes",
        "admin stop n1 --no-wait",
        "admin start n1",
        "admin restart n1",
        "admin pause n1",
        "admin resume n1",
        "admin evict n1 --dry-run",
        "admin remove n1 --yes",
        "admin add",
        "admin rebalance",
        "admin repair",
        "admin cancel c7",
        "admin set evict_after_ms 5000",
        "inspect d --log",
        "inspect d --keystore --plain",
        "inspect --compare d e",
        "token new",
        "completions bash",
        "man d",
    ] {
        assert!(right(&format!("piazza {typed}")), "{typed}");
    }
    for typed in ["node --dir d --name n1", "wait", "admin kill", "admin dance n1", "token"] {
        assert!(!right(&format!("piazza {typed}")), "{typed}");
    }
}
