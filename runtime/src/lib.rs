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
//! dropped; give [`policy::Limits`] a `wall` and an `output` for code that you do not trust. Input and output as the app goes are
//! [`Stdio::streams`].
//!
//! # Which calls block
//!
//! [`Runtime::load`] and its kin, [`PreparedSnapshot::take`] and [`PreparedTemplate::take`] run code, for seconds where a machine has not
//! seen it before: from async code, call them through `tokio::task::spawn_blocking`. [`App::prepare`] and [`App::start`] open files and
//! bind ports, in milliseconds. [`Instance::wait`] is for async code, [`Instance::wait_blocking`] for all other.
//!
//! # What it takes
//!
//! An instance has a thread, unless it is started by [`Prepared::start_here`], and about 8 file descriptors, beside those of its open
//! files and sockets: a host of hundreds raises its limit (`ulimit -n`). Its memory is the guest's own, as far as it is touched.
//!
//! Code is compiled by cranelift, which is ten times slower where it is not optimised itself. So development builds of a host should
//! optimise their dependencies:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 2
//! ```

mod app;
mod bytecode;
mod cache;
mod command;
mod crash;
#[cfg(test)]
mod ctests;
mod engine;
mod engine_error;
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
pub use engine_error::EngineError;
pub use events::{Denial, Destination, Event, EventSink};
pub use exit::{Exit, Limit};
pub use files::remove_folder;
pub use frames::Frame;
pub use instance::{Instance, Prepared, StartError, Stop};
pub use modules::Modules;
pub use profile::Profile;
pub use pywasm_format::shell::ShellError;
pub use pywasm_format::{
    AppConfig, Digest, GuestPath, Package, ReadError, ReadLimits, SnapshotRecord, UnpackError,
    Variables,
};
pub use scratch::WorkFolder;
pub use signals::{Signal, Signals};
pub use snapshot::{PreparedSnapshot, Snapshot, SnapshotError, Unfit};
pub use stdio::{Captured, Stdio};
pub use template::PreparedTemplate;
pub use terminal::Terminal;
pub use wall::{Part, Wall};
