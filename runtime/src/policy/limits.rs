//! How much of the machine one instance may use.

use std::time::Duration;

/// Limits of one instance. Every field is required; [`Limits::default`] documents the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of the guest, in bytes. Default 1 GiB; WebAssembly's own ceiling is 4 GiB.
    /// Past it Python raises `MemoryError`.
    pub memory: u64,
    /// Wall-clock time from start to end. Default: none.
    pub wall: Option<Duration>,
    /// Threads alive at once, the main one included. Default 1024. Past it `threading` raises
    /// "can't start new thread".
    pub threads: u32,
    /// Sockets open at once. Default 4096. Past it a socket call fails with EMFILE.
    pub sockets: u32,
    /// Files and folders open at once. Default 4096. Past it opening one fails with ENOMEM.
    pub files: u32,
    /// What the private files may take on the host's disk, in bytes, 4 KiB for each name included.
    /// Default 1 GiB. Past it writing fails with ENOSPC.
    pub disk: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            wall: None,
            threads: 1024,
            sockets: 4096,
            files: 4096,
            disk: 1 << 30,
        }
    }
}
