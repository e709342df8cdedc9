//! Waits for an app to end, or ends it: signals, time limit, and guests that do not listen.

use crate::workers::control::{Boss, Word};
use pywasm::net::Doors;
use pywasm::{Exit, Instance, Limit, Signal, Terminal};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long an instance may take to stop before the process ends over its head: a guest that computes
/// without ever calling the host cannot be stopped from inside.
const GRACE: Duration = Duration::from_millis(300);

/// How long a program may take to notice a signal. One that does not is in the middle of a computation that nothing
/// inside can interrupt, and ends without being asked.
const NOTICE: Duration = Duration::from_millis(600);

/// So many interrupts, each soon after the one before, are an order, as they are with docker.
const INSISTENCE: u32 = 3;
const SOON: Duration = Duration::from_secs(2);

/// Host memory that an instance may use beside its own: buffers, file handles, stacks of threads.
const OVERHEAD: u64 = 64 << 20;

/// What ended the wait.
pub enum Ending {
    /// The app ended, by itself or by a limit.
    App(Exit),
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
}

impl Ending {
    /// The exit code a shell expects.
    pub fn code(&self) -> u8 {
        match self {
            Self::App(exit) => exit.code(),
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Waits until `instance` has ended or must end. When this returns, nothing of the app is left on disk.
pub fn supervise(
    mut instance: Instance,
    limit: Option<Duration>,
    stop_timeout: Duration,
    host_memory: &HostMemory,
    terminal: Option<&Terminal>,
    boss: Option<Boss>,
) -> anyhow::Result<Ending> {
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    reactor.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut resize = match terminal {
            Some(_) => Some(signal(SignalKind::window_change())?),
            None => None,
        };
        let signals = instance.signals();
        // The instance has the same limit; this one is for code that never looks up.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit + GRACE));
        let out_of_time = at(deadline);
        tokio::pin!(out_of_time);
        let exhausted = host_memory.exhausted();
        tokio::pin!(exhausted);
        let leave = leave(boss, instance.doors(), stop_timeout);
        tokio::pin!(leave);
        let mut asked = Asked {
            // At a terminal that is lent, Ctrl-C is a key like others.
            insistence: terminal.is_none().then_some(INSISTENCE),
            ..Asked::default()
        };
        // It ended within its time, and its files are being removed.
        let mut had_its_time = false;
        let ending = loop {
            let signal = tokio::select! {
                exit = instance.wait() => return Ok(Ending::App(exit)),
                () = &mut out_of_time, if !had_its_time => {
                    had_its_time = instance.is_over();
                    match had_its_time {
                        true => continue,
                        false => break Ending::App(Exit::Limit(Limit::Wall)),
                    }
                }
                () = &mut exhausted => break Ending::App(Exit::Limit(Limit::Memory)),
                () = at(asked.notice_by) => {
                    if signals.untaken() {
                        break asked.ending();
                    }
                    asked.notice_by = None;
                    continue;
                }
                () = at(asked.end_by) => break asked.ending(),
                () = next(resize.as_mut()) => {
                    signals.send(Signal::Resize);
                    continue;
                }
                _ = interrupt.recv() => Signal::Interrupt,
                _ = terminate.recv() => Signal::Terminate,
                _ = hangup.recv() => Signal::Hangup,
                () = &mut leave, if asked.end_by.is_none() => Signal::Terminate,
            };
            if asked.again(signal, stop_timeout) {
                break asked.ending();
            }
            signals.send(signal);
        };
        instance.stopper().stop();
        // One that is past its limit has had its time to stop already.
        let grace = match ending {
            Ending::App(_) => Duration::ZERO,
            Ending::Interrupted | Ending::Terminated => GRACE,
        };
        tokio::select! {
            biased;
            _ = instance.wait() => {}
            () = sleep(grace) => instance.remove_files(),
        }
        Ok(ending)
    })
}

/// Resolves when the command has told this worker to end, and those whom it serves have been served.
async fn leave(boss: Option<Boss>, doors: Doors, stop_timeout: Duration) {
    let Some(boss) = boss else {
        return std::future::pending().await;
    };
    // One that cannot be asked any more has gone, and takes its workers along.
    drop(boss.word().wait_for(|word| *word != Word::Serve).await);
    doors.shut();
    // What is left of the time is for the program to end in.
    let _ = timeout(stop_timeout.saturating_sub(NOTICE), doors.quiet()).await;
}

/// What the program has been asked to do.
#[derive(Default)]
struct Asked {
    last: Option<Signal>,
    /// When the last signal must have been taken.
    notice_by: Option<Instant>,
    /// When a program that was told to end must have ended. Only SIGTERM says that: an interrupt may end a calculation
    /// at a prompt, and a server may read its settings anew when its terminal hangs up.
    end_by: Option<Instant>,
    /// So many interrupts in a row end it.
    insistence: Option<u32>,
    /// How many there have been, and when the last one came.
    interrupts: Option<(u32, Instant)>,
}

impl Asked {
    /// Takes note of a signal. Returns whether the program was told often enough and is now to end at once.
    fn again(&mut self, signal: Signal, stop_timeout: Duration) -> bool {
        let now = Instant::now();
        self.notice_by = Some(now + NOTICE);
        self.last = Some(signal);
        if signal == Signal::Interrupt {
            let before = self.interrupts.filter(|(_, last)| now - *last < SOON);
            let times = before.map_or(0, |(times, _)| times) + 1;
            self.interrupts = Some((times, now));
            return Some(times) == self.insistence;
        }
        if signal != Signal::Terminate {
            return false;
        }
        let told = self.end_by.is_some();
        if !told {
            self.end_by = now.checked_add(stop_timeout);
        }
        told
    }

