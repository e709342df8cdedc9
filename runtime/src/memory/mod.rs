//! The memories of instances: address space of our own, in which a file is mapped copy-on-write.
//!
//! wasmtime would map them alike. They are ours for what it does not do:
//!
//! - Each page that an instance touches first interrupts it, for 2 to 4 µs. Where a process is there for one app ([`Life::Process`]),
//!   pages that its earlier starts on this machine have changed ([`hot`]) are made ready by another thread while its code is being
//!   loaded ([`filling`]).
//! - Where instances live for one request ([`Life::Request`]), a memory is not given back when its instance ends: what it has changed is set
//!   to what it was, and the next instance has it (`docs/adr/0028-memories-set-back.md`).

#![expect(
    unsafe_code,
    reason = "address space is the system's; each use has its reason"
)]

mod filling;
mod hot;
mod initial;
mod pagemap;
mod region;

pub(crate) use hot::Hot;
pub(crate) use initial::Initial;

use crate::net::sync::lock;
use filling::Filling;
use hot::Learning;
use pagemap::Pagemap;
use region::Region;
use std::io;
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::{Arc, Mutex, Weak};
use wasm_encoder::{ExportKind, ExportSection, MemorySection};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// The upper limit of a memory that begins as the first of those that were adopted; the second has one page less, and so on.
/// By it a memory is known among those that an engine makes: others have no upper limit.
const MOST_PAGES: u64 = 1 << 16;

/// How many an engine knows at a time. Each costs the memories that begin so a page of what they may grow to.
pub(crate) const MOST_INITIALS: usize = 1 << 10;

/// Bytes that a memory may grow to without being moved, and bytes before and behind them that nobody may touch: wasmtime's own values
/// for 64 bits, with which code needs no checks.
pub(crate) const RESERVED: u64 = 4 << 30;
pub(crate) const GUARD: u64 = 32 << 20;

/// What becomes of the memory of an instance that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// The process ends next.
    Process,
    /// It is given back: the process goes on with something else.
    Instance,
    /// The next instance of the same template takes it.
    Request,
}

/// All memories of one engine.
pub(crate) struct Memories {
    initials: Mutex<Vec<Weak<Initial>>>,
    free: Mutex<Vec<Region>>,
    /// Without it memories are given back, and nothing is learnt.
    pagemap: Option<Arc<Pagemap>>,
    /// What has been begun ahead of the first instance.
    ahead: Mutex<Ahead>,
    life: Life,
}

#[derive(Default)]
struct Ahead {
    filling: Vec<Arc<Filling>>,
    learning: Vec<Arc<Mutex<Learning>>>,
}

impl Memories {
    /// To be made before the process is confined, which may not ask for all of it any more.
    pub(crate) fn new(life: Life) -> Arc<Self> {
        Arc::new(Self {
            initials: Mutex::default(),
            free: Mutex::default(),
            pagemap: match life {
                Life::Process | Life::Request => Pagemap::open().ok().map(Arc::new),
                Life::Instance => None,
            },
            ahead: Mutex::default(),
            life,
        })
    }

    /// Has memories begin as `initial`, for as long as that is there: those of the module that comes back, which holds nothing
    /// but one. None if as many are there as there can be.
    pub(crate) fn adopt(&self, initial: &Arc<Initial>) -> Option<Vec<u8>> {
        let mut initials = lock(&self.initials);
        let gone = |weak: &Weak<Initial>| weak.strong_count() == 0;
        let place = initials.iter().position(gone).unwrap_or(initials.len());
        if place >= MOST_INITIALS {
            return None;
        }
        let weak = Arc::downgrade(initial);
        match initials.get_mut(place) {
            Some(free) => *free = weak,
            None => initials.push(weak),
        }
        Some(blank(initial.pages(), MOST_PAGES - place as u64))
    }

    /// Makes the memory ready that the first instance of a process with one app begins with, as far as it is known what it
    /// changes: while its code is being loaded.
    pub(crate) fn begin_ahead(&self, initial: &Arc<Initial>) {
        let (parts, learns) = initial.hot().known();
        if self.life != Life::Process || parts.is_empty() {
            return;
        }
        let (reserved, guard) = (RESERVED as usize, GUARD as usize);
        // Without it, it is made when it is needed.
        let Ok(mut region) = Region::begun(Arc::clone(initial), reserved, guard) else {
            return;
        };
        let filling = region.fill(initial, &parts, !learns);
        lock(&self.ahead).filling.push(filling);
        lock(&self.free).push(region);
    }

