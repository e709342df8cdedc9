//! What the processes of one app share, and how one of them starts another.

use super::pipe::{Ends, Reader, Writer, pipe};
use super::registry::{FIRST, NoChild, Registry, Status};
use super::semaphore::Semaphores;
use super::sync::Counter;
use super::told;
use crate::app::Parts;
use crate::command::{Command, CommandError};
use crate::engine::Runtime;
use crate::events::EventSink;
use crate::exit::{Exit, Limit};
use crate::files::{Guard, Quota, remove_folder};
use crate::governor::Account;
use crate::host::{Host, MemoryLimiter};
use crate::instance::{StartError, wasi_context};
use crate::net::Network;
use crate::policy::{Limits, Policy};
use crate::profile::Profiler;
use crate::running::{After, Running};
use crate::scratch::{Preopen, Scratch};
use crate::signals::Signals;
use crate::snapshot::Surroundings;
use crate::stdio::Streams;
use crate::terminal::Lending;
use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;

/// Entries that the first process may hold in host tables (files, sockets, streams, pollables, threads). Every thread
/// of the guest is a mapped stack on the host, two of the 65,530 mappings that a Linux process has by default.
const HANDLES: usize = 16 * 1024;

/// Processes alive at once, whatever `--pids-limit` allows: each has a share of the mappings.
const PROCESSES: usize = 32;
const CHILD_HANDLES: usize = HANDLES * 7 / 8 / PROCESSES;

/// Each pipe may hold 64 KiB of the host's memory, and some as much again and again.
pub(super) const PIPES: usize = 256;
const SEMAPHORES: usize = 4096;

/// What all have together.
pub(crate) struct Family {
    pub(crate) runtime: Runtime,
    pub(crate) parts: Arc<Parts>,
    pub(crate) limits: Limits,
    pub(crate) network: Network,
    pub(crate) account: Arc<Mutex<Account>>,
    pub(super) semaphores: Semaphores,
    /// Removed with the last of them.
    scratch: Arc<Scratch>,
    /// Over `/`.
    pub(super) preopens: Vec<Preopen>,
    streams: Streams,
    pub(super) quota: Arc<Mutex<Quota>>,
    memory: MemoryLimiter,
    pub(crate) events: EventSink,
    pipes: Counter,
    slack: Counter,
    pub(super) registry: Registry,
    /// Of all that start once it is set.
    pub(crate) profiler: OnceLock<Profiler>,
    /// For the first crash of one of them.
    pub(crate) core_dump: Mutex<Option<File>>,
    /// What the first process comes to is settled: what is left to do is the host's.
    pub(crate) settled: Arc<AtomicBool>,
    /// A limit that one of them ran into for all.
    over: watch::Sender<Option<Limit>>,
}

/// What to make a family of.
pub(crate) struct Members {
    pub(crate) runtime: Runtime,
    pub(crate) parts: Arc<Parts>,
    pub(crate) network: Network,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) preopens: Vec<Preopen>,
    pub(crate) streams: Streams,
    pub(crate) quota: Quota,
    pub(crate) events: EventSink,
}

/// One process's place in its family.
pub(crate) struct Process {
    family: Arc<Family>,
    number: u32,
    parent: u32,
    inherited: Vec<(u32, Given)>,
    pub(super) ends: Ends,
}

/// What a process finds behind a descriptor.
pub(crate) enum Given {
    Standard(u8),
    Reader(Reader),
    Writer(Writer),
    Both(Reader, Writer),
    File {
        file: Descriptor,
        place: Option<usize>,
        position: u64,
        append: bool,
    },
    Device(String),
}

