//! Pollables that outlive what they watch.
//!
//! A guest thread may close a socket that another one polls. The pollable then has to become ready, not to
//! trap; so it is no child of the socket in the handle table, and shares the socket's state instead.

use super::sync::lock;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable};

/// Resolves when an operation on `T` that would have blocked is worth another try.
pub(crate) type PollReady<T> = fn(&mut T, &mut Context<'_>) -> Poll<()>;

struct Watch<T> {
    watched: Arc<Mutex<T>>,
    poll_ready: PollReady<T>,
}

#[async_trait]
impl<T: Send + 'static> Pollable for Watch<T> {
    async fn ready(&mut self) {
        poll_fn(|cx| (self.poll_ready)(&mut lock(&self.watched), cx)).await;
    }
}

/// A pollable for `watched`.
pub(crate) fn subscribe<T: Send + 'static>(
    table: &mut ResourceTable,
    watched: &Arc<Mutex<T>>,
    poll_ready: PollReady<T>,
) -> wasmtime::Result<Resource<DynPollable>> {
    let watch = table.push(Watch {
        watched: Arc::clone(watched),
        poll_ready,
    })?;
    wasmtime_wasi_io::poll::subscribe(table, watch)
}
