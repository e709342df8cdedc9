//! Pages that a start changes: learnt from one start on this machine, asked for ahead at the next ones.
//!
//! Asking costs the kernel two thirds of an interruption, and another thread does it while the instance is being made. When it is made, both
//! share what is left, and the thread ends before any guest code runs: the kernel would have to tell one processor of each page that
//! changes under the other. What a start changes is known from a list in the cache, written by the first start that lived for
//! [`SETTLED`], or by a shorter one as long as there was none. A list that is wrong costs time or memory, and nothing else.

use super::Pagemap;
use crate::net::sync::lock;
use rustix::mm::{Advice, madvise};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::with_exposed_provenance_mut;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a start does is over by then.
const SETTLED: Duration = Duration::from_millis(500);

/// So much is asked for in one go: whoever maps memory meanwhile has to wait for it.
const PIECE: usize = 1 << 17;

/// So far apart, two pages are asked for with what is between them.
const GAP: usize = 1 << 13;

/// Of a list in the cache. A start that changes more has other costs.
const MOST_BYTES: u64 = 1 << 18;

/// What is known of the pages of one initial memory.
pub(crate) struct Hot(Option<Arc<Mutex<Learning>>>);

pub(super) struct Learning {
    list: List,
    /// Where it is kept. Opened before the process is confined.
    file: File,
    /// Pages have been asked for: the first memory has been made.
    asked: bool,
    /// The memory that this process's first instance has, as long as it has it, and how its changes are known.
    first: Option<(Range<usize>, Arc<Pagemap>)>,
}

/// How much of a start a list knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Knows {
    Nothing,
    /// One that ended soon.
    Short,
    /// One that lived on.
    Long,
}

/// Ranges of bytes of a memory, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    knows: Knows,
    ranges: Vec<Range<usize>>,
}

impl Hot {
    /// Nothing is known, and nothing learnt.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// What the list in `file`, which can be written to, says of a memory of so many bytes.
    pub(crate) fn kept_in(file: File, bytes: usize) -> Self {
        let list = read(&file)
            .ok()
            .and_then(|text| text.parse::<List>().ok())
            .filter(|list| list.ranges.iter().all(|range| range.end <= bytes));
        Self(Some(Arc::new(Mutex::new(Learning {
            list: list.unwrap_or(List {
                knows: Knows::Nothing,
                ranges: Vec::new(),
            }),
            file,
            asked: false,
            first: None,
        }))))
    }

    /// Asks for pages of the first memory of this process that begins so, in a thread of its own.
    pub(super) fn ask(&self, memory: &Range<usize>) -> Option<Asking> {
        let mut learning = lock(self.0.as_ref()?);
        if std::mem::replace(&mut learning.asked, true) || learning.list.ranges.is_empty() {
            return None;
        }
        Some(Asking::begin(&learning.list.ranges, memory.start))
    }

    /// An instance gets its memory. What comes back, if anything, is to be [learnt](Learning::follow).
    pub(super) fn taken(
        &self,
        memory: Range<usize>,
        pagemap: &Arc<Pagemap>,
    ) -> Option<Arc<Mutex<Learning>>> {
        let all = self.0.as_ref()?;
        let mut learning = lock(all);
        if learning.first.is_some() || learning.list.knows == Knows::Long {
            return None;
        }
        learning.first = Some((memory, Arc::clone(pagemap)));
        Some(Arc::clone(all))
    }

    /// A memory is about to go.
    pub(super) fn end(&self, memory: &Range<usize>) {
        if let Self(Some(learning)) = self {
            let mut learning = lock(learning);
            let first = learning.first.as_ref();
            if first.is_some_and(|(first, _)| first == memory) {
                learning.learn(Knows::Short);
                learning.first = None;
            }
        }
    }
}

impl Learning {
    /// Waits until what a start does is over, and learns, in a thread of its own.
    pub(super) fn follow(this: Arc<Mutex<Self>>) {
        let work = move || {
            thread::sleep(SETTLED);
            lock(&this).learn(Knows::Long);
        };
        // Without the thread less is known.
        let _ = named().spawn(work);
    }

    /// Writes down what has been changed by now, unless as much is known already.
    fn learn(&mut self, knows: Knows) {
        let Some((memory, pagemap)) = &self.first else {
            return;
        };
        if self.list.knows >= knows {
            return;
        }
        let Ok(changed) = pagemap.changed(memory.clone()) else {
            return;
        };
        let list = List {
            knows,
            ranges: joined(changed),
        };
        // A list that is not kept whole says so by its last line.
        let text = list.to_text();
        if text.len() as u64 <= MOST_BYTES
            && self.file.write_all_at(text.as_bytes(), 0).is_ok()
            && self.file.set_len(text.len() as u64).is_ok()
        {
            self.list = list;
        }
    }
}

