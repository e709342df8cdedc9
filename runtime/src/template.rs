//! Templates: the memory of an instance that has got ready, for others to begin with.
//!
//! A template is to one run what a snapshot is to a package. It is taken for this run alone, so it may hold what is the
//! run's own: the app's modules, and what the environment made of them.

use crate::app::{App, LoadError, State};
use crate::command::Command;
use crate::events::EventSink;
use crate::instance::{StartError, Task};
use crate::memory::Initial;
use crate::policy::Policy;
use crate::snapshot::{REPORT, Report, SnapshotError, Surroundings};
use crate::stdio::{Captured, Output, Stdio};
use crate::wall::Wall;
use std::sync::Arc;
use wasmtime::Module;
use wasmtime_wasi::p2::OutputStream;

/// A template about to be taken: all that it takes is there, and no guest code has run.
pub struct PreparedTemplate {
    task: Task,
    captured: Captured,
    stdout: Output,
}

impl App {
    /// Prepares to start Python with the files and in the folder of `command`, and to import `modules` as what they are: with
    /// all their side effects, under `policy`. What the package's snapshot holds beside them is imported too: modules that
    /// the app imports only when it is asked for something would else be imported by each instance.
    pub fn prepare_template(
        &self,
        command: &Command,
        modules: &[&str],
        policy: &Policy,
        stdio: Stdio,
        events: EventSink,
    ) -> Result<PreparedTemplate, StartError> {
        let (stdio, captured, stdout) = stdio.keep_stdout(REPORT);
        let folder = command.cwd.to_string();
        let words = ["python3", "-", &folder];
        let words = words.iter().chain(modules).map(ToString::to_string);
        let snapshot = self.parts.snapshot.iter();
        let later = snapshot.flat_map(|started| started.record.modules.iter().cloned());
        let command = Command {
            argv: words.chain(later).collect(),
            ..command.clone()
        };
        let task = Task::prepare(
            &self.runtime,
            Arc::new(self.parts.without_snapshot()),
            command,
            policy,
            stdio,
            events,
            Surroundings::Host,
        )?;
        Ok(PreparedTemplate {
            task,
            captured,
            stdout,
        })
    }

    /// The same app, whose instances begin with a memory that another of it left, whatever command they are started with.
    ///
    /// To be called before the process is confined: it makes code, and a file in memory.
    pub fn with_template(&self, memory: &[u8]) -> Result<Self, LoadError> {
        let shared = &self.runtime.shared;
        let memory = State::new(shared, Arc::new(Initial::of_state(memory)?), |module| {
            Ok(Module::new(&shared.engine, module)?)
        })?;
        Ok(Self {
            runtime: self.runtime.clone(),
            parts: Arc::new(self.parts.with_template(memory)),
        })
    }
}

impl PreparedTemplate {
    /// Takes from this process, for ever, what instances of this app do not need. See [`Wall`].
    pub fn confine_process(&self) -> Wall {
        self.task.confine_process()
    }

    /// Starts Python, imports the modules and gives out the memory, for [`App::with_template`]. Blocks until that is done.
    ///
    /// Fails with [`SnapshotError::Unfit`] where an import raises an exception, or leaves a file, a socket or a thread.
    pub fn take(self) -> Result<Vec<u8>, SnapshotError> {
        let Self {
            task,
            captured,
            mut stdout,
        } = self;
        let memory = task.take_memory();
        let report = Report::parse(&captured.stdout());
        if !report.refused.is_empty() {
            return Err(SnapshotError::Unfit(report.refused));
        }
        // Nobody may be there to read it.
        let _ = stdout.write(report.said.into());
        memory
    }
}
