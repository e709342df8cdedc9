//! What a store carries, and which host functions the guest can call.

use crate::files::{self, FilesView, Guard};
use crate::net::{self, NetView, Network};
use wasmtime::ResourceLimiter;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The state of one instance on the host's side.
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) network: Network,
    pub(crate) files: Guard,
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
/// before its files.
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
    Ok(())
}

/// Upper bound for entries of a guest's tables (function pointers); CPython needs about 20,000.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Refuses memory past the limit, so that `malloc` fails in the guest and Python raises `MemoryError`.
pub(crate) struct MemoryLimiter {
    limit: u64,
    refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
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
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired as u64 <= self.limit;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
