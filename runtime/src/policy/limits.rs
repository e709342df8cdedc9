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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            wall: None,
            threads: 1024,
            sockets: 4096,
        }
    }
}
