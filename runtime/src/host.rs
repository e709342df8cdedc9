//! What a store carries, and which host functions the guest can call.

use crate::events::{Denial, Event, EventSink};
use crate::exit::Limit;
use crate::files::{self, FilesView, Guard};
use crate::net::{self, NetView, Network};
use crate::processes::{self, Process, ProcessesView};
use crate::profile::{self, Sampler};
use crate::signals::{self, Signals, SignalsView};
use crate::terminal::{self, Lending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::ResourceLimiter;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The state of one instance on the host's side.
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) network: Network,
    pub(crate) files: Guard,
    pub(crate) signals: Signals,
    pub(crate) terminal: Lending,
    pub(crate) memory: MemoryLimiter,
    pub(crate) process: Process,
    pub(crate) sampler: Option<Sampler>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Everything a guest can call: WASI 0.2, with sockets of our own and a guard before its files, where wasmtime's own are not
/// there to be reached; the signals that are sent to it; its terminal; and its further processes.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    add_wasi_to_linker(linker)?;
    net::add_to_linker(linker, |host: &mut Host| NetView {
        network: &mut host.network,
        table: &mut host.table,
    })?;
    files::add_to_linker(linker, |host: &mut Host| FilesView {
        ctx: host.wasi.filesystem(),
        table: &mut host.table,
        guard: &mut host.files,
    })?;
    signals::add_to_linker(
        linker,
        |host: &mut Host| SignalsView {
            signals: &host.signals,
            table: &mut host.table,
        },
        profile::sample,
    )?;
    terminal::add_to_linker(linker, |host: &mut Host| &host.terminal)?;
    processes::add_to_linker(linker, |host: &mut Host| ProcessesView {
        process: &mut host.process,
        files: &mut host.files,
        table: &mut host.table,
    })
}

/// What wasmtime has of WASI and of which nothing opens files or sockets.
fn add_wasi_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView};
    use wasmtime_wasi::p2::bindings::{cli, random};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView};

    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<Host, WasiRandom>(linker, Host::random)?;
    random::insecure_seed::add_to_linker::<Host, WasiRandom>(linker, Host::random)?;
    cli::environment::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::exit::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_input::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_output::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdout::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stderr::add_to_linker::<Host, WasiCli>(linker, Host::cli)
}

/// Entries of all of a guest's tables (function pointers); CPython needs about 20,000.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Parts that a component may have: our guest has one memory, and a package may bring another guest.
const MEMORIES: usize = 16;
const TABLES: usize = 256;
const INSTANCES: usize = 1024;

/// Refuses memory past the limit, so that `malloc` fails in the guest and Python raises `MemoryError`.
///
/// One for each process of an app; all count together.
pub(crate) struct MemoryLimiter {
    limit: u64,
    /// Of all memories of all processes.
    used: Arc<AtomicU64>,
    /// Of this process's, to be given back at its end.
    own: Arc<AtomicU64>,
    table_elements: usize,
    refused: bool,
    events: EventSink,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64, events: EventSink) -> Self {
        Self {
            limit,
            events,
            used: Arc::default(),
            own: Arc::default(),
            table_elements: 0,
            refused: false,
        }
    }

    /// For another process, within the same limit.
    pub(crate) fn sibling(&self) -> Self {
        let mut new = Self::new(self.limit, self.events.clone());
        new.used = Arc::clone(&self.used);
        new
    }

    /// Bytes of all processes, and of this one.
    pub(crate) fn used(&self) -> [Arc<AtomicU64>; 2] {
        [&self.used, &self.own].map(Arc::clone)
    }

    /// Did the guest ever ask for more than it may have?
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        let own = self.own.swap(0, Ordering::Relaxed);
        self.used.fetch_sub(own, Ordering::Relaxed);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = desired.saturating_sub(current) as u64;
        let limit = self.limit;
        let add = |used: u64| used.checked_add(grown).filter(|used| *used <= limit);
        let allowed = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok();
        if allowed {
            self.own.fetch_add(grown, Ordering::Relaxed);
        }
        if !allowed && !self.refused {
            self.refused = true;
            self.events
                .tell(Event::Denied(Denial::Limit(Limit::Memory)));
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = desired.saturating_sub(current);
        let elements = self.table_elements.saturating_add(grown);
        let allowed = elements <= TABLE_ELEMENTS;
        if allowed {
            self.table_elements = elements;
        }
        Ok(allowed)
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn instances(&self) -> usize {
        INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limiter = MemoryLimiter::new(100, EventSink::silent());
        let mut grow = |current, desired| {
            limiter
                .memory_growing(current, desired, None)
                .expect("an answer")
        };
        assert!(grow(0, 60));
        assert!(!grow(0, 60), "a second one");
        assert!(grow(0, 40) && !grow(60, 61));
        assert!(limiter.refused());
        let mut table = |current, desired| {
            limiter
                .table_growing(current, desired, None)
                .expect("an answer")
        };
        assert!(table(0, TABLE_ELEMENTS) && !table(0, 1));
    }

    #[test]
    fn memory_is_counted_over_all_processes_that_live() {
        let first = MemoryLimiter::new(100, EventSink::silent());
        let mut second = first.sibling();
        let mut third = first.sibling();
        let grow = |limiter: &mut MemoryLimiter, by| {
            limiter.memory_growing(0, by, None).expect("an answer")
        };
        assert!(grow(&mut second, 60) && !grow(&mut third, 60));
        assert!(third.refused() && !second.refused());
        drop(second);
        assert!(grow(&mut third, 60));
    }
}
