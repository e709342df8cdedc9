//! How servers are reached: certificates, proxies, time limits, and what is worth trying again. What an
//! answer means is for the callers to say.

mod agents;
mod names;
mod proxies;
mod retry;
mod trust;

pub use agents::{Agents, Connection, Redirects};
pub use proxies::Proxies;
pub use retry::{Failure, Pauses, is_passing};

use std::path::PathBuf;
use thiserror::Error;

/// Settings that cannot be followed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The file of certificate authorities.
    #[error("the certificates in {path} cannot be read: {reason}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The proxy settings.
    #[error("the proxy cannot be used: {reason}; check HTTPS_PROXY and PIP_PROXY")]
    Proxy {
        /// What is wrong.
        reason: String,
    },
}
