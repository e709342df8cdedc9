//! What a store carries, and which host functions the guest can call.

use crate::files::{self, FilesView, Guard};
use crate::net::{self, NetView, Network};
use crate::signals::{self, Signals, SignalsView};
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
    pub(crate) memory: MemoryLimiter,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Everything a guest can call: WASI 0.2, with sockets of our own in place of wasmtime's, and a guard
/// before its files; and the signals that are sent to it.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    net::add_to_linker(linker, |host: &mut Host| NetView {
        network: &mut host.network,
        table: &mut host.table,
    })?;
    files::add_to_linker(linker, |host: &mut Host| FilesView {
        ctx: host.wasi.filesystem(),
        table: &mut host.table,
        guard: &mut host.files,
    })?;
    linker.allow_shadowing(false);
    signals::add_to_linker(linker, |host: &mut Host| SignalsView {
        signals: &host.signals,
        table: &mut host.table,
    })
}

/// Entries of all of a guest's tables (function pointers); CPython needs about 20,000.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Parts that a component may have: our guest has one memory, and a package may bring another guest.
const MEMORIES: usize = 16;
const TABLES: usize = 256;
const INSTANCES: usize = 1024;

/// Refuses memory past the limit, so that `malloc` fails in the guest and Python raises `MemoryError`.
pub(crate) struct MemoryLimiter {
    limit: u64,
    /// Of all memories together.
    used: u64,
    table_elements: usize,
    refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            table_elements: 0,
            refused: false,
        }
    }

    /// Did the guest ever ask for more than it may have?
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used
            .saturating_add(desired.saturating_sub(current) as u64);
        let allowed = used <= self.limit;
        if allowed {
            self.used = used;
        }
        self.refused |= !allowed;
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
        let mut limiter = MemoryLimiter::new(100);
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
}
