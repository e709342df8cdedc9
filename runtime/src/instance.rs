//! One running app: all that it needs is acquired here, before any of its code runs; and what a host holds of it then.

use crate::app::Parts;
use crate::cache::CacheError;
use crate::command::Command;
use crate::engine::Runtime;
use crate::engine_error::EngineError;
use crate::events::EventSink;
use crate::exit::{Exit, Limit};
use crate::files::{PlaceKind, Quota, remove_folder};
use crate::net::sync::lock;
use crate::net::{Doors, NetError, Network, Published};
use crate::policy::{Access, Limits, Policy};
use crate::processes::{Family, Members};
use crate::profile::{Profile, Profiler};
use crate::running::{Running, aside, block_on, reactor};
use crate::scratch::{Nest, Preopen, Scratch};
use crate::signals::Signals;
use crate::snapshot::{SnapshotError, Surroundings};
use crate::stdio::{Stdio, Streams};
use crate::wall::{Reach, Wall};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pywasm_format::{GuestPath, escaped};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

/// A running app. It is stopped, as by [`Stop::stop`], when this is dropped.
pub struct Instance {
    published: Vec<Published>,
    stop: StopWhenDropped,
    signals: Signals,
    doors: Doors,
    files: PathBuf,
    settled: Arc<AtomicBool>,
    ended: oneshot::Receiver<Exit>,
    /// Once `ended` has told it, which it does once.
    exit: Option<Exit>,
}

/// An instance whose ports are bound and whose folders are open, before any guest code runs.
pub struct Prepared(pub(crate) Task);

impl Prepared {
    /// Takes from this process, for ever, what the instance does not need. See [`Wall`].
    pub fn confine_process(&self) -> Wall {
        self.0.confine_process()
    }

    /// Tells what its Python code does from its start on, that of its further processes included, at no cost to speak of. The
    /// same profile each time that it is asked for; it stays empty for an interpreter other than 3.14.
    pub fn profile(&mut self) -> Result<Profile, StartError> {
        let Running { family, host, .. } = &mut self.0.first;
        let new = Profiler::new(&family.runtime.shared.engine)
            .map_err(|e| StartError::Interpreter(e.into()))?;
        let profiler = family.profiler.get_or_init(|| new);
        host.sampler = Some(profiler.sampler());
        Ok(profiler.profile().clone())
    }

    /// Has a core dump of a crash inside the sandbox written to `file`, in WebAssembly's own format: functions, globals and the
    /// whole memory. Of several processes that crash, that of the first.
    pub fn dump_crash_to(&mut self, file: File) {
        let family = &self.0.first.family;
        *lock(&family.core_dump) = Some(file);
    }

    /// Starts it on a thread of its own.
    pub fn start(self) -> Result<Instance, StartError> {
        self.0.spawn()
    }

    /// Has it run where the future is polled, which is to be done to its end, by a tokio runtime with timers and sockets. So
    /// many instances share one thread and take turns: code that computes gives way to others every 10 ms under
    /// [`Interruption::Checked`], under others only when it calls the host.
    pub fn start_here(self) -> (Instance, impl Future<Output = ()>) {
        self.0.split()
    }
}

/// Stops an instance from anywhere; cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

