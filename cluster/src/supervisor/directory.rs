//! The cluster's directory: who may use it, and `cluster.json`.
//!
//! [`Directory::claim`] is called once by `run`; `down` reads the file too, through
//! [`ClusterFile::read`]. The file is replaced as a whole and synced, so that a reader or a crash
//! never meets half of one. Nothing here touches a node's own directory.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use protocol::ids::Uuid;
use serde::{Deserialize, Serialize, Serializer};

use super::StartError;
use super::options::Shape;
use super::roster::{self, Roster};
use crate::config::{EvictAfter, ScrubPeriod};

/// The newest format of `cluster.json` that this version reads, and the one it writes.
pub const FORMAT: u32 = 1;
/// The largest `cluster.json` that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
pub(super) const FILE: &str = "cluster.json";
pub(super) const FILE_NEW: &str = "cluster.json.new";
pub(super) const LOCK: &str = "supervisor.lock";
pub(super) const LOGS: &str = "logs";

/// `DIR/cluster.json`: what a directory's cluster is, and where it is reached now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    /// [`FORMAT`] of the version that wrote the file.
    pub format: u32,
    /// That version.
    pub written_by: String,
    /// The cluster's uuid, once a coordinator has told it.
    pub cluster: Option<Uuid>,
    /// The cluster's name: its directory's.
    pub name: String,
    /// What never changes.
    #[serde(flatten)]
    pub shape: Shape,
    /// The nodes by name; of an older file, those of the founding.
    #[serde(default)]
    pub fleet: Roster,
    /// How long a silent node keeps its place; null: for ever.
    #[serde(default, rename = "evict_after_ms")]
    pub evict_after: EvictAfter,
    /// How often all records are read anew; null: never.
    #[serde(default, rename = "scrub_period_ms")]
    pub scrub_period: ScrubPeriod,
    /// Where to connect now; empty when the cluster is stopped.
    #[serde(default)]
    pub addresses: Addresses,
    /// The processes now.
    #[serde(default, deserialize_with = "pids_from_map", serialize_with = "pids_as_map")]
    pub pids: Vec<(String, u32)>,
}

/// Where a cluster is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Coordinators, for clients.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Coordinators, for nodes.
    #[serde(default)]
    pub peers: Vec<String>,
    /// The supervisor.
    #[serde(default)]
    pub supervisor: Option<String>,
}

/// Writes `pids` as one JSON object, in their order.
pub(super) fn pids_as_map<S: Serializer>(
    pids: &[(String, u32)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pids.iter().map(|(name, pid)| (name, pid)))
}

fn pids_from_map<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, u32)>, D::Error> {
    let map = std::collections::BTreeMap::<String, u32>::deserialize(deserializer)?;
    Ok(map.into_iter().collect())
}

impl ClusterFile {
    /// The file of a cluster that has never run.
    pub fn new(name: String, shape: Shape) -> Self {
        Self {
            format: FORMAT,
            written_by: env!("CARGO_PKG_VERSION").into(),
            cluster: None,
            name,
            shape,
            fleet: Roster::founded(shape.nodes),
            evict_after: EvictAfter::default(),
            scrub_period: ScrubPeriod::default(),
            addresses: Addresses::default(),
            pids: Vec::new(),
        }
    }

    /// The file in `dir`, or `None` if there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, StartError> {
        let path = dir.join(FILE);
        let mut text = String::new();
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StartError::file(&path, error)),
            Ok(file) => file
                .take(FILE_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(|error| StartError::file(&path, error))?,
        };
        Self::parse(&path, &text).map(Some)
    }

    /// The file that `text` is; `path`, where it was read, is for the sentence about a bad one.
    ///
    /// # Errors
    /// [`StartError::Usage`] where it is damaged or of a newer format.
    pub fn parse(path: &Path, text: &str) -> Result<Self, StartError> {
        /// The fields that every format has.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            #[serde(default)]
            written_by: String,
        }
        let damaged = |why: &str| {
            StartError::Usage(format!(
                "{} is damaged ({why}): restore it from a copy, or give another --dir",
                path.display()
            ))
        };
        let broken = |error: serde_json::Error| damaged(&error.to_string());
        let head: Head = serde_json::from_str(text).map_err(broken)?;
        if head.format > FORMAT {
            let writer = if head.written_by.is_empty() { "a newer one" } else { &head.written_by };
            return Err(StartError::Usage(format!(
                "{} was written by version {writer} (format {}), and this version {} reads up to \
                 format {FORMAT}: use that version, or give another --dir",
                path.display(),
                head.format,
                env!("CARGO_PKG_VERSION"),
            )));
        }
        let mut file: Self = serde_json::from_str(text).map_err(broken)?;
        if file.fleet == Roster::default() {
            file.fleet = Roster::founded(file.shape.nodes);
        }
        if !file.fleet.is_sound() {
            return Err(damaged("its nodes cannot be"));
        }
        Ok(file)
    }
}

/// A directory that belongs to this process until the value is dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    existing: Option<ClusterFile>,
    /// Holds the lock; released by the system however the process ends.
    _lock: File,
}

