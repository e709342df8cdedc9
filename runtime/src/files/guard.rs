//! Which mount every open file belongs to, and what may be done there.

use super::locks::Locks;
use super::quota::Quota;
use super::root::Root;
use super::streams::Meter;
use super::uniform::Uniform;
use crate::events::{Denial, Event, EventSink};
use crate::exit::Limit;
use crate::policy::Access;
use bytes::Bytes;
use pywasm_format::GuestPath;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// A preopened folder.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) guest: GuestPath,
    pub(crate) access: Access,
    pub(crate) kind: PlaceKind,
}

/// Whose folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// A layer of the package: never writable, and programs try in vain all the time (bytecode).
    Layer,
    /// What instances of the package find at `/`: a private copy of it from the first change on.
    Image,
    /// Of this instance alone, and counted against the disk limit.
    Private,
    /// A folder of the host.
    Mount,
}

/// What a file holds that the host answers, by its path below `/`.
pub(crate) type Teller = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Keeps the rules for one instance.
pub(crate) struct Guard {
    places: Vec<Place>,
    /// The place of every open descriptor, by the number of its handle.
    open: HashMap<u32, usize>,
    root: Arc<Root>,
    /// Descriptors that the guest may have open.
    files: usize,
    quota: Arc<Mutex<Quota>>,
    events: EventSink,
    pub(super) locks: Locks,
    /// Tells what is in files that the image has for the host to answer: by their path below `/`.
    teller: Option<Teller>,
    /// The handle of `/`.
    top: Option<u32>,
    /// What was told, by the handle that is open.
    told: HashMap<u32, Bytes>,
    /// Where the guest is to see nothing of the machine.
    pub(super) uniform: Option<Uniform>,
}

impl Guard {
    /// `places` in the order in which they are preopened.
    pub(crate) fn new(
        places: Vec<Place>,
        root: Arc<Root>,
        files: u32,
        quota: Arc<Mutex<Quota>>,
        events: EventSink,
    ) -> Self {
        Self {
            files: usize::try_from(files).unwrap_or(usize::MAX),
            places,
            open: HashMap::new(),
            root,
            quota,
            events,
            locks: Locks::default(),
            teller: None,
            top: None,
            told: HashMap::new(),
            uniform: None,
        }
    }

    /// The same, with files whose content `teller` knows.
    pub(crate) fn telling(self, teller: Teller) -> Self {
        Self {
            teller: Some(teller),
            ..self
        }
    }

    /// The same, with files that look the same on every machine.
    pub(crate) fn uniform(self) -> Self {
        Self {
            uniform: Some(Uniform::default()),
            ..self
        }
    }

    /// Which of the places the handle `rep` lies in.
    pub(crate) fn place_number(&self, rep: u32) -> Option<usize> {
        self.open.get(&rep).copied()
    }

    /// The guest was given the preopened folder `number`, or something in it, as the handle `rep`.
    pub(crate) fn opened_place(&mut self, rep: u32, number: usize) {
        self.open.insert(rep, number);
    }

    /// The guest was given `/` itself as the handle `rep`.
    pub(super) fn opened_top(&mut self, rep: u32) {
        self.top = Some(rep);
    }

    /// What the host has to say in place of the file at `path` below `parent`. It differs from start to start: nothing that has
    /// to be the same on every machine may be made of it.
    pub(super) fn answer(&self, parent: u32, path: &str) -> Result<Option<Bytes>, ErrorCode> {
        let teller = self.teller.as_ref().filter(|_| self.top == Some(parent));
        let answer = teller.and_then(|tell| tell(path));
        match answer {
            Some(_) if self.uniform.is_some() => Err(ErrorCode::NoEntry),
            answer => Ok(answer.map(Bytes::from)),
        }
    }

    /// Reading `rep` gives that.
    pub(super) fn tells(&mut self, rep: u32, answer: Bytes) {
        self.told.insert(rep, answer);
    }

    /// What reading `rep` gives from `offset` on, if it is not what is on disk.
    pub(super) fn told(&self, rep: u32, offset: u64) -> Option<Bytes> {
        let answer = self.told.get(&rep)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        Some(answer.slice(start.min(answer.len())..))
    }

    /// May one more descriptor be opened?
    pub(super) fn check_files(&self) -> Result<(), ErrorCode> {
        if self.open.len() < self.files + self.places.len() {
            return Ok(());
        }
        self.tell(Denial::Limit(Limit::Files));
        // The standard has no code for "too many open files".
        Err(ErrorCode::InsufficientMemory)
    }

    /// `rep` was opened below `parent`.
    pub(super) fn opened(&mut self, rep: u32, parent: u32, file: Option<&Arc<File>>) {
        if let Some(number) = self.open.get(&parent).copied() {
            self.open.insert(rep, number);
            if let Some(file) = file.filter(|_| self.is_private(rep)) {
                self.quota().watch(file);
            }
        }
    }

