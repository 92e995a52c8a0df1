//! Commands from a pipe or a file, a line each.
//!
//! Echoes nothing. Ends at the first command that fails, with its exit code, or goes on and ends
//! with that code; a failure names its line.

use std::io::{self, BufRead, Read, Write as _};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::grammar::{self, Read as Line, Typed};
use super::session::Session;
use super::{ShellArgs, system, wrong};
use crate::print::{self, Exit, Failure};

/// A longer line is no command: the largest value with every byte an escape fits, bytes.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Runs the lines of standard input.
pub(super) async fn run(args: ShellArgs) -> Result<ExitCode, Failure> {
    let mut session = Session::connect(args.common).await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| system(&error))?;
    let (sender, mut lines) = mpsc::channel(16);
    let read = move || {
        let mut stdin = io::stdin().lock();
        loop {
            let line = next_line(&mut stdin);
            let last = !matches!(line, Ok(Some(_)));
            if sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    };
    let reader = std::thread::Builder::new().name("lines".into());
    reader.spawn(read).map_err(|error| system(&error))?;

    let mut worst = Exit::Done;
    let mut number = 0_u64;
    loop {
        let ended = async {
            number += 1;
            let Some(line) = lines.recv().await.unwrap_or(Ok(None))? else { return Ok(None) };
            run_line(&mut session, &line).await
        };
        let ended = tokio::select! {
            ended = ended => ended,
            _ = interrupt.recv() => Err(Failure::new(Exit::Interrupted, "interrupted", "")),
        };
        let interrupted = matches!(&ended, Err(failure) if failure.exit == Exit::Interrupted);
        let exit = match ended {
            Ok(None) => break,
            Ok(Some(exit)) => exit,
            Err(failure) if interrupted => return Err(failure),
            Err(failure) if failure.message.is_empty() => return Err(failure),
            Err(failure) => {
                print::told(Err(failure.within(&format!("line {number}"))), session.json())
            }
        };
        if worst == Exit::Done {
            worst = exit;
        }
        if worst != Exit::Done && !args.keep_going {
            break;
        }
    }
    Ok(ExitCode::from(worst as u8))
}

/// The next line, or `None` at the end.
fn next_line(source: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read = source.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
    read.map_err(|error| {
        Failure::new(Exit::Other, "input", format!("cannot read standard input: {error}"))
    })?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() as u64 > LINE_BYTES_MAX {
        let sentence = format!(
            "the line is longer than {LINE_BYTES_MAX} bytes: put large values with piazza put KEY -"
        );
        return Err(Failure::usage(sentence));
    }
    let ends = [b"\r\n".as_slice(), b"\n"].into_iter().find(|end| line.ends_with(end));
    line.truncate(line.len() - ends.map_or(0, <[u8]>::len));
    let no_text = |_| Failure::usage("the line is no text: write other bytes as \\xHH");
    String::from_utf8(line).map(Some).map_err(no_text)
}

/// Runs one line; `None` if it ends the script.
async fn run_line(session: &mut Session, line: &str) -> Result<Option<Exit>, Failure> {
    let typed = match grammar::read(line) {
        Ok(Line::Nothing) => return Ok(Some(Exit::Done)),
        Ok(Line::Command(typed)) => typed,
        Ok(Line::Help(text)) => {
            print::output(text.as_bytes())?;
            return Ok(Some(Exit::Done));
        }
        Err(problem) => {
            if !session.json() {
                // Where standard error is closed there is nobody to tell.
                let _ = io::stderr().write_all(problem.excerpt(line).as_bytes());
            }
            return Err(wrong(&problem));
        }
    };
    match typed {
        Typed::Quit => return Ok(None),
        // What was typed before is in the script.
        Typed::History => {}
        Typed::Help { command } => print::output(grammar::help(command.as_deref())?.as_bytes())?,
        Typed::Asked(asked) => {
            let missing = || Failure::usage("the value is missing: it stands behind the key");
            let input = asked.typed_input()?.ok_or_else(missing)?;
            return session.carry_out(asked, input).await.map(Some);
        }
    }
    Ok(Some(Exit::Done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_text() {
        let mut source = &b"get a\r\n\nget b"[..];
        let mut next = || next_line(&mut source).map_err(|failure| failure.message);
        assert_eq!(next(), Ok(Some("get a".into())));
        assert_eq!(next(), Ok(Some(String::new())));
        assert_eq!(next(), Ok(Some("get b".into())));
        assert_eq!(next(), Ok(None));
        assert!(next_line(&mut &b"put k \xff\n"[..]).unwrap_err().message.contains("\\xHH"));
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 1];
        assert!(next_line(&mut &long[..]).unwrap_err().message.contains("piazza put KEY -"));
    }
}
