//! Where the supervisor of `piazza up` is, and with it the directory of its cluster.
//!
//! Called by `admin`, `logs` and `down`. Looks at `--supervisor`, at what `status` tells, into
//! `DIR/cluster.json`, and at last at the usual port, in that order. Never names a supervisor that
//! is known to be another cluster's than the one that is meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::client::{Client, ClientError, Options, Supervisor};
use protocol::supervisor::SupervisorHello;

use crate::address::{self, DEFAULT_DIR, Target};
use crate::args::Common;
use crate::print::{Exit, Failure};

/// Where a supervisor listens unless told otherwise.
const SUPERVISOR: &str = "127.0.0.1:9191";
/// How long coordinator and supervisor may take to say who they are: one of them may be what hangs.
const WAIT: Duration = Duration::from_secs(1);
/// What to do where the supervisor that was found is not there.
pub(crate) const HINT: &str = "name the supervisor of `piazza up` with --supervisor, or its --dir";

/// What the coordinator says of the supervisor.
enum Asked {
    /// It does not answer.
    Silent,
    /// It knows of none.
    Nobody,
    /// The supervisor's address.
    Told(String),
}

/// The address of the supervisor; `named` is `--supervisor`.
pub(crate) async fn find(named: Option<&str>, common: &Common) -> Result<String, Failure> {
    find_or(named, common, SUPERVISOR).await
}

async fn find_or(named: Option<&str>, common: &Common, usual: &str) -> Result<String, Failure> {
    if let Some(address) = named {
        return Ok(address.to_owned());
    }
    let (asked, target) = match address::resolve(common) {
        Ok(target) => (ask_coordinator(&target.addresses, common).await?, Ok(target)),
        Err(failure) => (Asked::Silent, Err(failure)),
    };
    if let Asked::Told(address) = asked {
        return Ok(address);
    }
    if let Some(address) = address::supervisor(common) {
        return Ok(address);
    }
    let target = target?;
    // Where nothing is known of the cluster that is meant, it is the one that is there.
    let any = matches!(asked, Asked::Silent) && !address::is_named(common);
    if any || is_of(usual, &target, common).await {
        return Ok(usual.to_owned());
    }
    Err(match asked {
        Asked::Nobody => {
            let text = "the cluster was not started by `piazza up`, so nobody here owns its \
                        servers: start and stop them where they run";
            Failure::new(Exit::Other, "no_supervisor", text)
        }
        Asked::Silent | Asked::Told(_) => {
            let text = "the cluster does not answer, so it is not known where its supervisor is: \
                        start it with `piazza up`, or name the supervisor with --supervisor";
            Failure::new(Exit::Refused, "not_connected", text)
        }
    })
}

/// The directory of the cluster: the one that is named, or that of the supervisor.
pub(crate) async fn directory(named: Option<&str>, common: &Common) -> Result<PathBuf, Failure> {
    directory_or(named, common, Path::new(DEFAULT_DIR), SUPERVISOR).await
}

async fn directory_or(
    named: Option<&str>,
    common: &Common,
    default: &Path,
    usual: &str,
) -> Result<PathBuf, Failure> {
    let is_named = named.is_some() || address::is_named(common);
    match (named, &common.dir) {
        (None, Some(dir)) => return Ok(dir.clone()),
        // It is of use while its cluster does not run, too.
        _ if !is_named && default.exists() => return Ok(default.to_owned()),
        _ => {}
    }
    let address = find_or(named, common, usual).await?;
    let hello = match hello(&address, common).await {
        Ok(hello) => hello,
        Err(ClientError::NotConnected(_)) if !is_named => return Ok(default.to_owned()),
        Err(error) => return Err(Failure::connecting(error, HINT)),
    };
    let dir = PathBuf::from(hello.dir);
    if !dir.is_dir() {
        let text = format!(
            "the supervisor at {address} keeps its cluster in {}, which is not on this machine: \
             give the same command there",
            dir.display()
        );
        return Err(Failure::new(Exit::Other, "elsewhere", text));
    }
    Ok(dir)
}

/// Whether the supervisor at `address` owns a coordinator at one of the addresses of `target`.
async fn is_of(address: &str, target: &Target, common: &Common) -> bool {
    let Ok(hello) = hello(address, common).await else { return false };
    target.is_any_of(&hello.clients)
}

async fn hello(address: &str, common: &Common) -> Result<SupervisorHello, ClientError> {
    // A token that cannot be read has been told of before.
    let token = common.credentials.token().unwrap_or_default();
    Supervisor::connect(address, WAIT, token).await?.hello("piazza").await
}

/// The supervisor as the coordinator knows it.
async fn ask_coordinator(addresses: &str, common: &Common) -> Result<Asked, Failure> {
    let asked = async { quick_client(addresses, common).await?.status().await };
    match asked.await {
        Ok(status) => Ok(status.supervisor.map_or(Asked::Nobody, Asked::Told)),
        // It does answer: whoever asks is not let in.
        Err(error @ ClientError::Fix(_)) => Err(error.into()),
        Err(_) => Ok(Asked::Silent),
    }
}

/// A client that gives up soon: the coordinator may be the one that hangs.
pub(crate) async fn quick_client(addresses: &str, common: &Common) -> Result<Client, ClientError> {
    let options = Options {
        connect_timeout: WAIT,
        timeout: WAIT,
        margin: Duration::ZERO,
        repeat_for: Duration::ZERO,
        // A wrong one has been told of before.
        token: common.credentials.token().unwrap_or_default(),
        ..Options::default()
    };
    Client::connect(addresses, options).await
}

#[cfg(test)]
mod tests;
