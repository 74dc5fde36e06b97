//! The dashboard on a real (pseudo) terminal: what the shell is left with.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write, stderr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rekindle_dashboard::{Sink, Terminal};
use rekindle_train::events::{Event, Events, Step};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Set for the process that has the dashboard, which is this test again.
const CHILD: &str = "REKINDLE_TEST_CHILD";

const DEADLINE: Duration = Duration::from_secs(30);

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// Polls until something is there.
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn step(step: usize) -> Event {
    Event::Step(Step {
        step,
        epoch: 0.1,
        loss: 0.5,
        accuracy: None,
        learning_rate: 1e-3,
        grad_norm: 1.0,
        tokens: 10,
        examples: 1,
        seconds: 0.01,
        tokens_per_second: 1000.0,
        memory_bytes: None,
    })
}

/// A process on a terminal of its own, and what it wrote there.
struct Screen {
    child: Child,
    master: Option<File>,
    slave: Option<File>,
    output: Arc<Mutex<Vec<u8>>>,
    /// Whether the terminal shall go away as soon as the child writes again.
    is_leaving: Arc<AtomicBool>,
}

impl Screen {
    /// Runs the test of that name in this module again as a child.
    fn run(test: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        // A child that holds the other end of its own terminal would never see it go.
        fcntl_setfd(&master, FdFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("terminal::{test}"), "--nocapture"])
            .env(CHILD, "1")
            .stdin(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let output = Arc::new(Mutex::new(Vec::new()));
        let mut reader = master.try_clone().unwrap();
        let is_leaving = Arc::new(AtomicBool::new(false));
        let (copy, is_over) = (Arc::clone(&output), Arc::clone(&is_leaving));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                copy.lock().unwrap().extend_from_slice(&bytes[..length]);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        Self {
            child,
            master: Some(master),
            slave: Some(slave),
            output,
            is_leaving,
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, text: &str) {
        wait(text, || self.output().contains(text).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        let master = self.master.as_mut().unwrap();
        master.write_all(keys.as_bytes()).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        wait("the end", || self.child.try_wait().unwrap())
    }

    /// Asserts that the shell finds what it left.
    fn assert_given_back(&self) {
        self.wait_for(LEAVE);
        let output = self.output();
        assert!(output.find(ENTER).unwrap() < output.find(LEAVE).unwrap());
        assert!(output.contains("\x1b[?25h"), "the cursor is shown");
        let modes = tcgetattr(self.slave.as_ref().unwrap()).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ignore() {}

#[test]
fn stopping_is_confirmed_and_gives_the_terminal_back() {
    if is_child() {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let stop = move || stop.store(true, Ordering::Relaxed);
        let mut terminal = Terminal::start(stderr(), true, stop, ignore).unwrap();
        terminal.emit(step(1));
        wait("the stop", || stopped.load(Ordering::Relaxed).then_some(()));
        return terminal.close();
    }
    let mut screen = Screen::run("stopping_is_confirmed_and_gives_the_terminal_back");
    screen.wait_for("gradient");
    screen.press("q");
    screen.wait_for("stop training after this step?");
    screen.press("n");
    screen.press("q");
    screen.press("y");
    assert!(screen.end().success());
    screen.assert_given_back();
}

#[test]
fn interrupting_thrice_stops_at_once() {
    if is_child() {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let stop_now = move || {
            eprintln!("stopped at once");
            stop.store(true, Ordering::Relaxed);
        };
        let mut terminal = Terminal::start(stderr(), false, ignore, stop_now).unwrap();
        terminal.emit(step(1));
        return wait("the stop", || stopped.load(Ordering::Relaxed).then_some(()));
    }
    let mut screen = Screen::run("interrupting_thrice_stops_at_once");
    screen.wait_for("gradient");
    screen.press("\x03");
    screen.wait_for("stop training after this step?");
    screen.press("\x03");
    screen.wait_for("stopping after this step");
    screen.press("\x03");
    assert!(screen.end().success());
    screen.assert_given_back();
    screen.wait_for("stopped at once");
    let output = screen.output();
    assert!(output.find(LEAVE).unwrap() < output.find("stopped at once").unwrap());
}

#[test]
fn a_panic_gives_the_terminal_back_before_its_message() {
    if is_child() {
        let mut terminal = Terminal::start(stderr(), true, ignore, ignore).unwrap();
        terminal.emit(step(1));
        let thread = thread::spawn(|| panic!("a broken invariant"));
        assert!(thread.join().is_err());
        return terminal.emit(step(2));
    }
    let mut screen = Screen::run("a_panic_gives_the_terminal_back_before_its_message");
    assert!(screen.end().success());
    screen.assert_given_back();
    screen.wait_for("a broken invariant");
    let output = screen.output();
    assert!(output.find(LEAVE).unwrap() < output.find("a broken invariant").unwrap());
    assert!(!output[output.find(LEAVE).unwrap() + 1..].contains("gradient"));
}

#[test]
fn training_goes_on_without_its_terminal() {
    if is_child() {
        let mut terminal = Terminal::start(stderr(), true, ignore, ignore).unwrap();
        terminal.emit(step(1));
        wait("the failure", || terminal.failure().map(drop));
        return terminal.emit(step(2));
    }
    let mut screen = Screen::run("training_goes_on_without_its_terminal");
    screen.wait_for("gradient");
    screen.is_leaving.store(true, Ordering::Relaxed);
    (screen.master, screen.slave) = (None, None);
    assert!(screen.end().success());
}

#[test]
fn a_dashboard_needs_a_terminal_and_has_it_alone() {
    if is_child() {
        let first = Terminal::start(stderr(), true, ignore, ignore).unwrap();
        assert!(Terminal::start(stderr(), true, ignore, ignore).is_err());
        drop(first);
        return drop(Terminal::start(stderr(), true, ignore, ignore).unwrap());
    }
    let mut screen = Screen::run("a_dashboard_needs_a_terminal_and_has_it_alone");
    assert!(screen.end().success());
    screen.assert_given_back();
    assert_eq!(screen.output().matches(ENTER).count(), 2);
}
