//! Apps that set up the terminal of the person who runs them, on a terminal of the test's own.

use crate::support::{project, pywasm};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up: not an assertion on speed.
const PATIENCE: Duration = Duration::from_secs(240);

/// A terminal, with a program at it.
struct Session {
    keys: File,
    line: File,
    shown: Receiver<u8>,
    seen: String,
    child: Child,
    _app: Option<TempDir>,
}

impl Session {
    fn begin(mut command: Command, app: Option<TempDir>) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).expect("granted");
        unlockpt(&keys).expect("unlocked");
        let name = ptsname(&keys, Vec::new()).expect("a name");
        let path = name.to_str().expect("UTF-8");
        let line = OpenOptions::new().read(true).write(true).open(path);
        let line = line.expect("the terminal's other end");
        resize(&line, 31, 97);
        let end = || line.try_clone().expect("one more");
        let child = command.stdin(end()).stdout(end()).stderr(end());
        let child = child
            .env("TERM", "xterm")
            .spawn()
            .expect("the binary starts");
        let keys = File::from(keys);
        let (send, shown) = channel();
        let mut screen = keys.try_clone().expect("one more");
        thread::spawn(move || {
            let mut byte = [0];
            while screen.read_exact(&mut byte).is_ok() && send.send(byte[0]).is_ok() {}
        });
        Self {
            keys,
            line,
            shown,
            seen: String::new(),
            child,
            _app: app,
        }
    }

    /// `pywasm run FLAGS app.py`.
    fn run(flags: &[&str], program: &str) -> Self {
        let folder = project(&[("app.py", program)]);
        let mut command = pywasm(["run"]);
        command.args(flags).arg(folder.path().join("app.py"));
        Self::begin(command, Some(folder))
    }

    /// Waits until the program has shown this, after what was waited for before.
    fn expect(&mut self, text: &str) {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(text) {
            match self.shown.recv_timeout(PATIENCE) {
                Ok(byte) => bytes.push(byte),
                Err(_) => panic!(
                    "no `{text}` after {} but {}",
                    self.seen,
                    String::from_utf8_lossy(&bytes)
                ),
            }
        }
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("pressed");
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    fn reads_lines(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("settings").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it goes on after {}", self.seen);
    }
}

