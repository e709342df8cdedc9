//! Run Python in a WebAssembly sandbox.
//!
//! A [`Package`] *asks*, a [`Policy`](policy::Policy) *grants*, and an [`Instance`] reaches nothing
//! else:
//!
//! 1. [`Cache::open`]: the private folder for compiled code and unpacked layers;
//! 2. [`Runtime::new`]: the engine, one per process;
//! 3. [`Runtime::load`]: a package made ready, an [`App`];
//! 4. [`App::start`]: an [`Instance`] under a policy; [`Instance::wait`] gives its [`Exit`].
//!
//! `examples/embed.rs` of this crate does all four.
//!
//! Code without a package runs on [`Runtime::interpreter`], Python alone: `Command::python(["-c", code], GuestPath::root())`. Data goes in
//! by arguments, variables, standard input ([`Stdio::captured`]) and mounted folders, and comes out by the output and such folders; there
//! are no functions of the host's that Python could call. An instance ends by itself, at a limit, by [`Stop::stop`], or when it is
//! dropped; give [`policy::Limits`] a `wall` and an `output` for code that you do not trust.

mod app;
mod bytecode;
mod cache;
mod command;
mod crash;
#[cfg(test)]
mod ctests;
mod engine;
mod events;
mod exit;
mod files;
mod frames;
mod governor;
mod host;
mod image;
mod instance;
mod loaded;
mod memory;
mod modules;
mod names;
pub mod net;
pub mod policy;
mod processes;
mod profile;
mod programs;
mod running;
mod scratch;
mod signals;
mod snapshot;
mod stdio;
mod template;
mod terminal;
mod wall;

pub use app::{App, LoadError};
pub use cache::{Cache, CacheError, Entry, EntryKind};
pub use command::{Command, CommandError, default_env, script_position};
pub use crash::Crash;
pub use engine::{Interruption, Progress, Runtime};
pub use events::{Denial, Destination, Event, EventSink};
pub use exit::{Exit, Limit};
pub use files::remove_folder;
pub use frames::Frame;
pub use instance::{Instance, Prepared, StartError, Stop};
pub use modules::Modules;
pub use profile::Profile;
pub use pywasm_format::{AppConfig, Digest, GuestPath, Package, ReadError, ReadLimits};
pub use scratch::WorkFolder;
pub use signals::{Signal, Signals};
pub use snapshot::{PreparedSnapshot, Snapshot, SnapshotError, Unfit};
pub use stdio::{Captured, Stdio};
pub use template::PreparedTemplate;
pub use terminal::Terminal;
pub use wall::{Part, Wall};
