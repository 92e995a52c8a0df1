//! A disk in memory that can lose its power, fail and fill up: the adversary of `log`,
//! `small_file` and, in simulation, of whole clusters.
//!
//! It follows the crash model of `disk` to the letter and has no will of its own: its owner
//! decides the fate of every unsynced sector and directory operation, and when a call fails.
//! Never random, never timed; the same calls and fates give the same disk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile, SECTOR, beyond_the_end};

/// Something that power loss decides on: unsynced, and so not yet promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sector {
    /// One written, unsynced sector of a file. All writes to it since the last sync are one.
    Data {
        /// The file's name when its fate is decided, if it still has one.
        name: Option<String>,
        /// Where the sector begins, bytes from the start of the file.
        offset: u64,
    },
    /// A file was created under this name.
    Create(String),
    /// A file got a new name.
    Rename {
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// The name was removed.
    Remove(String),
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It reached the disk.
    Keep,
    /// It did not.
    Drop,
    /// The sector now holds these bytes: any number, the rest is as before. For an operation on
    /// the directory the same as `Drop`.
    Torn(Vec<u8>),
}

/// A disk in memory. Clones are handles to the same disk.
#[derive(Clone, Default)]
pub struct CrashDisk(Arc<Mutex<State>>);

type FileId = usize;

#[derive(Default)]
struct State {
    files: Vec<Content>,
    /// The directory as the process sees it.
    names: BTreeMap<String, FileId>,
    /// The directory as of the last sync.
    durable_names: BTreeMap<String, FileId>,
    /// What was done to the directory since then, in order.
    pending: Vec<(Sector, FileId)>,
    /// Rises when the process ends, so that its open files are dead.
    life: u64,
    syncs: u64,
    operations: u64,
    failures: u64,
    faults: Faults,
}

#[derive(Default)]
struct Faults {
    /// The sync that fails: how many succeed before it.
    sync_in: Option<u64>,
    /// It says that the disk is full.
    sync_is_full: bool,
    /// The write that fails: how many succeed before it.
    write_in: Option<u64>,
    /// How many more bytes can be allocated or written before the disk is full.
    full_in: Option<u64>,
    full_stays: bool,
    /// How many more bytes can be allocated; what is allocated can always be written.
    space_left: Option<u64>,
    /// How many more changing operations succeed; after that all fail, as if the machine stopped.
    stop_in: Option<u64>,
}

#[derive(Clone)]
struct Content {
    bytes: Vec<u8>,
    /// What the unsynced sectors held when they were last synced, by offset.
    before: BTreeMap<u64, Vec<u8>>,
    /// The same of sectors whose sync has failed: the system holds them for clean, so no later sync
    /// takes care of them unless they are written anew.
    forsaken: BTreeMap<u64, Vec<u8>>,
}