impl Directory {
    /// Makes `dir` if it is missing, takes its lock and reads its `cluster.json`.
    ///
    /// A directory without that file is taken only if nothing else is in it either: it may be
    /// somebody's home, or a cluster that lost the file.
    pub fn claim(dir: &Path) -> Result<Self, StartError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| StartError::file(dir, error))?;
        let path = dir.canonicalize().map_err(|error| StartError::file(dir, error))?;
        if ClusterFile::read(&path)?.is_none() {
            refuse_foreign(&path)?;
        }
        let lock = take_lock(&path)?;
        // Read under the lock: the one before us may have written meanwhile.
        let existing = ClusterFile::read(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .map_err(|error| StartError::file(&path, error))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(LOGS))
            .map_err(|error| StartError::file(&path.join(LOGS), error))?;
        Ok(Self { path, existing, _lock: lock })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the servers' logs go.
    pub fn logs(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// The `cluster.json` that was found.
    pub fn existing(&self) -> Option<&ClusterFile> {
        self.existing.as_ref()
    }

    /// The name for a new cluster here.
    pub fn name(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "piazza".into())
    }

    /// The names of nodes that left something here, whoever made it.
    pub fn node_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(roster::number(&name).is_some().then_some(name));
        }
        Ok(names)
    }

    /// Replaces `cluster.json`; on return the new one is durable.
    pub fn write(&self, file: &ClusterFile) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(file)?;
        text.push(b'\n');
        let new = self.path.join(FILE_NEW);
        let mut target = File::create(&new)?;
        target.write_all(&text)?;
        target.sync_all()?;
        fs::rename(&new, self.path.join(FILE))?;
        File::open(&self.path)?.sync_all()
    }
}

/// Whether a supervisor holds `dir` now, and if so the pid that it wrote.
pub fn holder(dir: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(dir.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => read_pid(&mut file).map(Some),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock file of `dir`, to wait for the end of the supervisor that holds it.
pub fn lock_file(dir: &Path) -> io::Result<File> {
    File::open(dir.join(LOCK))
}

pub(super) fn take_lock(path: &Path) -> Result<File, StartError> {
    let lock = path.join(LOCK);
    let failed = |error| StartError::file(&lock, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = read_pid(&mut file).map_err(failed)?;
            return Err(StartError::Usage(format!(
                "{dir} is in use by the supervisor with pid {pid}: watch it with `piazza console \
                 --dir {dir}`, stop it with `piazza down --dir {dir}`, or give another --dir",
                dir = path.display(),
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn read_pid(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text)?;
    let pid = text.trim();
    Ok(if pid.is_empty() { "unknown (it has just started)".into() } else { pid.into() })
}

fn refuse_foreign(path: &Path) -> Result<(), StartError> {
    let ours = [LOCK, LOGS, FILE_NEW];
    let entries = fs::read_dir(path).map_err(|error| StartError::file(path, error))?;
    for entry in entries {
        let name = entry.map_err(|error| StartError::file(path, error))?.file_name();
        if !ours.iter().any(|known| name == *known) {
            return Err(StartError::Usage(format!(
                "{} is not empty and has no {FILE}: give an empty or a new --dir, or restore the \
                 file if a cluster lives there",
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::peer::Placement;

    use super::*;
    use crate::config::StorageKind;

    const SHAPE: Shape = Shape {
        nodes: 3,
        replicas: 2,
        tokens: 1,
        storage: StorageKind::Disk,
        placement: Placement::Ring,
        serial_updates: false,
    };

    fn temp(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("piazza-dir-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_directory_is_made_private_and_has_one_owner() {
        let dir = temp("owner").join("deep");
        let owner = Directory::claim(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let error = Directory::claim(&dir).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        assert!(error.contains("piazza console --dir"), "{error}");
        assert_eq!(holder(&dir).unwrap(), Some(std::process::id().to_string()));
        drop(owner);
        assert_eq!(holder(&dir).unwrap(), None);
        Directory::claim(&dir).unwrap();
        fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_file_reads_back_and_keeps_its_order() {
        let dir = temp("file");
        let owner = Directory::claim(&dir).unwrap();
        assert!(owner.existing().is_none());
        let mut file = ClusterFile::new(owner.name(), SHAPE);
        file.cluster = Some(Uuid(7));
        file.addresses.clients = vec!["127.0.0.1:8080".into()];
        file.pids = vec![("coordinator".into(), 1), ("n1".into(), 2)];
        owner.write(&file).unwrap();
        assert_eq!(ClusterFile::read(&dir).unwrap(), Some(file.clone()));
        drop(owner);
        assert_eq!(Directory::claim(&dir).unwrap().existing(), Some(&file));
        fs::remove_dir_all(dir).unwrap();
    }

    /// Contract: "A newer format refuses to start and names the version that wrote it"
    #[test]
    fn newer_damaged_and_foreign_directories_are_refused() {
        let dir = temp("refused");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(FILE);
        fs::write(&path, r#"{"format":2,"written_by":"9.9.9","new":[]}"#).unwrap();
        let error = Directory::claim(&dir).unwrap_err().to_string();
        assert!(error.contains("9.9.9"), "{error}");
        fs::write(&path, r#"{"format":1,"#).unwrap();
        assert!(Directory::claim(&dir).unwrap_err().to_string().contains("damaged"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(dir.join("n1")).unwrap();
        assert!(Directory::claim(&dir).unwrap_err().to_string().contains("not empty"));
        fs::remove_dir_all(dir).unwrap();
    }
}
