//! Python files of a layer, compiled to bytecode when they are unpacked (`docs/adr/0004-bytecode-at-unpack.md`).

use crate::app::{Parts, Program, bare_image};
use crate::command::Command;
use crate::engine::Runtime;
use crate::events::EventSink;
use crate::instance::Task;
use crate::policy::{Access, Limits, Policy};
use crate::scratch::Preopen;
use crate::snapshot::Surroundings;
use crate::stdio::Stdio;
use pywasm_format::{AppConfig, GuestPath};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where a layer lies while it is compiled to bytecode.
const WORK: &str = "/work";

/// How Python knows whether bytecode is that of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytecode {
    /// It is: nobody can change the file.
    Trusted,
    /// By the file's hash, at each import: an app may change its private copy, and others may lie over it.
    Checked,
}

/// For compiling a layer to bytecode, which a hostile interpreter may do otherwise than expected.
const LIMITS: Limits = Limits {
    wall: Some(Duration::from_secs(600)),
    disk: 8 << 30,
    ..Limits::DEFAULT
};

/// Lets the guest's own Python compile an unpacked layer, so that imports need not do it at every
/// start. Files that do not compile are the app's business, at import; so a failure here is none.
///
/// `folder` is what instances see at `at`, with the layers of `shared` beside it.
pub(crate) fn compile(
    runtime: &Runtime,
    interpreter: &Arc<Program>,
    shared: &[Preopen],
    folder: &Path,
    at: &GuestPath,
    bytecode: Bytecode,
) {
    let Ok(work) = WORK.parse::<GuestPath>() else {
        return;
    };
    let args = [
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        match bytecode {
            Bytecode::Trusted => "unchecked-hash",
            Bytecode::Checked => "checked-hash",
        },
        // It lies elsewhere here: `/` cannot be mounted.
        "-s",
        WORK,
        "-p",
        at.as_str(),
        WORK,
    ];
    let layer = Preopen::private(folder.to_owned(), work, Access::ReadWrite);
    let shared: Vec<Preopen> = shared.iter().cloned().chain([layer]).collect();
    let Ok(image) = bare_image(&runtime.shared.cache, &shared, &GuestPath::root()) else {
        return;
    };
    let parts = Parts {
        interpreter: Arc::clone(interpreter),
        snapshot: None,
        template: None,
        made_from: Vec::new(),
        shared,
        image,
        config: AppConfig::new(pywasm_guest::PYTHON_VERSION, GuestPath::root()),
        layers: Arc::default(),
    };
    let command = Command::python(args, GuestPath::root());
    let nobody = EventSink::silent();
    let task = Task::prepare(
        runtime,
        Arc::new(parts),
        command,
        &Policy::none().limits(LIMITS),
        Stdio::none(),
        nobody,
        Surroundings::Host,
    );
    if let Ok(task) = task {
        task.run();
    }
}
