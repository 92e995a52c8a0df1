//! `piazza explain`: which way a request takes and, if it is carried out, where its time went.
//!
//! Called by `asked`. The picture is made in `picture`; what was refused is shown with the way that
//! it took, and ends with the exit code that the request itself would have.

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use protocol::client::{Client, ClientError, Explanation};
use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::Key;
use protocol::reply::{ExplainReply, Refusal};
use protocol::request::Op;

use crate::args::{CasArgs, Common, DelArgs, PutArgs, TxnArgs, UpdateArgs};
use crate::print::{self, Exit, Failure};
use crate::{asked, kv, many};

mod picture;

/// `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A time at a node is as that node measured it, the others are by the coordinator's clock; steps of \
several nodes go on at the same time. Without --run nothing is done.")]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    what: What,
    /// Carry the request out, and show how long each step took.
    #[arg(long, global = true)]
    run: bool,
}

/// What can be explained.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// The way of a read.
    Get(ExplainGet),
    /// The way of a put.
    Put(PutArgs),
    /// The way of an update of a key that exists.
    Update(UpdateArgs),
    /// The way of an update of a key that has a certain version.
    Cas(CasArgs),
    /// The way of a removal.
    Del(DelArgs),
    /// The way of several writes, all or none.
    Txn(TxnArgs),
}

/// `explain get`.
#[derive(Debug, clap::Args)]
struct ExplainGet {
    /// The key.
    key: String,
    #[command(flatten)]
    common: Common,
}

impl ExplainArgs {
    /// Where the cluster is, and how to answer.
    pub(crate) fn common(&mut self) -> &mut Common {
        match &mut self.what {
            What::Get(args) => &mut args.common,
            What::Put(args) => &mut args.common,
            What::Update(args) => &mut args.common,
            What::Cas(args) => &mut args.common,
            What::Del(args) => &mut args.common,
            What::Txn(args) => &mut args.common,
        }
    }

    /// Whether it changes keys.
    pub(crate) fn is_update(&self) -> bool {
        self.run && !matches!(self.what, What::Get(_))
    }

    /// The value or transaction of the request, from standard input where that was asked for.
    pub(crate) fn input(&self) -> Result<Vec<u8>, Failure> {
        match &self.what {
            What::Get(_) | What::Del(_) => Ok(Vec::new()),
            What::Put(PutArgs { value, .. }) | What::Update(UpdateArgs { value, .. }) => {
                kv::value(value.as_deref())
            }
            What::Cas(args) => kv::value(Some(&args.value)),
            What::Txn(args) => many::with_op(many::read(&args.file)?),
        }
    }

    /// The same as it was typed; `None` if the value is missing.
    pub(crate) fn typed_input(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match &self.what {
            What::Put(PutArgs { value, .. }) | What::Update(UpdateArgs { value, .. }) => {
                value.as_deref().map(|value| value.as_bytes().to_vec())
            }
            What::Cas(args) => Some(args.value.as_bytes().to_vec()),
            What::Txn(args) => Some(many::with_op(asked::typed_txn(args)?)?),
            What::Get(_) | What::Del(_) => Some(Vec::new()),
        })
    }
}

impl What {
    fn json(&self) -> bool {
        match self {
            Self::Get(args) => args.common.json,
            Self::Put(args) => args.common.json,
            Self::Update(args) => args.common.json,
            Self::Cas(args) => args.common.json,
            Self::Del(args) => args.common.json,
            Self::Txn(args) => args.common.json,
        }
    }

    /// The request, with what `input` has read.
    fn op<'a>(&'a self, input: &'a [u8]) -> Result<Op<'a>, Failure> {
        let checked = |key: &'a str| kv::key(key).map(|_| Cow::Borrowed(key));
        let value = Cow::Borrowed(input);
        Ok(match self {
            Self::Get(args) => Op::Get { key: checked(&args.key)? },
            Self::Put(args) => {
                Op::Put { key: checked(&args.key)?, value, if_absent: args.if_absent }
            }
            Self::Update(args) => Op::Update { key: checked(&args.key)?, value },
            Self::Cas(args) => Op::Cas { key: checked(&args.key)?, value, version: args.version },
            Self::Del(args) => Op::Del { key: checked(&args.key)?, version: args.if_version },
            Self::Txn(_) => many::txn_op(input)?,
        })
    }
}

