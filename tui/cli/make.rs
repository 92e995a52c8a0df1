//! `piazza token new`, `piazza completions` and `piazza man`: texts that are made, without a
//! cluster.
//!
//! Called by `main`. Completions and pages are made from the grammar in `args`, so they cannot
//! differ from it. Never overwrites a token.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use cluster::process::random_uuid;

use crate::args::Args;
use crate::print::{self, Exit, Failure};

/// `token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: TokenAction,
}

/// What `token` can do.
#[derive(Debug, clap::Subcommand)]
enum TokenAction {
    /// Make a token: 64 hex digits from 32 random bytes.
    New {
        /// A file to make, readable by its owner only; without it: standard output.
        file: Option<PathBuf>,
    },
}

/// `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Where the pages go, made if missing.
    dir: PathBuf,
}

/// `piazza token new`.
pub(crate) fn token(args: TokenArgs) -> ExitCode {
    let TokenAction::New { file } = args.action;
    print::finish(new_token(file.as_deref()), false)
}

fn new_token(file: Option<&Path>) -> Result<Exit, Failure> {
    let system = |error: io::Error| Failure::new(Exit::Other, "system", error.to_string());
    let mut token = String::new();
    for _ in 0..2 {
        let _ = write!(token, "{}", random_uuid().map_err(system)?);
    }
    token.push('\n');
    let Some(path) = file else {
        print::output(token.as_bytes())?;
        return Ok(Exit::Done);
    };
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    let mut made = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let text = format!("{} is there already: name a new file", path.display());
            Failure::usage(text)
        }
        _ => unwritten(path, &error),
    })?;
    made.write_all(token.as_bytes()).map_err(|error| unwritten(path, &error))?;
    made.sync_all().map_err(|error| unwritten(path, &error))?;
    Ok(Exit::Done)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let text = format!("cannot write {}: {error}", path.display());
    Failure::new(Exit::Other, "output", text)
}

/// `piazza completions SHELL`.
pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "piazza", &mut script);
    print::finish(print::output(&script).map(|()| Exit::Done), false)
}

/// `piazza man DIR`.
pub(crate) fn man(args: &ManArgs) -> ExitCode {
    let written = write_pages(&args.dir).and_then(|count| {
        let (shown, first) = (args.dir.display(), args.dir.join("piazza.1"));
        let line = format!("{count} pages are in {shown}: man -l {}\n", first.display());
        print::output(line.as_bytes()).map(|()| Exit::Done)
    });
    print::finish(written, false)
}

/// Writes the pages, and counts them.
fn write_pages(dir: &Path) -> Result<usize, Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .and_then(|()| clap_mangen::generate_to(Args::command(), dir))
        .map_err(|error| unwritten(dir, &error))?;
    let pages = fs::read_dir(dir).map_err(|error| unwritten(dir, &error))?;
    let pages = pages.flatten().filter(|page| page.path().extension().is_some_and(|e| e == "1"));
    Ok(pages.count())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Contract: "(files 0600, 32 bytes or more; `piazza token new`)"
    #[test]
    fn tokens_are_private_and_never_overwritten() {
        let path = std::env::temp_dir().join(format!("piazza-token-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        new_token(Some(&path)).unwrap();
        let token = fs::read_to_string(&path).unwrap();
        assert!(token.len() == 65 && token.trim_end().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(new_token(Some(&path)).unwrap_err().exit, Exit::Usage);
        assert_eq!(fs::read_to_string(&path).unwrap(), token);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn every_shell_and_command_has_its_text() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "piazza", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("inspect"), "{shell}");
        }
        let dir = std::env::temp_dir().join(format!("piazza-man-{}", std::process::id()));
        write_pages(&dir).unwrap();
        for page in ["piazza.1", "piazza-up.1", "piazza-node.1", "piazza-admin-kill.1"] {
            assert!(fs::read_to_string(dir.join(page)).unwrap().contains(".TH"), "{page}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
