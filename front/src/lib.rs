//! The HTTP front of `pywasm serve`: HTTP/1.1 and HTTP/2 are parsed and limited here, outside of every sandbox, and
//! requests go to workers in frames over a local socket.
//!
//! Both sides are hostile: clients may send anything at any pace, and so may a worker whose app has broken out.
//! What either makes this process keep is bounded by [`Limits`].
//!
//! | part | files |
//! |---|---|
//! | connections of clients | `listen` |
//! | a request and its response | `service`, `answer` |
//! | workers | `pool`, `connection`, `frame`, `environ` |
//! | what happened | `record`, `metrics` |

mod answer;
mod connection;
mod environ;
mod frame;
mod listen;
mod metrics;
mod pool;
mod record;
mod service;

pub use listen::{Front, Running};
pub use metrics::Metrics;
pub use pool::WorkerId;
pub use record::{Record, Records};

use std::time::Duration;

/// The program that runs in a worker: `python -c GATEWAY MODULE:APP WORKER`. It listens on [`GUEST_PORT`].
pub const GATEWAY: &str = include_str!("gateway.py");

/// The private port of a worker that frames are sent to.
pub const GUEST_PORT: u16 = 1;

/// What clients may make the front keep and wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients at once; further ones wait in the kernel's queue. 1,024 by default.
    pub connections: usize,
    /// Bytes of a request's head. 64 KiB by default, 8 KiB at least.
    pub head: usize,
    /// Bytes of a request's body. 100 MiB by default.
    pub body: u64,
    /// For the head of a request to arrive in whole. 10 s by default.
    pub head_time: Duration,
    /// Without progress of a body, either way. 30 s by default.
    pub stalled: Duration,
    /// For a worker to be free, and again for the head of its response. 60 s by default.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: 64 << 10,
            body: 100 << 20,
            head_time: Duration::from_secs(10),
            stalled: Duration::from_secs(30),
            answer: Duration::from_secs(60),
        }
    }
}