    pub(super) fn closed(&mut self, rep: u32) {
        self.open.remove(&rep);
        self.told.remove(&rep);
    }

    /// Copies `/` if it is still the image, and moves what is open there to the copy.
    pub(crate) fn own_root(&mut self, table: &mut ResourceTable) -> io::Result<()> {
        self.root.copy()?;
        for place in &mut self.places {
            if place.kind == PlaceKind::Image {
                place.kind = PlaceKind::Private;
            }
        }
        let all: Vec<u32> = self.open.keys().copied().collect();
        all.into_iter().try_for_each(|rep| self.follow(table, rep))
    }

    /// Moves the handle `rep` to the copy if it is one of the image that was copied.
    pub(super) fn follow(&self, table: &mut ResourceTable, rep: u32) -> io::Result<()> {
        if self.is_private(rep)
            && let Ok(descriptor) = table.get_mut(&Resource::<Descriptor>::new_borrow(rep))
            && let Some(copy) = self.root.in_copy(descriptor)?
        {
            *descriptor = copy;
        }
        Ok(())
    }

    /// May files below `rep`, or the file itself, be changed? If so, what is shared is copied first.
    pub(super) fn check_change(&mut self, table: &mut ResourceTable, rep: u32) -> FsResult<()> {
        self.check_change_at(table, rep, "")
    }

    /// The same for what is at `path` below it.
    pub(super) fn check_change_at(
        &mut self,
        table: &mut ResourceTable,
        rep: u32,
        path: &str,
    ) -> FsResult<()> {
        self.check_access(rep, path)?;
        Ok(self.begin_change(table, rep)?)
    }

    /// What is shared and may be changed is copied before it is.
    pub(super) fn begin_change(&mut self, table: &mut ResourceTable, rep: u32) -> io::Result<()> {
        match self.becomes_own(rep) {
            true => self.own_root(table),
            false => Ok(()),
        }
    }

    /// Is this what is shared with other instances until the first change?
    pub(super) fn becomes_own(&self, rep: u32) -> bool {
        self.place(rep).is_some_and(|place| {
            place.kind == PlaceKind::Image && place.access == Access::ReadWrite
        })
    }

    pub(super) fn check_access(&self, rep: u32, path: &str) -> Result<(), ErrorCode> {
        let place = self.place(rep);
        match place.map(|place| place.access) {
            Some(Access::ReadWrite) => Ok(()),
            Some(Access::ReadOnly) => {
                self.tell_write(rep, path);
                Err(ErrorCode::ReadOnly)
            }
            // A handle that was never opened here: wasmtime answers it.
            None => Ok(()),
        }
    }

    /// Tells that a change below a read-only place was refused. Python tries to keep compiled modules
    /// beside any it imports and does well without, so that is not worth a word.
    pub(super) fn tell_write(&self, rep: u32, path: &str) {
        if let Some(place) = self.place(rep)
            && place.access == Access::ReadOnly
            && place.kind != PlaceKind::Layer
            && !path.split('/').any(|part| part == "__pycache__")
        {
            let mount = place.guest.clone();
            self.tell(Denial::Write { mount });
        }
    }

    /// Counts a new name below `rep` against the disk limit.
    pub(super) fn charge_entry(&self, rep: u32) -> Result<(), ErrorCode> {
        self.charge(rep, Quota::ENTRY)
    }

    /// Counts bytes about to be written to `rep`.
    pub(super) fn charge(&self, rep: u32, bytes: u64) -> Result<(), ErrorCode> {
        if !self.is_private(rep) || self.quota().charge(bytes).is_ok() {
            return Ok(());
        }
        self.tell(Denial::Limit(Limit::Disk));
        Err(ErrorCode::InsufficientSpace)
    }

    /// The counter for a stream that writes to `rep`, where it counts.
    pub(super) fn meter(&self, rep: u32) -> Option<Meter> {
        self.is_private(rep).then(|| Meter {
            quota: Arc::clone(&self.quota),
            events: self.events.clone(),
        })
    }

    /// Something was removed or cut: there may be room again.
    pub(super) fn freed(&self, rep: u32) {
        if self.is_private(rep) {
            self.quota().freed();
        }
    }

    fn place(&self, rep: u32) -> Option<&Place> {
        self.places.get(*self.open.get(&rep)?)
    }

    /// Is it the package's, which other apps have as well?
    pub(super) fn belongs_to_all(&self, rep: u32) -> bool {
        self.place(rep)
            .is_some_and(|place| matches!(place.kind, PlaceKind::Layer | PlaceKind::Image))
    }

    fn is_private(&self, rep: u32) -> bool {
        self.place(rep)
            .is_some_and(|place| place.kind == PlaceKind::Private)
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, denial: Denial) {
        self.events.tell(Event::Denied(denial));
    }
}
