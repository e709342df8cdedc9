//! Counts connections that still send, so that the end of an instance can wait for them.

use std::future::Future;
use tokio::sync::watch;

/// How many tasks still send what the guest has written. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Draining(watch::Sender<usize>);

impl Draining {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Runs `task` beside the guest. Must be called inside a tokio runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let done = Done::of(self);
        tokio::spawn(async move {
            task.await;
            drop(done);
        });
    }

    /// Waits until no task is left.
    pub(crate) async fn finished(&self) {
        // Fails only without a sender, and `self` is one.
        let _ = self.0.subscribe().wait_for(|running| *running == 0).await;
    }
}

struct Done(watch::Sender<usize>);

impl Done {
    fn of(draining: &Draining) -> Self {
        draining.0.send_modify(|running| *running += 1);
        Self(draining.0.clone())
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0
            .send_modify(|running| *running = running.saturating_sub(1));
    }
}
