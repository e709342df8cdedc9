//! `--workers N`: instances of one app, each in a process of its own, at the same published ports.
//!
//! The command's process binds the ports and runs no guest code. It starts workers, replaces those that end, and
//! ends them in good order.

pub mod control;
mod worker;

use crate::denials::{Log, News};
use crate::printer;
use pywasm::net::SharedPorts;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
pub use worker::WorkerId;
use worker::{Happened, Worker};

/// A worker that lived this long did not end because of how it started.
const SETTLED: Duration = Duration::from_secs(10);

/// How long a worker that replaces one which ended at once is waited with; twice that after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How much longer than its own limit a worker's end may take.
const GRACE: Duration = Duration::from_millis(500);

/// What to run.
pub struct Plan {
    /// Of `pywasm`, for each worker.
    pub verb: &'static str,
    pub count: NonZeroU16,
    /// What they may not exceed, where the app could change what says what that is.
    pub granted: Option<String>,
    /// What was written after the verb.
    pub arguments: Vec<OsString>,
    pub packing: Packing,
    pub ports: SharedPorts,
    pub stop_timeout: Duration,
    /// For all of it.
    pub time_limit: Option<Duration>,
    pub interrupts: Interrupts,
}

/// What becomes of Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// The app hears of it, whose program it is.
    AreTheApps,
    /// It ends the command, and workers as SIGTERM does: their program is ours.
    EndWorkers,
}

/// How a project was packed, and can be again. All workers run the same, whatever becomes of the project's files: an
/// access log may be one of them. Packages have nothing to be packed.
#[derive(Default, Clone)]
pub struct Packing(Option<Packed>);

#[derive(Clone)]
struct Packed {
    file: PathBuf,
    again: Arc<dyn Fn() -> anyhow::Result<PathBuf> + Send + Sync>,
}

impl Packing {
    /// Packed into `file`; `again` packs it as it is then.
    pub fn of(
        file: PathBuf,
        again: impl Fn() -> anyhow::Result<PathBuf> + Send + Sync + 'static,
    ) -> Self {
        let again = Arc::new(again);
        Self(Some(Packed { file, again }))
    }

    fn file(&self) -> Option<&Path> {
        self.0.as_ref().map(|packed| packed.file.as_path())
    }

    /// What the project is now. Takes as long as packing does.
    fn renewed(mut self) -> anyhow::Result<Self> {
        if let Some(packed) = &mut self.0 {
            packed.file = (packed.again)()?;
        }
        Ok(self)
    }
}

/// Those to whom it matters what becomes of workers.
pub trait Face {
    /// Something is to be told.
    fn hear(&self, news: &News);

    /// So many workers can serve now.
    fn ready(&self, _count: usize) {}

    /// This worker gets nothing more to do.
    fn forget(&self, _worker: WorkerId) {}

    /// A worker ended without being told to.
    fn failed(&self) {}

    /// Waits until nobody is being served, before workers are told to end.
    async fn drain(&mut self) {}
}

/// A person alone.
impl Face for Log {
    fn hear(&self, news: &News) {
        Self::hear(self, news);
    }
}

/// Runs workers until a signal or the time limit ends them all, or the first cannot start. Returns the exit code.
pub async fn run(plan: Plan, face: &mut impl Face) -> anyhow::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut reload = signal(SignalKind::user_defined1())?;
    let out_of_time = plan
        .time_limit
        .and_then(|limit| Instant::now().checked_add(limit));
    let (mut crew, mut happened) = Crew::new(plan);
    crew.start(0)?;
    let mut renewing = JoinSet::new();
    loop {
        let code = tokio::select! {
            Some((id, what)) = happened.recv() => match crew.happened(id, what, face)? {
                Some(code) => code,
                None => continue,
            },
            () = at(crew.next_start()) => {
                crew.start_due()?;
                continue;
            }
            _ = reload.recv(), if renewing.is_empty() => {
                let packing = crew.plan.packing.clone();
                renewing.spawn_blocking(move || packing.renewed());
                continue;
            }
            Some(renewed) = renewing.join_next() => {
                match renewed? {
                    Ok(packing) => {
                        crew.plan.packing = packing;
                        crew.reload()?;
                    }
                    Err(error) => printer::note(&format!("not reloaded: {}; the old workers stay", crate::report::in_full(&error))),
                }
                continue;
            }
            _ = interrupt.recv() => {
                if crew.plan.interrupts == Interrupts::AreTheApps {
                    crew.signal(Signal::INT);
                }
                130
            }
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 143,
            () = at(out_of_time) => {
                printer::note("the app was ended at its limit of time (--timeout)");
                124
            }
        };
        let _ = timeout(crew.plan.stop_timeout, face.drain()).await;
        crew.retire_all(face);
        let give_up = Instant::now() + crew.plan.stop_timeout + GRACE;
        while !crew.workers.is_empty() {
            tokio::select! {
                Some((id, what)) = happened.recv() => match what {
                    Happened::News(news) => face.hear(&news),
                    Happened::Ended(_) => drop(crew.workers.remove(&id)),
                },
                // A second signal is an order.
                _ = interrupt.recv() => crew.signal(Signal::KILL),
                _ = terminate.recv() => crew.signal(Signal::KILL),
                () = sleep_until(give_up) => {
                    crew.signal(Signal::KILL);
                    break;
                }
            }
        }
        return Ok(code);
    }
}

/// Resolves at that time; without one never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The workers there are, and the places that they fill.
struct Crew {
    plan: Plan,
    places: Vec<Place>,
    workers: BTreeMap<WorkerId, Worker>,
    next_id: WorkerId,
    /// A worker has listened, so that the app can start.
    proven: bool,
    /// Places whose worker is still to be replaced by a newer one.
    reloading: Vec<usize>,
    tell: Sender<(WorkerId, Happened)>,
}

