//! `piazza logs`: what the servers of a directory have logged, merged by time, or one server's.
//!
//! Called by `main`. Reads the files that `cluster::telemetry` writes, `NAME.log.DATE`, one a
//! server and day; needs no server. With `-f` it goes on with what is added, over the change of
//! the day. Never holds more than a line of each file, or what came since the last look.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::args::Common;
use crate::print::{self, Exit, Failure};
use crate::supervised;

/// Between two looks at the files, with `-f`.
const INTERVAL: Duration = Duration::from_millis(100);
/// A longer line is shown in parts, bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Between the name of a server and the day, in the name of a file.
const INFIX: &str = ".log.";
/// How long a time of day as logged is at least: `2026-11-21T19:23:20`.
const TIME_BYTES_MIN: usize = 19;

/// `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// One server: coordinator, supervisor, n1 ... [default: all]
    name: Option<String>,
    /// Go on with what is added, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// The supervisor in whose directory they are
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "dir")]
    supervisor: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// `piazza logs`.
pub(crate) fn run(args: LogsArgs) -> ExitCode {
    let json = args.common.json;
    print::finish(print::block_on(logs(args)), json)
}

async fn logs(args: LogsArgs) -> Result<Exit, Failure> {
    let dir = supervised::directory(args.supervisor.as_deref(), &args.common).await?.join("logs");
    let mut servers = Servers { dir, only: args.name, readers: BTreeMap::new() };
    servers.look()?;
    servers.check()?;
    let style = Style {
        json: args.common.json,
        names: servers.only.is_none(),
        terminal: print::on_terminal(),
    };
    loop {
        let mut out = BufWriter::new(io::stdout().lock());
        servers.write(&mut out, &style, !args.follow)?;
        out.flush()?;
        drop(out);
        if !args.follow {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(INTERVAL).await;
        servers.look()?;
    }
}

/// How a line is written.
struct Style {
    json: bool,
    /// With the server's name in front.
    names: bool,
    /// What a terminal would obey is escaped.
    terminal: bool,
}

/// The logs of a directory, by server.
struct Servers {
    dir: PathBuf,
    only: Option<String>,
    readers: BTreeMap<String, Reader>,
}

impl Servers {
    /// Finds the files that are there now.
    fn look(&mut self) -> Result<(), Failure> {
        let dir = self.dir.display();
        let entries = std::fs::read_dir(&self.dir).map_err(|error| {
            Failure::usage(format!(
                "there are no logs in {dir} ({error}): give the directory of a cluster with --dir"
            ))
        })?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&self.dir, &error))?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            let Some((name, day)) = file.split_once(INFIX) else { continue };
            if self.only.as_ref().is_none_or(|only| only == name) {
                let reader = self.readers.entry(name.to_owned()).or_default();
                reader.offer(day, entry.path());
            }
        }
        Ok(())
    }

    /// Whether there is anything to show at all.
    fn check(&self) -> Result<(), Failure> {
        if !self.readers.is_empty() {
            return Ok(());
        }
        let dir = self.dir.display();
        Err(Failure::usage(match &self.only {
            Some(name) => format!(
                "there is no log of {name:?} in {dir}: name a server as in `piazza status`, or \
                 `coordinator`, or `supervisor`"
            ),
            None => format!("there are no logs in {dir}: no server has run there"),
        }))
    }

    /// Writes what is there, the earliest first. `all`: lines that do not end yet too.
    fn write(&mut self, out: &mut impl Write, style: &Style, all: bool) -> Result<(), Failure> {
        let width = self.readers.keys().map(String::len).max().unwrap_or_default();
        loop {
            for reader in self.readers.values_mut() {
                reader.fill(all).map_err(|error| unreadable(&self.dir, &error))?;
            }
            let ready = self.readers.iter_mut().filter(|(_, reader)| reader.next.is_some());
            // Of equal times the first name's, so that a second look shows the same.
            let Some((name, reader)) = ready.min_by(|a, b| a.1.time.cmp(&b.1.time)) else {
                return Ok(());
            };
            let line = reader.next.take().unwrap_or_default();
            out.write_all(written(name, width, &reader.time, &line, style).as_slice())?;
        }
    }
}

fn unreadable(dir: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Other, "system", format!("{}: {error}", dir.display()))
}

fn written(name: &str, width: usize, time: &str, line: &[u8], style: &Style) -> Vec<u8> {
    let name = print::escaped(name.as_bytes(), false);
    if style.json {
        let line = String::from_utf8_lossy(line);
        let object = json!({ "server": name, "time": time, "line": line });
        return format!("{object}\n").into_bytes();
    }
    let mut out = Vec::with_capacity(line.len() + width + 3);
    if style.names {
        out.extend_from_slice(format!("{name:width$}  ").as_bytes());
    }
    if style.terminal {
        out.extend_from_slice(print::escaped(line, false).as_bytes());
    } else {
        out.extend_from_slice(line);
    }
    out.push(b'\n');
    out
}

/// The log of one server, day by day.
#[derive(Default)]
struct Reader {
    /// Days that are still to come.
    days: BTreeMap<String, PathBuf>,
    /// The day that is read now.
    day: String,
    file: Option<BufReader<File>>,
    /// Of a line whose end has not come yet.
    begun: Vec<u8>,
    /// The next line, if there is one.
    next: Option<Vec<u8>>,
    /// When that was logged; of a line without a time, when the one before was.
    time: String,
}

