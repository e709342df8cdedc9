//! Signals to the program inside: the host side of the guest's own import `pywasm:guest/signals`.
//!
//! A signal is a bit until the guest takes it, as a kernel keeps it: the same signal sent twice may arrive once, and a
//! guest that takes none makes the host keep nothing.

use crate::net::sync::lock;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

/// What can be sent to a program. The numbers are Linux's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hangup = 1,
    /// SIGINT, a person's Ctrl-C: `KeyboardInterrupt` unless the program has other plans.
    Interrupt = 2,
    /// SIGTERM: ends the program unless it handles it.
    Terminate = 15,
    /// SIGWINCH: the terminal has another size. Ignored unless the program handles it.
    Resize = 28,
}

/// Sends signals to an instance; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Mailbox {
    /// Bit n: signal n waits.
    waiting: AtomicU32,
    arrival: Notify,
    /// Of the further processes, where this is the first one's.
    group: Mutex<Vec<Weak<Mailbox>>>,
}

impl Signals {
    /// Sends a signal. What it does is up to the program; see [`Signals::untaken`]. What comes from a terminal reaches all
    /// processes of an app, as it does there: a first process that waits for the others would never end otherwise.
    pub fn send(&self, signal: Signal) {
        self.send_number(signal as u8);
        if matches!(signal, Signal::Interrupt | Signal::Hangup) {
            let group = lock(&self.0.group);
            let group = group.iter().filter_map(Weak::upgrade).map(Self);
            group.for_each(|member| member.send_number(signal as u8));
        }
    }

    /// For a further process of the same app.
    pub(crate) fn member(&self) -> Self {
        let member = Self::default();
        let mut group = lock(&self.0.group);
        group.retain(|other| other.strong_count() > 0);
        group.push(Arc::downgrade(&member.0));
        member
    }

    /// Sends the signal of that number on Linux. 0 and those that Linux has not are none.
    pub(crate) fn send_number(&self, number: u8) {
        if (1..32).contains(&number) {
            self.0.waiting.fetch_or(1 << number, Ordering::SeqCst);
            self.0.arrival.notify_one();
        }
    }

    /// Whether a signal waits that the program has not taken. One that computes in C takes none until that ends.
    pub fn untaken(&self) -> bool {
        self.0.waiting.load(Ordering::SeqCst) != 0
    }

    /// The lowest number that waits, or 0.
    fn take(&self) -> u8 {
        let waiting = self.0.waiting.load(Ordering::SeqCst);
        if waiting == 0 {
            return 0;
        }
        // Only the guest takes, so the bit is still there.
        let number = waiting.trailing_zeros();
        self.0.waiting.fetch_and(!(1 << number), Ordering::SeqCst);
        u8::try_from(number).unwrap_or(0)
    }
}

/// What `subscribe` hands to the guest behind a pollable.
struct Arrival(Signals);

#[wasmtime_wasi::async_trait]
impl Pollable for Arrival {
    async fn ready(&mut self) {
        while !self.0.untaken() {
            self.0.0.arrival.notified().await;
        }
    }
}

/// What the functions need of a store.
pub(crate) struct SignalsView<'a> {
    pub(crate) signals: &'a Signals,
    pub(crate) table: &'a mut ResourceTable,
}

/// What the host does with a guest that computes, each time that it asks for a signal.
pub(crate) type Look<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> SignalsView<'_>,
    look: for<'a> fn(&'a mut StoreContextMut<'_, T>) -> Look<'a>,
) -> wasmtime::Result<()> {
    let mut interface = linker.instance("pywasm:guest/signals@0.1.0")?;
    interface.func_wrap_async("take", move |mut store: StoreContextMut<'_, T>, ()| {
        Box::new(async move {
            look(&mut store).await;
            Ok((view(store.data_mut()).signals.take(),))
        })
    })?;
    interface.func_wrap(
        "subscribe",
        move |mut store: StoreContextMut<'_, T>,
              ()|
              -> wasmtime::Result<(Resource<DynPollable>,)> {
            let SignalsView { signals, table } = view(store.data_mut());
            let arrival = table.push(Arrival(signals.clone()))?;
            Ok((subscribe(table, arrival)?,))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_taken_once_lowest_first() {
        let signals = Signals::default();
        assert_eq!(signals.take(), 0);
        signals.send(Signal::Terminate);
        signals.send(Signal::Hangup);
        signals.send(Signal::Terminate);
        assert!(signals.untaken());
        assert_eq!([signals.take(), signals.take(), signals.take()], [1, 15, 0]);
        assert!(!signals.untaken());
    }

    #[test]
    fn what_comes_from_a_terminal_reaches_all_processes() {
        let first = Signals::default();
        let (second, third) = (first.member(), first.member());
        drop(third);
        first.send(Signal::Terminate);
        assert!(!second.untaken());
        first.send(Signal::Interrupt);
        assert_eq!([first.take(), first.take()], [2, 15]);
        assert_eq!([second.take(), second.take()], [2, 0]);
        first.send_number(2);
        assert!(!second.untaken(), "kill() is for one");
    }

    #[tokio::test]
    async fn arrival_is_ready_as_long_as_a_signal_waits() {
        let signals = Signals::default();
        let mut arrival = Arrival(signals.clone());
        let sender = signals.clone();
        tokio::spawn(async move { sender.send(Signal::Interrupt) });
        arrival.ready().await;
        arrival.ready().await;
        assert_eq!(signals.take(), 2);
    }
}
