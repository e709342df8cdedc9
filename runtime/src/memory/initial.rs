//! What a memory begins as: a file that is mapped.

use super::Hot;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::{
    null_mut, slice_from_raw_parts, with_exposed_provenance, with_exposed_provenance_mut,
};
use std::sync::OnceLock;
use wasmparser::{DataKind, Operator, Parser, Payload};
use wasmtime::ensure;

/// What any number of memories begin as.
pub(crate) struct Initial {
    /// As many bytes as the memory, which nobody changes.
    file: File,
    bytes: usize,
    hot: Hot,
    view: OnceLock<View>,
}

impl Initial {
    /// The content of a file that [`Self::write`] has made.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if bytes == 0 || bytes % pywasm_state::WASM_PAGE != 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self {
            file,
            bytes,
            hot: Hot::none(),
            view: OnceLock::new(),
        })
    }

    /// The memory of a state, kept in this process alone.
    pub(crate) fn of_state(state: &[u8]) -> wasmtime::Result<Self> {
        let file = sealable_file()?;
        Self::write(state, &file)?;
        seal(&file)?;
        Ok(Self::of_file(file)?)
    }

    /// The same, of whose pages something is known.
    pub(crate) fn with_pages(self, hot: impl FnOnce(usize) -> Hot) -> Self {
        Self {
            hot: hot(self.bytes),
            ..self
        }
    }

    /// Writes the memory of a state to an empty file.
    pub(crate) fn write(state: &[u8], file: &File) -> wasmtime::Result<()> {
        let mut bytes = 0;
        for payload in Parser::new(0).parse_all(state) {
            match payload? {
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        ensure!(bytes == 0, "the state has several memories");
                        let pages = memory?.initial;
                        ensure!(pages < super::MOST_PAGES, "the state's memory is too large");
                        bytes = pages * pywasm_state::WASM_PAGE as u64;
                    }
                    file.set_len(bytes)?;
                }
                Payload::DataSection(pieces) => {
                    for piece in pieces {
                        let piece = piece?;
                        let DataKind::Active { offset_expr, .. } = piece.kind else {
                            wasmtime::bail!("the state has data without a place");
                        };
                        let offset = match offset_expr.get_operators_reader().read()? {
                            Operator::I32Const { value } => u64::from(value.cast_unsigned()),
                            _ => wasmtime::bail!("the state computes a place"),
                        };
                        let end = offset + piece.data.len() as u64;
                        ensure!(end <= bytes, "the state has data outside of its memory");
                        file.write_all_at(piece.data, offset)?;
                    }
                }
                _ => {}
            }
        }
        ensure!(bytes > 0, "the state has no memory");
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pages of WebAssembly.
    pub(super) fn pages(&self) -> u64 {
        (self.bytes / pywasm_state::WASM_PAGE) as u64
    }

    pub(super) fn hot(&self) -> &Hot {
        &self.hot
    }

    /// All of it.
    pub(super) fn content(&self) -> io::Result<&[u8]> {
        if self.view.get().is_none() {
            // Another thread may be faster; ours is given up then.
            let _ = self.view.set(View::of(&self.file, self.bytes)?);
        }
        self.view
            .get()
            .map(View::content)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Where this process sees an initial memory.
struct View {
    start: usize,
    bytes: usize,
}

impl View {
    fn of(file: &File, bytes: usize) -> io::Result<Self> {
        // SAFETY: the system chooses a place where nothing is, and it may only be read.
        let start = unsafe {
            mmap(
                null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let start = start.expose_provenance();
        Ok(Self { start, bytes })
    }

    fn content(&self) -> &[u8] {
        let start = with_exposed_provenance(self.start);
        // SAFETY: that many bytes are mapped there for as long as this lives, and nobody changes the file.
        unsafe { &*slice_from_raw_parts(start, self.bytes) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: it is this view's own, and whoever reads it borrows the view.
        let _ = unsafe { munmap(with_exposed_provenance_mut(self.start), self.bytes) };
    }
}

#[cfg(target_os = "linux")]
fn sealable_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create("pywasm-memory", flags)?.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{ConstExpr, DataSection, MemorySection, MemoryType, Module};

    fn state(pages: &[u64], offset: i32, data: &[u8]) -> Vec<u8> {
        let mut memories = MemorySection::new();
        for minimum in pages {
            memories.memory(MemoryType {
                minimum: *minimum,
                ..pywasm_state::memory_type(0)
            });
        }
        let mut pieces = DataSection::new();
        pieces.active(0, &ConstExpr::i32_const(offset), data.iter().copied());
        let mut module = Module::new();
        module.section(&memories).section(&pieces);
        module.finish()
    }

    #[test]
    fn a_state_is_written_as_it_is_in_memory() {
        let written = Initial::of_state(&state(&[2], 0x1_0001, b"text")).expect("a state");
        let content = written.content().expect("a view");
        assert_eq!(content.len(), 2 << 16);
        assert_eq!(&content[0x1_0000..0x1_0006], b"\0text\0");
    }

    #[test]
    fn a_state_that_is_none_is_refused() {
        let wrong = [
            (state(&[1], 0xffff, b"xx"), "outside of its memory"),
            (state(&[1], -1, b"x"), "outside of its memory"),
            (state(&[1, 1], 0, b"x"), "several memories"),
            (state(&[1 << 16], 0, b"x"), "too large"),
            (state(&[], 0, b""), "no memory"),
            (state(&[0], 0, b""), "no memory"),
        ];
        for (state, why) in wrong {
            let error = Initial::of_state(&state).err().expect(why);
            assert!(error.to_string().contains(why), "{error:#}");
        }
        assert!(Initial::of_state(b"no module").is_err());
    }
}
