//! Work done once, by whoever comes first, and threads that come early.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// Values by key, each computed once; others wait for the one who computes.
pub(super) struct Memo<K, V> {
    slots: Mutex<HashMap<K, Slot<V>>>,
    filled: Condvar,
}

enum Slot<V> {
    Pending,
    Filled(Arc<V>),
}

impl<K: Hash + Eq + Clone, V> Memo<K, V> {
    pub(super) fn new() -> Self {
        Self {
            slots: Mutex::new(HashMap::new()),
            filled: Condvar::new(),
        }
    }

    /// The value of `key`, computed if nobody has begun to.
    pub(super) fn get(&self, key: &K, compute: impl FnOnce() -> V) -> Arc<V> {
        let mut slots = self.lock();
        loop {
            match slots.get(key) {
                Some(Slot::Filled(value)) => return Arc::clone(value),
                Some(Slot::Pending) => {
                    slots = self
                        .filled
                        .wait(slots)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        slots.insert(key.clone(), Slot::Pending);
        drop(slots);
        // A panic must not leave the others waiting for ever.
        let mut claim = Claim {
            memo: self,
            key,
            value: None,
        };
        let value = Arc::new(compute());
        claim.value = Some(Arc::clone(&value));
        value
    }

    /// The value, if it is there already.
    pub(super) fn peek(&self, key: &K) -> Option<Arc<V>> {
        match self.lock().get(key) {
            Some(Slot::Filled(value)) => Some(Arc::clone(value)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Claim<'m, K: Hash + Eq + Clone, V> {
    memo: &'m Memo<K, V>,
    key: &'m K,
    value: Option<Arc<V>>,
}

impl<K: Hash + Eq + Clone, V> Drop for Claim<'_, K, V> {
    fn drop(&mut self) {
        let mut slots = self.memo.lock();
        match self.value.take() {
            Some(value) => slots.insert(self.key.clone(), Slot::Filled(value)),
            None => slots.remove(self.key),
        };
        self.memo.filled.notify_all();
    }
}

type Job<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// Threads that take jobs until the pool is dropped; jobs not begun then are forgotten.
pub(super) struct Pool<'scope> {
    jobs: Sender<Job<'scope>>,
    stop: Arc<AtomicBool>,
}

impl<'scope> Pool<'scope> {
    pub(super) fn start<'env>(scope: &'scope Scope<'scope, 'env>, threads: usize) -> Self {
        let (jobs, queue) = channel::<Job<'scope>>();
        let queue = Arc::new(Mutex::new(queue));
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let (queue, stop) = (Arc::clone(&queue), Arc::clone(&stop));
            scope.spawn(move || work(&queue, &stop));
        }
        Self { jobs, stop }
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'scope) {
        // There are receivers as long as there is a pool.
        let _ = self.jobs.send(Box::new(job));
    }
}

/// Takes jobs until no more can come.
fn work(queue: &Mutex<Receiver<Job<'_>>>, stop: &AtomicBool) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) if !stop.load(Ordering::Relaxed) => job(),
            Ok(_) => {}
            Err(_) => break,
        }
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn everything_is_computed_once() {
        let memo = Memo::new();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let pool = Pool::start(scope, 4);
            for key in (0..100).map(|number| number % 10) {
                let (memo, count) = (&memo, &count);
                pool.run(move || {
                    memo.get(&key, || count.fetch_add(1, Ordering::SeqCst));
                });
            }
            for key in 0..10 {
                memo.get(&key, || count.fetch_add(1, Ordering::SeqCst));
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 10);
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let memo: Memo<u8, u8> = Memo::new();
        let panicked = std::thread::scope(|scope| {
            scope
                .spawn(|| memo.get(&1, || panic!("on purpose")))
                .join()
                .is_err()
        });
        assert!(panicked && memo.peek(&1).is_none());
        assert_eq!(*memo.get(&1, || 2), 2);
    }
}