    fn ending(&self) -> Ending {
        match self.last {
            Some(Signal::Interrupt) => Ending::Interrupted,
            _ => Ending::Terminated,
        }
    }
}

/// Resolves at that time; without one never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the signal arrives; without one never.
async fn next(signal: Option<&mut UnixSignal>) {
    match signal.map(UnixSignal::recv) {
        Some(arrival) => drop(arrival.await),
        None => std::future::pending().await,
    }
}

/// The memory of this process, which is that of one instance.
///
/// What a guest makes the host keep is capped kind by kind; this is the cap over all kinds, and over
/// those that nobody thought of.
pub struct HostMemory {
    statm: Option<File>,
    most: u64,
}

impl HostMemory {
    /// With `memory` for the instance over what is in use now. To be made before the process is
    /// confined, which it then cannot look at any more.
    pub fn now(memory: u64) -> Self {
        let mut host = Self {
            // Where there is no such file, the caps by kind are all there is.
            statm: File::open("/proc/self/statm").ok(),
            most: 0,
        };
        let used = host.used().unwrap_or_default();
        host.most = used.saturating_add(memory).saturating_add(OVERHEAD);
        host
    }

    /// Bytes that are this process's alone: pages of mapped files are not.
    fn used(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let mut pages = std::str::from_utf8(&text[..length])
            .ok()?
            .split(' ')
            .skip(1)
            .map_while(|number| number.parse::<u64>().ok());
        let (resident, shared) = (pages.next()?, pages.next()?);
        Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
    }

    /// Resolves when more is in use than may be.
    pub async fn exhausted(&self) {
        loop {
            let Some(used) = self.used() else {
                return std::future::pending().await;
            };
            if used > self.most {
                return;
            }
            // Nobody fills memory faster than about 2 GiB a second; and an idle app should not wake
            // the machine for this.
            let left = Duration::from_millis((self.most - used) >> 21);
            sleep(left.clamp(Duration::from_millis(20), Duration::from_secs(1))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_process_is_seen() {
        let mut host = HostMemory::now(0);
        let before = host.used().expect("linux");
        host.most = before + (40 << 20);
        let reactor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let reactor = reactor.expect("an event loop");
        let soon = Duration::from_millis(100);
        let quiet = reactor.block_on(async { tokio::time::timeout(soon, host.exhausted()).await });
        assert!(quiet.is_err(), "nothing was taken yet");
        let taken = vec![1u8; 120 << 20];
        reactor.block_on(host.exhausted());
        assert_eq!(taken.len(), 120 << 20);
    }
}
