//! Semaphores that the processes of an app share by name.

use super::sync::{Counted, Counter};
use crate::net::sync::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;

/// As on Linux.
const LONGEST_NAME: usize = 255;
const MOST: u32 = i32::MAX.unsigned_abs();

/// One process's hold on a semaphore.
#[derive(Clone)]
pub struct Semaphore(Arc<Shared>);

struct Shared {
    value: Mutex<u32>,
    given: Notify,
    _counted: Counted,
}

/// Whether a semaphore may or must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Existing,
    New,
    Either,
}

/// Those that have a name.
pub(crate) struct Semaphores {
    named: Mutex<BTreeMap<String, Semaphore>>,
    counter: Counter,
}

impl Semaphores {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            named: Mutex::default(),
            counter: Counter::new(limit),
        }
    }

    pub(crate) fn open(&self, name: String, creation: Creation, value: u32) -> Option<Semaphore> {
        let mut named = lock(&self.named);
        match (named.get(&name), creation) {
            (Some(_), Creation::New) | (None, Creation::Existing) => None,
            (Some(semaphore), _) => Some(semaphore.clone()),
            (None, _) if name.len() > LONGEST_NAME || value > MOST => None,
            (None, _) => {
                let semaphore = Semaphore(Arc::new(Shared {
                    value: Mutex::new(value),
                    given: Notify::new(),
                    _counted: self.counter.take()?,
                }));
                named.insert(name, semaphore.clone());
                Some(semaphore)
            }
        }
    }

    pub(crate) fn unlink(&self, name: &str) -> bool {
        lock(&self.named).remove(name).is_some()
    }
}

impl Semaphore {
    pub(crate) fn take(&self) -> bool {
        let mut value = lock(&self.0.value);
        let taken = value.checked_sub(1);
        *value = taken.unwrap_or_default();
        taken.is_some()
    }

    pub(crate) fn give(&self) -> bool {
        let mut value = lock(&self.0.value);
        if *value == MOST {
            return false;
        }
        *value += 1;
        self.0.given.notify_waiters();
        true
    }

    pub(crate) fn value(&self) -> u32 {
        *lock(&self.0.value)
    }
}

#[async_trait]
impl Pollable for Semaphore {
    async fn ready(&mut self) {
        loop {
            let given = self.0.given.notified();
            tokio::pin!(given);
            // From here on no change is missed.
            given.as_mut().enable();
            if self.value() > 0 {
                return;
            }
            given.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_until_they_are_taken_away() {
        let all = Semaphores::new(2);
        let open = |creation| all.open("/a".to_owned(), creation, 1);
        assert!(open(Creation::Existing).is_none());
        let one = open(Creation::New).expect("new");
        assert!(open(Creation::New).is_none());
        let same = open(Creation::Either).expect("there");
        assert!(one.take() && !same.take());
        assert!(same.give() && one.value() == 1);
        assert!(all.unlink("/a") && !all.unlink("/a"));
        let other = open(Creation::New).expect("new");
        assert!(one.take() && other.value() == 1);
    }

    #[test]
    fn they_are_counted_and_count_no_further_than_they_can() {
        let all = Semaphores::new(1);
        let open = |name: &str, value| all.open(name.to_owned(), Creation::Either, value);
        assert!(open("b", MOST + 1).is_none());
        assert!(open(&"b".repeat(256), 1).is_none());
        let full = open("b", MOST).expect("room");
        assert!(!full.give());
        assert!(open("c", 1).is_none());
        all.unlink("b");
        drop(full);
        assert!(open("c", 1).is_some());
    }
}