    /// To be called when an instance is made, before its code runs: what was begun ahead of it is brought to its end.
    pub(crate) fn ready(&self) -> io::Result<()> {
        if self.life == Life::Process {
            // What was begun ahead and not taken is for nobody.
            lock(&self.free).clear();
        }
        let Ahead { filling, learning } = std::mem::take(&mut *lock(&self.ahead));
        for filling in filling {
            filling.finish()?;
        }
        learning.into_iter().for_each(Learning::follow);
        Ok(())
    }

    /// What a memory of this type begins as. Code that was not made for it would find that where it expects zeros.
    fn initial(&self, ty: &MemoryType, minimum: usize) -> Option<Arc<Initial>> {
        let place = MOST_PAGES.checked_sub(ty.maximum()?)?;
        let initials = lock(&self.initials);
        let initial = initials.get(usize::try_from(place).ok()?)?.upgrade()?;
        (initial.bytes() == minimum).then_some(initial)
    }

    /// One that an earlier instance had, or that was begun ahead.
    fn free(&self, initial: &Initial, capacity: usize) -> Option<Region> {
        let mut free = lock(&self.free);
        let fits = |region: &Region| region.fits(initial, capacity);
        let place = free.iter().position(fits)?;
        Some(free.swap_remove(place))
    }

    /// The memory of an instance that begins so.
    fn begun(&self, initial: &Arc<Initial>, capacity: usize, guard: usize) -> io::Result<Region> {
        let region = match self.free(initial, capacity) {
            Some(region) => {
                region.go_on();
                region
            }
            None => Region::begun(Arc::clone(initial), capacity, guard)?,
        };
        if let (Life::Process, Some(pagemap)) = (self.life, &self.pagemap) {
            let learning = initial.hot().taken(region.begun_at(), pagemap);
            lock(&self.ahead).learning.extend(learning);
        }
        Ok(region)
    }
}

/// A state of so many pages, and at most so many.
fn blank(pages: u64, most: u64) -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(wasm_encoder::MemoryType {
        maximum: Some(most),
        ..pywasm_state::memory_type(pages)
    });
    let mut exports = ExportSection::new();
    exports.export(pywasm_state::MEMORY, ExportKind::Memory, 0);
    let mut module = wasm_encoder::Module::new();
    module.section(&memories).section(&exports);
    module.finish()
}

/// One memory, in a region.
struct Memory {
    /// Until it is given back.
    region: Option<Region>,
    all: Arc<Memories>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Some(mut region) = self.region.take() else {
            return;
        };
        if let Some(initial) = region.initial() {
            initial.hot().end(&region.begun_at());
        }
        if self.all.life == Life::Request
            && let Some(pagemap) = &self.all.pagemap
            // One of which anything is in doubt is not used again.
            && region.set_back(pagemap).is_ok()
        {
            lock(&self.all.free).push(region);
        }
    }
}

// SAFETY: `as_ptr` is the beginning of a region with `byte_size` bytes that may be touched and room for `byte_capacity`, which is
// there, at that place, until the memory is dropped.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.region.as_ref().map_or(0, Region::bytes)
    }

    fn byte_capacity(&self) -> usize {
        self.region.as_ref().map_or(0, Region::capacity)
    }

    fn grow_to(&mut self, bytes: usize) -> wasmtime::Result<()> {
        match &mut self.region {
            Some(region) => Ok(region.grow(bytes)?),
            None => Ok(()),
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        let base = self.region.as_ref().map(Region::base);
        base.map_or(null_mut(), with_exposed_provenance_mut)
    }
}

/// Makes the memories of an engine.
pub(crate) struct Creator(pub(crate) Arc<Memories>);

// SAFETY: regions are as large as is asked for, with as large a part behind that nobody may touch.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let Self(all) = self;
        let capacity = reserved.unwrap_or(minimum).max(minimum);
        let region = match all.initial(&ty, minimum) {
            Some(initial) => all.begun(&initial, capacity, guard),
            None => Region::reserve(capacity, guard).and_then(|mut region| {
                region.grow(minimum)?;
                Ok(region)
            }),
        };
        let region = region.map_err(|e| format!("no address space for a memory: {e}"))?;
        Ok(Box::new(Memory {
            region: Some(region),
            all: Arc::clone(all),
        }))
    }
}

#[cfg(test)]
mod tests;
