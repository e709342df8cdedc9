//! The line between the command and one of its workers: a pair of connected sockets, the worker's end being its
//! standard input.
//!
//! To the worker go the sockets of the published ports, and later the word to end; from it comes news. What comes
//! is read as hostile: an app that has broken out of its sandbox owns its worker.

use crate::denials::{News, Seen};
use anyhow::{Context, bail};
use pywasm::EventSink;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Descriptors in one message; Linux takes 253.
const AT_ONCE: usize = 64;

/// The longest news that is read; the longest that is sent names a host of 253 characters.
const LINE: u64 = 4096;

/// The word to end in good order.
const END: u8 = b'E';

/// Sends sockets, which the other side receives with [`receive_sockets`].
pub fn send_sockets(to: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    for some in sockets.chunks(AT_ONCE) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        message.push(SendAncillaryMessage::ScmRights(some));
        sendmsg(to, &[IoSlice::new(&[0])], &mut message, SendFlags::empty())?;
    }
    Ok(())
}

fn receive_sockets(from: impl AsFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut sockets = Vec::new();
    while sockets.len() < count {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
        let mut message = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let read = recvmsg(
            &from,
            &mut [IoSliceMut::new(&mut byte)],
            &mut message,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if read.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in message.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors);
            }
        }
    }
    Ok(sockets)
}

/// A worker's end.
pub struct Boss(UnixStream);

impl Boss {
    /// The line on standard input, with as many sockets as there are published ports.
    pub fn of_stdin(ports: usize) -> anyhow::Result<(Self, Vec<OwnedFd>)> {
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let sockets =
            receive_sockets(&line, ports).context("cannot get the sockets of published ports")?;
        Ok((Self(line), sockets))
    }

    /// Passes on what is new.
    pub fn sink(&self) -> anyhow::Result<EventSink> {
        let line = self.0.try_clone()?;
        let seen = Mutex::<Seen>::default();
        Ok(EventSink::new(move |event| {
            let Some(news) = News::of(event) else { return };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.news(&news).is_none() {
                return;
            }
            if let Ok(mut text) = serde_json::to_vec(&news) {
                text.push(b'\n');
                // Without a command this worker ends anyhow.
                let _ = (&line).write_all(&text);
            }
        }))
    }

    /// What the command wants, from now on. Read on a thread, for standard input may not become non-blocking: it is shared with
    /// whoever else has it.
    pub fn word(self) -> tokio::sync::watch::Receiver<Word> {
        let (tell, word) = tokio::sync::watch::channel(Word::Serve);
        std::thread::spawn(move || {
            // Whatever comes: there is one word.
            while matches!((&self.0).read(&mut [0]), Ok(1..)) {
                tell.send_replace(Word::End);
            }
            tell.send_replace(Word::Gone);
        });
        word
    }
}

/// What a worker hears of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Nothing yet.
    Serve,
    /// It is to end, when those whom it serves have been served.
    End,
    /// There is no command any more.
    Gone,
}

/// The command's end.
pub struct Line {
    reader: BufReader<tokio::net::unix::OwnedReadHalf>,
    writer: Arc<tokio::net::unix::OwnedWriteHalf>,
}

impl Line {
    pub fn new(own: UnixStream) -> io::Result<Self> {
        own.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(own)?.into_split();
        Ok(Self {
            reader: BufReader::new(reader),
            writer: Arc::new(writer),
        })
    }

    /// Tells the worker to end when this is dropped, or [`End::tell`] is called.
    pub fn end(&self) -> End {
        End(Arc::clone(&self.writer))
    }

    /// The next news; none when the worker is gone. An error where it says what no worker says.
    pub async fn next(&mut self) -> anyhow::Result<Option<News>> {
        let mut text = Vec::new();
        let mut limited = (&mut self.reader).take(LINE);
        if limited.read_until(b'\n', &mut text).await? == 0 {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') {
            bail!("a worker's message is longer than {LINE} bytes");
        }
        let news = serde_json::from_slice(&text).context("a worker's message is not understood")?;
        let News::Denied { entry, hint } = news else {
            return Ok(Some(news));
        };
        // Nothing that moves a terminal's cursor.
        let plain = |text: String| text.chars().filter(|c| !c.is_control()).collect();
        Ok(Some(News::Denied {
            entry: crate::denials::Entry {
                time: entry.time,
                resource: plain(entry.resource),
                rule: plain(entry.rule),
                flag: plain(entry.flag),
            },
            hint: plain(hint),
        }))
    }
}

/// Tells a worker to end.
pub struct End(Arc<tokio::net::unix::OwnedWriteHalf>);

impl End {
    pub fn tell(&self) {
        // It may have ended already.
        let _ = self.0.try_write(&[END]);
    }
}
