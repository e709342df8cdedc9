//! Address space for one memory.

use super::{Initial, Pagemap};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
use std::io;
use std::ops::Range;
use std::ptr::{null_mut, slice_from_raw_parts_mut, with_exposed_provenance_mut};
use std::sync::Arc;

/// Address space for one memory, with parts before and behind it that nobody may touch.
pub(super) struct Region {
    whole: Range<usize>,
    base: usize,
    /// How many bytes the memory may grow to.
    capacity: usize,
    /// How many bytes may be touched.
    bytes: usize,
    /// What lies at its beginning; nothing but zeros where there is none.
    initial: Option<Arc<Initial>>,
}

impl Region {
    pub(super) fn reserve(capacity: usize, guard: usize) -> io::Result<Self> {
        let length = guard + capacity + guard;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the system chooses a place where nothing is.
        let start = unsafe { mmap_anonymous(null_mut(), length, ProtFlags::empty(), flags) }?;
        let start = start.expose_provenance();
        Ok(Self {
            whole: start..start + length,
            base: start + guard,
            capacity,
            bytes: 0,
            initial: None,
        })
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn initial(&self) -> Option<&Arc<Initial>> {
        self.initial.as_ref()
    }

    /// Where its initial memory lies.
    pub(super) fn begun_at(&self) -> Range<usize> {
        let bytes = self.initial.as_ref().map_or(0, |initial| initial.bytes());
        self.base..self.base + bytes
    }

    /// Whether a memory that begins as `initial` can have it. All of one engine are reserved alike.
    pub(super) fn fits(&self, initial: &Initial, capacity: usize) -> bool {
        let same = |own: &Arc<Initial>| std::ptr::eq(Arc::as_ptr(own), initial);
        self.capacity == capacity && self.initial.as_ref().is_some_and(same)
    }

    /// Lets the memory be touched up to `bytes`.
    pub(super) fn grow(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        let new = with_exposed_provenance_mut(self.base + self.bytes);
        // SAFETY: the part is of this region, and nobody could touch it before.
        unsafe { mprotect(new, bytes - self.bytes, access) }?;
        self.bytes = bytes;
        Ok(())
    }

    /// Lays the initial memory at the beginning, and nothing behind it.
    pub(super) fn begin(&mut self, initial: Arc<Initial>) -> io::Result<()> {
        if initial.bytes() > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let base = with_exposed_provenance_mut(self.base);
        let (access, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED,
        );
        // SAFETY: the part is of this region, and nothing refers to it yet. Nobody changes the file under those who read.
        unsafe { mmap(base, initial.bytes(), access, flags, initial.file(), 0) }?;
        self.bytes = initial.bytes();
        self.initial = Some(initial);
        Ok(())
    }

    /// Makes it again what it was after `begin`.
    pub(super) fn set_back(&mut self, pagemap: &Pagemap) -> io::Result<()> {
        let Some(initial) = &self.initial else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let grown = self.bytes - initial.bytes();
        if grown > 0 {
            let behind = with_exposed_provenance_mut(self.base + initial.bytes());
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            // SAFETY: the part is of this region, whose memory is gone: nothing refers to it.
            unsafe { mmap_anonymous(behind, grown, ProtFlags::empty(), flags) }?;
            self.bytes = initial.bytes();
        }
        let content = initial.content()?;
        for part in pagemap.changed(self.begun_at())? {
            let start = with_exposed_provenance_mut(self.base + part.start);
            // SAFETY: the part is of this region and may be touched; its memory is gone, so nothing else refers to it.
            let bytes = unsafe { &mut *slice_from_raw_parts_mut::<u8>(start, part.len()) };
            bytes.copy_from_slice(&content[part]);
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let start = with_exposed_provenance_mut(self.whole.start);
        // SAFETY: it is all of this region's own, whose memory is gone: nothing refers to it.
        // A failure leaves address space taken, and nothing else to do.
        let _ = unsafe { munmap(start, self.whole.len()) };
    }
}