/// Why a process was not started.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Program(#[from] CommandError),
    #[error("the app has no more {0}")]
    Limit(&'static str),
    #[error("{0}")]
    Argument(&'static str),
}

impl Family {
    /// The family of an app whose first process receives `signals`.
    pub(crate) fn new(members: Members, policy: &Policy, signals: Signals) -> Arc<Self> {
        let Members {
            runtime,
            parts,
            network,
            scratch,
            preopens,
            streams,
            quota,
            events,
        } = members;
        let limits = policy.limits;
        let processes = usize::try_from(limits.threads).unwrap_or(usize::MAX);
        Arc::new(Self {
            runtime,
            parts,
            limits,
            network,
            account: Account::new(&limits),
            semaphores: Semaphores::new(SEMAPHORES),
            scratch,
            preopens,
            streams,
            quota: Arc::new(Mutex::new(quota)),
            memory: MemoryLimiter::new(limits.memory, events.clone()),
            events,
            pipes: Counter::new(PIPES),
            slack: Counter::new(PIPES),
            registry: Registry::new(processes.min(PROCESSES), signals),
            profiler: OnceLock::new(),
            settled: Arc::default(),
            core_dump: Mutex::default(),
            over: watch::Sender::new(None),
        })
    }

    /// The first process.
    pub(crate) fn first(
        self: &Arc<Self>,
        command: Command,
        env: &[(String, String)],
        signals: Signals,
        surroundings: &Surroundings,
    ) -> Result<Running, StartError> {
        let process = Process {
            family: Arc::clone(self),
            number: FIRST,
            parent: 0,
            inherited: (0..3u8)
                .map(|number| (number.into(), Given::Standard(number)))
                .collect(),
            ends: Ends::default(),
        };
        self.running(command, env, process, signals, surroundings)
    }

    fn running(
        self: &Arc<Self>,
        mut command: Command,
        env: &[(String, String)],
        process: Process,
        signals: Signals,
        surroundings: &Surroundings,
    ) -> Result<Running, StartError> {
        let after = After {
            is_last: command.is_last,
            commands: std::mem::take(&mut command.then),
            env: env.to_vec(),
        };
        let mut env = env.to_vec();
        for (name, value) in &command.env {
            env.retain(|(other, _)| other != name);
            env.push((name.clone(), value.clone()));
        }
        let is_first = process.number == FIRST;
        let program = match &self.parts.template {
            Some(template) if is_first => template,
            _ => self.parts.program(&command, &env),
        };
        let program = program.linked(&self.runtime.shared.linker);
        let program = program
            .map_err(|e| StartError::Interpreter(e.into()))?
            .clone();
        let handles = match is_first {
            true => HANDLES,
            false => CHILD_HANDLES,
        };
        let preopens: Vec<Preopen> = std::iter::once(self.scratch.preopen())
            .chain(self.preopens.iter().cloned())
            .collect();
        let places = preopens.iter().map(|p| p.place.clone()).collect();
        let memory = self.memory.sibling();
        let [all, own] = memory.used();
        self.registry.uses(process.number, own);
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles);
        let host = Host {
            wasi: wasi_context(
                command,
                &env,
                &self.limits,
                &self.streams,
                &preopens,
                surroundings,
            )?,
            table,
            terminal: Lending {
                terminal: self.streams.terminal.clone(),
                events: self.events.clone(),
            },
            network: self.network.share(),
            files: surroundings.files(
                Guard::new(
                    places,
                    Arc::clone(self.scratch.root()),
                    self.limits.files,
                    Arc::clone(&self.quota),
                    self.events.clone(),
                )
                .telling(told::teller(self, all)),
            ),
            signals,
            memory,
            process,
            sampler: self.profiler.get().map(Profiler::sampler),
        };
        Ok(Running {
            family: Arc::clone(self),
            program,
            host,
            handles,
            after,
        })
    }

    pub(super) fn pipe(&self) -> Option<(Reader, Writer)> {
        pipe(&self.pipes, &self.slack)
    }

    pub(super) fn signal(&self, number: u32, signal: u8) -> bool {
        self.registry.signal(number, signal)
    }

    /// Resolves with the limit that one of the processes ran into for all.
    pub(crate) async fn over(&self) -> Limit {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await.map(|limit| *limit) {
            Ok(Some(limit)) => limit,
            _ => std::future::pending().await,
        }
    }

    /// Ends all but the first process, and removes the files under those that do not end within `patience`.
    pub(crate) async fn end(&self, patience: Duration) {
        self.registry.stop_all();
        let alone = tokio::time::timeout(patience, self.registry.alone());
        if alone.await.is_err() {
            // What cannot be removed now is removed when the next instance starts.
            let _ = remove_folder(self.scratch.path());
        }
    }

    /// What has become of a child, and of all if it ran into a limit that they share.
    fn ended(&self, number: u32, exit: &Exit) {
        let status = match exit {
            Exit::Code(code) => Status::exited(*code),
            Exit::Limit(Limit::Memory) | Exit::Stopped => Status::killed(super::registry::KILL),
            Exit::Limit(limit) => {
                self.over.send_replace(Some(*limit));
                Status::killed(super::registry::KILL)
            }
            Exit::Trap(crash) => {
                let line =
                    format!("pywasm: process {number} crashed inside the sandbox: {crash}\n");
                self.streams.complain(line);
                Status::killed(ABORT)
            }
        };
        self.registry.ended(number, status);
    }
}

