//! The published ports of a running instance, as a way to end its traffic in good order.

use super::listener::Listener;
use super::stream::HostStream;
use super::sync::lock;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// How long a client must have had its answer, without asking for more, to be done with.
pub(super) const QUIET: Duration = Duration::from_millis(250);

/// The same for one that has not asked for anything yet.
pub(super) const SILENT: Duration = Duration::from_secs(1);

/// How often connections are looked at while they are waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Shuts the published ports of an instance, and waits for those who came in before. Cheap to clone.
///
/// A program need not know of it: connections are not accepted any more, and those that it has end in their own time.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shut: bool,
    /// Somebody has come in.
    entered: bool,
    listeners: Vec<Weak<Listener>>,
    connections: Vec<Weak<HostStream>>,
    /// How many connections there were when the gone ones were last removed.
    kept: usize,
}

impl Doors {
    /// No connection of the host is accepted from now on.
    pub fn shut(&self) {
        lock(&self.0).shut = true;
        for listener in self.listeners() {
            listener.shut();
        }
    }

    /// To be looked at without the lock: a listener that accepts takes its own first, and then this one.
    fn listeners(&self) -> Vec<Arc<Listener>> {
        let state = lock(&self.0);
        state.listeners.iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until each connection is closed, or has had its answer and asks for nothing. Must be awaited inside a
    /// tokio runtime.
    pub async fn quiet(&self) {
        while self.is_busy() {
            sleep(LOOK).await;
        }
    }

    fn is_busy(&self) -> bool {
        // In this order: what one of them accepts meanwhile is a connection then.
        if self.listeners().iter().any(|listener| listener.holds_one()) {
            return true;
        }
        let connections = lock(&self.0).connections.clone();
        let mut open = connections.iter().filter_map(Weak::upgrade);
        open.any(|connection| !connection.is_idle())
    }

    /// Does the program listen at a published port?
    pub fn is_open(&self) -> bool {
        !self.listeners().is_empty()
    }

    /// Has a connection come in?
    pub fn entered(&self) -> bool {
        lock(&self.0).entered
    }

    /// Have those who came in all gone?
    pub fn is_deserted(&self) -> bool {
        let state = lock(&self.0);
        let mut open = state.connections.iter().filter_map(Weak::upgrade);
        state.entered && !open.any(|connection| connection.has_peer())
    }

    /// Has one of those who came in gone without having had its answer?
    pub fn is_forsaken(&self) -> bool {
        let state = lock(&self.0);
        let mut open = state.connections.iter().filter_map(Weak::upgrade);
        open.any(|connection| connection.is_forsaken())
    }

    /// A listener that is open to the host; false when it must not be.
    pub(super) fn add(&self, listener: &Arc<Listener>) -> bool {
        let mut state = lock(&self.0);
        state.listeners.retain(|known| known.strong_count() > 0);
        state.listeners.push(Arc::downgrade(listener));
        !state.shut
    }

    /// A connection that has come in.
    pub(super) fn admit(&self, connection: &Arc<HostStream>) {
        let mut state = lock(&self.0);
        state.entered = true;
        if state.connections.len() > 2 * state.kept + 32 {
            state.connections.retain(|known| known.strong_count() > 0);
            state.kept = state.connections.len();
        }
        state.connections.push(Arc::downgrade(connection));
    }
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doors")
    }
}