impl Reader {
    /// There is a file for `day`.
    fn offer(&mut self, day: &str, path: PathBuf) {
        if day > self.day.as_str() {
            self.days.insert(day.to_owned(), path);
        }
    }

    /// Reads the next line, if it is there.
    fn fill(&mut self, all: bool) -> io::Result<()> {
        while self.next.is_none() {
            let Some(file) = &mut self.file else {
                let Some((day, path)) = self.days.pop_first() else { return Ok(()) };
                self.day = day;
                match File::open(&path) {
                    Ok(file) => self.file = Some(BufReader::new(file)),
                    // The oldest are removed while servers run.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                continue;
            };
            let left = LINE_BYTES_MAX - self.begun.len();
            let count = io::Read::take(file, left as u64).read_until(b'\n', &mut self.begun)?;
            let ended = self.begun.last() == Some(&b'\n');
            if ended || self.begun.len() == LINE_BYTES_MAX {
                self.take_line(ended);
            } else if count == 0 && !self.days.is_empty() {
                // A server logs into one file at a time: this one gets no more.
                self.file = None;
                if !self.begun.is_empty() {
                    self.take_line(false);
                }
            } else if count == 0 {
                if all && !self.begun.is_empty() {
                    self.take_line(false);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_line(&mut self, ended: bool) {
        let mut line = std::mem::take(&mut self.begun);
        if ended {
            line.pop();
        }
        let text = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let is_time = text.len() >= TIME_BYTES_MIN && text[4] == b'-' && text[10] == b'T';
        if let Some(time) = std::str::from_utf8(text).ok().filter(|_| is_time) {
            time.clone_into(&mut self.time);
        }
        self.next = Some(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let name = format!("piazza-logs-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn add(&self, file: &str, text: &str) {
            let mut options = File::options();
            let mut file = options.create(true).append(true).open(self.0.join(file)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const AT: [&str; 4] = [
        "2026-11-21T10:00:00.000001Z",
        "2026-11-21T10:00:00.000002Z",
        "2026-11-21T23:59:59.999999Z",
        "2026-11-22T00:00:00.000001Z",
    ];

    fn shown(servers: &mut Servers, all: bool) -> String {
        let style = Style { json: false, names: true, terminal: true };
        let mut out = Vec::new();
        servers.look().unwrap();
        servers.write(&mut out, &style, all).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn servers(dir: &Dir, only: Option<&str>) -> Servers {
        Servers { dir: dir.0.clone(), only: only.map(Into::into), readers: BTreeMap::new() }
    }

    #[test]
    fn lines_are_merged_by_time_and_escaped() {
        let dir = Dir::new("merged");
        dir.add(
            "n1.log.2026-11-21",
            &format!("{} one\n  more of it\n{} four\x1b[2J\n", AT[0], AT[2]),
        );
        dir.add("n10.log.2026-11-21", &format!("{} two\n", AT[1]));
        dir.add("n10.log.2026-11-22", &format!("{} five, no newline", AT[3]));
        dir.add("n1.stderr", "not a log\n");
        let expected = format!(
            "n1   {} one\nn1     more of it\nn10  {} two\nn1   {} four\\u{{1b}}[2J\n\
             n10  {} five, no newline\n",
            AT[0], AT[1], AT[2], AT[3]
        );
        assert_eq!(shown(&mut servers(&dir, None), true), expected);
        let one = shown(&mut servers(&dir, Some("n10")), true);
        assert_eq!(one.lines().count(), 2);
        let mut nobody = servers(&dir, Some("n2"));
        nobody.look().unwrap();
        assert!(nobody.check().unwrap_err().message.contains("\"n2\""));
    }

    #[test]
    fn what_is_added_is_followed_over_the_change_of_the_day() {
        let dir = Dir::new("followed");
        dir.add("n1.log.2026-11-21", &format!("{} one\n{} ha", AT[0], AT[1]));
        let mut servers = servers(&dir, None);
        assert_eq!(shown(&mut servers, false), format!("n1  {} one\n", AT[0]));
        assert_eq!(shown(&mut servers, false), "");
        dir.add("n1.log.2026-11-21", "lf\n");
        assert_eq!(shown(&mut servers, false), format!("n1  {} half\n", AT[1]));
        dir.add("n1.log.2026-11-21", &format!("{} last\n", AT[2]));
        dir.add("n1.log.2026-11-22", &format!("{} first\n", AT[3]));
        dir.add("n2.log.2026-11-22", &format!("{} new\n", AT[3]));
        let expected = format!("n1  {} last\nn1  {} first\nn2  {} new\n", AT[2], AT[3], AT[3]);
        assert_eq!(shown(&mut servers, false), expected);
        std::fs::remove_file(dir.0.join("n1.log.2026-11-21")).unwrap();
        dir.add("n1.log.2026-11-22", &"x".repeat(LINE_BYTES_MAX + 1));
        dir.add("n1.log.2026-11-22", "\n");
        let long = shown(&mut servers, false);
        assert_eq!(long.lines().map(str::len).collect::<Vec<_>>(), [LINE_BYTES_MAX + 4, 5]);
    }
}
