//! Package indexes: pages of files, metadata, wheels, and what is kept of them.

mod auth;
mod cache;
mod client;
mod html;
mod http;
mod json;
mod links;
mod ranged;

pub(crate) use auth::Credentials;
pub(crate) use client::{Client, FetchedWheel, Places};
pub(crate) use http::Connection;
pub(crate) use links::LinkPlace;

use crate::Day;
use pywasm_format::Digest;
use pywasm_http::ConnectionError;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use url::Url;

/// A file that an index or a find-links place offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteFile {
    pub(crate) filename: String,
    pub(crate) url: Url,
    pub(crate) sha256: Option<Digest>,
    pub(crate) requires_python: Option<String>,
    /// The reason, maybe empty.
    pub(crate) yanked: Option<String>,
    pub(crate) metadata: MetadataFile,
    pub(crate) size: Option<u64>,
    /// When it was uploaded, where the index tells.
    pub(crate) uploaded: Option<Day>,
}

/// Is the wheel's metadata offered as a file of its own (PEP 658)?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetadataFile {
    Absent,
    Unhashed,
    Hashed(Digest),
}

/// Why something could not be had from an index.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The server wants credentials, or others.
    #[error(
        "{url} refuses access ({status}); put credentials for {host} into ~/.netrc or into the index address (https://USER:PASSWORD@{host}/…)"
    )]
    Unauthorized {
        /// What was asked for, without credentials.
        url: String,
        /// 401, 403 or 407.
        status: u16,
        /// The server.
        host: String,
    },
    /// Any other answer than the one needed.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// No answer.
    #[error("{url} cannot be reached: {reason}{hint}, or use --offline")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
        /// What to do, where that is known.
        hint: &'static str,
    },
    /// The certificates or the proxy.
    #[error(transparent)]
    Settings(#[from] ConnectionError),
    /// `--offline`, and not in the cache.
    #[error("{what} is not in the cache; run once without --offline")]
    Offline {
        /// What is missing.
        what: String,
    },
    /// An answer that cannot be understood.
    #[error("{url} answers with something that is not {expected}: {reason}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// More than anybody would send.
    #[error("{url} sends more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The content is not the promised one.
    #[error(
        "{file} is not the file that {promised_by} promises: its sha256 is {found}, expected {expected}; the file or the index was changed, and it is not used"
    )]
    Hash {
        /// The file's name.
        file: String,
        /// Who promised the digest.
        promised_by: &'static str,
        /// The digest promised.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The cache or a local file.
    #[error("{path} cannot be {what}: {reason}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// The system's error.
        reason: io::Error,
    },
}
