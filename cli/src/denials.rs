//! What a run was denied: told once each, and kept for `pywasm policy suggest`.

use crate::environment::Environment;
use crate::printer;
use anyhow::Context;
use pywasm::{Event, EventSink};
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

/// What a run tells its person, as it travels from a worker's process to that of the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// Something was denied.
    Denied { entry: Entry, hint: String },
    /// A published port is open.
    Listening {
        port: u16,
        host: SocketAddr,
        chosen: bool,
    },
    /// The app listens where nobody can reach it.
    Unpublished { port: u16 },
    /// The app looks inside the sandbox for a server that is not there.
    NobodyListens { address: SocketAddr },
}

/// What was told already: an app can make the same thing happen any number of times.
#[derive(Default)]
pub struct Seen {
    /// Resources and rules.
    denials: BTreeSet<(String, String)>,
    /// Ports that the app listens on, with the addresses where they are published.
    ports: BTreeSet<(u16, Option<SocketAddr>)>,
    /// Ports that the app connects to in vain.
    empty_ports: BTreeSet<u16>,
}

impl News {
    /// None for what is not for people.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Denied(denial) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                Self::Denied {
                    entry: Entry {
                        time: now.map_or(0, |now| now.as_secs()),
                        resource: denial.resource(),
                        rule: denial.rule(),
                        flag: denial.flag(),
                    },
                    hint: denial.hint(),
                }
            }
            Event::Listening(published) => Self::Listening {
                port: published.guest(),
                host: published.host(),
                chosen: published.chosen_by_system(),
            },
            Event::Unpublished { port } => Self::Unpublished { port: *port },
            Event::NobodyListens { address } => Self::NobodyListens { address: *address },
            _ => return None,
        })
    }
}

impl Seen {
    /// How many of its kind there are with this one, if it is to be told or kept.
    pub fn news(&mut self, news: &News) -> Option<usize> {
        match news {
            News::Denied { entry, .. } => {
                let denial = (entry.resource.clone(), entry.rule.clone());
                let new = self.denials.len() < KEPT && self.denials.insert(denial);
                new.then_some(self.denials.len())
            }
            News::Listening { port, host, .. } => {
                let new = self.ports.insert((*port, Some(*host)));
                new.then_some(self.ports.len())
            }
            News::Unpublished { port } => {
                let new = self.ports.len() < TOLD && self.ports.insert((*port, None));
                new.then_some(self.ports.len())
            }
            News::NobodyListens { address } => {
                let ports = &mut self.empty_ports;
                let new = ports.len() < EMPTY_PORTS && ports.insert(address.port());
                new.then_some(ports.len())
            }
        }
    }
}

/// What a run tells, and its log in the folder of all.
pub struct Log {
    /// None where there is no place to write: what is denied is told all the same.
    file: Option<File>,
    seen: Mutex<Seen>,
}

/// Logs kept. There may be twice as many before the oldest are removed, so that most runs remove nothing.
const RUNS: usize = 20;

/// Different denials that are kept of one run: a hostile app can make any number of them.
const KEPT: usize = 4096;

/// Different denials, and unpublished ports, that are told on the terminal.
const TOLD: usize = 20;

/// Ports inside that are told to be empty: an app may look for one that is.
const EMPTY_PORTS: usize = 8;

impl Log {
    /// Begins the log of a new run.
    pub fn begin(environment: &Environment) -> Self {
        let folder = environment.runs();
        Self {
            file: folder.and_then(|folder| new_file(&folder)).ok(),
            seen: Mutex::default(),
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
        EventSink::new(move |event| {
            if let Some(news) = News::of(event) {
                self.hear(&news);
            }
        })
    }

    /// Tells and keeps what is new.
    pub fn hear(&self, news: &News) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(number) = seen.news(news) else {
            return;
        };
        match news {
            News::Denied { entry, hint } => {
                self.keep(entry);
                tell_denial(entry, hint, number);
            }
            News::Listening { port, host, chosen } => tell_listening(*port, *host, *chosen),
            News::Unpublished { port } => tell_unpublished(*port),
            News::NobodyListens { address } => tell_nobody_listens(*address),
        }
    }

    fn keep(&self, entry: &Entry) {
        if let Ok(mut line) = serde_json::to_vec(entry) {
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
    if runs.len() > 2 * RUNS {
        for old in &runs[..runs.len() - RUNS] {
            // Another run may have been faster.
            let _ = fs::remove_file(old);
        }
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

fn tell_denial(entry: &Entry, hint: &str, number: usize) {
    match number {
        ..=TOLD => printer::note(&format!("denied: {}; {hint}", entry.resource)),
        n if n == TOLD + 1 => {
            printer::note("more was denied; `pywasm policy suggest` lists all of it");
        }
        _ => {}
    }
}

/// On a terminal the app's own "running on" line may name a port inside the sandbox.
fn tell_listening(port: u16, host: SocketAddr, chosen: bool) {
    if chosen || std::io::stderr().is_terminal() {
        printer::note(&format!("port {port} of the app is at {host}"));
    }
}

fn tell_unpublished(port: u16) {
    printer::note(&format!(
        "the app listens on port {port}, which is not published; to reach it add --publish {port}:{port}"
    ));
}

fn tell_nobody_listens(address: SocketAddr) {
    let port = address.port();
    printer::note(&format!(
        "nothing listens on {address} inside the sandbox; a server of this machine is host.docker.internal:{port} inside, with \
         --allow-net host.docker.internal:{port}"
    ));
}
