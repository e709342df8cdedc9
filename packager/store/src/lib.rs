//! Packages kept on this machine by name.
//!
//! ```text
//! blobs/sha256/DIGEST   manifests, configs and layers; what two packages share is there once
//! names/DIGEST.json     one per name: the name, and the digest of the manifest it stands for
//! signatures/DIGEST.json  of the package with that digest
//! partial/DIGEST        blobs that are being fetched
//! lock                  held by all who write, alone by those who remove
//! ```
//! Every file is written beside its place, brought to the disk and renamed; blobs come before the names
//! that need them and go after them. So whatever is cut short, and whenever, every name stands for a
//! whole package.

mod archive;
mod error;
mod incoming;
mod names;
mod reference;
mod store;

pub use error::StoreError;
pub use incoming::{Incoming, Settled};
pub use reference::{ParseReferenceError, Reference};
pub use store::{Freed, Image, Loaded, Naming, Store, Usage};
