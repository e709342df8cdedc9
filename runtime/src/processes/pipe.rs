//! Pipes between the processes of an app.

use super::sync::{Counted, Counter};
use crate::net::sync::lock;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// What a pipe holds before its writers wait, as on Linux.
const CAPACITY: usize = 64 << 10;

/// Writes of so much are not mixed with others: a writer is let in when there is room for them.
const ATOMIC: usize = 4 << 10;

pub(super) struct Pipe {
    state: Mutex<State>,
    /// What the pipes of an app may hold over their capacity, in capacities.
    slack: Counter,
    /// Something came in, or the last writer left.
    readable: Notify,
    /// There is room again, or the last reader left.
    writable: Notify,
    _counted: Counted,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// For what it holds over its capacity.
    over: Vec<Counted>,
    readers: usize,
    writers: usize,
}

/// One process's hold on the end that is read from.
pub(crate) struct Reader(Arc<Pipe>);

/// One process's hold on the end that is written to.
pub(crate) struct Writer(Arc<Pipe>);

/// A wait until nobody reads any more.
pub(crate) struct Abandoned(Weak<Pipe>);

/// Makes a pipe, if the app may have one more.
pub(super) fn pipe(counter: &Counter, slack: &Counter) -> Option<(Reader, Writer)> {
    let pipe = Arc::new(Pipe {
        state: Mutex::default(),
        slack: slack.clone(),
        readable: Notify::new(),
        writable: Notify::new(),
        _counted: counter.take()?,
    });
    Some((Reader::of(&pipe), Writer::of(&pipe)))
}

/// The ends that one process holds, by the numbers of their handles, so that it can lend them.
///
/// A handle that was dropped and whose number has another meaning now may still be found here: then the process lends
/// what it had.
#[derive(Default)]
pub(crate) struct Ends {
    all: BTreeMap<u32, Weak<Pipe>>,
    prune_at: usize,
}

impl Ends {
    pub(super) fn insert(&mut self, number: u32, end: Weak<Pipe>) {
        if self.all.len() >= self.prune_at {
            self.all.retain(|_, end| end.strong_count() > 0);
            self.prune_at = 2 * self.all.len().max(32);
        }
        self.all.insert(number, end);
    }

    pub(super) fn reader(&self, number: u32) -> Option<Reader> {
        Some(Reader::of(&self.all.get(&number)?.upgrade()?))
    }

    /// Never over for what is no pipe.
    pub(super) fn abandoned(&self, number: u32) -> Abandoned {
        Abandoned(self.all.get(&number).cloned().unwrap_or_default())
    }

    pub(super) fn writer(&self, number: u32) -> Option<Writer> {
        Some(Writer::of(&self.all.get(&number)?.upgrade()?))
    }
}

impl Reader {
    pub(super) fn weak(&self) -> Weak<Pipe> {
        Arc::downgrade(&self.0)
    }

    fn of(pipe: &Arc<Pipe>) -> Self {
        lock(&pipe.state).readers += 1;
        Self(Arc::clone(pipe))
    }
}

impl Writer {
    pub(super) fn weak(&self) -> Weak<Pipe> {
        Arc::downgrade(&self.0)
    }

    fn of(pipe: &Arc<Pipe>) -> Self {
        lock(&pipe.state).writers += 1;
        Self(Arc::clone(pipe))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.readers -= 1;
        if state.readers == 0 {
            state.bytes = VecDeque::new();
            state.over.clear();
            self.0.writable.notify_waiters();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.writers -= 1;
        if state.writers == 0 {
            self.0.readable.notify_waiters();
        }
    }
}

impl State {
    fn is_readable(&self) -> bool {
        !self.bytes.is_empty() || self.writers == 0
    }

    fn is_writable(&self) -> bool {
        CAPACITY.saturating_sub(self.bytes.len()) >= ATOMIC || self.readers == 0
    }

    /// So many capacities over the first one.
    fn count_over(&mut self, slack: &Counter) -> Option<()> {
        let over = self.bytes.len().saturating_sub(1) / CAPACITY;
        self.over.truncate(over);
        while self.over.len() < over {
            self.over.push(slack.take()?);
        }
        Some(())
    }
}

/// Resolves when `holds` does. Several processes may wait for one end.
async fn until(notify: &Notify, state: &Mutex<State>, holds: fn(&State) -> bool) {
    loop {
        let changed = notify.notified();
        tokio::pin!(changed);
        // From here on no change is missed.
        changed.as_mut().enable();
        if holds(&lock(state)) {
            return;
        }
        changed.await;
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        until(&self.0.readable, &self.0.state, State::is_readable).await;
    }
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut state = lock(&self.0.state);
        let taken = size.min(state.bytes.len());
        if taken == 0 && size > 0 && state.writers == 0 {
            return Err(StreamError::Closed);
        }
        let bytes: Vec<u8> = state.bytes.drain(..taken).collect();
        // Less than before always has its place.
        let _ = state.count_over(&self.0.slack);
        if state.is_writable() {
            self.0.writable.notify_waiters();
        }
        Ok(bytes.into())
    }
}

