//! Connections to workers: each serves one request at a time, so their number is that of requests being served.

use crate::connection::{Broken, Connection, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which of all workers that there have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

pub(crate) struct Pool {
    socket: PathBuf,
    turns: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Requests that each worker is serving.
    busy: BTreeMap<WorkerId, usize>,
    /// Workers that get no more requests.
    gone: BTreeSet<WorkerId>,
}

/// The right to one connection, counted until it is dropped.
pub(crate) struct Lease {
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
    pub(crate) fn new(socket: PathBuf, most: usize) -> Arc<Self> {
        Arc::new(Self {
            socket,
            turns: Arc::new(Semaphore::new(most)),
            most,
            state: Mutex::default(),
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
        let lease = Lease {
            count: Count {
                pool: Arc::clone(self),
                worker,
            },
            _turn: turn,
        };
        Ok((connection, lease))
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

    /// No request goes to `worker` from now on; those that it serves end in their own time.
    pub(crate) fn forget(&self, worker: WorkerId) {
        let mut state = self.state();
        state.gone.insert(worker);
        state.idle.retain(|idle| idle.worker != worker);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// An idle connection, unless all idle ones are of workers that are busy and a new one may be had, which a worker
    /// with nothing to do takes first.
    fn choose(&mut self, most: usize) -> Option<Connection> {
        self.idle.retain(|connection| !connection.is_stale());
        let load = |connection: &Connection| self.busy.get(&connection.worker).copied();
        let loads = self.idle.iter().map(|idle| load(idle).unwrap_or(0));
        let (index, least) = loads.enumerate().min_by_key(|(_, load)| *load)?;
        let open = self.idle.len() + self.busy.values().sum::<usize>();
        match least > 0 && open < most {
            true => None,
            false => Some(self.idle.swap_remove(index)),
        }
    }
}

impl Lease {
    /// Keeps the connection for another request.
    pub(crate) fn give_back(self, reader: Reader, writer: OwnedWriteHalf) {
        let worker = self.count.worker;
        let mut state = self.count.pool.state();
        if !state.gone.contains(&worker) {
            state.idle.push(Connection::again(worker, reader, writer));
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
