//! Snapshots: the memory of a Python that has started and imported modules, to start others from.
//!
//! A snapshot is a state like the one that comes with the interpreter (see `pywasm_state`): data for the same
//! code. So it has nothing to compile, and what starts from it is held by the same walls.

use crate::app::App;
use crate::command::Command;
use crate::engine_error::EngineError;
use crate::events::EventSink;
use crate::exit::Exit;
use crate::files::Guard;
use crate::instance::{StartError, Task};
use crate::policy::{Limits, Policy};
use crate::stdio::{Captured, Stdio};
use crate::wall::Wall;
use pywasm_format::{Digest, GuestPath, SnapshotRecord, Variables, escaped};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};
use wasmtime_wasi::random::Deterministic;

/// What imports may take, which nobody but the author of the package has looked at.
const LIMITS: Limits = Limits {
    wall: Some(Duration::from_secs(120)),
    ..Limits::DEFAULT
};

/// The guest's report is a line for each variable and module.
pub(crate) const REPORT: usize = 1 << 20;

/// A memory to start from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// A WebAssembly module that holds data only.
    pub state: Vec<u8>,
    /// Which starts it is good for.
    pub record: SnapshotRecord,
}

/// A module that cannot be in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}`: {}", escaped(module), escaped(reason))]
pub struct Unfit {
    /// Its name.
    pub module: String,
    /// What its import does.
    pub reason: String,
}

/// Why there is no snapshot; the app runs without.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No event loop.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another attempt without these modules may succeed.
    #[error("modules cannot be in a snapshot: {}", .0.iter().map(Unfit::to_string).collect::<Vec<_>>().join("; "))]
    Unfit(Vec<Unfit>),
    /// The interpreter failed.
    #[error("Python ended while its modules were imported: {0:?}")]
    Ended(Exit),
    /// The interpreter is none that gives out its memory.
    #[error("the package's interpreter makes no snapshots: {0}")]
    Interpreter(EngineError),
    /// Something of the host, such as an open file, would be missing at the next start.
    #[error("the modules hold something of the system that a snapshot cannot keep")]
    Handles,
}

/// A snapshot about to be taken: all that it takes is there, and no guest code has run.
pub struct PreparedSnapshot {
    task: Task,
    captured: Captured,
    made_from: Vec<Digest>,
    folder: GuestPath,
    options: Vec<String>,
    env: BTreeMap<String, String>,
    modules: Vec<String>,
}

impl App {
    /// Prepares to start Python with its own `options` and the environment `env` in the package's working folder, and
    /// to import `modules`. The instance sees the package's layers without the app's own files, has no network, and clocks and random
    /// numbers that are the same every time: the same arguments give the same snapshot.
    pub fn prepare_snapshot(
        &self,
        options: &[String],
        env: &[(String, String)],
        modules: &[String],
    ) -> Result<PreparedSnapshot, StartError> {
        let folder = self.parts.config.working_dir.clone();
        let words = [options, &["-".to_owned(), folder.to_string()], modules].concat();
        let policy = Policy::none().limits(LIMITS).envs(env.to_vec());
        let (stdio, captured) = Stdio::captured("", REPORT);
        let parts = self.parts.without_app(&self.runtime.shared.cache)?;
        let made_from = parts.made_from.clone();
        Ok(PreparedSnapshot {
            task: Task::prepare(
                &self.runtime,
                parts.into(),
                Command::python(words, folder.clone()),
                &policy,
                stdio,
                EventSink::silent(),
                Surroundings::Fixed(seed(&made_from)),
            )?,
            captured,
            made_from,
            folder,
            options: options.to_vec(),
            env: env.iter().cloned().collect(),
            modules: modules.to_vec(),
        })
    }
}

impl PreparedSnapshot {
    /// Takes from this process, for ever, what taking the snapshot does not need. See [`Wall`].
    pub fn confine_process(&self) -> Wall {
        self.task.confine_process()
    }

