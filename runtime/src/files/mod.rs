//! The files of a guest: wasmtime's implementation of `wasi:filesystem`, with a guard before it.
//!
//! wasmtime resolves paths below directory handles and knows read-only mounts. The guard keeps what it
//! does not know: how much an instance stores in its private files, how many files it has open, and what
//! the person should be told when it changes a read-only mount. It refuses changes of read-only places by
//! itself, before wasmtime is asked, so that either of the two may be wrong.

mod guard;
mod host;
mod locks;
mod quota;
mod remove;
mod root;
mod streams;
#[cfg(test)]
mod tests;
mod uniform;

pub(crate) use guard::{Guard, Place, PlaceKind, Teller};
pub(crate) use quota::Quota;
pub use remove::remove_folder;
pub(crate) use root::Root;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::filesystem::{WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};

/// What the file functions work on.
pub(crate) struct FilesView<'a> {
    pub(crate) ctx: &'a mut WasiFilesystemCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) guard: &'a mut Guard,
}

impl FilesView<'_> {
    fn stock(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView {
            ctx: self.ctx,
            table: self.table,
        }
    }
}

struct Files;

impl HasData for Files {
    type Data<'a> = FilesView<'a>;
}

/// Adds `wasi:filesystem` and `pywasm:guest/locks` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> FilesView<'_>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, Files>(linker, view)?;
    preopens::add_to_linker::<T, Files>(linker, view)?;
    locks::wit::add_to_linker::<T, Files>(linker, view)
}