/// Asks, and draws the answer.
pub(crate) async fn run(
    client: &Client,
    args: &ExplainArgs,
    input: Vec<u8>,
) -> Result<Exit, Failure> {
    let json = args.what.json();
    let op = args.what.op(&input)?;
    let title = title(&op);
    let key = key_of(&op).map(kv::key).transpose()?;
    let Explanation { mut line, answer } = client.explain(op, args.run).await?;
    line.push(b'\n');
    match answer {
        Ok(explained) => {
            show(&title, &explained, &line, json)?;
            Ok(Exit::Done)
        }
        Err(Refusal { error, explained: Some(explained) }) => {
            let failure = failure(error, args.run, key.as_ref());
            if json {
                // As the server said it: the way is part of it.
                let exit = failure.exit;
                let _ = io::stderr().write_all(&line);
                return Ok(exit);
            }
            show(&title, &explained, &line, false)?;
            Err(failure)
        }
        Err(Refusal { error, explained: None }) => Err(failure(error, args.run, key.as_ref())),
    }
}

fn failure(error: Box<ErrorReply>, run: bool, key: Option<&Key>) -> Failure {
    if let Some(key) = key.filter(|_| error.code == ErrorCode::NotFound) {
        return kv::not_there(key);
    }
    Failure::from(if run { ClientError::from_update(error) } else { ClientError::from_read(error) })
}

fn show(title: &str, explained: &ExplainReply, line: &[u8], json: bool) -> Result<(), Failure> {
    if json {
        return print::output(line);
    }
    print::output(picture::draw(title, explained, print::in_colour()).as_bytes())
}

/// Its key, if it has but one.
fn key_of<'a>(op: &'a Op<'_>) -> Option<&'a str> {
    match op {
        Op::Get { key }
        | Op::Put { key, .. }
        | Op::Update { key, .. }
        | Op::Cas { key, .. }
        | Op::Del { key, .. } => Some(key),
        _ => None,
    }
}

/// The request in a few words.
fn title(op: &Op<'_>) -> String {
    /// Of a longer key only the beginning is shown, characters.
    const KEY_CHARS_MAX: usize = 40;
    let key = match (key_of(op), op) {
        (Some(key), _) => print::escaped(key.as_bytes(), false),
        (None, Op::Txn { writes, .. }) => return format!("txn that writes {} keys", writes.len()),
        (None, _) => return op.name().to_owned(),
    };
    match key.char_indices().nth(KEY_CHARS_MAX) {
        None => format!("{} \"{key}\"", op.name()),
        Some((end, _)) => format!("{} \"{}...\"", op.name(), &key[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }

    #[test]
    fn requests_are_typed_as_they_are_without_explain() {
        let read = |typed: &str| Line::try_parse_from(typed.split(' ')).map(|line| line.args);
        for typed in ["get k", "put k v --if-absent", "cas k v 3.17", "del k", "txn -"] {
            let args = read(&format!("explain {typed}")).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert!(!args.run, "{typed}");
            for run in [format!("explain {typed} --run"), format!("explain --run {typed}")] {
                assert!(read(&run).unwrap().run, "{run}");
            }
        }
        for typed in ["", "k", "get", "mget a", "cas k v", "get k --raw"] {
            assert!(read(&format!("explain {typed}")).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_title_is_short_and_safe() {
        let put = |key: &str| {
            let key: String = key.into();
            title(&Op::Put { key: key.into(), value: b"v"[..].into(), if_absent: false })
        };
        assert_eq!(put("a\x1b"), "put \"a\\u{1b}\"");
        assert_eq!(put(&"é".repeat(256)), format!("put \"{}...\"", "é".repeat(40)));
    }
}
