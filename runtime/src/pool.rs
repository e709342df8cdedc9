//! Memories that the instances of one template take one after the other.
//!
//! An instance changes some hundred pages of the template's memory, and for each the kernel interrupts it, finds a page and copies
//! what is to be changed: half of the time that a short-lived instance takes. So its memory is not given back when it ends.
//! Pages that it has changed are set to what they were, and the next instance has them.
//!
//! What was changed is known from the kernel, whatever the guest did: of a private mapping of a file, the pages that are not
//! the file's any more. See `docs/adr/0028-memories-set-back.md`.

#![expect(unsafe_code, reason = "see the module's head; each use has its reason")]

use crate::net::sync::lock;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::{
    null_mut, slice_from_raw_parts, slice_from_raw_parts_mut, with_exposed_provenance,
    with_exposed_provenance_mut,
};
use std::sync::{Arc, Mutex, OnceLock};
use wasm_encoder::{ExportKind, ExportSection, MemorySection};
use wasmparser::{DataKind, Operator, Parser, Payload};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// By which the memory of a template is known among those that an engine makes: others have no upper limit.
const MOST_PAGES: u64 = 1 << 16;

/// All memories of one engine.
pub(crate) struct Pool {
    template: OnceLock<Template>,
    free: Mutex<Vec<Region>>,
    /// What the kernel tells of this process's pages. Without it memories are given back.
    pagemap: Option<File>,
    /// Bytes of a page of the kernel's.
    page: usize,
}

/// What the memory of an instance begins as.
struct Template {
    /// In memory, and never to be changed.
    file: File,
    bytes: usize,
    /// Where this process sees it.
    view: usize,
}

impl Pool {
    /// To be made before the process is confined, which may not ask for these any more.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            template: OnceLock::new(),
            free: Mutex::default(),
            pagemap: File::open("/proc/self/pagemap").ok(),
            page: rustix::param::page_size(),
        })
    }

    /// Has the instances of a state begin with its memory, and gives what there is to instantiate: a state that says how large it
    /// is. One pool knows one template.
    pub(crate) fn adopt(&self, state: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let template = Template::of(state)?;
        let pages = (template.bytes / pywasm_state::WASM_PAGE) as u64;
        let new = self.template.set(template).is_ok();
        wasmtime::ensure!(new, "this engine has a template already");
        Ok(blank(pages))
    }

    fn is_dirty(entry: u64) -> bool {
        const PRESENT: u64 = 1 << 63;
        const SWAPPED: u64 = 1 << 62;
        const OF_FILE: u64 = 1 << 61;
        entry & SWAPPED != 0 || entry & PRESENT != 0 && entry & OF_FILE == 0
    }

    /// The pages of `memory` that are not the file's, from its beginning on: ranges of bytes.
    fn dirty(&self, memory: Range<usize>) -> io::Result<Vec<Range<usize>>> {
        const ENTRY: usize = size_of::<u64>();
        let page = self.page;
        let Some(pagemap) = &self.pagemap else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut entries = vec![0; memory.len().div_ceil(page) * ENTRY];
        pagemap.read_exact_at(&mut entries, (memory.start / page * ENTRY) as u64)?;
        let mut dirty: Vec<Range<usize>> = Vec::new();
        for (index, entry) in entries.as_chunks::<ENTRY>().0.iter().enumerate() {
            if Self::is_dirty(u64::from_ne_bytes(*entry)) {
                let at = index * page;
                match dirty.last_mut() {
                    Some(last) if last.end == at => last.end += page,
                    _ => dirty.push(at..at + page),
                }
            }
        }
        Ok(dirty)
    }
}

impl Template {
    fn of(state: &[u8]) -> wasmtime::Result<Self> {
        let file = sealable_file()?;
        let mut bytes = 0;
        for payload in Parser::new(0).parse_all(state) {
            match payload? {
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        bytes = usize::try_from(memory?.initial)? * pywasm_state::WASM_PAGE;
                    }
                    file.set_len(bytes as u64)?;
                }
                Payload::DataSection(pieces) => {
                    for piece in pieces {
                        let piece = piece?;
                        if let DataKind::Active { offset_expr, .. } = piece.kind
                            && let Operator::I32Const { value } =
                                offset_expr.get_operators_reader().read()?
                        {
                            file.write_all_at(piece.data, u64::from(value.cast_unsigned()))?;
                        }
                    }
                }
                _ => {}
            }
        }
        seal(&file)?;
        // SAFETY: the system chooses a place where nothing is, and it may only be read.
        let view = unsafe {
            mmap(
                null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        let view = view.expose_provenance();
        Ok(Self { file, bytes, view })
    }

    fn content(&self) -> &[u8] {
        let start = with_exposed_provenance(self.view);
        // SAFETY: that many bytes are mapped there for as long as this lives, and the file is sealed: they never change.
        unsafe { &*slice_from_raw_parts(start, self.bytes) }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // SAFETY: it is this template's own, and whoever reads it borrows the template.
        let _ = unsafe { munmap(with_exposed_provenance_mut(self.view), self.bytes) };
    }
}