/// Why an app cannot be started; nothing of it has run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A published port cannot be had.
    #[error(transparent)]
    Network(#[from] NetError),
    /// A granted folder is gone or may not be entered.
    #[error("cannot mount `{}` at {}", escaped(&path.to_string_lossy()), escaped(guest.as_str()))]
    Mount {
        /// The host folder.
        path: PathBuf,
        /// Where the guest would see it.
        guest: GuestPath,
        /// What the system said.
        source: EngineError,
    },
    /// The app would start where nothing is, or a file.
    #[error(
        "there is no folder {} in the sandbox to start the app in; give another working folder",
        escaped(.0.as_str())
    )]
    WorkingFolder(GuestPath),
    /// The instance's private folder cannot be made.
    #[error("cannot prepare the app's private files in the cache folder")]
    Scratch(#[source] io::Error),
    /// The cache folder failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The interpreter is not one that this version can run.
    #[error("the package's interpreter cannot be used: {0}")]
    Interpreter(EngineError),
    /// The engine was made without the checks that the limit needs.
    #[error(
        "this engine cannot keep the limit of {}; make it with another `Interruption`",
        .0.what()
    )]
    Unenforceable(Limit),
    /// A NUL, at which the guest would end an argument or a variable.
    #[error("{what} holds a NUL, which no argument and no variable can have: {text:?}")]
    Nul {
        /// Which of them.
        what: &'static str,
        /// All of it.
        text: String,
    },
    /// A variable without a name, or with an `=` in it: the guest would take that for the end of the name.
    #[error(
        "{0:?} cannot be the name of a variable: it must not be empty and not hold `=`; give NAME and value apart"
    )]
    VariableName(String),
    /// No thread or timer for the instance.
    #[error("cannot start a thread for the app")]
    Thread(#[source] io::Error),
}

impl Instance {
    /// The published ports with the host addresses they really have (port 0 is chosen by the system).
    pub fn published(&self) -> &[Published] {
        &self.published
    }

    /// A handle that stops this instance.
    pub fn stopper(&self) -> Stop {
        self.stop.0.clone()
    }

    /// A handle that sends signals to the program inside.
    pub fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// A handle that shuts its published ports and waits for those who came in before.
    pub fn doors(&self) -> Doors {
        self.doors.clone()
    }

    /// Waits until the app has ended; of one that has, it gives the end again.
    pub async fn wait(&mut self) -> Exit {
        if let Some(exit) = &self.exit {
            return exit.clone();
        }
        let exit = (&mut self.ended).await.unwrap_or_else(|_| thread_died());
        self.exit.insert(exit).clone()
    }

