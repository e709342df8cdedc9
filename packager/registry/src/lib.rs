//! Packages to and from OCI registries.
//!
//! A registry is a stranger: what it sends is compared with its digest before anybody reads it, what it
//! says about sizes is a limit and never a promise, and credentials go to the server they are for and to
//! the token server it names, not along redirections.

mod blobs;
mod challenge;
mod client;
mod credentials;
mod error;
mod manifests;
mod progress;
mod remote;
mod signatures;
mod transfer;

pub use client::{Client, Purpose};
pub use credentials::{CredentialStore, CredentialsError, Kept, Login, Secret};
pub use error::RegistryError;
pub use progress::{Event, Progress};
pub use remote::{At, ParseRemoteNameError, RegistryHost, RemoteName, Transport};
pub use transfer::{pull, push};
