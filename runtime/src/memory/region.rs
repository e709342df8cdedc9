//! Address space for one memory.

use super::filling::{Filling, HUGE};
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
    /// What is made ready of it.
    filling: Option<Arc<Filling>>,
}

impl Region {
    pub(super) fn reserve(capacity: usize, guard: usize) -> io::Result<Self> {
        // Huge pages have their places.
        let length = guard + capacity + guard + HUGE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the system chooses a place where nothing is.
        let start = unsafe { mmap_anonymous(null_mut(), length, ProtFlags::empty(), flags) }?;
        let start = start.expose_provenance();
        Ok(Self {
            whole: start..start + length,
            base: (start + guard).next_multiple_of(HUGE),
            capacity,
            bytes: 0,
            initial: None,
            filling: None,
        })
    }

    /// The same for a memory that begins as `initial`.
    pub(super) fn begun(initial: Arc<Initial>, capacity: usize, guard: usize) -> io::Result<Self> {
        let mut region = Self::reserve(capacity, guard)?;
        region.begin(initial)?;
        Ok(region)
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
    fn begin(&mut self, initial: Arc<Initial>) -> io::Result<()> {
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

    /// Makes parts of its initial memory ready, on huge pages if it may.
    pub(super) fn fill(
        &mut self,
        initial: &Arc<Initial>,
        parts: &[Range<usize>],
        huge: bool,
    ) -> Arc<Filling> {
        let filling = Arc::new(Filling::begin(self, initial, parts, huge));
        self.filling = Some(Arc::clone(&filling));
        filling
    }

    /// It is an instance's now: goes on making it ready.
    pub(super) fn go_on(&self) {
        if let Some(filling) = &self.filling {
            filling.go_on();
        }
    }

    /// Lays an empty huge page where a part of the initial memory was. What was there is to be read before anybody sees it.
    pub(super) fn detach(&mut self, part: Range<usize>) -> io::Result<()> {
        let start = with_exposed_provenance_mut(self.base + part.start);
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the part is of this region, and nothing refers to it yet.
        unsafe { mmap_anonymous(start, part.len(), access, flags) }?;
        advise_huge(start, part.len());
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

#[cfg(target_os = "linux")]
fn advise_huge(start: *mut std::ffi::c_void, bytes: usize) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: no content changes.
    // On small pages it is right as well.
    let _ = unsafe { madvise(start, bytes, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_: *mut std::ffi::c_void, _: usize) {}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(filling) = &self.filling {
            filling.stop();
        }
        let start = with_exposed_provenance_mut(self.whole.start);
        // SAFETY: it is all of this region's own, whose memory is gone: nothing refers to it.
        // A failure leaves address space taken, and nothing else to do.
        let _ = unsafe { munmap(start, self.whole.len()) };
    }
}