    /// Has the app ended, so that only the host is still at work: its private files are removed before [`Instance::wait`] tells of the
    /// end. A limit of time of the host's own, for code that is not ended by [`Limits::wall`], should not count that.
    pub fn is_over(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// [`Instance::wait`] for hosts without async code. Must not be called inside a tokio runtime.
    pub fn wait_blocking(self) -> Exit {
        let ended = self.ended;
        self.exit
            .unwrap_or_else(|| ended.blocking_recv().unwrap_or_else(|_| thread_died()))
    }

    /// Removes the app's private files under a guest that cannot be stopped, for a host that ends its
    /// process next. An instance that ends does this by itself.
    pub fn remove_files(&self) {
        // What cannot be removed now is removed when the next instance starts.
        let _ = remove_folder(&self.files);
    }
}

impl Stop {
    /// Asks the instance to end. Code that never calls the host ends only under
    /// [`Interruption::Checked`].
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Nobody can reach the instance any more once its holder is gone.
struct StopWhenDropped(Stop);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn thread_died() -> Exit {
    Exit::host_failed("the thread of the instance died; this is a bug of the host")
}

/// Everything an instance needs, acquired before any guest code runs.
pub(crate) struct Task {
    pub(crate) first: Running,
    published: Vec<Published>,
    files: PathBuf,
    reach: Reach,
}

impl Task {
    pub(crate) fn prepare(
        runtime: &Runtime,
        parts: Arc<Parts>,
        command: Command,
        policy: &Policy,
        stdio: Stdio,
        events: EventSink,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        if let Some(limit) = runtime.shared.interruption.lacks(&policy.limits) {
            return Err(StartError::Unenforceable(limit));
        }
        refuse_nul("an argument", &command.argv)?;
        let pairs = policy.env.iter().chain(&command.env);
        refuse_nul(
            "a variable",
            pairs.clone().flat_map(|(name, value)| [name, value]),
        )?;
        refuse_no_name(pairs.map(|(name, _)| name))?;
        let network = Network::bind(policy, events.clone())?;
        let image = &parts.image.path;
        let scratch = Scratch::create(&runtime.shared.nest, image, policy.root)
            .map_err(StartError::Scratch)?;
        scratch
            .mount_point(&command.cwd)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    StartError::WorkingFolder(command.cwd.clone())
                }
                _ => StartError::Scratch(error),
            })?;
        for (from, at) in &command.files {
            scratch.copy_file(from, at).map_err(StartError::Scratch)?;
        }
        let preopens = preopens(&parts, policy, &scratch)?;
        if !is_folder(&command.cwd, &preopens) {
            return Err(StartError::WorkingFolder(command.cwd));
        }
        let private = |preopen: &&Preopen| preopen.place.kind == PlaceKind::Private;
        let folders = preopens.iter().filter(private).map(|p| p.host.clone());
        let folders = folders.chain([scratch.root().own().to_owned()]);
        let folder_of = |p: &Preopen| (p.opened(), p.host_access());
        let own = match &runtime.shared.nest {
            Nest::Common(_) => scratch.path().to_owned(),
            // Further instances are to come.
            Nest::Own { folder, .. } => folder.clone(),
        };
        let reach = Reach {
            folders: preopens
                .iter()
                .map(folder_of)
                .chain([folder_of(&scratch.preopen()), (own, Access::ReadWrite)])
                .collect(),
            parent: Some(runtime.shared.nest.common().to_owned()),
            published: match policy.shared_ports {
                // Bound once and for all, and not by this process.
                Some(_) => Vec::new(),
                None => network.published().iter().map(Published::host).collect(),
            },
            outbound: policy.outbound.clone(),
        };
        let quota = Quota::new(policy.limits.disk, folders.collect());
        let published = network.published().to_vec();
        let files = scratch.path().to_owned();
        let members = Members {
            runtime: runtime.clone(),
            parts,
            network,
            scratch: Arc::new(scratch),
            preopens,
            streams: Streams::new(stdio, &policy.limits),
            quota,
            events,
        };
        let signals = Signals::default();
        let family = Family::new(members, policy, signals.clone());
        Ok(Self {
            first: family.first(command, &policy.env, signals, &surroundings)?,
            published,
            files,
            reach,
        })
    }

    /// Runs on a thread of its own.
    pub(crate) fn spawn(self) -> Result<Instance, StartError> {
        let (instance, running) = self.split();
        let reactor = reactor().map_err(StartError::Thread)?;
        thread::Builder::new()
            .name("pywasm-instance".to_owned())
            .spawn(move || block_on(reactor, running))
            .map_err(StartError::Thread)?;
        Ok(instance)
    }

    /// What is known of it from outside, and its work.
    pub(crate) fn split(self) -> (Instance, impl Future<Output = ()> + Send) {
        let (tell, ended) = oneshot::channel();
        let (stop, stopped) = watch::channel(false);
        let Self {
            first,
            published,
            files,
            reach: _,
        } = self;
        let instance = Instance {
            published,
            stop: StopWhenDropped(Stop(stop)),
            signals: first.host.signals.clone(),
            doors: first.host.network.doors(),
            files,
            settled: Arc::clone(&first.family.settled),
            ended,
            exit: None,
        };
        let wall = first.family.limits.wall;
        let running = async move {
            // The receiver may be gone: a host that does not wait.
            let _ = tell.send(first.run_until(stopped, wall).await);
        };
        (instance, running)
    }

    /// Runs to the end, for which it waits, whatever thread it is called on.
    pub(crate) fn run(self) -> Exit {
        let (_stop, stopped) = watch::channel(false);
        let wall = self.first.family.limits.wall;
        aside(move || self.first.run_here(stopped, wall))
            .unwrap_or_else(|e| Exit::host_failed(format!("no thread for the instance: {e}")))
    }
}

impl Task {
    pub(crate) fn confine_process(&self) -> Wall {
        Wall::around(&self.reach)
    }

