//! What an app may know of its own use of the machine: files in `/sys` whose content the host answers.
//!
//! Of the machine itself they tell nothing. The limit and the use of memory are where Linux's cgroups tell them to a container,
//! so that programs which look there find them.

use super::family::Family;
use crate::files::{PlaceKind, Teller};
use crate::net::sync::lock;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Bytes that all processes of the app may have together.
pub(crate) const MEMORY_LIMIT: &str = "sys/fs/cgroup/memory.max";
/// Bytes that they have.
pub(crate) const MEMORY_USED: &str = "sys/fs/cgroup/memory.current";
/// Bytes of the app's own files, and how many they may be; then a line for each folder of the host that is mounted, which do not count.
pub(crate) const DISK: &str = "sys/pywasm/disk";
/// A line for each: its number, its parent's (0 is nobody), `R` or `Z` for one that has ended and was not asked about yet, the
/// bytes of its memory, and the second in which it began, since 1970.
pub(crate) const PROCESSES: &str = "sys/pywasm/processes";

/// For the processes of a family that has `used` bytes.
pub(super) fn teller(family: &Arc<Family>, used: Arc<AtomicU64>) -> Teller {
    let family = Arc::clone(family);
    Box::new(move |path| match path {
        MEMORY_LIMIT => Some(format!("{}\n", family.limits.memory)),
        MEMORY_USED => Some(format!("{}\n", used.load(Ordering::Relaxed))),
        DISK => Some(disk(&family)),
        PROCESSES => Some(processes(&family)),
        _ => None,
    })
}

fn disk(family: &Family) -> String {
    let (used, limit) = lock(&family.quota).state();
    let mut lines = format!("{used} {limit}\n");
    let mounts = family.preopens.iter().map(|preopen| &preopen.place);
    for mount in mounts.filter(|place| place.kind == PlaceKind::Mount) {
        lines += mount.guest.as_str();
        lines.push('\n');
    }
    lines
}

fn processes(family: &Family) -> String {
    let mut lines = String::new();
    for process in family.registry.list() {
        let state = if process.has_ended { 'Z' } else { 'R' };
        let (number, parent, memory) = (process.number, process.parent, process.memory);
        let began = process.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = began.as_secs_f64();
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{number} {parent} {state} {memory} {began:.2}");
    }
    lines
}
