//! Logs: one line an event to a file a day in the cluster's `logs` directory.
//!
//! Every server's main calls [`init`] once and keeps the [`Guard`] to its end. Writing never
//! waits for the disk: a full buffer drops lines and counts them. Values and tokens are never
//! logged; their types do not show them.

use std::io::{self, Write};
use std::path::Path;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

/// The variable that sets the level, as `debug` or `info,cluster::storage=trace`.
pub const LEVEL_VARIABLE: &str = "PIAZZA_LOG";
/// The level without [`LEVEL_VARIABLE`].
const LEVEL_DEFAULT: &str = "info";
/// Files (days) kept for each server.
const FILES_MAX: usize = 7;
/// Lines that may wait for the disk; more are dropped and counted.
const LINES_WAITING_MAX: usize = 16_384;

/// Why there can be no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directory cannot be written.
    #[error("cannot write logs to {0}: {1}; make it writable, or give another directory")]
    Directory(String, String),
    /// Somebody else has set up logging in this process.
    #[error("the log is set up already in this process")]
    Twice,
}

/// Writes what still waits when it is dropped, and says on stderr how many lines were lost.
#[derive(Debug)]
pub struct Guard {
    worker: Option<WorkerGuard>,
    lost: Option<ErrorCounter>,
}

impl Guard {
    /// Lines dropped so far because the disk was too slow.
    pub fn lines_lost(&self) -> usize {
        self.lost.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.worker.take());
        let lost = self.lines_lost();
        if lost > 0 {
            let _ = writeln!(io::stderr(), "piazza: {lost} log lines were lost: disk too slow");
        }
    }
}

/// Starts the log of the server `name` in `log_dir` (made if missing), or on stderr without one.
/// Panics are logged too, next to what they print.
pub fn init(log_dir: Option<&Path>, name: &str) -> Result<Guard, TelemetryError> {
    let (filter, problem) = level(std::env::var(LEVEL_VARIABLE).ok().as_deref());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let guard = match log_dir {
        None => {
            builder.with_writer(io::stderr).try_init().map_err(|_| TelemetryError::Twice)?;
            Guard { worker: None, lost: None }
        }
        Some(dir) => {
            let failed =
                |error: String| TelemetryError::Directory(dir.display().to_string(), error);
            std::fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
            let files = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(format!("{name}.log"))
                .max_log_files(FILES_MAX)
                .build(dir)
                .map_err(|error| failed(error.to_string()))?;
            let (writer, worker) = NonBlockingBuilder::default()
                .lossy(true)
                .buffered_lines_limit(LINES_WAITING_MAX)
                .thread_name("log")
                .finish(files);
            let lost = writer.error_counter();
            builder.with_writer(writer).try_init().map_err(|_| TelemetryError::Twice)?;
            Guard { worker: Some(worker), lost: Some(lost) }
        }
    };
    log_panics();
    if let Some(problem) = problem {
        tracing::warn!("{problem}");
    }
    Ok(guard)
}

/// The filter that `text` asks for, or the default one and why.
fn level(text: Option<&str>) -> (EnvFilter, Option<String>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return (EnvFilter::new(LEVEL_DEFAULT), None);
    };
    match EnvFilter::try_new(text) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let problem =
                format!("{LEVEL_VARIABLE} is not a level ({error}); it is {LEVEL_DEFAULT} now");
            (EnvFilter::new(LEVEL_DEFAULT), Some(problem))
        }
    }
}

fn log_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("?"), "panic: {info}");
        print(info);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_level_is_said_and_replaced() {
        assert_eq!(level(None).0.to_string(), "info");
        assert_eq!(level(Some("")).0.to_string(), "info");
        assert_eq!(level(Some("debug")).0.to_string(), "debug");
        let (filter, problem) = level(Some("info,=,nonsense=wrong"));
        assert_eq!(filter.to_string(), "info");
        assert!(problem.is_some_and(|text| text.contains(LEVEL_VARIABLE)));
    }

    #[test]
    fn lines_are_in_the_file_once_the_guard_is_gone() {
        let dir = std::env::temp_dir().join(format!("piazza-log-{}", std::process::id()));
        let guard = init(Some(&dir), "n1").unwrap();
        tracing::info!("a line to find");
        assert_eq!(guard.lines_lost(), 0);
        drop(guard);
        let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 1);
        assert!(files[0].file_name().to_str().unwrap().starts_with("n1.log."));
        let text = std::fs::read_to_string(files[0].path()).unwrap();
        assert!(text.contains("a line to find"), "{text}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
