//! Who is there: the processes of one app, by number.

use crate::net::sync::lock;
use crate::signals::Signals;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::sync::{Notify, watch};

/// The number of the first process, which the host starts.
pub(super) const FIRST: u32 = 1;

/// Nobody's child: of the first process, and of those whose parent has ended.
const NOBODY: u32 = 0;

/// Ended ones that nobody has asked about take a place too.
const ENTRIES: usize = 1024;

/// SIGKILL.
pub(super) const KILL: u8 = 9;

/// How a process ended, as Linux's `wait()` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

impl Status {
    pub(super) fn exited(code: u8) -> Self {
        Self(u32::from(code) << 8)
    }

    pub(super) fn killed(signal: u8) -> Self {
        Self(u32::from(signal & 0x7f))
    }
}

struct Entry {
    parent: u32,
    signals: Signals,
    stop: watch::Sender<bool>,
    killed: Option<u8>,
    ended: Option<Status>,
    memory: Arc<AtomicU64>,
    began: SystemTime,
}

/// What a process is, as it is told of.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) parent: u32,
    pub(super) has_ended: bool,
    pub(super) memory: u64,
    pub(super) began: SystemTime,
}

pub(super) struct Registry {
    entries: Mutex<Entries>,
    changed: Notify,
    limit: usize,
}

struct Entries {
    all: BTreeMap<u32, Entry>,
    next: u32,
}

/// What to run a new process with.
pub(super) struct Place {
    pub(super) number: u32,
    /// How many lived before it came.
    pub(super) others: usize,
    pub(super) signals: Signals,
    pub(super) stopped: watch::Receiver<bool>,
}

/// It is no child of who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoChild;

impl Registry {
    /// With the first process in it. `limit` is how many may live at once.
    pub(super) fn new(limit: usize, first: Signals) -> Self {
        let first = Entry {
            parent: NOBODY,
            signals: first,
            stop: watch::Sender::new(false),
            killed: None,
            ended: None,
            memory: Arc::default(),
            began: SystemTime::now(),
        };
        Self {
            entries: Mutex::new(Entries {
                all: BTreeMap::from([(FIRST, first)]),
                next: FIRST + 1,
            }),
            changed: Notify::new(),
            limit,
        }
    }

    /// Makes room for a child of `parent`, if there is any.
    pub(super) fn enter(&self, parent: u32) -> Option<Place> {
        let mut entries = lock(&self.entries);
        let live = entries.all.values().filter(|entry| entry.ended.is_none());
        let others = live.count();
        if others >= self.limit || entries.all.len() >= ENTRIES {
            return None;
        }
        let number = entries.next;
        entries.next = number.checked_add(1)?;
        let (stop, stopped) = watch::channel(false);
        let signals = entries.all.get(&FIRST)?.signals.member();
        let entry = Entry {
            parent,
            signals: signals.clone(),
            stop,
            killed: None,
            ended: None,
            memory: Arc::default(),
            began: SystemTime::now(),
        };
        entries.all.insert(number, entry);
        Some(Place {
            number,
            others,
            signals,
            stopped,
        })
    }

    /// The bytes that it has are counted there.
    pub(super) fn uses(&self, number: u32, memory: Arc<AtomicU64>) {
        if let Some(entry) = lock(&self.entries).all.get_mut(&number) {
            entry.memory = memory;
        }
    }