fn resize(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("sized");
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes keys as they are pressed, and leaves the terminal so.
const RAW: &str = "import os, sys, tty\n\
                   tty.setraw(0)\n\
                   print(os.get_terminal_size(), end='\\r\\n')\n\
                   print('pressed', sys.stdin.buffer.raw.read(1), end='\\r\\n')\n";

#[test]
fn an_app_that_is_lent_the_terminal_takes_keys_as_they_are_pressed() {
    let mut session = Session::run(&["-it"], RAW);
    session.expect("os.terminal_size(columns=97, lines=31)");
    assert!(!session.reads_lines());
    // Ctrl-C is a key like others now.
    session.press("\x03");
    session.expect("pressed b'\\x03'");
    assert!(session.end().success());
    assert!(session.reads_lines(), "set back");
}

#[test]
fn a_terminal_is_set_back_when_the_app_is_ended() {
    let mut session = Session::run(&["-it"], RAW);
    session.expect("os.terminal_size");
    session.send(Signal::TERM);
    assert!(!session.end().success());
    assert!(session.reads_lines(), "set back");
}

#[test]
fn an_app_that_is_not_lent_the_terminal_cannot_set_it_up() {
    let mut session = Session::run(&[], RAW);
    session.expect("denied: set up the terminal; to allow it add -t");
    session.expect("termios.error");
    assert!(!session.end().success());
    assert!(session.reads_lines());
}

#[test]
fn a_new_size_of_the_terminal_reaches_the_program() {
    let program = "import os, signal\n\
                   signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size().columns, 'columns'))\n\
                   print('ready')\n\
                   while True: signal.pause()\n";
    let mut session = Session::run(&["-t"], program);
    session.expect("ready");
    resize(&session.line, 20, 60);
    // The terminal is not the one that controls the test, so the kernel tells nobody.
    session.send(Signal::WINCH);
    session.expect("60 columns");
}

#[test]
fn the_interpreter_edits_lines_and_remembers_them() {
    let mut session = Session::begin(pywasm(["python"]), None);
    session.expect(">>> ");
    session.press("20 + 3x");
    // Backspace, and the line before with the key for up.
    session.press("\x7f\r");
    session.expect("23\r\n");
    // As a terminal sends it to a program that has set its keypad up.
    session.press("\x1bOA * 2\r");
    session.expect("26\r\n");
    session.press("exit()\r");
    assert!(session.end().success());
    assert!(session.reads_lines(), "set back");
}

#[test]
fn lines_that_are_pasted_run_as_one() {
    let mut session = Session::begin(pywasm(["python"]), None);
    session.expect(">>> ");
    // What a terminal sends of a paste, and the way it marks it.
    session.press("\x1b[200~for n in range(2):\n    print('pasted', n * 100)\n\x1b[201~");
    // Shown when all of it was read: what comes with the end of the mark counts as pasted, too.
    session.expect("100");
    session.press("\r\r");
    session.expect("pasted 0");
    session.expect("pasted 100");
    session.expect(">>> ");
    session.press("exit()\r");
    assert!(session.end().success());
    assert!(!session.seen.contains("Traceback"), "{}", session.seen);
}

#[test]
fn what_can_be_read_of_a_terminal_is_counted_and_still_there() {
    let mut session = Session::run(
        &["-t"],
        "import array, fcntl, os, select, sys, termios, tty\n\
         def waiting():\n    \
             count = array.array('i', [0])\n    \
             fcntl.ioctl(0, termios.FIONREAD, count)\n    \
             return count[0]\n\
         tty.setraw(0)\n\
         print('ready', waiting(), end='\\r\\n', flush=True)\n\
         select.select([0], [], [])\n\
         while waiting() < 3: pass\n\
         print('waiting', waiting(), select.select([0], [], [], 0)[0], os.read(0, 2), waiting(), os.read(0, 9), flush=True)\n",
    );
    session.expect("ready 0");
    session.press("abc");
    session.expect("waiting 3 [0] b'ab' 1 b'c'");
    assert!(session.end().success());
}

#[test]
fn the_debugger_stops_and_goes_on() {
    let program = "value = 6\nbreakpoint()\nprint('went on', value)\n";
    let mut session = Session::run(&["-it"], program);
    session.expect("(Pdb)");
    session.press("p value * 7\r");
    session.expect("42");
    session.press("c\r");
    session.expect("went on 6");
    assert!(session.end().success());
}

#[test]
fn programs_that_import_readline_edit_lines() {
    let program = "import code, readline\n\
                   readline.parse_and_bind('tab: complete')\n\
                   code.interact('ready', local={'number': 6})\n";
    let mut session = Session::run(&["-it"], program);
    session.expect(">>> ");
    session.press("number * 7x\x7f\r");
    session.expect("42\r\n");
    session.press("\x1bOA + 1\r");
    session.expect("43\r\n");
    session.press("exit()\r");
    assert!(session.end().success());
}

/// It asks Python by ctypes for what a signal does, at import and around each line.
/// It knows no platform `wasi` by itself.
#[test]
fn registry_readchar_reads_keys() {
    let program = "import readchar\nprint('ready', flush=True)\nwhile (pressed := readchar.readkey()) != 'q': print(pressed == readchar.key.UP)\n";
    let folder = project(&[("app.py", program), ("requirements.txt", "readchar\n")]);
    let mut command = pywasm(["run", "-it"]);
    command.arg(folder.path());
    let mut session = Session::begin(command, Some(folder));
    session.expect("ready");
    // Between two keys it sets the terminal back, and what is pressed then is lost to it.
    for (keys, shown) in [("\x1b[A", "True"), ("\x1b[B", "False"), ("q", "")] {
        let until = Instant::now() + PATIENCE;
        while session.reads_lines() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        session.press(keys);
        session.expect(shown);
    }
    assert!(session.end().success());
}

#[test]
fn registry_prompt_toolkit_edits_lines() {
    let program = "from prompt_toolkit import prompt\n\
                   print('got', prompt('name: '))\n\
                   try: prompt('again: ')\n\
                   except KeyboardInterrupt: print('given up')\n";
    let folder = project(&[
        ("app.py", program),
        ("requirements.txt", "prompt_toolkit==3.0.53\n"),
    ]);
    let mut command = pywasm(["run", "-it"]);
    command.arg(folder.path());
    let mut session = Session::begin(command, Some(folder));
    // A blank is a move of the cursor.
    session.expect("name:");
    // Three times the key for left, and the letter that was left out.
    session.press("wrld\x1b[D\x1b[D\x1b[Do\r");
    session.expect("got world");
    session.expect("again:");
    session.press("\x03");
    session.expect("given up");
    assert!(session.end().success());
    assert!(session.reads_lines(), "set back");
}
