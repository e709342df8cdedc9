//! What the sockets of one instance may take of the host: their number, and the memory of their buffers.

use super::bindings::network::ErrorCode;
use crate::events::{Denial, Event, EventSink};
use crate::exit::Limit;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Shared by every socket of an instance.
#[derive(Debug)]
pub(crate) struct Budget {
    sockets_left: AtomicU32,
    events: EventSink,
    buffered: AtomicUsize,
}

/// The right to one socket; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Budget>);

/// The right to some bytes of buffer.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    budget: Arc<Budget>,
}

/// Bytes on their way, in host memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: VecDeque<u8>,
    limit: usize,
    budget: Arc<Budget>,
}

/// When the buffers of an instance hold this much, each may only hold [`SMALL`]: a guest with thousands
/// of sockets that nobody reads from must not fill the host's memory.
const PLENTY: usize = 32 << 20;
const SMALL: usize = 4 << 10;

/// Empty buffers larger than this give their memory back.
const KEEP: usize = 8 << 10;

impl Budget {
    pub(crate) fn new(sockets: u32, events: EventSink) -> Arc<Self> {
        Arc::new(Self {
            events,
            sockets_left: AtomicU32::new(sockets),
            buffered: AtomicUsize::new(0),
        })
    }

    pub(crate) fn socket(self: &Arc<Self>) -> Result<Permit, ErrorCode> {
        self.sockets_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .map(|_| Permit(Arc::clone(self)))
            .map_err(|_| {
                let denial = Denial::Limit(Limit::Sockets);
                self.events.tell(Event::Denied(denial));
                ErrorCode::NewSocketLimit
            })
    }

    /// The right to `bytes` of buffer, unless there is plenty in use already; returned when dropped.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        if self.buffered.load(Ordering::Relaxed) >= PLENTY {
            return None;
        }
        self.buffered.fetch_add(bytes, Ordering::Relaxed);
        Some(Held {
            bytes,
            budget: Arc::clone(self),
        })
    }

    /// A buffer for about `limit` bytes.
    pub(crate) fn buffer(self: &Arc<Self>, limit: usize) -> Buffer {
        Buffer {
            bytes: VecDeque::new(),
            limit,
            budget: Arc::clone(self),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.sockets_left.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget
            .buffered
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Permit {
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0
    }
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How much may be added.
    pub(crate) fn free(&self) -> usize {
        self.current_limit().saturating_sub(self.bytes.len())
    }

    /// How much a writer should be told. Small rests count as full, lest it is woken for every byte.
    pub(crate) fn room(&self) -> usize {
        let free = self.free();
        if free >= self.current_limit() / 4 {
            free
        } else {
            0
        }
    }

    fn current_limit(&self) -> usize {
        match self.budget.buffered.load(Ordering::Relaxed) {
            ..PLENTY => self.limit,
            _ => self.limit.min(SMALL),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.budget
            .buffered
            .fetch_add(bytes.len(), Ordering::Relaxed);
    }

    /// The first of the waiting bytes, as many as lie together.
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// Removes the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.budget.buffered.fetch_sub(count, Ordering::Relaxed);
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = VecDeque::new();
        }
    }

    /// Removes and returns up to `most` bytes.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.bytes.len());
        let (first, second) = self.bytes.as_slices();
        let mut taken = Vec::with_capacity(count);
        taken.extend_from_slice(&first[..count.min(first.len())]);
        taken.extend_from_slice(&second[..count - taken.len()]);
        self.consume(count);
        taken
    }

    pub(crate) fn clear(&mut self) {
        self.consume(usize::MAX);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted() {
        let budget = Budget::new(2, EventSink::silent());
        let first = budget.socket().expect("one of two");
        let _second = budget.socket().expect("two of two");
        assert_eq!(budget.socket().err(), Some(ErrorCode::NewSocketLimit));
        drop(first);
        budget.socket().expect("one is free again");
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut buffer = Budget::new(0, EventSink::silent()).buffer(100);
        let mut expected = VecDeque::<u8>::new();
        for round in 0..50u8 {
            let some: Vec<u8> = (0..round % 7 + 1)
                .map(|i| round.wrapping_mul(7).wrapping_add(i))
                .collect();
            buffer.push(&some);
            expected.extend(&some);
            let taken = buffer.take(usize::from(round % 5));
            assert_eq!(taken, expected.drain(..taken.len()).collect::<Vec<_>>());
        }
        while !buffer.is_empty() {
            let front = buffer.front().to_vec();
            assert_eq!(front, expected.drain(..front.len()).collect::<Vec<_>>());
            buffer.consume(front.len());
        }
        assert!(expected.is_empty());
    }

    #[test]
    fn memory_is_bounded_over_all_buffers() {
        let budget = Budget::new(0, EventSink::silent());
        let mut many: Vec<Buffer> = (0..2000).map(|_| budget.buffer(64 << 10)).collect();
        for buffer in &mut many {
            while buffer.room() > 0 {
                let room = buffer.room();
                buffer.push(&vec![0; room]);
            }
        }
        let held = budget.buffered.load(Ordering::Relaxed);
        assert!(held <= PLENTY + (64 << 10) + 2000 * SMALL, "{held}");
        drop(many);
        assert_eq!(budget.buffered.load(Ordering::Relaxed), 0);
    }
}
