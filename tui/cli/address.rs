//! Which cluster is meant: from `--addr`, `--dir`, `PIAZZA_ADDR`, `./piazza-data`, or the default.
//!
//! Called by every client command before it connects. Reads `cluster.json`, which `piazza up`
//! writes; never changes anything. A cluster counts as running only if its supervisor's process
//! lives and its address answers, so that a stale file misleads nobody.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::Deserialize;

use crate::args::Common;
use crate::print::{Exit, Failure};

/// Where clients connect unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";
/// Where `piazza up` keeps a cluster unless told otherwise.
pub(crate) const DEFAULT_DIR: &str = "./piazza-data";
/// The newest format of `cluster.json` that is understood.
const FORMAT_MAX: u32 = 1;
/// How long a supervisor on this machine may take to accept.
const PROBE: Duration = Duration::from_millis(300);

/// What to do where the supervisor runs and the coordinator cannot be reached.
const COORDINATOR_AWAY: &str = "the cluster's supervisor runs, so its coordinator is down or just \
    starting: see `piazza logs coordinator`; after a deliberate kill: \
    piazza admin start coordinator";

/// Where to connect, and what to tell whoever cannot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Addresses with commas between them.
    pub(crate) addresses: String,
    /// How to start the cluster, or find another.
    pub(crate) hint: String,
}

/// What clients need of `cluster.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterFile {
    /// The file's format.
    format: u32,
    /// Where the servers listen.
    addresses: Addresses,
    /// The servers' processes, by name.
    pids: BTreeMap<String, u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Addresses {
    clients: Vec<String>,
    supervisor: Option<String>,
}

/// The cluster that `common` and the environment name.
pub(crate) fn resolve(common: &Common) -> Result<Target, Failure> {
    let from_env = std::env::var("PIAZZA_ADDR").ok().filter(|text| !text.trim().is_empty());
    choose(common, from_env, Path::new(DEFAULT_DIR), is_running)
}

fn choose(
    common: &Common,
    from_env: Option<String>,
    default_dir: &Path,
    is_running: impl Fn(&ClusterFile) -> bool,
) -> Result<Target, Failure> {
    if let Some(addresses) = &common.addr {
        let hint = "check --addr, and whether the cluster runs there";
        return Ok(Target { addresses: addresses.clone(), hint: hint.into() });
    }
    if let Some(dir) = &common.dir {
        let file = read(dir)?;
        let hint = if is_running(&file) {
            COORDINATOR_AWAY.into()
        } else {
            format!("start the cluster with: piazza up --dir {}", dir.display())
        };
        return Ok(Target { addresses: client_addresses(&file, dir)?, hint });
    }
    if let Some(addresses) = from_env {
        let hint = "check PIAZZA_ADDR, and whether the cluster runs there";
        return Ok(Target { addresses, hint: hint.into() });
    }
    // What nobody named may be missing or stale: then it is simply not meant.
    let running = read(default_dir).ok().filter(is_running);
    let addresses = running.and_then(|file| client_addresses(&file, default_dir).ok());
    let hint = match addresses {
        Some(_) => COORDINATOR_AWAY,
        None => "start a cluster with: piazza up; or name one with --addr or --dir",
    };
    let addresses = addresses.unwrap_or_else(|| DEFAULT_ADDRESS.into());
    Ok(Target { addresses, hint: hint.into() })
}

/// Whether `common` or the environment name a cluster.
pub(crate) fn is_named(common: &Common) -> bool {
    let env = std::env::var_os("PIAZZA_ADDR").is_some_and(|text| !text.is_empty());
    common.addr.is_some() || common.dir.is_some() || env
}

impl Target {
    /// Whether one of its addresses is among `others`.
    pub(crate) fn is_any_of(&self, others: &[String]) -> bool {
        self.addresses.split(',').any(|address| others.iter().any(|other| other == address.trim()))
    }
}

/// The supervisor of the cluster in `--dir`, or of the one in `./piazza-data` if that is the one
/// that is meant, while it runs.
pub(crate) fn supervisor(common: &Common) -> Option<String> {
    let file = match &common.dir {
        Some(dir) => read(dir).ok()?,
        None => {
            let file = read(Path::new(DEFAULT_DIR)).ok()?;
            let target = resolve(common).ok()?;
            let is_meant = !is_named(common) || target.is_any_of(&file.addresses.clients);
            is_meant.then_some(file)?
        }
    };
    Some(file).filter(is_running)?.addresses.supervisor
}

fn client_addresses(file: &ClusterFile, dir: &Path) -> Result<String, Failure> {
    if file.addresses.clients.is_empty() {
        return Err(Failure::usage(format!(
            "the cluster in {} is stopped: start it with: piazza up --dir {}",
            dir.display(),
            dir.display()
        )));
    }
    Ok(file.addresses.clients.join(","))
}

fn file_path(dir: &Path) -> PathBuf {
    dir.join("cluster.json")
}