#[async_trait]
impl Pollable for Abandoned {
    async fn ready(&mut self) {
        match self.0.upgrade() {
            Some(pipe) => until(&pipe.writable, &pipe.state, |state| state.readers == 0).await,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        until(&self.0.writable, &self.0.state, State::is_writable).await;
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = lock(&self.0.state);
        if state.readers == 0 {
            return Err(StreamError::Closed);
        }
        // Another process may have written since this one asked, so that a pipe may go over its capacity; but not by
        // more than those can that ask.
        let trap = || StreamError::trap("wrote more to a pipe than check-write allowed");
        if bytes.len() > CAPACITY {
            return Err(trap());
        }
        state.bytes.extend(&bytes);
        state.count_over(&self.0.slack).ok_or_else(trap)?;
        self.0.readable.notify_waiters();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // That nobody reads any more is the next write's error: a flush, which asks this too, is part of the last one.
        let state = lock(&self.0.state);
        Ok(match state.readers {
            0 => CAPACITY,
            _ if state.is_writable() => CAPACITY - state.bytes.len(),
            _ => 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn one() -> (Reader, Writer) {
        pipe(&Counter::new(1), &Counter::new(1)).expect("room")
    }

    #[test]
    fn bytes_come_in_order_and_the_end_after_them() {
        let (mut reader, mut writer) = one();
        assert_eq!(reader.read(10).expect("open"), "");
        writer.write("hello".into()).expect("open");
        let second = Writer::of(&writer.0);
        drop(writer);
        assert_eq!(reader.read(3).expect("bytes"), "hel");
        assert_eq!(reader.read(3).expect("bytes"), "lo");
        assert_eq!(reader.read(3).expect("one writer is left"), "");
        drop(second);
        assert!(matches!(reader.read(3), Err(StreamError::Closed)));
    }

    #[test]
    fn a_full_pipe_takes_no_more_and_one_without_readers_is_closed() {
        let (reader, mut writer) = one();
        let permit = writer.check_write().expect("open");
        writer.write(vec![0; permit].into()).expect("open");
        assert_eq!(writer.check_write().expect("open"), 0);
        assert!(writer.write(vec![0; CAPACITY + 1].into()).is_err());
        drop(reader);
        assert!(writer.check_write().expect("told by the write") > 0);
        assert!(matches!(writer.write("x".into()), Err(StreamError::Closed)));
    }

    #[test]
    fn who_does_not_ask_before_writing_fills_nothing() {
        let slack = Counter::new(2);
        let (mut reader, mut writer) = pipe(&Counter::new(1), &slack).expect("room");
        let mut write = || writer.write(vec![0; CAPACITY].into());
        for _ in 0..3 {
            write().expect("as if others had been faster");
        }
        assert!(matches!(write(), Err(StreamError::Trap(_))));
        reader.read(4 * CAPACITY).expect("bytes");
        assert!(
            slack.take().is_some() && slack.take().is_some(),
            "given back"
        );
    }

    #[test]
    fn pipes_are_counted_as_long_as_an_end_lives() {
        let counter = Counter::new(1);
        let another = || pipe(&counter, &Counter::new(1));
        let (reader, writer) = another().expect("room");
        drop(writer);
        assert!(another().is_none());
        drop(reader);
        assert!(another().is_some());
    }

    #[tokio::test]
    async fn a_writer_hears_that_nobody_reads_any_more() {
        let (reader, writer) = one();
        let mut ends = Ends::default();
        ends.insert(7, writer.weak());
        let second = Reader::of(&reader.0);
        let mut waiting = ends.abandoned(7);
        let close = async {
            drop(reader);
            tokio::task::yield_now().await;
            drop(second);
        };
        tokio::join!(waiting.ready(), close);
        // Neither is waiting a hold, nor is there anything to hear of what is no pipe.
        assert_eq!(Arc::strong_count(&writer.0), 1);
        let never = tokio::time::timeout(Duration::from_millis(1), async {
            ends.abandoned(8).ready().await;
        });
        assert!(never.await.is_err());
    }

    #[tokio::test]
    async fn waiting_ends_in_every_process_that_waits() {
        let (mut reader, writer) = one();
        let mut second = Reader::of(&reader.0);
        let both = async { tokio::join!(reader.ready(), second.ready()) };
        let close = async {
            tokio::task::yield_now().await;
            drop(writer);
        };
        tokio::join!(both, close);
    }
}
