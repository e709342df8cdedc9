//! What an app may have so many of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many are left.
#[derive(Debug, Clone)]
pub(crate) struct Counter(Arc<AtomicUsize>);

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Counter);

impl Counter {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(limit)))
    }

    pub(crate) fn take(&self) -> Option<Counted> {
        let one_less = |left: usize| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
            .then(|| Counted(self.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}
