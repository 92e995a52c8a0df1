//! What is asked of a cluster over one connection: the commands that `piazza` and its shell share.
//!
//! Called by `main`, with a connection of its own a command, and by `shell`, which keeps one. What
//! each of them does and prints is in a file of its own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use protocol::client::Client;

use crate::args::{
    CasArgs, Common, DelArgs, GetArgs, LocateArgs, MgetArgs, OutcomeArgs, PutArgs, ScanArgs,
    StatusArgs, TxnArgs, UpdateArgs, WatchArgs,
};
use crate::explain::{self, ExplainArgs};
use crate::print::{self, Exit, Failure};
use crate::{kv, locate, many, status};

/// Every command that needs a connection and nothing else.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Asked {
    /// Print the value of a key.
    Get(GetArgs),
    /// Set a key, whether it exists or not.
    Put(PutArgs),
    /// Set a key that exists.
    Update(UpdateArgs),
    /// Set a key that has a certain version.
    Cas(CasArgs),
    /// Remove a key.
    Del(DelArgs),
    /// Print the values of several keys, all as of one moment.
    Mget(MgetArgs),
    /// List the keys that begin with a prefix.
    Scan(ScanArgs),
    /// Write several keys, all or none, if conditions hold.
    Txn(TxnArgs),
    /// Print every change of a key, or of all keys with a prefix, until Ctrl-C.
    Watch(WatchArgs),
    /// Tell where a key lies, and which nodes hold it.
    Locate(LocateArgs),
    /// Show which way a request takes, and with --run where its time goes.
    Explain(ExplainArgs),
    /// Tell what became of an update.
    Outcome(OutcomeArgs),
    /// Show how the cluster is, and what to do if anything is wrong.
    Status(StatusArgs),
}

impl Asked {
    /// Where the cluster is, and how to answer.
    pub(crate) fn common(&mut self) -> &mut Common {
        match self {
            Self::Get(args) => &mut args.common,
            Self::Put(args) => &mut args.common,
            Self::Update(args) => &mut args.common,
            Self::Cas(args) => &mut args.common,
            Self::Del(args) => &mut args.common,
            Self::Mget(args) => &mut args.common,
            Self::Scan(args) => &mut args.common,
            Self::Txn(args) => &mut args.common,
            Self::Watch(args) => &mut args.common,
            Self::Locate(args) => &mut args.common,
            Self::Explain(args) => args.common(),
            Self::Outcome(args) => &mut args.common,
            Self::Status(args) => &mut args.common,
        }
    }

    /// Whether it changes keys.
    pub(crate) fn is_update(&self) -> bool {
        match self {
            Self::Put(_) | Self::Update(_) | Self::Cas(_) | Self::Del(_) | Self::Txn(_) => true,
            Self::Explain(args) => args.is_update(),
            _ => false,
        }
    }

    /// The value or transaction that it carries, from standard input where that was asked for.
    fn input(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Put(PutArgs { value, .. }) | Self::Update(UpdateArgs { value, .. }) => {
                kv::value(value.as_deref())
            }
            Self::Cas(args) => kv::value(Some(&args.value)),
            Self::Txn(args) => many::read(&args.file),
            Self::Explain(args) => args.input(),
            _ => Ok(Vec::new()),
        }
    }

    /// The same as it was typed; `None` if the value is missing.
    pub(crate) fn typed_input(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match self {
            Self::Put(PutArgs { value, .. }) | Self::Update(UpdateArgs { value, .. }) => {
                value.as_deref().map(bytes)
            }
            Self::Cas(args) => Some(bytes(&args.value)),
            Self::Txn(args) => Some(typed_txn(args)?),
            Self::Explain(args) => args.typed_input()?,
            _ => Some(Vec::new()),
        })
    }

    /// Asks, with what [`Asked::typed_input`] gave, and prints the answer.
    pub(crate) async fn carry_out(&self, client: &Client, input: Vec<u8>) -> Result<Exit, Failure> {
        match self {
            Self::Get(args) => kv::get(client, args).await,
            Self::Put(args) => kv::put(client, args, &input).await,
            Self::Update(args) => kv::update(client, args, &input).await,
            Self::Cas(args) => kv::cas(client, args, &input).await,
            Self::Del(args) => kv::del(client, args).await,
            Self::Mget(args) => many::mget(client, args).await,
            Self::Scan(args) => many::scan(client, args).await,
            Self::Txn(args) => many::txn(client, args, input).await,
            Self::Watch(args) => many::watch(client, args).await,
            Self::Locate(args) => locate::run(client, args).await,
            Self::Explain(args) => explain::run(client, args, input).await,
            Self::Outcome(args) => many::outcome(client, args).await,
            Self::Status(args) => status::run(client, args).await,
        }
    }
}

fn bytes(value: &OsStr) -> Vec<u8> {
    value.as_bytes().to_vec()
}

/// The transaction that was typed, or that stands in the file that was.
pub(crate) fn typed_txn(args: &TxnArgs) -> Result<Vec<u8>, Failure> {
    let typed = args.file.as_os_str();
    if typed.as_bytes().starts_with(b"{") { Ok(bytes(typed)) } else { many::read(&args.file) }
}

/// Asks once, over a connection of its own.
pub(crate) fn run(mut asked: Asked) -> ExitCode {
    let common = asked.common().clone();
    // Standard input is read before anything is sent, while Ctrl-C still ends all.
    match asked.input() {
        Ok(input) => {
            print::with_client(&common, async |client| asked.carry_out(&client, input).await)
        }
        Err(failure) => print::finish(Err(failure), common.json),
    }
}
