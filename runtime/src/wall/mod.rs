//! The second wall: what the kernel refuses this process once guest code runs.
//!
//! The sandbox is WebAssembly and the host functions, and has to hold without this. Should a guest ever
//! break out of both, it finds itself in a process that can open only what its policy grants, start no
//! program, gain no privilege and make no code executable.
//!
//! Raising it is irrevocable and concerns the whole process, so it is for hosts whose process is one
//! instance, such as the `pywasm` command. It should happen before threads are started: of those that
//! exist, Landlock holds only the one that calls. What a kernel does not offer is left out.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use crate::policy::{Access, Outbound};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the process still needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// Folders of the guest.
    pub(crate) folders: Vec<(PathBuf, Access)>,
    /// The folder in which the instance's own one is removed at its end.
    pub(crate) parent: Option<PathBuf>,
    /// Published addresses, which are bound anew when the guest listens again.
    pub(crate) published: Vec<SocketAddr>,
    pub(crate) outbound: Outbound,
}

/// The parts of the wall, and how much of each stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Landlock: files and TCP ports.
    pub landlock: Part,
    /// seccomp: system calls; no new privileges with it.
    pub seccomp: Part,
}

/// One part of the wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All that this version of pywasm asks for.
    Full,
    /// What this kernel has of it.
    Partial,
    /// Nothing, and why.
    Missing(String),
}

/// Which threads a filter of system calls is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    All,
    Own,
}

impl Wall {
    /// Is all of it there?
    pub fn is_complete(&self) -> bool {
        self.landlock == Part::Full && self.seccomp == Part::Full
    }

    /// What this machine offers, tried out in a thread that ends with it: each part is raised for a
    /// guest that may nothing, and what it should refuse is attempted.
    pub fn probe() -> Self {
        std::thread::spawn(|| {
            let mut wall = Self::raise(&Reach::default(), Threads::Own);
            wall.believe_only_what_is_seen();
            wall
        })
        .join()
        .unwrap_or_else(|_| Self::missing("the thread that tried it died"))
    }

    pub(crate) fn around(reach: &Reach) -> Self {
        set_limits();
        Self::raise(reach, Threads::All)
    }

    fn missing(why: &str) -> Self {
        Self {
            landlock: Part::Missing(why.to_owned()),
            seccomp: Part::Missing(why.to_owned()),
        }
    }

    #[cfg(target_os = "linux")]
    fn raise(reach: &Reach, threads: Threads) -> Self {
        // In this order: seccomp refuses the calls that Landlock is made of.
        let landlock = landlock::raise(reach);
        Self {
            landlock,
            seccomp: seccomp::raise(reach, threads),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn raise(_: &Reach, _: Threads) -> Self {
        Self::missing("only Linux has it")
    }

    fn believe_only_what_is_seen(&mut self) {
        let refused = |attempt: std::io::Result<()>| {
            attempt.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
        };
        let nothing = || Part::Missing("it was raised, but refuses nothing".to_owned());
        let opened = std::fs::File::open("/").map(drop);
        if !matches!(self.landlock, Part::Missing(_)) && !refused(opened) {
            self.landlock = nothing();
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").map(drop);
        if !matches!(self.seccomp, Part::Missing(_)) && !refused(socket) {
            self.seccomp = nothing();
        }
    }
}

/// No memory of a guest in a core file, and as many descriptors as the system gives: an instance has its
/// own limits of them.
fn set_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let descriptors = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: descriptors.maximum,
        ..descriptors
    };
    // Where the system refuses, it goes on with what there is.
    let _ = setrlimit(Resource::Core, none);
    let _ = setrlimit(Resource::Nofile, most);
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("active"),
            Self::Partial => f.write_str("active in part: this kernel has an older version of it"),
            Self::Missing(why) => write!(f, "not active: {why}"),
        }
    }
}