    /// Starts Python, imports the modules and keeps the memory. Blocks until that is done.
    pub fn take(self) -> Result<Snapshot, SnapshotError> {
        let memory = self.task.take_memory();
        let report = Report::parse(&self.captured.stdout());
        match memory {
            _ if !report.refused.is_empty() => Err(SnapshotError::Unfit(report.refused)),
            Ok(memory) => Ok(Snapshot {
                state: memory,
                record: SnapshotRecord {
                    made_from: self.made_from,
                    folder: self.folder,
                    options: self.options,
                    env: self.env,
                    read: report.read,
                    modules: self.modules,
                },
            }),
            Err(error) => Err(error),
        }
    }
}

/// What the guest says about its imports, in lines of words between tabs.
pub(crate) struct Report {
    pub(crate) refused: Vec<Unfit>,
    read: Variables,
    /// What the modules printed.
    pub(crate) said: String,
}

impl Report {
    pub(crate) fn parse(text: &str) -> Self {
        let (mut refused, mut all, mut names) = (Vec::new(), false, Vec::new());
        let mut said = String::new();
        for line in text.split_inclusive('\n') {
            match line.trim_end_matches('\n').split('\t').collect::<Vec<_>>()[..] {
                ["refused", module, reason] => {
                    refused.push(Unfit {
                        module: module.to_owned(),
                        reason: reason.to_owned(),
                    });
                }
                ["read", name] => names.push(name.to_owned()),
                ["read-all"] => all = true,
                ["ready"] => {}
                _ => said += line,
            }
        }
        let read = match all {
            true => Variables::All,
            false => Variables::Some(names.into_iter().collect()),
        };
        Self {
            refused,
            read,
            said,
        }
    }
}

/// Where an instance has its time and its random numbers from, and what it sees of its files.
pub(crate) enum Surroundings {
    /// The host, as every run.
    Host,
    /// A seed: the same at every attempt.
    Fixed([u8; 32]),
}

/// The layers decide about the seed of `hash()`, so that it differs from package to package.
fn seed(made_from: &[Digest]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for digest in made_from {
        hasher.update(digest.hex());
    }
    hasher.finalize().into()
}

impl Surroundings {
    /// What files look like there.
    pub(crate) fn files(&self, guard: Guard) -> Guard {
        match self {
            Self::Host => guard,
            Self::Fixed(_) => guard.uniform(),
        }
    }

    pub(crate) fn apply(&self, wasi: &mut WasiCtxBuilder) {
        let Self::Fixed(seed) = self else {
            return;
        };
        let block = |number: u64| -> [u8; 32] {
            Sha256::new()
                .chain_update(seed)
                .chain_update(number.to_le_bytes())
                .finalize()
                .into()
        };
        let bytes = |from: u64| (from..from + RANDOM_BLOCKS).flat_map(block).collect();
        wasi.secure_random(Deterministic::new(bytes(0)))
            .insecure_random(Deterministic::new(bytes(RANDOM_BLOCKS)))
            .insecure_random_seed(0)
            .wall_clock(Ticking::default())
            .monotonic_clock(Ticking::default());
    }
}

/// Until the random numbers of a snapshot repeat: 32 KiB.
const RANDOM_BLOCKS: u64 = 1024;

/// 2026-01-01: the time when a snapshot is taken, so to say.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A clock that goes on by a microsecond whenever somebody looks.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Ticking {
    fn next(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl HostWallClock for Ticking {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        EPOCH + self.next()
    }
}

impl HostMonotonicClock for Ticking {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.next().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_whatever_modules_print_between() {
        let report =
            Report::parse("hello\nread\tHOME\nyou\nrefused\ta.b\tOSError: [Errno 2] x\nready\n!");
        assert_eq!(report.said, "hello\nyou\n!");
        assert_eq!(report.read, Variables::Some(["HOME".to_owned()].into()));
        let refused: Vec<String> = report.refused.iter().map(Unfit::to_string).collect();
        assert_eq!(refused, ["`a.b`: OSError: [Errno 2] x"]);
        assert_eq!(Report::parse("read\tA\nread-all\n").read, Variables::All);
    }
}
