//! What a run was denied: told once each, and kept for `pywasm policy suggest`.

use crate::environment::Environment;
use crate::printer;
use anyhow::Context;
use pywasm::net::Published;
use pywasm::{Denial, Event, EventSink};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
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

/// What a run tells, and its log in the folder of all.
pub struct Log {
    /// None where there is no place to write: what is denied is told all the same.
    file: Option<File>,
}

/// What was told already: an app can make the same thing happen any number of times.
#[derive(Default)]
struct Seen {
    denials: BTreeSet<Denial>,
    /// Ports that the app listens on, with the addresses where they are published.
    ports: BTreeSet<(u16, Option<SocketAddr>)>,
}

impl Seen {
    /// How many of its kind there are with this one, if it is to be told or kept.
    fn news(&mut self, event: &Event) -> Option<usize> {
        match event {
            Event::Denied(denial) => {
                let new = self.denials.len() < KEPT && self.denials.insert(denial.clone());
                new.then_some(self.denials.len())
            }
            Event::Listening(published) => {
                let at = (published.guest(), Some(published.host()));
                self.ports.insert(at).then_some(self.ports.len())
            }
            Event::Unpublished { port } => {
                let new = self.ports.len() < TOLD && self.ports.insert((*port, None));
                new.then_some(self.ports.len())
            }
            _ => None,
        }
    }
}

/// Logs kept; older ones are removed by the next run.
const RUNS: usize = 20;

/// Different denials that are kept of one run: a hostile app can make any number of them.
const KEPT: usize = 4096;

/// Different denials, and unpublished ports, that are told on the terminal.
const TOLD: usize = 20;

impl Log {
    /// Begins the log of a new run.
    pub fn begin(environment: &Environment) -> Self {
        let folder = environment.runs();
        Self {
            file: folder.and_then(|folder| new_file(&folder)).ok(),
        }
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
        let seen = Mutex::new(Seen::default());
        EventSink::new(move |event| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(number) = seen.news(event) else {
                return;
            };
            match event {
                Event::Denied(denial) => {
                    self.keep(denial);
                    tell_denial(denial, number);
                }
                Event::Listening(published) => tell_listening(published),
                Event::Unpublished { port } => tell_unpublished(*port),
                _ => {}
            }
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
            if let Some(mut file) = self.file.as_ref() {
                // A full disk must not end the app; the terminal has been told.
                let _ = file.write_all(&line);
            }
        }
    }
}

/// A file for a new run; the oldest ones are removed.
fn new_file(folder: &Path) -> anyhow::Result<File> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // Sorts by time.
    let name = format!("{:020}-{}.jsonl", now.as_micros(), std::process::id());
    let file = File::create(folder.join(name))?;
    let runs = runs(folder)?;
    for old in &runs[..runs.len().saturating_sub(RUNS)] {
        // Another run may have been faster.
        let _ = fs::remove_file(old);
    }
    Ok(file)
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

/// On a terminal the app's own "running on" line may name a port inside the sandbox.
fn tell_listening(published: &Published) {
    if published.chosen_by_system() || std::io::stderr().is_terminal() {
        printer::note(&format!(
            "port {} of the app is at {}",
            published.guest(),
            published.host()
        ));
    }
}

fn tell_unpublished(port: u16) {
    printer::note(&format!(
        "the app listens on port {port}, which is not published; to reach it add -p {port}:{port}"
    ));
}
