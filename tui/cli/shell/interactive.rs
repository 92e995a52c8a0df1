//! The prompt on a terminal.
//!
//! The terminal is ours only while a line is edited: while a command runs it is as it was before,
//! so that Ctrl-C and Ctrl-Z do what they always do. Keys come from a thread of their own.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc;
use tui::commands::{Catalog, Problem, Wanted, wanted};
use tui::history_file::HistoryFile;
use tui::prompt::{Completion, Editor, History, Key, Outcome};
use tui::terminal::{self, Guard, Input};
use tui::text;

use super::grammar::{self, Read, Typed};
use super::session::Session;
use super::{SIGHUP_EXIT, SIGTERM_EXIT, system, wrong};
use crate::args::Common;
use crate::asked::Asked;
use crate::print::{self, Exit, Failure};

/// A command that takes longer says how long it took.
const SLOW: Duration = Duration::from_millis(500);
/// Keys that are typed ahead; then the terminal keeps them.
const KEYS_AHEAD: usize = 1_024;

/// Why there is no more to do.
enum End {
    /// It was asked for.
    Quit,
    /// A signal, and the exit code then.
    Signal(u8),
    /// What cannot be helped.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(Failure::new(Exit::Other, "terminal", format!("the terminal: {error}")))
    }
}

/// What came while a line was edited.
enum Came {
    Input(Input),
    /// Ctrl-C by a signal.
    Interrupt,
    /// The shell goes on after it was stopped.
    Continue,
}

/// Everything that may end what is under way.
struct Arrivals {
    inputs: mpsc::Receiver<io::Result<Input>>,
    interrupt: Signals,
    terminate: Signals,
    hangup: Signals,
    resume: Signals,
}

impl Arrivals {
    fn new() -> io::Result<Self> {
        let (sender, inputs) = mpsc::channel(KEYS_AHEAD);
        let arrivals = Self {
            inputs,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resume: signal(SignalKind::from_raw(Signal::SIGCONT as i32))?,
        };
        terminal::deliver_input(move |input| sender.blocking_send(input).is_ok())?;
        Ok(arrivals)
    }

    /// What comes next while a line is edited.
    async fn next(&mut self) -> Result<Came, End> {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Err(End::Signal(SIGTERM_EXIT)),
            _ = self.hangup.recv() => Err(End::Signal(SIGHUP_EXIT)),
            _ = self.interrupt.recv() => Ok(Came::Interrupt),
            _ = self.resume.recv() => Ok(Came::Continue),
            input = self.inputs.recv() => match input {
                Some(input) => Ok(Came::Input(input?)),
                None => Err(io::Error::other("nothing reads it any more").into()),
            },
        }
    }

    /// What ends a command under way: Ctrl-C, or the end of the shell.
    async fn end_of_command(&mut self) -> Result<(), End> {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Err(End::Signal(SIGTERM_EXIT)),
            _ = self.hangup.recv() => Err(End::Signal(SIGHUP_EXIT)),
            _ = self.interrupt.recv() => Ok(()),
        }
    }
}

/// A shell on a terminal.
struct Shell {
    session: Session,
    arrivals: Arrivals,
    catalog: Catalog,
    editor: Editor,
    /// None where there is no place for it.
    file: Option<HistoryFile>,
}

/// Runs what is typed.
pub(super) async fn run(common: Common) -> Result<ExitCode, Failure> {
    let session = Session::connect(common).await?;
    let (file, history) = history();
    let arrivals = Arrivals::new().map_err(|error| system(&error))?;
    let editor = Editor::new(history);
    let mut shell = Shell { session, arrivals, catalog: grammar::catalog(), editor, file };
    let end = shell.run().await;
    // Also where the terminal was left already: it is only put back once.
    terminal::leave();
    match end {
        End::Quit => Ok(ExitCode::SUCCESS),
        End::Signal(code) => Ok(ExitCode::from(code)),
        End::Failed(failure) => Err(failure),
    }
}

