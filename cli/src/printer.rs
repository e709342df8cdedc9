//! The only place that writes to the terminal. Everything of ours goes to standard error: standard
//! output belongs to the app.
#![expect(clippy::print_stderr, reason = "this is the printer")]

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Something the person should know while the app runs.
pub fn note(text: &str) {
    eprintln!("pywasm: {text}");
}

/// Why the command failed.
pub fn error(text: &str) {
    eprintln!("pywasm: error: {text}");
}

/// The result that a command was asked for.
pub fn result(text: &str) {
    // Whoever has read enough (`| head`) may close the pipe.
    let _ = writeln!(std::io::stdout(), "{text}");
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
            eprint!("\r\x1b[2Kpywasm: {text}");
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
