//! Small pieces that the shared states of sockets are made of.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Locks, whatever happened before: a panic elsewhere must not become a second one here.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For asking without waiting.
pub(crate) fn no_waker() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The task to wake when a state changes. One is enough: a state is awaited by one instance, which runs
/// as one task.
#[derive(Debug, Default)]
pub(crate) struct WakerSlot(Option<Waker>);

impl WakerSlot {
    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        match &self.0 {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.0 = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
