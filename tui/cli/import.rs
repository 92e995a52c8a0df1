//! `import FILE|-`: many puts over one connection, many in flight, each repeated until it is done.
//!
//! Called by `main`. A thread reads and parses, the rest is one task that keeps a bounded number
//! of puts under way. Two lines with the same key are put one after the other, in their order. The
//! first bad line ends the import: nothing after it is sent.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use protocol::client::{Client, ClientError, Options};
use protocol::ids::Key;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::address::{self, Target};
use crate::args::ImportArgs;
use crate::print::{self, Exit, Failure};
use crate::records::{BadLine, Format, Record, Records};

/// Puts under way at once; what the connection has no room for waits there.
const IN_FLIGHT_PUTS: usize = 512;
/// Bytes of keys and values under way at once.
const IN_FLIGHT_BYTES: usize = 8 << 20;
/// Records read ahead. Few, since each may be as large as a value can be.
const READ_AHEAD: usize = 64;
/// How long one put is repeated before the import gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between repetitions grow from this to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// `piazza import FILE|-`.
pub(crate) fn run(args: ImportArgs) -> ExitCode {
    let json = args.common.json;
    let result = open(&args).and_then(|(input, bytes)| {
        let target = address::resolve(&args.common)?;
        // Puts are repeated here, so that all end when one has failed for good.
        let token = args.common.credentials.token()?;
        let options = Options { repeat_for: Duration::ZERO, token, ..Options::default() };
        let line = (target, options);
        let format = if args.csv { Format::Csv } else { Format::Json };
        let bar = progress_bar(bytes);
        // Cleared here too: Ctrl-C drops the import where it stands.
        let result = print::block_on(import(input, format, line, &bar, json));
        bar.finish_and_clear();
        result
    });
    print::finish(result, json)
}

type Input = Box<dyn BufRead + Send>;

/// The input, and its length where that is known.
fn open(args: &ImportArgs) -> Result<(Input, Option<u64>), Failure> {
    if args.file.as_os_str() == "-" {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let name = args.file.display();
    let cannot = |error| Failure::usage(format!("cannot read {name}: {error}"));
    let file = File::open(&args.file).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(Failure::usage(format!("{name} is a directory: name a file, or - for input")));
    }
    Ok((Box::new(BufReader::new(file)), about.is_file().then_some(about.len())))
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => {
            (ProgressBar::new(bytes), "{wide_bar} {bytes} of {total_bytes}, {msg} keys, {eta} left")
        }
        None => (ProgressBar::no_length(), "{spinner} {bytes}, {msg} keys, {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style).with_message("0"),
        // Only a mistake in the template; a plain bar is as good.
        Err(_) => bar,
    }
}

async fn import(
    input: Input,
    format: Format,
    line: (Target, Options),
    bar: &ProgressBar,
    json: bool,
) -> Result<Exit, Failure> {
    let line = Arc::new(Line::connect(line.0, line.1).await?);
    let limits = line.client().await?.hello("piazza import", false).await?.limits;
    let (sender, mut records) = mpsc::channel(READ_AHEAD);
    // A thread of its own, which may wait for input for ever: Ctrl-C does not wait for it.
    std::thread::spawn(move || {
        for record in Records::new(input, format, limits) {
            if sender.blocking_send(record).is_err() {
                return;
            }
        }
    });
    let begun = Instant::now();
    let mut puts = Puts::new(line);
    let mut bad: Option<BadLine> = None;
    while puts.failure.is_none() {
        match records.recv().await {
            None => break,
            Some(Err(line)) => {
                bad = Some(line);
                break;
            }
            Some(Ok(record)) => puts.add(record, bar).await,
        }
    }
    puts.finish(bar).await;
    // Before anything else is written to the terminal.
    bar.finish_and_clear();
    let done = puts.done;
    if let Some(failure) = puts.failure {
        let message = format!("{} (imported {} before)", failure.message, keys(done));
        return Err(Failure { message, ..failure });
    }
    if let Some(BadLine { line, why }) = bad {
        return Err(Failure::new(
            Exit::Usage,
            "bad_line",
            format!(
                "line {line}: {why} (imported {} before, nothing after it was sent)",
                keys(done)
            ),
        ));
    }
    print::output(summary(done, begun.elapsed(), json).as_bytes())?;
    Ok(Exit::Done)
}

fn summary(done: u64, time: Duration, json: bool) -> String {
    let seconds = time.as_secs_f64();
    let per_s = done as f64 / seconds.max(1e-6);
    if json {
        format!("{{\"imported\":{done},\"seconds\":{seconds:.3},\"per_s\":{per_s:.0}}}\n")
    } else {
        format!("imported {} in {seconds:.1} s, {per_s:.0}/s\n", keys(done))
    }
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".into() } else { format!("{count} keys") }
}

/// The puts under way.
///
/// Invariants, until the first failure: `keys` holds the key of every task, each once; `bytes` is
/// their size.
struct Puts {
    line: Arc<Line>,
    tasks: JoinSet<Result<Record, Failure>>,
    keys: HashSet<Key>,
    bytes: usize,
    done: u64,
    failure: Option<Failure>,
}

