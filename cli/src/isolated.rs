//! A worker whose instances serve one request each: started ahead, replaced when they end.
//!
//! They take turns on one thread. Each changes hundreds of pages of a memory that it shares until then, and were there another
//! processor on which a thread of the process runs, the kernel would have to tell it of each.

use crate::commands::launch::crashed;
use crate::printer;
use crate::supervise::HostMemory;
use crate::workers::control::{Boss, Word};
use pywasm::net::Doors;
use pywasm::{Exit, Instance, Limit, Prepared, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked whether a request has been given up by those who asked.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is looked whether the first instance has got so far as to take a request.
const LOOK_FIRST: Duration = Duration::from_millis(5);

/// How long an instance that nobody has asked may take to end.
const GRACE: Duration = Duration::from_millis(300);

/// What there is to start, and how much of it.
pub struct Work<F> {
    /// Prepares another instance.
    pub prepare: F,
    /// Instances at the same time.
    pub at_once: usize,
    /// How long an instance may go on when its client has gone, or when all is to end.
    pub patience: Duration,
    pub host_memory: HostMemory,
}

/// Keeps `work.at_once` instances ready until the command says to end. Returns the exit code.
///
/// The first is alone until it can take a request: what is wrong with the app is said once, not by all.
pub fn serve<F>(work: Work<F>, boss: Boss) -> anyhow::Result<u8>
where
    F: Fn() -> anyhow::Result<Prepared>,
{
    let Work {
        prepare,
        at_once,
        patience,
        host_memory,
    } = work;
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    reactor.block_on(async {
        // The command's signals reach it alone; these are a person's.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let ending = watch::Sender::new(false);
        let mut instances = JoinSet::new();
        let mut first = None;
        let free = Arc::new(AtomicUsize::new(0));
        let mut wanted = 1;
        let mut word = boss.word();
        let exhausted = host_memory.exhausted();
        tokio::pin!(exhausted);
        let code = loop {
            while instances.len() < wanted {
                let (instance, running) = prepare()?.start_here();
                first.get_or_insert_with(|| instance.doors());
                let alive = live(instance, patience, ending.subscribe(), Free::new(&free));
                instances.spawn(async { tokio::join!(alive, running).0 });
            }
            tokio::select! {
                Some(ended) = instances.join_next() => match ended? {
                    Life::Served => {}
                    // The next one would do the same. The command decides when to try again.
                    Life::Idle(exit) => {
                        if let Exit::Trap(crash) = &exit {
                            printer::note(&crashed(crash));
                        }
                        break exit.code();
                    }
                },
                () = opened(first.as_ref()), if wanted < at_once => wanted = at_once,
                () = &mut exhausted => break Exit::Limit(Limit::Memory).code(),
                // One that cannot be asked any more has gone, and takes its workers along.
                () = async { drop(word.wait_for(|word| *word != Word::Serve).await) } => break 143,
                _ = interrupt.recv() => break 130,
                _ = terminate.recv() => break 143,
            }
        };
        ending.send_replace(true);
        let all = async { while instances.join_next().await.is_some() {} };
        tokio::select! {
            _ = timeout(patience + 2 * GRACE, all) => {}
            // Nobody waits for an answer of workers without a command.
            () = async { drop(word.wait_for(|word| *word == Word::Gone).await) } => sleep(GRACE).await,
        }
        Ok(code)
    })
}

/// What an instance did.
enum Life {
    /// It was asked for something.
    Served,
    /// Nobody had asked it for anything when it ended.
    Idle(Exit),
}

/// An instance that nobody has asked for anything yet, counted as long as this lives.
struct Free(Arc<AtomicUsize>);

impl Free {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stays with an instance to its end.
async fn live(
    mut instance: Instance,
    patience: Duration,
    mut ending: watch::Receiver<bool>,
    free: Free,
) -> Life {
    let doors = instance.doors();
    let exit = tokio::select! {
        exit = instance.wait() => Some(exit),
        () = given_up(&doors, patience, free) => None,
        () = async { drop(ending.wait_for(|ending| *ending).await) } => {
            doors.shut();
            let _ = timeout(patience, doors.quiet()).await;
            instance.signals().send(Signal::Terminate);
            timeout(GRACE, instance.wait()).await.ok()
        }
    };
    let exit = match exit {
        Some(exit) => exit,
        None => {
            instance.stopper().stop();
            instance.wait().await
        }
    };
    match doors.entered() {
        true => Life::Served,
        false => Life::Idle(exit),
    }
}

/// Resolves when the instance behind the doors can take a request, or has taken one.
async fn opened(doors: Option<&Doors>) {
    while !doors.is_some_and(|doors| doors.is_open() || doors.entered()) {
        sleep(LOOK_FIRST).await;
    }
}

/// Resolves when the one who asked has gone, and the instance has had its time to end by itself. One whose answer nobody
/// waits for any more gets none of it where others have to wait.
async fn given_up(doors: &Doors, patience: Duration, free: Free) {
    while !doors.entered() {
        sleep(LOOK).await;
    }
    let others = Arc::clone(&free.0);
    drop(free);
    while !doors.is_deserted() {
        sleep(LOOK).await;
    }
    let forsaken = doors.is_forsaken();
    let is_in_the_way = || forsaken && others.load(Ordering::Relaxed) == 0;
    let left = Instant::now() + patience;
    while Instant::now() < left && !is_in_the_way() {
        sleep(LOOK).await;
    }
}
