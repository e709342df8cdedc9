//! Connections to workers: each serves one request at a time, so their number is that of requests being served.
//! WebSockets have connections of their own, which are not counted: clients' connections limit them.

use crate::Life;
use crate::connection::{Broken, Connection, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Which of all workers that there have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

pub(crate) struct Pool {
    socket: PathBuf,
    turns: Arc<Semaphore>,
    most: usize,
    life: Life,
    state: Mutex<State>,
    /// Tells that another worker is among those which get no more requests.
    going: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Requests that each worker is serving.
    busy: BTreeMap<WorkerId, usize>,
    /// How many workers can serve.
    workers: usize,
    /// Workers that get no more requests.
    gone: BTreeSet<WorkerId>,
}

/// The right to one connection.
pub(crate) struct Lease(Option<Counted>);

/// It is counted until it is dropped.
struct Counted {
    // Counted off before another request gets its turn.
    count: Count,
    _turn: OwnedSemaphorePermit,
}

struct Count {
    pool: Arc<Pool>,
    worker: WorkerId,
}

impl Pool {
    /// At most `most` connections to the workers that listen at `socket`.
    pub(crate) fn new(socket: PathBuf, most: usize, life: Life) -> Arc<Self> {
        Arc::new(Self {
            socket,
            turns: Arc::new(Semaphore::new(most)),
            most,
            life,
            state: Mutex::default(),
            going: watch::Sender::new(()),
        })
    }

    /// A connection to the worker with the least to do, once it is this request's turn.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<(Connection, Lease), Broken> {
        // Fails only where it was closed, which nobody does.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| Broken::Ended)?;
        let idle = self.state().choose(self.most);
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let worker = connection.worker;
        *self.state().busy.entry(worker).or_default() += 1;
        let count = Count {
            pool: Arc::clone(self),
            worker,
        };
        let counted = Counted { count, _turn: turn };
        Ok((connection, Lease(Some(counted))))
    }

    /// A connection for a WebSocket, to whichever worker takes it, which serves nothing else.
    pub(crate) async fn lease_for_socket(&self) -> Result<(Connection, Lease), Broken> {
        Ok((self.open().await?, Lease(None)))
    }

    /// Resolves when `worker` gets no more requests.
    pub(crate) async fn going(&self, worker: WorkerId) {
        let mut told = self.going.subscribe();
        while !self.state().gone.contains(&worker) {
            // Fails only where the sender is gone, which is ours.
            let _ = told.changed().await;
        }
    }

    async fn open(&self) -> Result<Connection, Broken> {
        loop {
            let connection = Connection::open(&self.socket).await?;
            // One that is going took it in its last moment.
            if !self.state().gone.contains(&connection.worker) {
                return Ok(connection);
            }
        }
    }

    /// So many workers can serve now.
    pub(crate) fn set_workers(&self, count: usize) {
        self.state().workers = count;
    }

    /// No request goes to `worker` from now on; those that it serves end in their own time.
    pub(crate) fn forget(&self, worker: WorkerId) {
        let mut state = self.state();
        state.gone.insert(worker);
        state.idle.retain(|idle| idle.worker != worker);
        drop(state);
        self.going.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// An idle connection, to the worker with the least to do of those that have one. None where a new one, which a worker with
    /// less to do takes first, is worth its price: each is polled by its worker for as long as it is open.
    fn choose(&mut self, most: usize) -> Option<Connection> {
        self.idle.retain(|connection| !connection.is_stale());
        let load = |worker: &WorkerId| self.busy.get(worker).copied().unwrap_or(0);
        let loads = self.idle.iter().map(|idle| load(&idle.worker));
        let (index, least) = loads.enumerate().min_by_key(|(_, load)| *load)?;
        let busy: usize = self.busy.values().sum();
        let idle = self.idle.iter().map(|idle| idle.worker);
        let known: BTreeSet<WorkerId> = idle.chain(self.busy.keys().copied()).collect();
        let unknown = known.len() < self.workers;
        let uneven = known.iter().any(|worker| load(worker) < least) && self.idle.len() <= busy;
        match least > 0 && (unknown || uneven) && self.idle.len() + busy < most {
            true => None,
            false => Some(self.idle.swap_remove(index)),
        }
    }
}

impl Lease {
    /// Keeps the connection for another request, where it is for more than one.
    pub(crate) fn give_back(self, reader: Reader, writer: OwnedWriteHalf) {
        let Self(Some(counted)) = self else {
            return;
        };
        let Count { pool, worker } = &counted.count;
        let mut state = pool.state();
        if pool.life == Life::Worker && !state.gone.contains(worker) {
            state.idle.push(Connection::again(*worker, reader, writer));
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if let Some(busy) = state.busy.get_mut(&self.worker) {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                state.busy.remove(&self.worker);
            }
        }
    }
}
