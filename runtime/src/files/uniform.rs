//! What the host's file system says of files, without all that differs from machine to machine.
//!
//! A snapshot is the memory of a guest, down to what a function left on the stack. So that the same package gives the
//! same snapshot everywhere, the guest sees no times, no numbers of files and no order of folders but these.

use pywasm_format::FILE_TIME;
use std::collections::{BTreeMap, HashMap, VecDeque};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Datetime, DescriptorStat, DescriptorType, DirectoryEntry, MetadataHashValue,
};

/// The same for every machine, as long as the guest asks the same.
#[derive(Debug, Default)]
pub(crate) struct Uniform {
    /// Numbers of files, in the order in which they were asked for.
    numbers: HashMap<(u64, u64), u64>,
    /// What is still to be told of folders that are being listed, by the number of the handle.
    listings: BTreeMap<u32, VecDeque<DirectoryEntry>>,
}

impl Uniform {
    pub(super) fn stat(&self, mut stat: DescriptorStat) -> DescriptorStat {
        let time = Some(Datetime {
            seconds: FILE_TIME.as_secs(),
            nanoseconds: 0,
        });
        stat.data_access_timestamp = time;
        stat.data_modification_timestamp = time;
        stat.status_change_timestamp = time;
        if stat.type_ == DescriptorType::Directory {
            stat.size = 0;
            stat.link_count = 1;
        }
        stat
    }

    pub(super) fn number(&mut self, hash: MetadataHashValue) -> MetadataHashValue {
        let next = self.numbers.len() as u64 + 1;
        let number = self.numbers.entry((hash.lower, hash.upper)).or_insert(next);
        MetadataHashValue {
            lower: *number,
            upper: 0,
        }
    }

    /// Tells the `entries` of a folder by their names from now on.
    pub(super) fn list(&mut self, stream: u32, mut entries: Vec<DirectoryEntry>) {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        self.listings.insert(stream, entries.into());
    }

    pub(super) fn next(&mut self, stream: u32) -> Option<DirectoryEntry> {
        self.listings.get_mut(&stream)?.pop_front()
    }

    pub(super) fn listed(&mut self, stream: u32) {
        self.listings.remove(&stream);
    }
}