/// The lines of earlier sessions. Without them there is still a shell.
fn history() -> (Option<HistoryFile>, History) {
    let Some(path) = HistoryFile::path(|name| std::env::var_os(name)) else {
        return (None, History::default());
    };
    match HistoryFile::open(&path) {
        Ok((file, history)) => (Some(file), history),
        Err(error) => {
            tell(&format!("history is not kept: {}: {error}", path.display()));
            (None, History::default())
        }
    }
}

/// A remark that is no result.
fn tell(remark: &str) {
    let line = format!("piazza: {}\n", text::escaped(remark.as_bytes(), false));
    // Where standard error is closed there is nobody to tell.
    let _ = io::stderr().write_all(line.as_bytes());
}

impl Shell {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// One prompt: what is typed there, carried out.
    async fn turn(&mut self) -> Result<(), End> {
        let prompt = self.session.prompt().await;
        let mut editor = std::mem::take(&mut self.editor);
        let lines = self.edit(&prompt, &mut editor).await;
        self.editor = editor;
        let lines = lines?.unwrap_or_default();
        let several = lines.len() > 1;
        for line in lines {
            if several {
                terminal::show(&terminal::finished(&prompt, &line))?;
            }
            self.remember(&line);
            self.run_line(&prompt, &line).await?;
        }
        Ok(())
    }

    fn remember(&mut self, line: &str) {
        // A completion leaves a blank, which is no part of the last word.
        let trimmed = line.trim_end_matches(' ');
        let line = if trimmed.ends_with('\\') { line } else { trimmed };
        if !self.editor.remember(line) {
            return;
        }
        if let Some(file) = &self.file
            && let Err(error) = file.add(line)
        {
            tell(&format!("history is not kept: {error}"));
            self.file = None;
        }
    }

    /// Edits a line to its end; `None` if it was dropped. The terminal is as before afterwards.
    async fn edit(
        &mut self,
        prompt: &str,
        editor: &mut Editor,
    ) -> Result<Option<Vec<String>>, End> {
        let mut guard = Guard::enter()?;
        let mut remark = None;
        loop {
            // Of keys that came together only the last is worth a picture.
            if self.arrivals.inputs.is_empty() {
                let (columns, rows) = terminal::size();
                let mut view = editor.view(prompt, columns, rows.saturating_sub(2));
                if let Some(remark) = remark.take() {
                    view = view.with_hint(remark, columns);
                }
                terminal::show(&terminal::drawn(&view))?;
            }
            let key = match self.arrivals.next().await? {
                Came::Input(Input::Key(key)) => key,
                Came::Input(Input::Resize | Input::Special(_) | Input::Mouse(_)) => continue,
                Came::Interrupt => Key::Ctrl('c'),
                Came::Continue => {
                    guard = guard.enter_again()?;
                    continue;
                }
            };
            // What is left on the screen when the line is not edited any more.
            let text = editor.line().text();
            let before = if editor.is_masked() { String::new() } else { text.to_owned() };
            let mut outcome = editor.handle(key);
            if outcome == Outcome::Complete {
                outcome = self.complete(editor).await;
            }
            match outcome {
                Outcome::Lines(lines) => {
                    // Of several lines each is shown when its turn comes.
                    let alone = lines.len() == 1 && !editor.is_masked();
                    let left = if alone { lines[0].as_str() } else { "" };
                    terminal::show(&terminal::finished(prompt, left))?;
                    return Ok(Some(lines));
                }
                Outcome::Interrupt(dropped) => {
                    terminal::show(&terminal::finished(prompt, &format!("{before}^C")))?;
                    drop(guard);
                    if !dropped {
                        tell("Ctrl-D or quit leaves the shell");
                    }
                    return Ok(None);
                }
                Outcome::EndOfInput => {
                    terminal::show(&terminal::finished(prompt, ""))?;
                    return Err(End::Quit);
                }
                Outcome::Suspend => {
                    terminal::show(&terminal::finished(prompt, &before))?;
                    drop(guard);
                    raise(Signal::SIGTSTP).map_err(io::Error::from)?;
                    guard = Guard::enter()?;
                }
                Outcome::Clear => terminal::show(terminal::cleared())?,
                Outcome::Refused(why) if !why.is_empty() => remark = Some(why),
                Outcome::Edited | Outcome::Refused(_) | Outcome::Complete => {}
            }
        }
    }

