//! The real disk keeps the same promises as the simulated one, as far as a running system shows.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use protocol::ids::{GroupSeq, Uuid};

use super::*;
use crate::storage::codec::tests::Source;
use crate::storage::identity::Identity;
use crate::storage::log::{Log, LogConfig, Tail};
use crate::storage::small_file::SmallFile;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("piazza-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_private_full_of_zeros_and_of_fixed_length() {
    let scratch = Scratch::new("file");
    let disk = FileDisk::open(&scratch.0).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.0), 0o700);
    let length = (FILL_BYTES + 777) as u64;
    let mut file = disk.create("a", length).unwrap();
    assert_eq!(mode(&scratch.0.join("a")), 0o600);
    assert_eq!(disk.create("a", 1).err().unwrap().kind(), ErrorKind::AlreadyExists);
    file.write_at(b"end", length - 3).unwrap();
    assert_eq!(file.write_at(b"beyond", length - 3).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(file.write_at(b"x", u64::MAX).is_err());
    file.sync_data().unwrap();
    disk.rename("a", "b").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    let file = disk.open("b").unwrap();
    assert_eq!(file.length().unwrap(), length);
    let mut bytes = vec![1; length as usize];
    file.read_at(&mut bytes, 0).unwrap();
    assert!(bytes[..length as usize - 3].iter().all(|byte| *byte == 0) && bytes.ends_with(b"end"));
    let mut beyond = [0; 4];
    assert_eq!(file.read_at(&mut beyond, length - 3).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    disk.remove("b").unwrap();
    assert_eq!(disk.open("b").err().unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn symbolic_links_and_directories_are_not_opened() {
    let scratch = Scratch::new("links");
    let disk = FileDisk::open(&scratch.0).unwrap();
    disk.create("target", 10).unwrap();
    std::os::unix::fs::symlink(scratch.0.join("target"), scratch.0.join("link")).unwrap();
    fs::create_dir(scratch.0.join("directory")).unwrap();
    assert!(disk.open("link").is_err() && disk.open("directory").is_err());
    assert!(FileDisk::open(&scratch.0.join("target")).is_err());
}

#[test]
#[should_panic(expected = "not a flat file name")]
fn names_do_not_leave_the_directory() {
    let scratch = Scratch::new("names");
    let disk = FileDisk::open(&scratch.0).unwrap();
    let _ = disk.open("../etc");
}

#[test]
fn a_log_and_a_state_file_live_on_it() {
    let scratch = Scratch::new("log");
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open(&scratch.0).unwrap());
    let identity = Identity { cluster: Uuid(0), store: Uuid(7) };
    let config = LogConfig { identity, segment_bytes: 16384 };
    let mut source = Source(1);
    let mut all = Vec::new();
    for round in 0..4 {
        let mut found = Vec::new();
        let opened =
            Log::open(Arc::clone(&disk), config, &mut |_, record| found.push(record)).unwrap();
        assert_eq!((opened.fresh, opened.tail), (round == 0, Tail::Clean));
        assert_eq!(found, all);
        let mut log = opened.log;
        for _ in 0..30 {
            let records = source.records(600);
            let work = log.prepare_next();
            let made = work.map(|work| std::thread::spawn(|| work.run()));
            log.append(log.end().next(), &records).unwrap();
            all.extend(records);
            if let Some(made) = made {
                log.accept_next(made.join().unwrap()).unwrap();
            }
        }
        let (mut file, before) = SmallFile::open(Arc::clone(&disk), "state", identity).unwrap();
        assert_eq!(before, (round > 0).then(|| vec![round - 1; 5000]));
        file.save(&vec![round; 5000]).unwrap();
    }
    let mut log = Log::open(Arc::clone(&disk), config, &mut |_, _| {}).unwrap().log;
    assert!(log.free_through(GroupSeq(60)).unwrap() > 0);
    assert!(log.bytes() < 60 * 16384);
}
