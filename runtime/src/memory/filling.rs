//! A memory whose pages are made ready before its instance starts, by another thread and at last by the one that starts it.
//!
//! Of the pages that a start is known to change, the kernel is asked for a copy each ([`Piece::Ask`]), which costs two thirds of an
//! interruption. Where they lie close together, a huge page takes the place of the file there, and is read from it
//! ([`Piece::Read`]): one interruption for all. No guest code runs before all of it is done: the kernel would have to tell one processor
//! of each page that changes under the other.

use super::{Initial, Region};
use crate::net::sync::lock;
use rustix::mm::{Advice, madvise};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::{slice_from_raw_parts_mut, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// So much is asked for in one go: whoever maps memory meanwhile has to wait for it.
const PIECE: usize = 1 << 17;

/// Bytes of a huge page, where there are any.
pub(super) const HUGE: usize = 1 << 21;

/// From so many changed bytes on, a huge page costs less than their pages: it takes as long as 160 to 180 of 4 KiB.
const DENSE: usize = 160 << 12;

/// Pages that are being made ready.
pub(super) struct Filling {
    reading: Work,
    /// What is asked for, once the instance is being made.
    asking: Work,
}

/// Pieces that any number of threads take.
struct Work {
    pieces: Arc<Pieces>,
    helper: Mutex<Option<JoinHandle<()>>>,
}

struct Pieces {
    /// Where the memory lies.
    base: usize,
    /// What it begins as.
    initial: Arc<Initial>,
    all: Vec<Piece>,
    /// The first that nobody has taken yet.
    next: AtomicUsize,
    failed: Mutex<Option<io::Error>>,
}

/// A part of the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// It lies on pages of its own, and is to be read from the file.
    Read(Range<usize>),
    /// The file lies there, and its pages are to become the memory's own.
    Ask(Range<usize>),
}

impl Filling {
    /// Makes these parts of a new memory ready. Where they are dense, it may lie on huge pages from now on: all of such a page counts as
    /// changed then.
    pub(super) fn begin(
        region: &mut Region,
        initial: &Arc<Initial>,
        parts: &[Range<usize>],
        huge: bool,
    ) -> Self {
        let huge = match huge && huge_pages_are_given() {
            true => dense(parts, initial.bytes()),
            false => Vec::new(),
        };
        // Without address space to divide, it stays a file.
        let huge: Vec<_> = huge
            .into_iter()
            .filter(|part| region.detach(part.clone()).is_ok())
            .collect();
        let rest = outside(parts, &huge).into_iter().flat_map(|part| {
            let pieces = part.clone().step_by(PIECE);
            pieces.map(move |start| Piece::Ask(start..part.end.min(start + PIECE)))
        });
        let asking = Work::new(region, initial, rest.collect());
        let reading = Work::new(region, initial, huge.into_iter().map(Piece::Read).collect());
        reading.help();
        Self { reading, asking }
    }

    /// To be called when the instance is being made.
    pub(super) fn go_on(&self) {
        self.asking.help();
    }

    /// Does what is left. Nothing is left then, and no other thread.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.reading.finish()?;
        self.asking.finish()
    }

    /// Leaves what is left undone: nobody will have the memory.
    pub(super) fn stop(&self) {
        self.reading.stop();
        self.asking.stop();
    }
}

impl Work {
    fn new(region: &Region, initial: &Arc<Initial>, all: Vec<Piece>) -> Self {
        Self {
            pieces: Arc::new(Pieces {
                base: region.base(),
                initial: Arc::clone(initial),
                all,
                next: AtomicUsize::new(0),
                failed: Mutex::default(),
            }),
            helper: Mutex::default(),
        }
    }

    /// Has another thread take part, if there is anything to do.
    fn help(&self) {
        if !self.pieces.all.is_empty() {
            let pieces = Arc::clone(&self.pieces);
            let helper = thread::Builder::new().name("pywasm-pages".to_owned());
            // Without the thread it takes longer.
            *lock(&self.helper) = helper.spawn(move || pieces.take_part()).ok();
        }
    }

    fn finish(&self) -> io::Result<()> {
        self.pieces.take_part();
        self.wait();
        lock(&self.pieces.failed).take().map_or(Ok(()), Err)
    }

    fn stop(&self) {
        let all = self.pieces.all.len();
        self.pieces.next.store(all, Ordering::Relaxed);
        self.wait();
    }

    fn wait(&self) {
        if let Some(helper) = lock(&self.helper).take() {
            // It has nothing to panic about.
            let _ = helper.join();
        }
    }
}

