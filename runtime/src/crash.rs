//! What can be told of a crash inside the sandbox.

use crate::frames::{DEPTH, Frame, Interpreter};
use crate::names::Names;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use wasmtime::{AsContext, AsContextMut, FrameInfo, ThrownException, Trap, WasmCoreDump};

/// A crash: the end of the guest by an abort or a trap, or of its host.
///
/// It is shown with Python's own account of it where there is one, so in several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// What happened, in one line.
    pub reason: String,
    /// The Python functions of each thread that were not done, the innermost first; the thread that ran is the first. None
    /// where Python had not started, and of an interpreter other than 3.14.
    pub python: Vec<Vec<Frame>>,
    /// The functions of the interpreter's code that were not done, the innermost first.
    pub functions: Vec<String>,
}

impl Crash {
    /// A failure of the host's, at which the guest has no part.
    pub(crate) fn of_host(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            python: Vec::new(),
            functions: Vec::new(),
        }
    }

    /// What a guest's end tells, with its memory as it was then.
    pub(crate) fn of_guest(error: &wasmtime::Error, names: &Names, store: impl AsContext) -> Self {
        let reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None if error.is::<ThrownException>() => {
                "a native package threw an exception that it does not catch".to_owned()
            }
            None => error.root_cause().to_string(),
        };
        let Some(dump) = error.downcast_ref::<WasmCoreDump>() else {
            return Self::of_host(reason);
        };
        let store = store.as_context();
        let python = dump.memories().iter().find_map(|memory| {
            let memory = memory.data(&store);
            Some(Interpreter::find(memory)?.threads(memory))
        });
        let functions = dump.frames().iter().map(|frame| function(frame, names));
        Self {
            reason,
            python: python.unwrap_or_default(),
            functions: functions.collect(),
        }
    }
}

/// Writes all that is left of a guest, in WebAssembly's own format for it.
pub(crate) fn dump(
    error: &wasmtime::Error,
    store: impl AsContextMut,
    mut file: File,
) -> io::Result<()> {
    match error.downcast_ref::<WasmCoreDump>() {
        Some(dump) => file.write_all(&dump.serialize(store, "python")),
        None => Err(io::Error::other("the guest was not running")),
    }
}

fn function(frame: &FrameInfo, names: &Names) -> String {
    match names.name(frame) {
        Some(name) => {
            let shown = name.chars().filter(|char| !char.is_control());
            shown.take(NAME).collect()
        }
        None => format!("function {}", frame.func_index()),
    }
}

/// Characters of a function's name that are shown.
const NAME: usize = 256;

/// Functions of the interpreter that are shown.
const SHOWN: usize = 24;

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        for (number, frames) in self.python.iter().enumerate() {
            f.write_str(match number {
                0 => "\nTraceback (most recent call last):",
                _ => "\nAnother thread (most recent call last):",
            })?;
            if frames.len() == DEPTH {
                write!(f, "\n  [only the last {DEPTH} calls]")?;
            }
            for frame in frames.iter().rev() {
                write!(f, "\n  {frame}")?;
            }
        }
        if !self.functions.is_empty() {
            f.write_str("\nInside the interpreter (most recent call first):")?;
        }
        for name in self.functions.iter().take(SHOWN) {
            write!(f, "\n  {name}")?;
        }
        match self.functions.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  [and {more} more]"),
        }
    }
}
