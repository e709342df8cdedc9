//! The only place that writes to the terminal. Everything of ours goes to standard error: standard
//! output belongs to the app.
#![expect(clippy::print_stderr, reason = "this is the printer")]

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pywasm_format::escaped_but;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Something the person should know while the app runs.
pub fn note(text: &str) {
    eprintln!("pywasm: {}", plain(text));
}

/// Why the command failed.
pub fn error(text: &str) {
    eprintln!("pywasm: error: {}", plain(text));
}

/// The result that a command was asked for.
pub fn result(text: &str) {
    // Whoever has read enough (`| head`) may close the pipe.
    let _ = writeln!(std::io::stdout(), "{}", plain(text));
}

/// Text without the control characters by which it would take over a terminal: it may tell of what a package says, or a
/// server.
fn plain(text: &str) -> Cow<'_, str> {
    escaped_but(text, &['\n', '\t'])
}

/// Rows in columns as wide as they need to be.
pub fn table<const N: usize>(rows: impl IntoIterator<Item = [String; N]>) {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        result(cells.join("   ").trim_end());
    }
}

/// Steps of long work: each on a line of its own in a log, one changing line on a terminal.
pub struct Steps {
    terminal: bool,
    open: AtomicBool,
}

impl Steps {
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            open: AtomicBool::new(false),
        }
    }

    /// Begins the next step.
    pub fn step(&self, text: &str) {
        if self.terminal {
            eprint!("\r\x1b[2Kpywasm: {}", plain(text));
            self.open.store(true, Ordering::Relaxed);
        } else {
            note(text);
        }
    }

    /// A step too short or too frequent for a log: shown on a terminal only.
    pub fn flicker(&self, text: &str) {
        if self.terminal {
            self.step(text);
        }
    }

    /// Ends the last step: a terminal's line is cleared.
    pub fn done(&self) {
        if self.open.swap(false, Ordering::Relaxed) {
            eprint!("\r\x1b[2K");
        }
    }
}

/// A line from the person at the terminal.
pub fn ask(prompt: &str) -> io::Result<String> {
    eprint!("{prompt}");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// The same without showing what is typed.
pub fn ask_secretly(prompt: &str) -> io::Result<String> {
    rpassword::prompt_password(prompt)
}

/// Transfers that go on at the same time: a bar for each on a terminal, a line for each in a log when it
/// has ended.
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
    terminal: bool,
}

impl Bars {
    pub fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            bars: Mutex::default(),
            terminal: io::stderr().is_terminal(),
        }
    }

    /// So many of so many bytes of `what`.
    pub fn at(&self, what: &str, at: u64, of: u64) {
        if !self.terminal {
            return;
        }
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(what.to_owned()).or_insert_with(|| {
            let shape = "pywasm: {prefix:<12} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}";
            let style = ProgressStyle::with_template(shape)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(of).with_style(style.progress_chars("=> "));
            self.all.add(bar.with_prefix(what.to_owned()))
        });
        bar.set_position(at);
    }

    /// `what` has ended; `text` says how.
    pub fn end(&self, what: &str, text: &str) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.remove(what) {
            bar.finish_and_clear();
        }
        // Through the bars, which would otherwise be drawn over it.
        self.all.suspend(|| note(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_take_over_a_terminal() {
        assert_eq!(plain("a\tb\nc – ü"), "a\tb\nc – ü");
        assert_eq!(plain("a\u{1b}[2J\r\u{9b}1m"), "a\\u{1b}[2J\\r\\u{9b}1m");
    }
}