/// A state of so many pages, whose content the pool has.
fn blank(pages: u64) -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(wasm_encoder::MemoryType {
        maximum: Some(MOST_PAGES),
        ..pywasm_state::memory_type(pages)
    });
    let mut exports = ExportSection::new();
    exports.export(pywasm_state::MEMORY, ExportKind::Memory, 0);
    let mut module = wasm_encoder::Module::new();
    module.section(&memories).section(&exports);
    module.finish()
}

#[cfg(target_os = "linux")]
fn sealable_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create("pywasm-template", flags)?.into())
}

#[cfg(target_os = "linux")]
fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    Ok(fcntl_add_seals(file, all)?)
}

#[cfg(not(target_os = "linux"))]
fn sealable_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// It has no name, and nobody else has it.
#[cfg(not(target_os = "linux"))]
fn seal(_: &File) -> io::Result<()> {
    Ok(())
}

/// Address space for one memory, with parts before and behind it that nobody may touch.
struct Region {
    whole: Range<usize>,
    base: usize,
    /// How many bytes the memory may grow to.
    capacity: usize,
    /// How many bytes may be touched.
    bytes: usize,
}

impl Region {
    fn reserve(capacity: usize, guard: usize) -> io::Result<Self> {
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
        })
    }

    /// Lets the memory be touched up to `bytes`.
    fn grow(&mut self, bytes: usize) -> io::Result<()> {
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

    /// Lays the template at the beginning, and nothing behind it.
    fn begin(&mut self, template: &Template) -> io::Result<()> {
        let base = with_exposed_provenance_mut(self.base);
        let (access, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED,
        );
        // SAFETY: the part is of this region, and nothing refers to it yet. The file is sealed, so nothing changes under those
        // who read.
        unsafe { mmap(base, template.bytes, access, flags, &template.file, 0) }?;
        self.bytes = template.bytes;
        Ok(())
    }

    /// Makes it again what it was after `begin`.
    fn set_back(&mut self, template: &Template, pool: &Pool) -> io::Result<()> {
        let grown = self.bytes - template.bytes;
        if grown > 0 {
            let behind = with_exposed_provenance_mut(self.base + template.bytes);
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            // SAFETY: the part is of this region, whose memory is gone: nothing refers to it.
            unsafe { mmap_anonymous(behind, grown, ProtFlags::empty(), flags) }?;
            self.bytes = template.bytes;
        }
        for part in pool.dirty(self.base..self.base + template.bytes)? {
            let start = with_exposed_provenance_mut(self.base + part.start);
            // SAFETY: the part is of this region and may be touched; its memory is gone, so nothing else refers to it.
            let bytes = unsafe { &mut *slice_from_raw_parts_mut::<u8>(start, part.len()) };
            bytes.copy_from_slice(&template.content()[part]);
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

/// One memory, in a region.
struct Memory {
    /// Until it is given back.
    region: Option<Region>,
    /// Where it is given back to, if it began as the template.
    pool: Option<Arc<Pool>>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (Some(pool), Some(mut region)) = (&self.pool, self.region.take())
            && let Some(template) = pool.template.get()
            // One of which anything is in doubt is not used again.
            && region.set_back(template, pool).is_ok()
        {
            lock(&pool.free).push(region);
        }
    }
}

// SAFETY: `as_ptr` is the beginning of a region with `byte_size` bytes that may be touched and room for `byte_capacity`, which is
// there, at that place, until the memory is dropped.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.bytes)
    }

    fn byte_capacity(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.capacity)
    }

    fn grow_to(&mut self, bytes: usize) -> wasmtime::Result<()> {
        match &mut self.region {
            Some(region) => Ok(region.grow(bytes)?),
            None => Ok(()),
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        let base = self.region.as_ref().map_or(0, |region| region.base);
        with_exposed_provenance_mut(base)
    }
}

/// Makes the memories of an engine, from the pool where there is one that fits.
pub(crate) struct Memories(pub(crate) Arc<Pool>);

