//! The screen on a terminal of its own: whatever ends the process, the terminal is as it was.

use std::io::Read as _;
use std::num::NonZero;
use std::thread;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use vt100::{MouseProtocolMode, Parser};

use super::*;

/// Tells [`child`] what to do.
const DEED: &str = "PIAZZA_SCREEN_DEED";

/// What a terminal has seen of a process.
struct Seen {
    /// Its exit code.
    exit: u32,
    /// What was on the screen at the end of each frame.
    screens: Vec<String>,
    /// Whether it had the other screen, no cursor, the mouse and marked pastes, at some time.
    taken: [bool; 4],
    /// Whether it has them at its end.
    left: [bool; 4],
    /// Whether the terminal's own settings are as before.
    same_settings: bool,
    /// Everything it wrote.
    output: String,
}

/// As large as the terminal of [`seen`].
fn parser() -> Parser {
    let [rows, columns] = [10, 40].map(|of| NonZero::new(of).unwrap());
    Parser::new(rows, columns, 0)
}

fn held(parser: &Parser) -> [bool; 4] {
    let screen = parser.screen();
    [
        screen.alternate_screen(),
        screen.hide_cursor(),
        screen.mouse_protocol_mode() != MouseProtocolMode::None,
        screen.bracketed_paste(),
    ]
}

/// Runs [`child`] with `deed` on a terminal of its own.
fn seen(deed: &str) -> Seen {
    let size = PtySize { rows: 10, cols: 40, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).unwrap();
    let settings = || pty.master.get_termios().map(|is| (is.local_flags, is.input_flags));
    let before = settings();
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "terminal::screen::tests::child", "--ignored", "--nocapture"]);
    command.env(DEED, deed);
    command.env("NO_COLOR", "1");
    let mut reader = pty.master.try_clone_reader().unwrap();
    let mut child = pty.slave.spawn_command(command).unwrap();
    // The last reader of a terminal reads an error, not an end, once nobody has it open.
    let slave = pty.slave;
    let reading = thread::spawn(move || {
        let mut output = Vec::new();
        let mut some = [0; 4_096];
        while let Ok(count @ 1..) = reader.read(&mut some) {
            output.extend_from_slice(&some[..count]);
        }
        output
    });
    let exit = child.wait().unwrap().exit_code();
    let same_settings = before.is_some() && settings() == before;
    drop(slave);
    let output = reading.join().unwrap();
    let mut parser = parser();
    let (mut taken, mut screens, mut within) = ([false; 4], Vec::new(), false);
    for (at, byte) in output.iter().enumerate() {
        parser.process(&[*byte]);
        let now = held(&parser);
        taken.iter_mut().zip(now).for_each(|(taken, now)| *taken |= now);
        within |= output[..=at].ends_with(FRAME.0);
        if within && output[..=at].ends_with(FRAME.1) {
            screens.push(parser.screen().contents());
            within = false;
        }
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    Seen { exit, screens, taken, left: held(&parser), same_settings, output }
}

fn drawn(screen: &mut Screen, text: &'static str) {
    screen.draw(|frame| frame.render_widget(text, frame.area())).unwrap();
}

/// What the other tests run, on a terminal of its own.
#[test]
#[ignore = "needs a terminal, which the tests that run it make"]
fn child() {
    let Ok(deed) = std::env::var(DEED) else { return };
    let mut screen = Screen::enter(deed != "no mouse").unwrap();
    drawn(&mut screen, "one");
    match deed.as_str() {
        "panic" => {
            let panicked = thread::spawn(|| panic!("planted")).join();
            assert!(panicked.is_err());
            drawn(&mut screen, "half-dead");
            std::process::exit(0);
        }
        "leave" => {
            leave();
            leave();
            drawn(&mut screen, "half-dead");
            screen.set_mouse(true).unwrap();
            std::process::exit(7);
        }
        "suspend" => {
            screen.leave_for_now();
            show(b"somebody else\r\n").unwrap();
            screen.enter_again().unwrap();
            drawn(&mut screen, "one");
        }
        "toggle" => {
            screen.set_mouse(false).unwrap();
            assert!(!screen.has_mouse());
            show(b"\x1b[1;1H").unwrap();
        }
        _ => {}
    }
    drop(screen);
}

#[test]
fn it_is_taken_and_put_back() {
    let seen = seen("drop");
    assert_eq!((seen.exit, seen.taken, seen.left), (0, [true; 4], [false; 4]), "{}", seen.output);
    assert!(seen.same_settings, "raw mode stayed");
    assert_eq!(seen.screens[0].trim_end(), "one");
}

#[test]
fn the_mouse_stays_with_the_terminal_unless_asked_for() {
    let seen = seen("no mouse");
    assert_eq!((seen.exit, seen.taken), (0, [true, true, false, true]), "{}", seen.output);
}

#[test]
fn a_panic_of_any_thread_puts_it_back_and_is_the_end() {
    let seen = seen("panic");
    assert_eq!((seen.exit, seen.taken, seen.left), (101, [true; 4], [false; 4]), "{}", seen.output);
    assert!(seen.same_settings, "raw mode stayed");
    let told = seen.output.find("planted").unwrap();
    assert!(seen.output.find("\x1b[?1049l").unwrap() < told, "told on the screen that goes");
    assert!(!seen.output.contains("half-dead"), "{}", seen.output);
}

#[test]
fn nothing_is_drawn_after_it_was_left() {
    let seen = seen("leave");
    assert_eq!((seen.exit, seen.left), (7, [false; 4]), "{}", seen.output);
    assert!(seen.same_settings, "raw mode stayed");
    assert!(!seen.output.contains("half-dead"), "{}", seen.output);
    assert_eq!(seen.output.matches("\x1b[?1049l").count(), 1, "it is put back once");
}

#[test]
fn after_a_suspension_the_frame_is_drawn_whole() {
    let seen = seen("suspend");
    assert_eq!((seen.exit, seen.left), (0, [false; 4]), "{}", seen.output);
    let screens: Vec<_> = seen.screens.iter().map(|screen| screen.trim_end()).collect();
    assert_eq!(screens, ["one", "one"], "{}", seen.output);
}

/// With `NO_COLOR` set, as it is for [`child`].
#[test]
fn no_resets_are_written_in_place_of_colours() {
    let seen = seen("toggle");
    assert!(!seen.output.contains("\x1b[;m") && !seen.output.contains("\x1b[m"), "{}", seen.output);
    let off = seen.output.find("\x1b[?1000l").unwrap();
    assert!(off < seen.output.find("\x1b[1;1H\x1b[?2026l").unwrap(), "{:?}", seen.output);
}
