//! How an app ended.

use crate::crash::Crash;
use std::fmt;

/// The end of an app, as data: none of these is an error of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// The app ended by itself with this code (`sys.exit(3)` is 3; an uncaught exception is 1).
    Code(u8),
    /// A limit of the policy ended it.
    Limit(Limit),
    /// The host asked it to stop.
    Stopped,
    /// The guest aborted: a crash inside the sandbox.
    Trap(Box<Crash>),
}

/// A limit of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::memory`](crate::policy::Limits::memory), where Python could not turn it into a
    /// `MemoryError`.
    Memory,
    /// [`Limits::wall`](crate::policy::Limits::wall).
    Wall,
    /// [`Limits::cpu_time`](crate::policy::Limits::cpu_time).
    CpuTime,
    /// [`Limits::cpus`](crate::policy::Limits::cpus), which ends nothing.
    Cpus,
    /// [`Limits::fuel`](crate::policy::Limits::fuel).
    Fuel,
    /// [`Limits::output`](crate::policy::Limits::output).
    Output,
    /// [`Limits::sockets`](crate::policy::Limits::sockets).
    Sockets,
    /// [`Limits::files`](crate::policy::Limits::files).
    Files,
    /// [`Limits::disk`](crate::policy::Limits::disk).
    Disk,
}

impl Limit {
    /// The flag of the command that sets it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Memory => "--memory",
            Self::Wall => "--timeout",
            Self::CpuTime => "--cpu-time",
            Self::Cpus => "--cpus",
            Self::Fuel => "--fuel",
            Self::Output => "--output-limit",
            Self::Sockets => "--max-sockets",
            Self::Files => "--max-files",
            Self::Disk => "--disk",
        }
    }

    /// What it limits.
    pub fn what(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Wall => "time",
            Self::CpuTime => "processor time",
            Self::Cpus => "processors",
            Self::Fuel => "fuel",
            Self::Output => "output",
            Self::Sockets => "sockets",
            Self::Files => "open files",
            Self::Disk => "disk space",
        }
    }
}

impl Exit {
    pub(crate) fn host_failed(why: impl fmt::Display) -> Self {
        Self::Trap(Box::new(Crash::of_host(why)))
    }

    /// The code a shell knows: the app's own, 124 for a limit of time, 137 for any other one, 143 when stopped,
    /// 134 for an abort.
    pub fn code(&self) -> u8 {
        match self {
            Self::Code(code) => *code,
            Self::Limit(Limit::Wall | Limit::CpuTime | Limit::Fuel) => 124,
            Self::Limit(_) => 137,
            Self::Stopped => 143,
            Self::Trap(_) => 134,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Limit(limit) => write!(f, "ran out of {}", limit.what()),
            Self::Stopped => f.write_str("was stopped"),
            Self::Trap(crash) => write!(f, "aborted: {crash}"),
        }
    }
}