    /// Finds what may stand at the cursor, and offers it.
    async fn complete(&self, editor: &mut Editor) -> Outcome {
        let line = editor.line();
        let completion = match wanted(&self.catalog, line.text(), line.cursor()) {
            Wanted::These(completion) => completion,
            Wanted::Nothing => {
                Completion { range: line.cursor()..line.cursor(), ..Default::default() }
            }
            Wanted::Keys(question) => match self.session.keys(&question.prefix).await {
                Some((keys, more)) => question.answer(&keys, more),
                None => return Outcome::Refused("the cluster does not tell its keys now"),
            },
        };
        editor.offer(completion)
    }

    /// Carries out one line, and tells what there is to tell of it.
    async fn run_line(&mut self, prompt: &str, line: &str) -> Result<(), End> {
        let typed = match grammar::read(line) {
            Ok(Read::Nothing) => return Ok(()),
            Ok(Read::Command(typed)) => typed,
            Ok(Read::Help(help)) => return Ok(print::output(help.as_bytes())?),
            Err(problem) => {
                if !self.session.json() {
                    mark(prompt, line, &problem)?;
                }
                print::told(Err(wrong(&problem)), self.session.json());
                return Ok(());
            }
        };
        let result = match typed {
            Typed::Quit => return Err(End::Quit),
            Typed::Help { command } => grammar::help(command.as_deref())
                .and_then(|help| print::output(help.as_bytes()).map(|()| Exit::Done)),
            Typed::History => self.show_history().map(|()| Exit::Done),
            Typed::Asked(asked) => match asked.typed_input() {
                Ok(Some(input)) => self.carry_out(asked, input).await?,
                Ok(None) => match self.ask_value().await? {
                    Some(value) => self.carry_out(asked, value).await?,
                    None => return Ok(()),
                },
                Err(failure) => Err(failure),
            },
        };
        print::told(result, self.session.json());
        Ok(())
    }

    fn show_history(&self) -> Result<(), Failure> {
        let lines = self.editor.history().lines().enumerate();
        let shown = lines.map(|(at, line)| {
            format!("{:>5}  {}\n", at + 1, text::escaped(line.as_bytes(), false))
        });
        print::output(shown.collect::<String>().as_bytes())
    }

    /// A value that is neither shown nor remembered.
    async fn ask_value(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut editor = Editor::masked();
        let lines = self.edit("value (not shown): ", &mut editor).await?;
        Ok(lines.and_then(|lines| lines.into_iter().next()).map(String::into_bytes))
    }

    /// Asks, to the answer or to Ctrl-C.
    async fn carry_out(
        &mut self,
        asked: Asked,
        input: Vec<u8>,
    ) -> Result<Result<Exit, Failure>, End> {
        let begun = Instant::now();
        let raw = matches!(&asked, Asked::Get(args) if args.raw);
        let watches = matches!(asked, Asked::Watch(_));
        let is_update = asked.is_update();
        let result = tokio::select! {
            result = self.session.carry_out(asked, input) => result,
            ended = self.arrivals.end_of_command() => {
                ended?;
                print::output(b"\n")?;
                if is_update {
                    tell("interrupted: it may happen all the same");
                }
                return Ok(Ok(Exit::Interrupted));
            }
        };
        if raw && result.is_ok() {
            // Nothing ended the value's last row.
            print::output(b"\n")?;
        }
        let took = begun.elapsed();
        if took >= SLOW && !watches {
            tell(&format!("it took {:.1} s", took.as_secs_f64()));
        }
        Ok(result)
    }
}

/// Marks the place of a problem: below the line itself where that is in one row.
fn mark(prompt: &str, line: &str, problem: &Problem) -> io::Result<()> {
    let indent = text::width(&text::escaped(prompt.as_bytes(), false));
    let (column, length) = problem.mark(line);
    let (_, whole) = Problem::new(0..line.len(), "").mark(line);
    if indent + whole < terminal::size().0 {
        let place = indent + column;
        return terminal::show(format!("{:place$}{}\n", "", "^".repeat(length)).as_bytes());
    }
    terminal::show(problem.excerpt(line).as_bytes())
}