impl CrashDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process dies: what it wrote stays, synced or not. Files opened before are unusable.
    pub fn kill(&self) {
        let mut state = self.state();
        state.life += 1;
        state.faults = Faults::default();
        state.forget_nameless();
    }

    /// Power is lost, `fate` decides on each unsynced thing: first the directory operations in
    /// their order, then the sectors by file and offset. All that remains is durable, faults are
    /// gone, and files opened before are unusable. `fate` must not use the disk.
    pub fn power_loss(&self, fate: &mut dyn FnMut(&Sector) -> Fate) {
        let mut state = self.state();
        state.life += 1;
        state.faults = Faults::default();
        let mut names = std::mem::take(&mut state.durable_names);
        for (operation, id) in std::mem::take(&mut state.pending) {
            if fate(&operation) == Fate::Keep {
                replay(&mut names, &operation, id);
            }
        }
        let name_of: BTreeMap<FileId, String> =
            names.iter().map(|(name, id)| (*id, name.clone())).collect();
        for (id, content) in state.files.iter_mut().enumerate() {
            let mut before = std::mem::take(&mut content.before);
            before.append(&mut content.forsaken);
            for (offset, before) in before {
                let sector = Sector::Data { name: name_of.get(&id).cloned(), offset };
                content.decide(offset, &before, fate(&sector));
            }
        }
        state.names.clone_from(&names);
        state.durable_names = names;
        state.forget_nameless();
    }

    /// The unsynced things that a power loss now would decide on, in that order.
    pub fn unsynced(&self) -> Vec<Sector> {
        let mut all = Vec::new();
        self.fork().power_loss(&mut |sector| {
            all.push(sector.clone());
            Fate::Keep
        });
        all
    }

    /// A disk of its own with the same content, durable and not; without faults.
    pub fn fork(&self) -> Self {
        let state = self.state();
        let files = state.files.iter().map(Content::clone);
        Self(Arc::new(Mutex::new(State {
            files: files.collect(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            pending: state.pending.clone(),
            ..State::default()
        })))
    }

    /// Lets `count` syncs (of files or the directory) succeed; the one after that fails, once. What
    /// it was to make durable stays in danger, as on Linux: later syncs pass it over.
    pub fn fail_sync_after(&self, count: u64) {
        self.state().faults.sync_in = Some(count);
    }

    /// The same, and that sync says that the disk is full (H58).
    pub fn fill_at_sync_after(&self, count: u64) {
        let faults = &mut self.state().faults;
        (faults.sync_in, faults.sync_is_full) = (Some(count), true);
    }

    /// Lets `count` writes to files succeed; the one after that fails, once, and writes nothing.
    pub fn fail_write_after(&self, count: u64) {
        self.state().faults.write_in = Some(count);
    }

    /// The disk is full after `bytes` more bytes were allocated or written. If `stays`, it stays
    /// full; else the write that meets the end is the only one that fails.
    pub fn full_after(&self, bytes: u64, stays: bool) {
        let faults = &mut self.state().faults;
        faults.full_in = Some(bytes);
        faults.full_stays = stays;
    }

    /// From now on new files get at most `bytes` more bytes, and those of removed ones; what is
    /// allocated can be written all the same.
    pub fn leave_space(&self, bytes: u64) {
        self.state().faults.space_left = Some(bytes);
    }

    /// Lets `count` more operations that change anything succeed; all after that fail: a crash in
    /// the middle of what is being done, until [`CrashDisk::kill`] or `power_loss`.
    pub fn stop_after(&self, count: u64) {
        self.state().faults.stop_in = Some(count);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// How many syncs were asked for so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// How many calls have failed because a sync or write was to fail or the disk to be full.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// How many changing operations were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The content of the file `name`.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|id| state.files[*id].bytes.clone())
    }

    /// Puts a durable file there, whatever was there before: damage, or a stranger's file.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let id = state.files.len();
        state.files.push(Content::new(bytes));
        state.names.insert(name.into(), id);
        state.durable_names.insert(name.into(), id);
    }

    /// Changes the durable and the seen content of the file `name` in place: rot.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn rot(&self, name: &str, change: impl FnOnce(&mut [u8])) {
        let mut state = self.state();
        let id = *state.names.get(name).expect("the file to damage exists");
        change(&mut state.files[id].bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, before: BTreeMap::new(), forsaken: BTreeMap::new() }
    }

    fn decide(&mut self, offset: u64, before: &[u8], fate: Fate) {
        let at = offset as usize;
        let sector = &mut self.bytes[at..at + before.len()];
        match fate {
            Fate::Keep => {}
            Fate::Drop => sector.copy_from_slice(before),
            Fate::Torn(garbage) => {
                sector.copy_from_slice(before);
                let torn = garbage.len().min(sector.len());
                sector[..torn].copy_from_slice(&garbage[..torn]);
            }
        }
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let mut sector = start / SECTOR * SECTOR;
        while sector < end {
            let until = (sector + SECTOR).min(self.bytes.len());
            let old = &self.bytes[sector..until];
            let forsaken = self.forsaken.remove(&(sector as u64));
            let old = || forsaken.unwrap_or_else(|| old.to_vec());
            self.before.entry(sector as u64).or_insert_with(old);
            sector += SECTOR;
        }
        self.bytes[start..end].copy_from_slice(bytes);
    }
}

fn replay(names: &mut BTreeMap<String, FileId>, operation: &Sector, id: FileId) {
    match operation {
        Sector::Data { .. } => {}
        Sector::Create(name) => {
            names.insert(name.clone(), id);
        }
        Sector::Rename { from, to } => {
            if names.get(from) == Some(&id) {
                names.remove(from);
            }
            names.insert(to.clone(), id);
        }
        Sector::Remove(name) => {
            if names.get(name) == Some(&id) {
                names.remove(name);
            }
        }
    }
}