// SAFETY: regions are as large as is asked for, with as large a part behind that nobody may touch.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let Self(pool) = self;
        let failed = |e: io::Error| format!("no address space for a memory: {e}");
        let capacity = reserved.unwrap_or(minimum).max(minimum);
        // Code that was not made for it would find the template where it expects zeros.
        let template = pool.template.get();
        let template = template
            .filter(|template| ty.maximum() == Some(MOST_PAGES) && minimum == template.bytes);
        let Some(template) = template else {
            let mut region = Region::reserve(capacity, guard).map_err(failed)?;
            region.grow(minimum).map_err(failed)?;
            return Ok(Box::new(Memory {
                region: Some(region),
                pool: None,
            }));
        };
        let used = lock(&pool.free).pop();
        let region = match used {
            // All memories of an engine are reserved alike.
            Some(region) if region.capacity == capacity => region,
            _ => {
                let mut region = Region::reserve(capacity, guard).map_err(failed)?;
                region.begin(template).map_err(failed)?;
                region
            }
        };
        Ok(Box::new(Memory {
            region: Some(region),
            pool: Some(Arc::clone(pool)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Config, Engine, Instance, Module, Store};

    const PAGE: usize = 4096;

    /// Not a single page of zeros, and no two alike.
    fn template() -> Vec<u8> {
        let bytes = 0..3 * pywasm_state::WASM_PAGE;
        bytes.map(|at| (at / PAGE + at % 251 + 1) as u8).collect()
    }

    struct Engines {
        engine: Engine,
        pool: Arc<Pool>,
        state: Module,
    }

    impl Engines {
        fn new() -> Self {
            Self::with(Pool::new())
        }

        fn with(pool: Arc<Pool>) -> Self {
            let mut config = Config::new();
            config
                .with_host_memory(Arc::new(Memories(Arc::clone(&pool))))
                .memory_init_cow(false);
            let engine = Engine::new(&config).expect("an engine");
            let state = pool.adopt(&pywasm_state::encode(&template()));
            let state = Module::new(&engine, state.expect("a state")).expect("a module");
            Self {
                engine,
                pool,
                state,
            }
        }

        /// Has `use_it` use the memory of a new instance, and ends it. Where it was.
        fn with_memory(
            &self,
            module: &Module,
            use_it: impl FnOnce(&mut Store<()>, wasmtime::Memory),
        ) -> usize {
            let mut store = Store::new(&self.engine, ());
            let instance = Instance::new(&mut store, module, &[]).expect("an instance");
            let memory = instance.get_memory(&mut store, pywasm_state::MEMORY);
            let memory = memory.expect("its memory");
            let at = memory.data_ptr(&store).addr();
            use_it(&mut store, memory);
            at
        }
    }

    #[test]
    fn the_next_instance_finds_what_the_first_one_found() {
        let engines = Engines::new();
        let first = engines.with_memory(&engines.state, |store, memory| {
            assert!(memory.data(&store) == template());
            memory.grow(&mut *store, 5).expect("it grows");
            let behind = template().len();
            assert!(memory.data(&store)[behind..].iter().all(|byte| *byte == 0));
            let data = memory.data_mut(store);
            // The first and the last byte, two pages side by side, one alone.
            for at in [
                0,
                7 * PAGE + 9,
                8 * PAGE,
                20 * PAGE,
                behind - 1,
                behind,
                data.len() - 1,
            ] {
                data[at] = !data[at];
            }
            data[30 * PAGE..32 * PAGE].fill(0);
        });
        assert_eq!(lock(&engines.pool.free).len(), 1);
        for _ in 0..3 {
            let next = engines.with_memory(&engines.state, |store, memory| {
                assert!(memory.data(&store) == template());
                memory.grow(&mut *store, 5).expect("it grows");
                let behind = template().len();
                assert!(memory.data(&store)[behind..].iter().all(|byte| *byte == 0));
                memory.data_mut(store).fill(7);
            });
            assert_eq!(next, first, "it is the same place");
        }
    }

    #[test]
    fn those_who_live_at_the_same_time_have_one_each() {
        let engines = Engines::new();
        engines.with_memory(&engines.state, |first, memory| {
            memory.data_mut(&mut *first).fill(1);
            engines.with_memory(&engines.state, |second, other| {
                assert!(other.data(&second) == template());
                other.data_mut(second).fill(2);
            });
            assert!(memory.data(&first).iter().all(|byte| *byte == 1));
        });
        assert_eq!(lock(&engines.pool.free).len(), 2);
    }

    #[test]
    fn other_memories_begin_empty_and_are_given_back() {
        let engines = Engines::new();
        let other = pywasm_state::encode(&[&[0; 2 * PAGE][..], b"text"].concat());
        let other = Module::new(&engines.engine, other).expect("a module");
        engines.with_memory(&other, |store, memory| {
            assert_eq!(&memory.data(&store)[2 * PAGE..][..5], b"text\0");
            assert!(
                memory.data(&store)[..2 * PAGE]
                    .iter()
                    .all(|byte| *byte == 0)
            );
        });
        assert!(lock(&engines.pool.free).is_empty());
    }

    #[test]
    fn nothing_is_used_again_where_the_kernel_does_not_tell_what_was_changed() {
        let engines = Engines::with(Arc::new(Pool {
            template: OnceLock::new(),
            free: Mutex::default(),
            pagemap: None,
            page: rustix::param::page_size(),
        }));
        engines.with_memory(&engines.state, |store, memory| {
            memory.data_mut(store).fill(7)
        });
        assert!(lock(&engines.pool.free).is_empty());
        engines.with_memory(&engines.state, |store, memory| {
            assert!(memory.data(&store) == template());
        });
    }

    #[test]
    fn there_is_one_template() {
        let engines = Engines::new();
        let another = engines.pool.adopt(&pywasm_state::encode(b"another"));
        assert!(another.is_err());
    }
}
