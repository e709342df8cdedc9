//! Which pages of a mapping have been changed, as the kernel knows it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// `/proc/self/pagemap`: an entry for each page of this process.
pub(super) struct Pagemap {
    file: File,
    /// Bytes of a page of the kernel's.
    page: usize,
}

impl Pagemap {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            file: File::open("/proc/self/pagemap")?,
            page: rustix::param::page_size(),
        })
    }

    /// The pages of `memory`, where a file is mapped for this process alone, that are not the file's any more: whatever wrote to them,
    /// that is so. Ranges of bytes from the beginning of `memory` on.
    pub(super) fn changed(&self, memory: Range<usize>) -> io::Result<Vec<Range<usize>>> {
        const ENTRY: usize = size_of::<u64>();
        let mut entries = vec![0; memory.len().div_ceil(self.page) * ENTRY];
        let place = (memory.start / self.page * ENTRY) as u64;
        self.file.read_exact_at(&mut entries, place)?;
        let mut changed: Vec<Range<usize>> = Vec::new();
        for (index, entry) in entries.as_chunks::<ENTRY>().0.iter().enumerate() {
            if is_changed(u64::from_ne_bytes(*entry)) {
                let at = index * self.page;
                match changed.last_mut() {
                    Some(last) if last.end == at => last.end += self.page,
                    _ => changed.push(at..at + self.page),
                }
            }
        }
        Ok(changed)
    }
}

/// One that is swapped out or on the move counts as changed.
fn is_changed(entry: u64) -> bool {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const OF_FILE: u64 = 1 << 61;
    entry & SWAPPED != 0 || entry & PRESENT != 0 && entry & OF_FILE == 0
}