impl State {
    /// Frees what no name leads to. Only after the process has died: until then, files that are
    /// open outlive their names.
    fn forget_nameless(&mut self) {
        for (id, content) in self.files.iter_mut().enumerate() {
            let mut named = self.names.values().chain(self.durable_names.values());
            let pending = self.pending.iter().any(|(_, pending)| *pending == id);
            if !pending && !named.any(|named| *named == id) {
                *content = Content::new(Vec::new());
            }
        }
    }

    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.faults.stop_in {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.change()?;
        self.syncs += 1;
        match &mut self.faults.sync_in {
            Some(0) => {
                self.faults.sync_in = None;
                self.failures += 1;
                Err(match std::mem::take(&mut self.faults.sync_is_full) {
                    true => io::ErrorKind::StorageFull.into(),
                    false => io::Error::other("input/output error"),
                })
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        match &mut self.faults.write_in {
            Some(0) => {
                self.faults.write_in = None;
                self.failures += 1;
                Err(io::Error::other("input/output error"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How many of `bytes` still fit, and whether that is all of them.
    fn room(&mut self, bytes: u64) -> (u64, bool) {
        match &mut self.faults.full_in {
            Some(left) if *left < bytes => {
                let fits = std::mem::take(left);
                self.failures += 1;
                if !self.faults.full_stays {
                    self.faults.full_in = None;
                }
                (fits, false)
            }
            Some(left) => {
                *left -= bytes;
                (bytes, true)
            }
            None => (bytes, true),
        }
    }

    /// How many of `bytes` can be allocated, and whether that is all of them.
    fn space(&mut self, bytes: u64) -> (u64, bool) {
        let Some(left) = &mut self.faults.space_left else { return (bytes, true) };
        let fits = bytes.min(*left);
        *left -= fits;
        self.failures += u64::from(fits < bytes);
        (fits, fits == bytes)
    }

    /// The space of a file that has no name any more can be allocated again.
    fn give_back(&mut self, id: FileId) {
        let bytes = self.files[id].bytes.len() as u64;
        if let Some(left) = &mut self.faults.space_left {
            *left += bytes;
        }
    }

    fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for CrashDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.change()?;
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (room, fits) = state.room(length);
        let (allocated, all) = state.space(room);
        let all = all && fits;
        let id = state.files.len();
        let mut content = Content::new(vec![0; allocated as usize]);
        // The zeros are writes too: until a sync, power loss may leave anything in their place.
        content.write(&vec![0; allocated as usize], 0);
        state.files.push(content);
        state.names.insert(name.into(), id);
        state.pending.push((Sector::Create(name.into()), id));
        if !all {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(Box::new(CrashFile { disk: self.clone(), id, life: state.life }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let id = state.find(name)?;
        Ok(Box::new(CrashFile { disk: self.clone(), id, life: state.life }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let id = state.find(from)?;
        if let Some(replaced) = state.names.get(to).copied().filter(|replaced| *replaced != id) {
            state.give_back(replaced);
        }
        let operation = Sector::Rename { from: from.into(), to: to.into() };
        replay(&mut state.names, &operation, id);
        state.pending.push((operation, id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let id = state.find(name)?;
        state.names.remove(name);
        state.give_back(id);
        state.pending.push((Sector::Remove(name.into()), id));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.sync()?;
        state.pending.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct CrashFile {
    disk: CrashDisk,
    id: FileId,
    life: u64,
}

impl CrashFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("the process that opened this file is dead"));
        }
        Ok(state)
    }
}

impl DiskFile for CrashFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.state()?.files[self.id].bytes.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state()?;
        let bytes = &state.files[self.id].bytes;
        let end = offset.saturating_add(into.len() as u64);
        if end > bytes.len() as u64 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        into.copy_from_slice(&bytes[offset as usize..end as usize]);
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.change()?;
        let length = state.files[self.id].bytes.len() as u64;
        if offset.saturating_add(bytes.len() as u64) > length {
            return Err(beyond_the_end(length));
        }
        state.write()?;
        let (fits, all) = state.room(bytes.len() as u64);
        state.files[self.id].write(&bytes[..fits as usize], offset);
        if all { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.state()?;
        let synced = state.sync();
        let stopped = state.faults.stop_in == Some(0);
        let content = &mut state.files[self.id];
        match &synced {
            Ok(()) => content.before.clear(),
            Err(_) if stopped => {}
            Err(_) => content.forsaken.append(&mut content.before),
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &CrashDisk) -> Box<dyn DiskFile> {
        let mut file = disk.create("f", 1024).expect("room");
        file.sync_data().expect("no fault");
        disk.sync_dir().expect("no fault");
        file
    }

    /// H10: what a disk does that the log must not trust.
    #[test]
    fn a_later_sync_passes_over_what_a_failed_one_left() {
        for written_anew in [false, true] {
            let disk = CrashDisk::new();
            let mut file = file(&disk);
            file.write_at(&[1; 512], 0).expect("no fault");
            disk.fail_sync_after(0);
            assert!(file.sync_data().is_err());
            if written_anew {
                file.write_at(&[2; 512], 0).expect("no fault");
            }
            file.sync_data().expect("it fails once");
            assert_eq!(disk.failures(), 1);
            assert_eq!(disk.unsynced().len(), usize::from(!written_anew));
            disk.power_loss(&mut |_| Fate::Drop);
            let left = if written_anew { 2 } else { 0 };
            assert_eq!(disk.read("f").expect("it is durable")[..512], [left; 512]);
        }
    }

    #[test]
    fn a_write_that_fails_writes_nothing() {
        let disk = CrashDisk::new();
        let mut file = file(&disk);
        disk.fail_write_after(1);
        file.write_at(&[1; 512], 0).expect("the one before");
        assert!(file.write_at(&[2; 512], 512).is_err());
        file.write_at(&[3; 8], 0).expect("it fails once");
        let bytes = disk.read("f").expect("it is there");
        assert_eq!((bytes[0], bytes[8], bytes[512], disk.failures()), (3, 1, 0, 1));
    }
}
