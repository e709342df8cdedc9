//! One process of an app: a store of its own, from its first code to its end.

use crate::command::Next;
use crate::crash::{self, Crash};
use crate::engine::Interruption;
use crate::events::Event;
use crate::exit::{Exit, Limit};
use crate::governor::{Exceeded, Governor, Meter};
use crate::host::Host;
use crate::net::sync::lock;
use crate::processes::Family;
use crate::snapshot::{SnapshotError, Surroundings};
use pywasm_format::shell::When;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::watch;
use wasmtime::component::WasmList;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;

/// How long an ended app's unsent data may hold up its end.
const LINGER: Duration = Duration::from_secs(1);

/// One process of an app, ready to run: a store of its own.
pub(crate) struct Running {
    pub(crate) family: Arc<Family>,
    pub(crate) program: CommandPre<Host>,
    pub(crate) host: Host,
    /// What it may hold in the host's tables.
    pub(crate) handles: usize,
    pub(crate) after: After,
}

/// What is started after a process, in its place.
#[derive(Default)]
pub(crate) struct After {
    /// Nothing.
    pub(crate) is_last: bool,
    pub(crate) commands: Vec<Next>,
    /// Each with the variables that the first one had.
    pub(crate) env: Vec<(String, String)>,
}

/// Is the next command started after one that came to `code`?
fn follows(when: When, code: u8) -> bool {
    match when {
        When::Always => true,
        When::Success => code == 0,
        When::Failure => code != 0,
    }
}

/// What a thread that runs instances waits for events with.
pub(crate) fn reactor() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Runs on this thread, to the end.
pub(crate) fn block_on<T>(reactor: tokio::runtime::Runtime, running: impl Future<Output = T>) -> T {
    let result = reactor.block_on(running);
    // A read from the host's standard input may still be blocked in the reactor's pool.
    reactor.shutdown_background();
    result
}

/// Does work that blocks on a thread of its own: that of the caller may be in an event loop, in which no other can be run.
pub(crate) fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("pywasm-instance".to_owned());
        let result = thread.spawn_scoped(scope, work)?.join();
        Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

impl Running {
    /// Runs on this thread, to the end, which comes with `stopped` and `wall` at the latest: for guest code that never
    /// calls the host only under [`Interruption::Checked`].
    pub(crate) fn run_here(self, stopped: watch::Receiver<bool>, wall: Option<Duration>) -> Exit {
        match reactor() {
            Ok(reactor) => block_on(reactor, self.run_until(stopped, wall)),
            Err(e) => Exit::host_failed(format!("no event loop for the instance: {e}")),
        }
    }