impl Puts {
    fn new(line: Arc<Line>) -> Self {
        Self { line, tasks: JoinSet::new(), keys: HashSet::new(), bytes: 0, done: 0, failure: None }
    }

    /// Starts the put of `record` as soon as there is room, and no other of the same key.
    async fn add(&mut self, record: Record, bar: &ProgressBar) {
        let size = size(&record);
        // Without this an earlier line that has to be repeated would overwrite a later one.
        while self.failure.is_none()
            && (self.keys.contains(&record.key)
                || self.tasks.len() >= IN_FLIGHT_PUTS
                || (self.bytes + size > IN_FLIGHT_BYTES && !self.tasks.is_empty()))
        {
            self.reap(bar).await;
        }
        if self.failure.is_some() {
            return;
        }
        self.keys.insert(record.key.clone());
        self.bytes += size;
        self.tasks.spawn(put_until_done(self.line.clone(), record));
    }

    async fn finish(&mut self, bar: &ProgressBar) {
        while !self.tasks.is_empty() {
            self.reap(bar).await;
        }
    }

    /// Waits for one put to end.
    async fn reap(&mut self, bar: &ProgressBar) {
        let result = match self.tasks.join_next().await {
            None => return,
            Some(Ok(result)) => result,
            Some(Err(error)) => {
                Err(Failure::new(Exit::Other, "internal", format!("a put broke off: {error}")))
            }
        };
        match result {
            Ok(record) => {
                self.done += 1;
                self.bytes -= size(&record);
                self.keys.remove(&record.key);
                if !bar.is_hidden() {
                    bar.set_position(bar.position().max(record.end_bytes));
                    bar.set_message(self.done.to_string());
                }
            }
            Err(failure) => {
                // The others end with what they are doing, and do not start again. Nothing is
                // added any more, so what this one held need not be given back.
                self.line.given_up.store(true, Ordering::Relaxed);
                self.failure.get_or_insert(failure);
            }
        }
    }
}

fn size(record: &Record) -> usize {
    record.key.as_bytes().len() + record.value.len()
}

/// Puts `record`, again and again if need be.
///
/// A put that was refused did not happen, so the next one is the first. A put whose outcome is
/// unknown is repeated too: it is blind, sets the same key to the same value, and no other put of
/// this import to that key is under way, so that it makes no difference whether it happened once
/// or twice. (Between the two another client's put may be overwritten, as by any import.)
async fn put_until_done(line: Arc<Line>, record: Record) -> Result<Record, Failure> {
    let mut failing_since = None;
    let mut pause = PAUSE_MIN;
    let mut was_unknown = false;
    loop {
        let error = match line.put(&record).await {
            Ok(()) => return Ok(record),
            Err(error) => error,
        };
        let is_unknown = matches!(error, ClientError::Unknown { .. });
        was_unknown |= is_unknown;
        let since = *failing_since.get_or_insert_with(Instant::now);
        let asked = error.reply().and_then(|reply| reply.retry_after_ms).unwrap_or_default();
        let wait = pause.max(Duration::from_millis(asked).min(PAUSE_MAX));
        let in_time = since.elapsed() + wait < PATIENCE;
        let again = is_unknown || error.is_safe_to_repeat();
        if !again || !in_time || line.given_up.load(Ordering::Relaxed) {
            let failure = Failure::from(error).within(&format!("line {}", record.line));
            let exit = if was_unknown && again { Exit::Unknown } else { failure.exit };
            return Err(Failure { exit, ..failure });
        }
        sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The connection, made anew when it is lost.
struct Line {
    target: Target,
    options: Options,
    connection: Mutex<Connection>,
    /// The import has failed: nothing is repeated any more.
    given_up: AtomicBool,
}

struct Connection {
    client: Client,
    /// The last attempt to connect anew, if it failed.
    failed: Option<(Instant, io::ErrorKind, String)>,
}

impl Line {
    async fn connect(target: Target, options: Options) -> Result<Self, Failure> {
        let client = Client::connect(&target.addresses, options.clone())
            .await
            .map_err(|error| Failure::connecting(error, &target.hint))?;
        let connection = Mutex::new(Connection { client, failed: None });
        Ok(Self { target, options, connection, given_up: AtomicBool::new(false) })
    }

    async fn client(&self) -> Result<Client, ClientError> {
        let mut connection = self.connection.lock().await;
        if !connection.client.is_lost() {
            return Ok(connection.client.clone());
        }
        // All puts under way come here at once: one attempt, however long it takes, counts for
        // every one that waited for it.
        if let Some((at, kind, text)) = &connection.failed
            && at.elapsed() < PAUSE_MIN
        {
            return Err(ClientError::NotConnected(io::Error::new(*kind, text.as_str())));
        }
        match Client::connect(&self.target.addresses, self.options.clone()).await {
            Ok(client) => {
                *connection = Connection { client: client.clone(), failed: None };
                Ok(client)
            }
            Err(error) => {
                if let ClientError::NotConnected(cause) = &error {
                    connection.failed = Some((Instant::now(), cause.kind(), cause.to_string()));
                }
                Err(error)
            }
        }
    }

    async fn put(&self, record: &Record) -> Result<(), ClientError> {
        self.client().await?.put(&record.key, &record.value).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
