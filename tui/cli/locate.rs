//! `piazza locate`: where a key lies, which nodes hold it, and with `--copies` what each holds.
//!
//! Called by `asked`. Rendering is pure: the same reply gives the same text.

use std::fmt::Write as _;

use protocol::client::{Client, ClientError};
use protocol::reply::{self, LocateReply};
use protocol::request::Op;

use crate::args::LocateArgs;
use crate::kv::key;
use crate::print::{self, Exit, Failure};

/// `locate KEY`.
pub(crate) async fn run(client: &Client, args: &LocateArgs) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    if args.common.json {
        // As the server said it, so that fields of a newer one are not lost.
        let op = Op::Locate { key: key.as_str().into(), copies: args.copies };
        let mut line = client.ask(op).await?;
        reply::decode::<serde::de::IgnoredAny>(&line)
            .map_err(|error| Failure::new(Exit::Other, "protocol", error.to_string()))?
            .map_err(|error| Failure::from(ClientError::from_read(error)))?;
        line.push(b'\n');
        print::output(&line)?;
    } else {
        print::output(render(&client.locate(&key, args.copies).await?).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn render(located: &LocateReply) -> String {
    let LocateReply { hash, byte_sum, nodes, set, way, copies } = located;
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let cached = match way {
        Some(way) => format!("way {way}"),
        None => "not cached".into(),
    };
    let sum = byte_sum.map_or_else(String::new, |sum| format!(" · {sum}"));
    let mut out = format!("hash {hash}{sum} · on {} · set {set}, {cached}\n", names.join(", "));
    let copies = copies.as_deref().unwrap_or_default();
    let width = copies.iter().map(|copy| copy.node.as_str().len()).max().unwrap_or_default();
    for copy in copies {
        let held = match (copy.version, copy.cached) {
            (Some(version), Some(true)) => format!("version {version}, in its cache"),
            (Some(version), _) => format!("version {version}"),
            (None, Some(_)) => "no value".into(),
            (None, None) => "no answer".into(),
        };
        let role = print::escaped(copy.role.as_bytes(), false);
        let _ = write!(out, "{:width$}  {role}  {}  {held}", copy.node.as_str(), copy.state);
        if copy.undecided > 0 {
            let _ = write!(out, "  {} undecided", copy.undecided);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use protocol::reply::ByteSum;

    use super::*;

    #[test]
    fn a_key_is_shown_with_its_copies() {
        let located = serde_json::from_str(
            r#"{"hash":"00000000000000ff","nodes":["n2","n10"],"set":7,"way":null,"copies":[
            {"node":"n2","role":"primary","state":"up","version":"1.5","cached":true,"undecided":1},
            {"node":"n10","role":"replica","state":"down","version":null,"cached":null,
             "undecided":0}]}"#,
        );
        let expected = "\
hash 00000000000000ff · on n2, n10 · set 7, not cached
n2   primary  up  version 1.5, in its cache  1 undecided
n10  replica  down  no answer
";
        let mut located = located.unwrap();
        assert_eq!(render(&located), expected);
        located.byte_sum = Some(ByteSum { sum: 294, nodes: 5 });
        let expected = "hash 00000000000000ff · byte sum 294 mod 5 = 4 · on n2, n10 · ";
        assert!(render(&located).starts_with(expected));
    }
}