    pub(crate) async fn run_until(
        self,
        mut stopped: watch::Receiver<bool>,
        wall: Option<Duration>,
    ) -> Exit {
        let family = Arc::clone(&self.family);
        let is_first = self.host.process.is_first();
        let out_of_time = async {
            match wall {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let stop = async {
            // The sender may be gone: a host that never stops it.
            if stopped.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let exit = tokio::select! {
            exit = self.execute_all() => exit,
            limit = family.over() => Exit::Limit(limit),
            () = out_of_time => Exit::Limit(Limit::Wall),
            () = stop => Exit::Stopped,
        };
        if is_first {
            family.settled.store(true, Ordering::Relaxed);
            family.end(LINGER).await;
        }
        exit
    }

    /// Runs, and then what is to be started after it.
    async fn execute_all(mut self) -> Exit {
        let (family, signals) = (Arc::clone(&self.family), self.host.signals.clone());
        let mut after = std::mem::take(&mut self.after);
        let mut exit = self.execute().await;
        for Next { when, command } in after.commands {
            let Exit::Code(code) = exit else { break };
            if after.is_last {
                break;
            }
            if follows(when, code) {
                after.is_last = command.is_last;
                let next = family.first(command, &after.env, signals.clone(), &Surroundings::Host);
                exit = match next {
                    Ok(next) => next.execute().await,
                    Err(error) => Exit::host_failed(error),
                };
            }
        }
        exit
    }

    async fn execute(self) -> Exit {
        let family = Arc::clone(&self.family);
        let draining = self.host.network.draining();
        let meter = Meter::default();
        let (program, mut store) = match self.into_store(&meter) {
            Ok(ready) => ready,
            Err(error) => return Exit::host_failed(format!("{error:#}")),
        };
        let run = async {
            let began = Instant::now();
            let command = program.instantiate_async(&mut store).await?;
            let took = began.elapsed();
            family.runtime.shared.memories.ready().map_err(NotReady)?;
            family.events.tell(Event::Instantiated { took });
            command.wasi_cli_run().call_run(&mut store).await
        };
        let result = match family.runtime.shared.interruption.has_epochs() {
            true => meter.count(run).await,
            false => run.await,
        };
        let exit = classify(result, &mut store);
        // The store goes first: it holds open files in the folder that goes with the family.
        drop(store);
        // Like a kernel, send what the app wrote before it ended; unlike one, not for ever.
        let _ = tokio::time::timeout(LINGER, draining.finished()).await;
        exit
    }

    pub(crate) async fn prepare_memory(self) -> Result<Vec<u8>, SnapshotError> {
        // What comes out is all of the guest's memory, and stays where it is.
        let most = usize::try_from(self.family.limits.memory).unwrap_or(usize::MAX);
        let interpreter = |e: wasmtime::Error| SnapshotError::Interpreter(e.into());
        let meter = Meter::default();
        let (program, mut store) = self.into_store(&meter).map_err(interpreter)?;
        store.set_hostcall_fuel(most.saturating_add(HOSTCALL_BYTES));
        let instance = program.instance_pre().instantiate_async(&mut store).await;
        let instance = instance.map_err(interpreter)?;
        let prepare = instance
            .get_typed_func::<(), (WasmList<u8>,)>(&mut store, PREPARE)
            .map_err(interpreter)?;
        match meter.count(prepare.call_async(&mut store, ())).await {
            Ok(_) if !store.data().table.is_empty() => Err(SnapshotError::Handles),
            Ok((memory,)) => Ok(pywasm_state::encode(memory.as_le_slice(&store))),
            Err(error) => Err(SnapshotError::Ended(classify(Err(error), &mut store))),
        }
    }

    /// The interpreter, and a store for it in which the limits hold.
    fn into_store(self, meter: &Meter) -> wasmtime::Result<(CommandPre<Host>, Store<Host>)> {
        let shared = &self.family.runtime.shared;
        let mut store = Store::new(&shared.engine, self.host);
        store.limiter(|host| &mut host.memory);
        store.set_max_component_handles(self.handles);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        restrain(&mut store, shared.interruption, &self.family, meter)?;
        Ok((self.program, store))
    }
}

/// The export that starts Python, imports modules and gives out the memory.
const PREPARE: &str = "prepare";

/// What the host copies of a guest's memory for one call. It comes on top of the memory limit, and is more than the
/// guest's C library passes in one piece, but for `pwrite` of as much.
const HOSTCALL_BYTES: usize = 32 << 20;

/// Sets up the checks that are compiled into the guest.
fn restrain(
    store: &mut Store<Host>,
    interruption: Interruption,
    family: &Family,
    meter: &Meter,
) -> wasmtime::Result<()> {
    if interruption == Interruption::Metered {
        store.set_fuel(family.limits.fuel.unwrap_or(u64::MAX))?;
    }
    if interruption.has_epochs() {
        let mut governor = Governor::new(&family.account, meter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match governor.check()? {
            None => Ok(UpdateDeadline::Yield(1)),
            Some(pause) => {
                let sleep = Box::pin(tokio::time::sleep(pause));
                Ok(UpdateDeadline::YieldCustom(1, sleep))
            }
        });
    }
    Ok(())
}

/// The memory that an instance was to begin with cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the memory that the app begins with from the cache: {0}")]
struct NotReady(io::Error);

fn classify(result: wasmtime::Result<Result<(), ()>>, store: &mut Store<Host>) -> Exit {
    let error = match result {
        Ok(Ok(())) => return Exit::Code(0),
        Ok(Err(())) => return Exit::Code(1),
        Err(error) => error,
    };
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(code)) => Exit::Code(u8::try_from(code & 0xff).unwrap_or(1)),
        None if let Some(not_ready) = error.downcast_ref::<NotReady>() => {
            Exit::host_failed(not_ready)
        }
        None if let Some(Exceeded(limit)) = error.downcast_ref() => Exit::Limit(*limit),
        None if error.downcast_ref() == Some(&Trap::OutOfFuel) => Exit::Limit(Limit::Fuel),
        None if store.data().memory.refused() => Exit::Limit(Limit::Memory),
        None => {
            let family = store.data().process.family();
            let mut crash = Crash::of_guest(&error, family.parts.interpreter.names(), &*store);
            let file = lock(&family.core_dump).take();
            if let Some(Err(failed)) = file.map(|file| crash::dump(&error, store, file)) {
                crash.reason = format!("{} (no core dump: {failed})", crash.reason);
            }
            Exit::Trap(Box::new(crash))
        }
    }
}
