//! The HTTP front of `pywasm serve`: HTTP/1.1, HTTP/2 and WebSocket are parsed and limited here, outside of every
//! sandbox, and requests go to workers in frames over a local socket.
//!
//! Both sides are hostile: clients may send anything at any pace, and so may a worker whose app has broken out.
//! What either makes this process keep is bounded by [`Limits`].
//!
//! | part | files |
//! |---|---|
//! | connections of clients | `listen`, `tls` |
//! | a request and its response | `service`, `answer`, `refusal`, `gzip`, `statics` |
//! | WebSockets | `websocket` |
//! | workers | `pool`, `connection`, `frame`; heads of requests: `head`, `environ`, `scope` |
//! | the program in a worker | `gateway/` |
//! | what happened | `record`, `metrics` |

mod answer;
mod connection;
mod environ;
mod frame;
#[cfg(test)]
mod fuzz;
mod gzip;
mod head;
mod listen;
mod metrics;
mod pool;
mod record;
mod refusal;
mod scope;
mod service;
mod statics;
mod tls;
mod websocket;

pub use listen::{Front, Running};
pub use metrics::Metrics;
pub use pool::WorkerId;
pub use record::{Record, Records};
pub use statics::{Static, StaticError};
pub use tls::{Tls, TlsError};

use std::path::PathBuf;
use std::time::Duration;

/// The private port of a worker that frames are sent to.
pub const GUEST_PORT: u16 = 1;

/// What kind of app is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// PEP 3333: one thread for each request.
    Wsgi,
    /// Version 3, with lifespan and WebSocket: one event loop.
    Asgi,
}

/// The folder of the gateway's modules in a worker's sandbox.
pub const GATEWAY_FOLDER: &str = "/usr/local/lib/pywasm/serve";

/// A module that gets ready to serve: imported with [`GATEWAY_FOLDER`] first in `PYTHONPATH` and the app in `PYWASM_TARGET`, it
/// imports that app. What begins with its memory need not.
pub const LOADED_AHEAD: &str = "_pywasm_ahead";

/// What a worker runs: `python -c START MODULE:APP WORKER LIFE`. It listens on [`GUEST_PORT`].
pub const START: &str = "\
import sys
sys.path.insert(0, '/usr/local/lib/pywasm/serve')
from _pywasm_gateway import main
del sys.path[0]
main()";

impl Interface {
    /// The files of [`GATEWAY_FOLDER`], with what is in them.
    pub fn gateway(self) -> [(&'static str, &'static str); 2] {
        let gateway = match self {
            Self::Wsgi => concat!(
                include_str!("gateway/frames.py"),
                include_str!("gateway/wsgi.py")
            ),
            Self::Asgi => concat!(
                include_str!("gateway/frames.py"),
                include_str!("gateway/asgi.py")
            ),
        };
        [
            ("_pywasm_gateway.py", gateway),
            ("_pywasm_ahead.py", include_str!("gateway/ahead.py")),
        ]
    }
}

/// How long an instance of the app lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// As long as its worker.
    Worker,
    /// For one request.
    Request,
}

impl Life {
    /// As the gateway takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Request => "request",
        }
    }
}

/// What a front is made of.
pub struct Settings {
    /// The local socket that workers listen at.
    pub workers: PathBuf,
    /// Requests at the same time, over all workers. WebSockets are not among them.
    pub at_once: usize,
    /// What workers understand.
    pub interface: Interface,
    /// Whether connections to workers are used again.
    pub life: Life,
    /// What clients may do.
    pub limits: Limits,
    /// Who hears of responses.
    pub records: Option<Records>,
    /// Folders whose files are served without asking the app, the first that matches.
    pub statics: Vec<Static>,
    /// Whether responses are compressed where that helps and clients take it.
    pub gzip: bool,
    /// With it all connections are encrypted.
    pub tls: Option<Tls>,
}

/// What clients may make the front keep and wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients at once; further ones wait in the kernel's queue. 1,024 by default.
    pub connections: usize,
    /// Bytes of a request's head. 64 KiB by default, 8 KiB at least.
    pub head: usize,
    /// Bytes of a request's body. 100 MiB by default.
    pub body: u64,
    /// Bytes of a message of a WebSocket, either way. 1 MiB by default.
    pub message: usize,
    /// For the head of a request to arrive in whole, and before it for the handshake of TLS. 10 s by default.
    pub head_time: Duration,
    /// Without progress of a body or message, either way, or without any sign of life. 30 s by default.
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
            message: 1 << 20,
            head_time: Duration::from_secs(10),
            stalled: Duration::from_secs(30),
            answer: Duration::from_secs(60),
        }
    }
}
