//! Which ranges of a file a process has locked, as the kernel has them: to know how many there are.

use std::ops::Range;

/// How a range is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Shared,
    Exclusive,
}

/// In order, apart from each other; neighbours of one kind are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(Range<u64>, Lock)>);

impl Ranges {
    /// These, after `span` was locked, or unlocked.
    pub(super) fn with(&self, span: &Range<u64>, lock: Option<Lock>) -> Self {
        let mut all = Vec::with_capacity(self.len() + 2);
        for (held, kind) in &self.0 {
            let before = held.start..held.end.min(span.start);
            let behind = held.start.max(span.end)..held.end;
            let rest = [before, behind].into_iter().filter(|one| !one.is_empty());
            all.extend(rest.map(|one| (one, *kind)));
        }
        all.extend(lock.map(|kind| (span.clone(), kind)));
        all.sort_by_key(|(range, _)| range.start);
        all.dedup_by(|next, last| {
            let joined = last.0.end == next.0.start && last.1 == next.1;
            if joined {
                last.0.end = next.0.end;
            }
            joined
        });
        Self(all)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 24;

    fn lock() -> impl Strategy<Value = Option<Lock>> {
        prop_oneof![
            Just(None),
            Just(Some(Lock::Shared)),
            Just(Some(Lock::Exclusive)),
        ]
    }

    fn span() -> impl Strategy<Value = Range<u64>> {
        (0..SIZE, 1..=SIZE).prop_map(|(start, length)| start..(start + length).min(SIZE))
    }

    proptest! {
        /// Byte by byte, the last word counts.
        #[test]
        fn ranges_are_what_a_byte_by_byte_account_says(changes in prop::collection::vec((span(), lock()), 0..20)) {
            let (mut ranges, mut bytes) = (Ranges::default(), [None; SIZE as usize]);
            for (span, lock) in changes {
                ranges = ranges.with(&span, lock);
                for at in span {
                    bytes[at as usize] = lock;
                }
            }
            let of = |at: u64| ranges.0.iter().find(|(range, _)| range.contains(&at)).map(|(_, lock)| *lock);
            for at in 0..SIZE {
                prop_assert_eq!(of(at), bytes[at as usize]);
            }
            let pieces = bytes.chunk_by(|a, b| a == b).filter(|piece| piece[0].is_some());
            prop_assert_eq!(ranges.len(), pieces.count());
        }
    }
}