    /// Runs the interpreter's export `prepare`, for which it waits, whatever thread it is called on. Gives the memory that it
    /// leaves, as a state.
    pub(crate) fn take_memory(self) -> Result<Vec<u8>, SnapshotError> {
        let wall = self.first.family.limits.wall.unwrap_or(Duration::MAX);
        let take = move || {
            reactor()?.block_on(async {
                let memory = tokio::time::timeout(wall, self.first.prepare_memory()).await;
                Ok(memory.unwrap_or(Err(SnapshotError::Ended(Exit::Limit(Limit::Wall)))))
            })
        };
        aside(take).flatten().map_err(StartError::Thread)?
    }
}

fn refuse_nul<'t>(
    what: &'static str,
    texts: impl IntoIterator<Item = &'t String>,
) -> Result<(), StartError> {
    match texts.into_iter().find(|text| text.contains('\0')) {
        None => Ok(()),
        Some(text) => Err(StartError::Nul {
            what,
            text: text.clone(),
        }),
    }
}

fn refuse_no_name<'n>(names: impl IntoIterator<Item = &'n String>) -> Result<(), StartError> {
    let is_none = |name: &&String| name.is_empty() || name.contains('=');
    match names.into_iter().find(is_none) {
        None => Ok(()),
        Some(name) => Err(StartError::VariableName(name.clone())),
    }
}

/// The folders that the guest sees over `/`, the outer ones before those in them.
fn preopens(parts: &Parts, policy: &Policy, scratch: &Scratch) -> Result<Vec<Preopen>, StartError> {
    let mut all = parts.shared.clone();
    for at in &policy.private {
        let folder = scratch.aside().map_err(StartError::Scratch)?;
        all.push(Preopen::private(folder, at.clone(), Access::ReadWrite));
    }
    all.extend(policy.mounts.iter().map(Preopen::from));
    for preopen in &all {
        scratch
            .mount_point(&preopen.place.guest)
            .map_err(StartError::Scratch)?;
    }
    Ok(all)
}

/// Is there a folder at `at`, if it lies in one of these? In the guest's own root there is.
fn is_folder(at: &GuestPath, preopens: &[Preopen]) -> bool {
    let below = |preopen: &Preopen| {
        let below = Path::new(at.as_str()).strip_prefix(preopen.place.guest.as_str());
        below.ok().map(Path::to_owned)
    };
    let inside = preopens
        .iter()
        .filter_map(|preopen| Some((below(preopen)?, preopen)))
        .min_by_key(|(below, _)| below.as_os_str().len());
    match inside {
        Some((below, preopen)) if below != Path::new("") => {
            // As the guest sees it: links lead nowhere else.
            Dir::open_ambient_dir(preopen.opened(), ambient_authority())
                .is_ok_and(|folder| folder.is_dir(below))
        }
        _ => true,
    }
}

pub(crate) fn wasi_context(
    command: Command,
    env: &[(String, String)],
    limits: &Limits,
    streams: &Streams,
    preopens: &[Preopen],
    surroundings: &Surroundings,
) -> Result<WasiCtx, StartError> {
    let mut wasi = WasiCtxBuilder::new();
    surroundings.apply(&mut wasi);
    streams.connect(&mut wasi);
    // The instance has a thread of its own, so file access need not hop to another one.
    wasi.allow_blocking_current_thread(true);
    wasi.args(&command.argv).initial_cwd(command.cwd.as_str());
    wasi.env("PYWASM_MAX_THREADS", limits.threads.to_string());
    let own = |(name, _): &&(String, String)| name != "PYWASM_MAX_THREADS";
    for (name, value) in env.iter().filter(own) {
        wasi.env(name, value);
    }
    for preopen in preopens {
        let access = match preopen.host_access() {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        wasi.preopened_dir(preopen.opened(), preopen.place.guest.as_str(), access)
            .map_err(|source| StartError::Mount {
                path: preopen.host.clone(),
                guest: preopen.place.guest.clone(),
                source: source.into(),
            })?;
    }
    Ok(wasi.build())
}