fn read(file: &File) -> io::Result<String> {
    let length = usize::try_from(file.metadata()?.len().min(MOST_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Ranges with the small gaps between them closed.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// Pages that are being asked for.
pub(super) struct Asking {
    pieces: Arc<Pieces>,
    helper: Option<JoinHandle<()>>,
}

/// They are taken by any number of threads.
struct Pieces {
    all: Vec<Range<usize>>,
    /// The first that nobody has taken yet.
    next: AtomicUsize,
}

impl Asking {
    fn begin(ranges: &[Range<usize>], start: usize) -> Self {
        let all = ranges.iter().flat_map(|range| {
            let pieces = range.clone().step_by(PIECE);
            pieces.map(move |piece| start + piece..start + range.end.min(piece + PIECE))
        });
        let pieces = Arc::new(Pieces {
            all: all.collect(),
            next: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&pieces);
        // Without the thread it takes longer.
        let helper = named().spawn(move || shared.ask()).ok();
        Self { pieces, helper }
    }

    /// Asks for what is left; nothing is left then, and no other thread.
    pub(super) fn finish(self) {
        self.pieces.ask();
        if let Some(helper) = self.helper {
            // It has nothing to panic about.
            let _ = helper.join();
        }
    }
}

impl Pieces {
    fn ask(&self) {
        while let Some(piece) = self.all.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            ask_for(piece);
        }
    }
}

fn named() -> thread::Builder {
    thread::Builder::new().name("pywasm-pages".to_owned())
}

/// Has the kernel give this process pages of its own here, as if each had been written to.
#[cfg(target_os = "linux")]
fn ask_for(piece: &Range<usize>) {
    let at = with_exposed_provenance_mut(piece.start);
    // SAFETY: no content changes. Where the memory has gone meanwhile, the kernel says so, or gives pages to what is there now.
    let _ = unsafe { madvise(at, piece.len(), Advice::LinuxPopulateWrite) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for(_: &Range<usize>) {}

/// The first line of a list that knows so much.
fn first_line(knows: Knows) -> &'static str {
    match knows {
        Knows::Nothing => "pywasm pages 1 of nothing",
        Knows::Short => "pywasm pages 1 of a short start",
        Knows::Long => "pywasm pages 1 of a long start",
    }
}

const LAST_LINE: &str = "end";

impl List {
    fn to_text(&self) -> String {
        let range = |range: &Range<usize>| format!("{} {}\n", range.start, range.end);
        let ranges: String = self.ranges.iter().map(range).collect();
        format!("{}\n{ranges}{LAST_LINE}\n", first_line(self.knows))
    }
}

/// It is no list, or not all of one.
#[derive(Debug)]
struct NoList;

impl FromStr for List {
    type Err = NoList;

    fn from_str(text: &str) -> Result<Self, NoList> {
        let mut lines = text.lines();
        let first = lines.next().ok_or(NoList)?;
        let known = [Knows::Short, Knows::Long];
        let knows = known.into_iter().find(|knows| first == first_line(*knows));
        let knows = knows.ok_or(NoList)?;
        if lines.next_back() != Some(LAST_LINE) {
            return Err(NoList);
        }
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for line in lines {
            let (start, end) = line.split_once(' ').ok_or(NoList)?;
            let start = start.parse().map_err(|_| NoList)?;
            let end = end.parse().map_err(|_| NoList)?;
            let after = ranges.last().map_or(0, |last| last.end);
            if start < after || end <= start {
                return Err(NoList);
            }
            ranges.push(start..end);
        }
        Ok(Self { knows, ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written_and_not_otherwise() {
        let list = List {
            knows: Knows::Long,
            ranges: vec![0..4096, 8192..16384],
        };
        let text = list.to_text();
        assert_eq!(text.parse::<List>().expect("a list"), list);
        for wrong in [
            "",
            "end\n",
            "pywasm pages 1 of nothing\nend\n",
            &text[..text.len() - 5],
            &text.replace("4096", "x"),
            &text.replace("8192 ", ""),
            &text.replace("8192", "16384"),
            &text.replace("8192", "4095"),
        ] {
            assert!(wrong.parse::<List>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn small_gaps_are_closed() {
        let ranges = vec![0..4096, 4096 + GAP..20480, 20481 + GAP..40960];
        assert_eq!(joined(ranges), [0..20480, 20481 + GAP..40960]);
    }
}