    /// All that live, and those that have ended and were not asked about yet.
    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = |(number, entry): (&u32, &Entry)| Listed {
            number: *number,
            parent: entry.parent,
            has_ended: entry.ended.is_some(),
            memory: entry.memory.load(Ordering::Relaxed),
            began: entry.began,
        };
        lock(&self.entries).all.iter().map(listed).collect()
    }

    /// It could not be started after all.
    pub(super) fn leave(&self, number: u32) {
        lock(&self.entries).all.remove(&number);
        self.changed.notify_waiters();
    }

    /// It says that it ends by a signal.
    pub(super) fn killed(&self, number: u32, signal: u8) {
        if let Some(entry) = lock(&self.entries).all.get_mut(&number) {
            entry.killed = Some(signal);
        }
    }

    /// It has ended: with `status`, unless it named a signal. Its children are nobody's from now on.
    pub(super) fn ended(&self, number: u32, status: Status) {
        let mut entries = lock(&self.entries);
        for entry in entries.all.values_mut() {
            if entry.parent == number {
                entry.parent = NOBODY;
            }
        }
        if let Some(entry) = entries.all.get_mut(&number) {
            entry.ended = Some(entry.killed.map_or(status, Status::killed));
        }
        let forgotten = |entry: &Entry, number| {
            entry.ended.is_some() && entry.parent == NOBODY && number != FIRST
        };
        entries
            .all
            .retain(|number, entry| !forgotten(entry, *number));
        drop(entries);
        self.changed.notify_waiters();
    }

    /// Takes a child of `parent` that has ended: `child`, or any if that is 0. `None` while it runs.
    pub(super) fn reap(&self, parent: u32, child: u32) -> Result<Option<(u32, Status)>, NoChild> {
        let mut entries = lock(&self.entries);
        let found = entries.find(parent, child)?;
        if let Some((number, _)) = found {
            entries.all.remove(&number);
        }
        Ok(found)
    }

    /// Resolves when [`Registry::reap`] would not say `None`.
    pub(super) async fn ready(&self, parent: u32, child: u32) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if !matches!(lock(&self.entries).find(parent, child), Ok(None)) {
                return;
            }
            changed.await;
        }
    }

    /// Sends a signal; 0 sends none. Returns whether there is such a process.
    pub(super) fn signal(&self, number: u32, signal: u8) -> bool {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.all.get_mut(&number) else {
            return false;
        };
        entry.signals.send_number(signal);
        if signal == KILL && number != FIRST {
            // However it ends from now on: it may be about to end by itself.
            entry.killed = Some(KILL);
            entry.stop.send_replace(true);
        }
        true
    }

    /// Ends all but the first.
    pub(super) fn stop_all(&self) {
        for (number, entry) in &lock(&self.entries).all {
            if *number != FIRST {
                entry.signals.send_number(KILL);
                entry.stop.send_replace(true);
            }
        }
    }

    /// Resolves when none but the first runs.
    pub(super) async fn alone(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let others =
                |(number, entry): (&u32, &Entry)| *number != FIRST && entry.ended.is_none();
            if !lock(&self.entries).all.iter().any(others) {
                return;
            }
            changed.await;
        }
    }
}

impl Entries {
    fn find(&self, parent: u32, child: u32) -> Result<Option<(u32, Status)>, NoChild> {
        let mut children = self
            .all
            .iter()
            .filter(|(number, entry)| entry.parent == parent && (child == 0 || child == **number))
            .peekable();
        children.peek().ok_or(NoChild)?;
        Ok(children.find_map(|(number, entry)| Some((*number, entry.ended?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(limit: usize) -> Registry {
        Registry::new(limit, Signals::default())
    }

    #[test]
    fn children_are_reaped_once_and_only_by_their_parent() {
        let all = registry(8);
        let child = all.enter(FIRST).expect("room").number;
        let grandchild = all.enter(child).expect("room").number;
        assert_eq!(all.reap(FIRST, grandchild), Err(NoChild));
        assert_eq!(all.reap(FIRST, 0), Ok(None));
        all.uses(grandchild, Arc::new(AtomicU64::new(7)));
        all.ended(child, Status::exited(3));
        let listed = all.list().into_iter();
        let listed = listed.map(|one| (one.number, one.parent, one.has_ended, one.memory));
        let first = (FIRST, NOBODY, false, 0);
        let orphan = (grandchild, NOBODY, false, 7);
        assert!(listed.eq([first, (child, FIRST, true, 0), orphan]));
        assert_eq!(all.reap(FIRST, child), Ok(Some((child, Status(0x300)))));
        assert_eq!(all.reap(FIRST, child), Err(NoChild));
        all.ended(grandchild, Status::exited(0));
        assert!(!all.signal(grandchild, 0), "nobody is left to ask about it");
    }

    #[test]
    fn a_signal_that_a_process_names_is_how_it_ended() {
        let all = registry(8);
        let child = all.enter(FIRST).expect("room").number;
        all.killed(child, 15);
        all.ended(child, Status::exited(143));
        assert_eq!(all.reap(FIRST, 0), Ok(Some((child, Status(15)))));
    }

    #[test]
    fn what_was_killed_ended_by_that_however_it_did() {
        let all = registry(8);
        let child = all.enter(FIRST).expect("room").number;
        let quicker = all.enter(FIRST).expect("room").number;
        all.ended(quicker, Status::exited(3));
        assert!(all.signal(child, KILL) && all.signal(quicker, KILL));
        all.ended(child, Status::exited(0));
        assert_eq!(all.reap(FIRST, child), Ok(Some((child, Status(9)))));
        assert_eq!(all.reap(FIRST, quicker), Ok(Some((quicker, Status(0x300)))));
    }

    #[test]
    fn so_many_live_at_once() {
        let all = registry(2);
        let child = all.enter(FIRST).expect("room");
        assert!(all.enter(FIRST).is_none());
        all.ended(child.number, Status::exited(0));
        let second = all.enter(FIRST).expect("room again");
        assert!(all.signal(second.number, KILL) && *second.stopped.borrow());
    }

    #[test]
    fn those_that_ended_take_places_too() {
        let all = registry(2);
        while let Some(place) = all.enter(FIRST) {
            all.ended(place.number, Status::exited(0));
        }
        assert!(all.reap(FIRST, 0).is_ok());
        assert!(all.enter(FIRST).is_some());
    }
}
