//! Waits for an app to end, or ends it: signals, time limit, and guests that do not listen.

use pywasm::{Exit, Instance, Limit};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

/// How long an instance may take to stop before the process ends over its head: a guest that computes
/// without ever calling the host cannot be stopped from inside.
const GRACE: Duration = Duration::from_millis(300);

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
pub fn supervise(mut instance: Instance, limit: Option<Duration>) -> anyhow::Result<Ending> {
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    reactor.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // The instance has the same limit; this one is for code that never looks up.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit + GRACE));
        let out_of_time = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let ending = tokio::select! {
            exit = instance.wait() => return Ok(Ending::App(exit)),
            () = out_of_time => Ending::App(Exit::Limit(Limit::Wall)),
            _ = interrupt.recv() => Ending::Interrupted,
            _ = terminate.recv() => Ending::Terminated,
            _ = hangup.recv() => Ending::Terminated,
        };
        instance.stopper().stop();
        tokio::select! {
            _ = instance.wait() => {}
            () = sleep(GRACE) => instance.remove_files(),
        }
        Ok(ending)
    })
}
