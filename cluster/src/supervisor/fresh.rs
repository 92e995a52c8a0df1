//! `piazza up --fresh`: deletes the cluster in a directory, and nothing else.
//!
//! Called by `run` before it claims the directory. Deletes only where `cluster.json` is valid, no
//! supervisor and no server has it, and everything in it is a cluster's. The whole moves aside in
//! one step first, so that no half of a cluster is ever found in its place.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::StartError;
use super::directory::{ClusterFile, FILE, FILE_NEW, LOCK, LOGS, take_lock};
use crate::process::random_uuid;

/// Deletes the cluster in `dir`; does nothing where there is none.
pub(super) fn delete(dir: &Path) -> Result<(), StartError> {
    if ClusterFile::read(dir)?.is_none() {
        return Ok(());
    }
    let path = dir.canonicalize().map_err(|error| StartError::file(dir, error))?;
    let _lock = take_lock(&path)?;
    let failed = |error: io::Error| StartError::file(&path, error);
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) {
            return Err(StartError::Usage(format!(
                "{} holds {name:?}, which is no part of a cluster, so nothing was deleted: move it \
                 away, or give another --dir",
                path.display()
            )));
        }
        let lock = entry.path().join("lock");
        let taken = File::open(&lock)
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        if taken {
            return Err(StartError::Usage(format!(
                "a server still has {}, so nothing was deleted: stop it first",
                entry.path().display()
            )));
        }
    }
    let unique = random_uuid().map_err(failed)?;
    let mut aside = path.clone().into_os_string();
    aside.push(format!(".deleted-{unique}"));
    fs::rename(&path, &aside).map_err(failed)?;
    fs::remove_dir_all(&aside).map_err(|error| StartError::file(Path::new(&aside), error))
}

/// Whether a cluster has a file or directory of this name.
fn is_ours(name: &str) -> bool {
    let node = name.strip_prefix('n').is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    node || [FILE, FILE_NEW, LOCK, LOGS].contains(&name)
}

#[cfg(test)]
mod tests {
    use protocol::peer::Placement;

    use super::super::directory::Directory;
    use super::super::options::Shape;
    use super::*;
    use crate::config::StorageKind;

    /// Contract: "`--fresh` deletes only a directory with a valid `cluster.json` and no running
    /// supervisor"
    #[test]
    fn only_a_cluster_that_does_not_run_is_deleted() {
        let dir = std::env::temp_dir().join(format!("piazza-fresh-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        delete(&dir).unwrap();
        fs::create_dir_all(dir.join("n1")).unwrap();
        delete(&dir).unwrap();
        assert!(dir.join("n1").exists(), "without cluster.json it is nobody's");
        fs::remove_dir(dir.join("n1")).unwrap();

        let owner = Directory::claim(&dir).unwrap();
        let (storage, placement, serial_updates) = (StorageKind::Disk, Placement::Ring, false);
        let shape = Shape { nodes: 1, replicas: 1, tokens: 1, storage, placement, serial_updates };
        owner.write(&ClusterFile::new("c".into(), shape)).unwrap();
        let error = |part: &str| {
            let error = delete(&dir).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(part), "{error}");
            assert!(dir.join(FILE).exists());
        };
        error("is in use");
        drop(owner);
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        error("notes.txt");
        fs::remove_file(dir.join("notes.txt")).unwrap();
        fs::create_dir(dir.join("n1")).unwrap();
        let lock = File::create(dir.join("n1/lock")).unwrap();
        lock.lock().unwrap();
        error("a server still has");
        drop(lock);
        let valid = fs::read(dir.join(FILE)).unwrap();
        fs::write(dir.join(FILE), "{").unwrap();
        error("damaged");
        fs::write(dir.join(FILE), valid).unwrap();
        delete(&dir).unwrap();
        assert!(!dir.exists());
        let parent = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            parent.filter(|e| e.file_name().to_string_lossy().starts_with(&name)).count(),
            0
        );
    }
}