impl Pieces {
    fn take_part(&self) {
        while let Some(piece) = self.all.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match piece {
                Piece::Read(part) => {
                    if let Err(error) = self.read(part) {
                        *lock(&self.failed) = Some(error);
                    }
                }
                Piece::Ask(part) => ask_for(self.base + part.start, part.len()),
            }
        }
    }

    fn read(&self, part: &Range<usize>) -> io::Result<()> {
        let start = with_exposed_provenance_mut(self.base + part.start);
        // SAFETY: the region lives on until this work has ended (its `Drop` waits), nobody else has this piece, and no guest code
        // runs before all of it is done.
        let bytes = unsafe { &mut *slice_from_raw_parts_mut::<u8>(start, part.len()) };
        let file = self.initial.file();
        file.read_exact_at(bytes, part.start as u64)
    }
}

/// The huge pages of a memory of so many bytes of which these parts are much.
fn dense(parts: &[Range<usize>], bytes: usize) -> Vec<Range<usize>> {
    let mut changed = BTreeMap::new();
    for part in parts {
        let mut at = part.start;
        while at < part.end {
            let end = (at / HUGE + 1) * HUGE;
            *changed.entry(at / HUGE).or_default() += part.end.min(end) - at;
            at = end;
        }
    }
    let whole = |page: usize| page * HUGE..(page + 1) * HUGE;
    changed
        .into_iter()
        .filter(|(_, changed): &(_, usize)| *changed >= DENSE)
        .map(|(page, _)| whole(page))
        .filter(|page| page.end <= bytes)
        .collect()
}

/// What of `parts` does not lie in `pages`, both in order.
fn outside(parts: &[Range<usize>], pages: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut outside = Vec::new();
    let mut pages = pages.iter().peekable();
    for part in parts {
        let mut start = part.start;
        while start < part.end {
            while pages.next_if(|page| page.end <= start).is_some() {}
            let next = pages.peek().map_or(part.end, |page| page.start);
            if start < next {
                outside.push(start..part.end.min(next));
            }
            start = match pages.peek() {
                Some(page) if page.start < part.end => page.end,
                _ => part.end,
            };
        }
    }
    outside
}

/// Has the kernel give this process pages of its own here, as if each had been written to.
#[cfg(target_os = "linux")]
fn ask_for(start: usize, bytes: usize) {
    let start = with_exposed_provenance_mut(start);
    // SAFETY: no content changes, and the region is there until this work has ended.
    let _ = unsafe { madvise(start, bytes, Advice::LinuxPopulateWrite) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for(_: usize, _: usize) {}

/// Whether the system gives huge pages to who asks.
#[cfg(target_os = "linux")]
pub(super) fn huge_pages_are_given() -> bool {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|setting| !setting.contains("[never]"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn huge_pages_are_given() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_for_where_much_changes() {
        let pages = |number: usize| number << 12;
        // 160 pages in the first, 159 in the second, and half of a long part in the third.
        let parts = [
            0..pages(100),
            pages(200)..pages(260),
            pages(512)..pages(600),
            pages(700)..pages(771),
            pages(1024 + 256)..pages(1024 + 768),
        ];
        let all = [0..HUGE, 2 * HUGE..3 * HUGE, 3 * HUGE..4 * HUGE];
        assert_eq!(dense(&parts, 4 * HUGE), all);
        // The last would go beyond the end.
        assert_eq!(dense(&parts, 4 * HUGE - 1), all[..2]);
        assert_eq!(
            outside(&parts, &all),
            [pages(512)..pages(600), pages(700)..pages(771)]
        );
    }

    #[test]
    fn what_is_not_on_huge_pages_is_all_there() {
        let ranges = |all: &[(usize, usize)]| -> Vec<Range<usize>> {
            all.iter().map(|(start, end)| *start..*end).collect()
        };
        let parts = ranges(&[(0, 10), (15, 45), (50, 60)]);
        for (pages, left) in [
            (&[][..], &[(0, 10), (15, 45), (50, 60)][..]),
            (
                &[(20, 30), (30, 40)],
                &[(0, 10), (15, 20), (40, 45), (50, 60)],
            ),
            (&[(0, 20), (40, 60)], &[(20, 40)]),
            (&[(0, 60)], &[]),
            (&[(60, 80)], &[(0, 10), (15, 45), (50, 60)]),
        ] {
            assert_eq!(outside(&parts, &ranges(pages)), ranges(left), "{pages:?}");
        }
    }
}
