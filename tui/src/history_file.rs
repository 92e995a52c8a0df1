//! The lines of earlier sessions, in a file that only its owner can read.
//!
//! Used by the binary's shell. Several shells may have it open: each adds lines at its end, and one
//! that finds it long writes the newest lines anew and puts that in its place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::prompt::History;

/// A file longer than this is written anew, bytes; no more of it is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file of lines.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
}

impl HistoryFile {
    /// Where it is by the environment, which `variable` looks up: in `$XDG_STATE_HOME/piazza`, else
    /// in `$HOME/.local/state/piazza`. `None` where neither is an absolute path.
    pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local").join("state")))?;
        Some(state.join("piazza").join("history"))
    }

    /// The file at `path`, made if missing, and what is in it.
    ///
    /// # Errors
    /// The system's; and what is there is no file.
    pub fn open(path: &Path) -> io::Result<(Self, History)> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = Self { path: path.to_owned() };
        let mut opened = file.opened()?;
        let (lines, all) = read(&mut opened)?;
        let count = lines.len();
        let history = History::of(lines);
        if !all || count > 2 * history.lines().len() {
            file.write_anew(&history)?;
        }
        Ok((file, history))
    }

    /// Adds a line that is to be remembered.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&self, line: &str) -> io::Result<()> {
        let mut file = self.opened()?;
        if file.metadata()?.len() + line.len() as u64 >= FILE_BYTES_MAX {
            let (lines, _) = read(&mut file)?;
            self.write_anew(&History::of(lines.into_iter().chain([line.to_owned()])))?;
            return Ok(());
        }
        // One write at the end: lines of several shells do not mix.
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn opened(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(file)
    }

    /// Puts a new file with these lines in place of the old one, at once.
    fn write_anew(&self, history: &History) -> io::Result<()> {
        let name = format!("history.{}", std::process::id());
        let new = self.path.with_file_name(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let lines: Vec<&str> = history.lines().collect();
        let bytes = lines.iter().map(|line| line.len() + 1).collect::<Vec<_>>();
        // The newest half, so that it is not written anew for every line.
        let mut room = FILE_BYTES_MAX as usize / 2;
        let fit = bytes.iter().rev().take_while(|bytes| {
            let fits = **bytes <= room;
            room -= if fits { **bytes } else { 0 };
            fits
        });
        let kept = &lines[lines.len() - fit.count()..];
        let text: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
        let done = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&new, &self.path));
        if done.is_err() {
            // What it failed for is told, and nothing is to be left behind.
            let _ = fs::remove_file(&new);
        }
        done
    }
}

/// The lines that are text, of the file's end if it is long; and whether that is all of it.
fn read(file: &mut File) -> io::Result<(Vec<String>, bool)> {
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(FILE_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let lines = bytes.split(|b| *b == b'\n').skip(usize::from(skipped > 0));
    let lines = lines.filter_map(|line| String::from_utf8(line.to_vec()).ok());
    Ok((lines.filter(|line| !line.is_empty()).collect(), skipped == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let name = format!("piazza-history-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn file(&self) -> PathBuf {
            self.0.join("state/piazza/history")
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_where_the_environment_says() {
        let path = |state: Option<&str>, home: Option<&str>| {
            let variable = |name: &str| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                _ => home.map(OsString::from),
            };
            HistoryFile::path(variable).map(|path| path.display().to_string())
        };
        assert_eq!(path(Some("/s"), Some("/h")).unwrap(), "/s/piazza/history");
        assert_eq!(path(Some("s"), Some("/h")).unwrap(), "/h/.local/state/piazza/history");
        assert_eq!(path(None, Some("/h")).unwrap(), "/h/.local/state/piazza/history");
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn lines_are_there_again_and_are_private() {
        let dir = Dir::new("private");
        let (file, history) = HistoryFile::open(&dir.file()).unwrap();
        assert_eq!(history.lines().count(), 0);
        file.add("get a").unwrap();
        // Somebody opened it to all.
        fs::set_permissions(dir.file(), Permissions::from_mode(0o644)).unwrap();
        let (other, _) = HistoryFile::open(&dir.file()).unwrap();
        assert_eq!(mode(&dir.file()), 0o600);
        assert_eq!(mode(dir.file().parent().unwrap()), 0o700);
        other.add("get b").unwrap();
        file.add("get a").unwrap();
        let (_, history) = HistoryFile::open(&dir.file()).unwrap();
        assert_eq!(history.lines().collect::<Vec<_>>(), ["get b", "get a"]);
    }

    #[test]
    fn it_stays_short_and_what_is_no_text_is_left_out() {
        let dir = Dir::new("short");
        let (file, _) = HistoryFile::open(&dir.file()).unwrap();
        fs::write(dir.file(), b"\xff\nget a\n").unwrap();
        let (_, history) = HistoryFile::open(&dir.file()).unwrap();
        assert_eq!(history.lines().collect::<Vec<_>>(), ["get a"]);
        // Many of the same: read as one, and written anew.
        fs::write(dir.file(), "get a\n".repeat(100)).unwrap();
        HistoryFile::open(&dir.file()).unwrap();
        assert_eq!(fs::read_to_string(dir.file()).unwrap(), "get a\n");
        // Too long: only its end is read, and it is short afterwards.
        let long: String = (0..300_000).map(|n| format!("get {n}\n")).collect();
        fs::write(dir.file(), &long).unwrap();
        file.add("newest").unwrap();
        let text = fs::read_to_string(dir.file()).unwrap();
        assert!(text.ends_with("get 299999\nnewest\n") && text.len() < 20_000, "{}", text.len());
        assert_eq!(mode(&dir.file()), 0o600);
        fs::write(dir.file(), &long).unwrap();
        let (_, history) = HistoryFile::open(&dir.file()).unwrap();
        assert_eq!((history.lines().len(), history.lines().last()), (1_000, Some("get 299999")));
        assert!(fs::metadata(dir.file()).unwrap().len() < 20_000);
        // Lines that take much room: it is never longer than its bound.
        for number in 0..400 {
            file.add(&format!("{number} {}", "x".repeat(4_000))).unwrap();
            assert!(fs::metadata(dir.file()).unwrap().len() <= FILE_BYTES_MAX);
        }
        let (_, history) = HistoryFile::open(&dir.file()).unwrap();
        assert!(history.lines().last().unwrap().starts_with("399 "));
        assert_eq!(fs::read_dir(dir.file().parent().unwrap()).unwrap().count(), 1);
    }
}