/// The `cluster.json` of the cluster in `dir`.
fn read(dir: &Path) -> Result<ClusterFile, Failure> {
    let path = file_path(dir);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!(
            "{} is not the directory of a cluster ({}: {error}): check --dir, or make one there \
             with: piazza up --dir {}",
            dir.display(),
            path.display(),
            dir.display()
        ))
    })?;
    let file: ClusterFile = serde_json::from_str(&text).map_err(|error| {
        let sentence = format!(
            "{} is damaged ({error}): name the cluster with --addr instead",
            path.display()
        );
        Failure::new(Exit::Other, "damaged", sentence)
    })?;
    if file.format > FORMAT_MAX {
        let sentence = format!(
            "{} was written by a newer piazza (format {}, this one knows {FORMAT_MAX}): use that \
             version, or name the cluster with --addr",
            path.display(),
            file.format
        );
        return Err(Failure::new(Exit::Other, "newer_format", sentence));
    }
    Ok(file)
}

/// Whether the file's supervisor lives and answers.
fn is_running(file: &ClusterFile) -> bool {
    let lives = file.pids.get("supervisor").and_then(|pid| i32::try_from(*pid).ok());
    let Some(pid) = lives.filter(|pid| *pid > 0) else {
        return false;
    };
    // The null signal only asks; not being allowed to send it proves that the process is there.
    if !matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM)) {
        return false;
    }
    let address = file.addresses.supervisor.as_deref().map(str::parse::<SocketAddr>);
    let Some(Ok(address)) = address else {
        return false;
    };
    TcpStream::connect_timeout(&address, PROBE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A directory with a `cluster.json`, removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("piazza-address-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(file_path(&dir), text).unwrap();
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const FILE: &str = r#"{"format":1,"name":"x","addresses":{"clients":["127.0.0.1:1","[::1]:2"],
        "peers":["127.0.0.1:3"],"supervisor":"127.0.0.1:4"},"pids":{"supervisor":10,"n1":12}}"#;

    fn common(addr: Option<&str>, dir: Option<&Path>) -> Common {
        Common { addr: addr.map(Into::into), dir: dir.map(Into::into), ..Common::default() }
    }

    /// Contract: "`--addr`/`PIAZZA_ADDR` (default 127.0.0.1:8080"
    /// Contract: "or `--dir DIR` (reads the addresses in `DIR/cluster.json`) or neither
    /// (`./piazza-data` if it is running, else the default)"
    #[test]
    fn what_is_named_more_explicitly_wins() {
        let dir = Dir::new("order", FILE);
        let chosen = |addr, named, env: Option<&str>, running: bool| {
            let env = env.map(Into::into);
            choose(&common(addr, named), env, &dir.0, |_| running).unwrap().addresses
        };
        assert_eq!(chosen(Some("a:1"), None, Some("e:1"), true), "a:1");
        assert_eq!(chosen(None, Some(&dir.0), Some("e:1"), false), "127.0.0.1:1,[::1]:2");
        assert_eq!(chosen(None, None, Some("e:1"), true), "e:1");
        assert_eq!(chosen(None, None, None, true), "127.0.0.1:1,[::1]:2");
        assert_eq!(chosen(None, None, None, false), DEFAULT_ADDRESS);
    }

    #[test]
    fn a_directory_that_was_named_must_be_right() {
        let missing = std::env::temp_dir().join("piazza-address-missing");
        let failure = choose(&common(None, Some(&missing)), None, &missing, |_| true).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("piazza up --dir"), "{}", failure.message);
        for (text, exit) in
            [("{", Exit::Other), (r#"{"format":2}"#, Exit::Other), (r#"{"format":1}"#, Exit::Usage)]
        {
            let dir = Dir::new("wrong", text);
            let named = common(None, Some(&dir.0));
            let failure = choose(&named, None, &missing, |_| true).unwrap_err();
            assert_eq!(failure.exit, exit, "{text}");
            // One without addresses stands still.
            let is_stopped = failure.message.contains("is stopped: start it with: piazza up --dir");
            assert_eq!(is_stopped, exit == Exit::Usage, "{}", failure.message);
            let unnamed = choose(&common(None, None), None, &dir.0, |_| true).unwrap();
            assert_eq!(unnamed.addresses, DEFAULT_ADDRESS, "{text}");
        }
    }

    #[test]
    fn a_cluster_runs_if_its_supervisor_lives_and_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let file = |pid: u32, supervisor: &str| ClusterFile {
            format: 1,
            addresses: Addresses { clients: Vec::new(), supervisor: Some(supervisor.into()) },
            pids: [("supervisor".to_owned(), pid)].into(),
        };
        let own = std::process::id();
        assert!(is_running(&file(own, &address)));
        assert!(!is_running(&file(own, "127.0.0.1:1")));
        assert!(!is_running(&file(0, &address)));
        assert!(!is_running(&file(i32::MAX as u32, &address)));
        assert!(!is_running(&file(u32::MAX, &address)));
        assert!(!is_running(&ClusterFile::default()));
    }
}
