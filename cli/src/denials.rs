//! What a run was denied: told once each, and kept for `pywasm policy suggest`.

use crate::printer;
use anyhow::Context;
use pywasm::{Denial, Event, EventSink};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One line of the log of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub time: u64,
    /// What was asked for.
    pub resource: String,
    /// What refused it.
    pub rule: String,
    /// What grants it.
    pub flag: String,
}

/// The log of one run, in the folder of all.
pub struct Log {
    file: File,
}

/// Logs kept; older ones are removed by the next run.
const RUNS: usize = 20;

/// Different denials that are kept of one run: a hostile app can make any number of them.
const KEPT: usize = 4096;

/// Different denials that are told on the terminal.
const TOLD: usize = 20;

impl Log {
    /// Begins the log of a new run.
    pub fn begin(folder: &Path) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        // Sorts by time.
        let name = format!("{:020}-{}.jsonl", now.as_micros(), std::process::id());
        let path = folder.join(name);
        let file = File::create(&path).with_context(|| {
            format!("cannot keep the denials of this run at {}", path.display())
        })?;
        let runs = runs(folder)?;
        for old in &runs[..runs.len().saturating_sub(RUNS)] {
            // Another run may have been faster.
            let _ = fs::remove_file(old);
        }
        Ok(Self { file })
    }

    /// The denials of the run that began last, or `None` where there was none.
    pub fn last(folder: &Path) -> anyhow::Result<Option<Vec<Entry>>> {
        let Some(path) = runs(folder)?.pop() else {
            return Ok(None);
        };
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // A line that was cut short by the end of the process is no denial.
        let entries = BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok());
        Ok(Some(entries.collect()))
    }

    /// Hears of all events of a run.
    pub fn into_sink(self) -> EventSink {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        EventSink::new(move |event| match event {
            Event::Denied(denial) => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.len() < KEPT && seen.insert(denial.clone()) {
                    self.keep(denial);
                    tell_denial(denial, seen.len());
                }
            }
            event => tell(event),
        })
    }

    fn keep(&self, denial: &Denial) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let entry = Entry {
            time: now.map_or(0, |now| now.as_secs()),
            resource: denial.resource(),
            rule: denial.rule(),
            flag: denial.flag(),
        };
        if let Ok(mut line) = serde_json::to_vec(&entry) {
            line.push(b'\n');
            // A full disk must not end the app; the terminal has been told.
            let _ = (&self.file).write_all(&line);
        }
    }
}

/// The logs, the oldest first.
fn runs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))?;
    let mut runs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    runs.sort();
    Ok(runs)
}

fn tell_denial(denial: &Denial, number: usize) {
    match number {
        ..=TOLD => printer::note(&format!("denied: {denial}; {}", denial.hint())),
        n if n == TOLD + 1 => {
            printer::note("more was denied; `pywasm policy suggest` lists all of it");
        }
        _ => {}
    }
}

fn tell(event: &Event) {
    match event {
        // On a terminal the app's own "running on" line may name a port inside the sandbox.
        Event::Listening(published)
            if published.chosen_by_system() || std::io::stderr().is_terminal() =>
        {
            printer::note(&format!(
                "port {} of the app is at {}",
                published.guest(),
                published.host()
            ));
        }
        Event::Unpublished { port } => printer::note(&format!(
            "the app listens on port {port}, which is not published; to reach it add -p {port}:{port}"
        )),
        _ => {}
    }
}