/// SIGABRT.
const ABORT: u8 = 6;

impl Process {
    /// The one that the host started.
    pub(crate) fn is_first(&self) -> bool {
        self.number == FIRST
    }

    pub(crate) fn family(&self) -> &Family {
        &self.family
    }

    pub(super) fn identity(&self) -> (u32, u32) {
        (self.number, self.parent)
    }

    pub(super) fn take_inherited(&mut self) -> Vec<(u32, Given)> {
        std::mem::take(&mut self.inherited)
    }

    pub(super) fn killed(&self, signal: u8) {
        self.family.registry.killed(self.number, signal);
    }

    pub(super) fn reap(&self, child: u32) -> Result<Option<(u32, u32)>, NoChild> {
        let ended = self.family.registry.reap(self.number, child)?;
        Ok(ended.map(|(number, status)| (number, status.0)))
    }

    pub(super) fn ended(&self, child: u32) -> Ended {
        Ended {
            family: Arc::clone(&self.family),
            parent: self.number,
            child,
        }
    }

    /// Starts a child: the package's interpreter, or one of its scripts.
    pub(super) fn spawn(
        &self,
        arguments: &[String],
        environment: Vec<(String, String)>,
        folder: &str,
        inherited: Vec<(u32, Given)>,
    ) -> Result<u32, Refused> {
        let family = &self.family;
        if family.limits.fuel.is_some() {
            return Err(Refused::Limit("than one process under --fuel"));
        }
        let folder = folder
            .parse()
            .map_err(|_| Refused::Argument("the working folder is no absolute path"))?;
        let config = &family.parts.config;
        let command = Command::of_process(arguments, config, &environment, folder)?;
        let place = family
            .registry
            .enter(self.number)
            .ok_or(Refused::Limit("processes"))?;
        let process = Process {
            family: Arc::clone(family),
            number: place.number,
            parent: self.number,
            inherited,
            ends: Ends::default(),
        };
        let number = place.number;
        let started = family
            .running(
                command,
                &environment,
                process,
                place.signals,
                &Surroundings::Host,
            )
            .map_err(|_| Refused::Limit("files for another process"))
            .and_then(|running| {
                let (family, stopped, others) = (Arc::clone(family), place.stopped, place.others);
                thread::Builder::new()
                    .name("pywasm-process".to_owned())
                    .spawn(move || {
                        stand_back(others);
                        let exit = running.run_here(stopped, None);
                        family.ended(number, &exit);
                    })
                    .map_err(|_| Refused::Limit("threads of the host"))
            });
        match started {
            Ok(_) => Ok(number),
            Err(refused) => {
                family.registry.leave(number);
                Err(refused)
            }
        }
    }
}

/// Puts this thread behind those of other apps where processors are short: an app with many processes must not push a
/// neighbour with one aside. Linux gives a thread a fifth less for each step, so that however many there are, together they
/// get about as much as the first.
#[cfg(target_os = "linux")]
fn stand_back(others: usize) {
    // 19 is the last step. Where it is refused, all are equal.
    let steps = i32::try_from(others).unwrap_or(i32::MAX).saturating_add(8);
    let _ = rustix::process::nice(steps.min(19));
}

#[cfg(not(target_os = "linux"))]
fn stand_back(_: usize) {}

/// The end of a child, to wait for.
pub(crate) struct Ended {
    family: Arc<Family>,
    parent: u32,
    child: u32,
}

#[async_trait]
impl Pollable for Ended {
    async fn ready(&mut self) {
        self.family.registry.ready(self.parent, self.child).await;
    }
}
