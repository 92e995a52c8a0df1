//! The cluster of a demo: `piazza up` of this same program, in a directory of its own, on ports
//! that the system chooses.
//!
//! Used by `demo`. Its supervisor is tied to this process: however that ends, no server stays. The
//! directory is removed when this is dropped.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tui::demo::script::ClusterPlan;

use crate::print::{Exit, Failure};

/// How long it may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(90);
/// Directories that are tried before there is none.
const NAMES_MAX: u32 = 100;
/// How often a directory is tried to be removed while servers that end still hold files in it.
const REMOVALS: u32 = 100;
const REMOVAL_WAIT: Duration = Duration::from_millis(20);

/// Where it is to be found.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    /// Its coordinator's address.
    pub(super) coordinator: String,
    /// Its supervisor's.
    pub(super) supervisor: String,
}

/// The cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    supervisor: Child,
    lines: mpsc::Receiver<String>,
    base: PathBuf,
}

impl Cluster {
    /// Starts it.
    pub(super) fn start(plan: &ClusterPlan) -> Result<Self, Failure> {
        let base = new_directory().map_err(|error| failed(&format!("a directory: {error}")))?;
        match spawn(plan, &base) {
            Ok((supervisor, lines)) => Ok(Self { supervisor, lines, base }),
            Err(error) => {
                let _ = fs::remove_dir_all(&base);
                Err(failed(&error.to_string()))
            }
        }
    }

    /// Its directory.
    pub(super) fn dir(&self) -> PathBuf {
        self.base.join("demo")
    }

    /// Waits until all its servers are up.
    pub(super) async fn ready(&mut self) -> Result<Ready, Failure> {
        let line = timeout(READY_WAIT, async {
            loop {
                let line = self.lines.recv().await?;
                if let Some(json) = line.strip_prefix("ready ") {
                    return Some(json.to_owned());
                }
            }
        });
        let ready = line.await.ok().flatten().and_then(|json| read(&json));
        ready.ok_or_else(|| {
            let said = fs::read_to_string(self.base.join("said")).unwrap_or_default();
            let said = said.trim_end();
            failed(if said.is_empty() { "it was not ready in time" } else { said })
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The servers end with their supervisor, and what it says is read to its end.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(&self.base) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(REMOVAL_WAIT);
                }
                _ => return,
            }
        }
        eprintln!("piazza: cannot remove {}", self.base.display());
    }
}

fn failed(why: &str) -> Failure {
    let message = format!("the demo's cluster did not start: {why}");
    Failure::new(Exit::Other, "not_started", message)
}

/// A directory that is nobody else's.
fn new_directory() -> io::Result<PathBuf> {
    let temporary = std::env::temp_dir();
    let own = std::process::id();
    for number in 0..NAMES_MAX {
        let path = temporary.join(format!("piazza-demo-{own}-{number}"));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
    Err(io::Error::other(format!("{} is full of old demos", temporary.display())))
}

fn spawn(
    plan: &ClusterPlan,
    base: &std::path::Path,
) -> io::Result<(Child, mpsc::Receiver<String>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["up", "--headless", "--lifeline", "--any-port", "--dir"]).arg(base.join("demo"));
    command.args(["--nodes", &plan.nodes.to_string()]);
    for (flag, value) in &plan.flags {
        command.args([*flag, value]);
    }
    if plan.lab {
        command.arg("--lab");
    }
    // Its end of the pipe that ties it to this process.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(base.join("said"))?);
    // Ctrl-C at the terminal is meant for the demo.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let (tell, lines) = mpsc::channel(16);
    if let Some(stdout) = child.stdout.take() {
        let read = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once it is ready; the writer must not be blocked all the same.
                let _ = tell.try_send(line);
            }
        };
        std::thread::Builder::new().name("demo".into()).spawn(read)?;
    }
    Ok((child, lines))
}

/// What the line says that `piazza up` prints when all are up.
fn read(json: &str) -> Option<Ready> {
    let ready: serde_json::Value = serde_json::from_str(json).ok()?;
    let coordinator = ready["clients"][0].as_str()?.to_owned();
    Some(Ready { coordinator, supervisor: ready["supervisor"].as_str()?.to_owned() })
}
