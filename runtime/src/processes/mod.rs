//! The processes of an app: further instances of the same package under the same grants, which the guest starts through its
//! import `pywasm:guest/processes`.
//!
//! Nothing of the host can be started: a process is the package's interpreter again, on a thread and in a store of its own.
//! What the first instance may use, all share: memory, disk, sockets, output, processor time. They see one file
//! system and one loopback network. The end of the first is the end of all.

mod family;
mod host;
mod pipe;
mod registry;
mod semaphore;
mod sync;
pub(crate) mod told;

pub(crate) use family::{Family, Members, Process};
pub(crate) use host::{ProcessesView, add_to_linker};
