//! Which pages a start changes: learnt from one start on this machine, for the next ones.
//!
//! What a start changes is known from a list in the cache, written by the first start that lived for [`SETTLED`], or by a shorter one as
//! long as there was none. A list that is wrong costs time or memory, and nothing else.

use super::Pagemap;
use crate::net::sync::lock;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a start does is over by then.
const SETTLED: Duration = Duration::from_millis(500);

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
            first: None,
        }))))
    }

    /// The parts of a memory that a start changes, as far as is known, and whether more is to be learnt from this one.
    pub(super) fn known(&self) -> (Vec<Range<usize>>, bool) {
        match &self.0 {
            Some(learning) => {
                let list = &lock(learning).list;
                (list.ranges.clone(), list.knows != Knows::Long)
            }
            None => (Vec::new(), false),
        }
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
        let _ = thread::Builder::new()
            .name("pywasm-learns".to_owned())
            .spawn(work);
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