/// What is to be one serving worker at all times.
#[derive(Default)]
struct Place {
    worker: Option<WorkerId>,
    /// The one that takes over once it listens.
    successor: Option<WorkerId>,
    /// Workers that ended one after the other soon after their start.
    failures: u32,
    /// When the next one starts.
    due: Option<Instant>,
}

impl Crew {
    fn new(plan: Plan) -> (Self, Receiver<(WorkerId, Happened)>) {
        let (tell, happened) = channel(64);
        let places = (0..plan.count.get()).map(|_| Place::default()).collect();
        let crew = Self {
            plan,
            places,
            workers: BTreeMap::new(),
            next_id: 0,
            proven: false,
            reloading: Vec::new(),
            tell,
        };
        (crew, happened)
    }

    fn add(&mut self) -> anyhow::Result<WorkerId> {
        let id = self.next_id;
        self.next_id += 1;
        let worker = Worker::start(id, &self.plan, self.tell.clone())?;
        self.workers.insert(id, worker);
        Ok(id)
    }

    fn start(&mut self, place: usize) -> anyhow::Result<()> {
        let id = self.add()?;
        self.places[place].worker = Some(id);
        self.places[place].due = None;
        Ok(())
    }

    fn next_start(&self) -> Option<Instant> {
        self.places.iter().filter_map(|place| place.due).min()
    }

    fn start_due(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for place in 0..self.places.len() {
            if self.places[place].due.is_some_and(|due| due <= now) {
                self.start(place)?;
            }
        }
        Ok(())
    }

    /// Returns the exit code if this is the end.
    fn happened(
        &mut self,
        id: WorkerId,
        what: Happened,
        face: &impl Face,
    ) -> anyhow::Result<Option<u8>> {
        match what {
            Happened::News(news) => {
                face.hear(&news);
                if matches!(news, News::Listening { .. }) {
                    self.listens(id, face)?;
                    face.ready(self.ready());
                }
                Ok(None)
            }
            Happened::Ended(status) => {
                let code = self.ended(id, status, face);
                face.ready(self.ready());
                Ok(code)
            }
        }
    }

    fn ready(&self) -> usize {
        let can_serve = |worker: &&Worker| worker.listens && !worker.retired;
        self.workers.values().filter(can_serve).count()
    }

    fn listens(&mut self, id: WorkerId, face: &impl Face) -> anyhow::Result<()> {
        let Some(worker) = self.workers.get_mut(&id) else {
            return Ok(());
        };
        if std::mem::replace(&mut worker.listens, true) {
            return Ok(());
        }
        // One alone tries first: an app that cannot start says so once.
        if !std::mem::replace(&mut self.proven, true) {
            for place in 1..self.places.len() {
                self.start(place)?;
            }
        }
        let taken_over = |place: &Place| place.successor == Some(id);
        if let Some(place) = self.places.iter_mut().find(|place| taken_over(place)) {
            place.successor = None;
            place.failures = 0;
            place.due = None;
            let old = place.worker.replace(id);
            if let Some((id, old)) = old.and_then(|id| Some((id, self.workers.get_mut(&id)?))) {
                face.forget(id);
                old.retire();
            }
            if self.reloading.is_empty() {
                printer::note("all workers are new");
            }
            self.reload_next()?;
        }
        Ok(())
    }

    fn ended(&mut self, id: WorkerId, status: ExitStatus, face: &impl Face) -> Option<u8> {
        let worker = self.workers.remove(&id)?;
        face.forget(id);
        if !self.proven {
            return Some(code(status));
        }
        if worker.retired {
            return None;
        }
        face.failed();
        if let Some(place) = self.places.iter_mut().find(|p| p.successor == Some(id)) {
            place.successor = None;
            self.reloading.clear();
            printer::note(&format!(
                "not reloaded: a new worker ended before it listened ({}); the old ones stay",
                told(status)
            ));
            return None;
        }
        if let Some(place) = self.places.iter_mut().find(|p| p.worker == Some(id)) {
            if worker.started.elapsed() >= SETTLED {
                place.failures = 0;
            }
            let pause = match place.failures {
                0 => Duration::ZERO,
                more => LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.saturating_pow(more - 1)),
            };
            place.failures += 1;
            place.worker = None;
            place.due = Some(Instant::now() + pause);
            let when = match pause.is_zero() {
                true => String::new(),
                false => format!(" in {:.1} s", pause.as_secs_f32()),
            };
            printer::note(&format!(
                "a worker ended ({}); another one starts{when}",
                told(status)
            ));
        }
        None
    }

    /// Replaces all workers, one after the other, each once the new one listens.
    fn reload(&mut self) -> anyhow::Result<()> {
        if !self.proven || !self.reloading.is_empty() {
            return Ok(());
        }
        printer::note("starting all workers anew");
        self.reloading = (0..self.places.len()).rev().collect();
        self.reload_next()
    }

    fn reload_next(&mut self) -> anyhow::Result<()> {
        if let Some(place) = self.reloading.pop() {
            let id = self.add()?;
            self.places[place].successor = Some(id);
        }
        Ok(())
    }

    /// No more connections; those that there are end in their own time.
    fn retire_all(&mut self, face: &impl Face) {
        self.plan.ports.close();
        for (id, worker) in &mut self.workers {
            face.forget(*id);
            worker.retire();
        }
    }

    fn signal(&self, signal: Signal) {
        for worker in self.workers.values() {
            worker.signal(signal);
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(1)
}

fn told(status: ExitStatus) -> String {
    format!("code {}", code(status))
}
