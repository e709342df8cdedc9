//! The pywasm package file: an OCI image layout inside one zip file (see `docs/package-format.md`).
//!
//! Reading treats every byte as hostile: a [`Package`] exists only when its structure, sizes and
//! digests of all JSON were checked, and a layer's bytes are checked while they are read. Writing is
//! deterministic: the same input gives the same bytes, in any folder, at any time.

mod archive;
mod base;
mod config;
mod digest;
mod entry_point;
mod escaped;
mod guest_path;
mod image_name;
mod layer;
mod manifest;
mod needs;
mod problem;
mod read;
pub mod shell;
mod snapshot;
mod unpack;
mod verified;
mod wire;
pub mod write;

pub use archive::{ArchiveError, is_package_file};
pub use base::BaseOrigin;
pub use config::{AppConfig, ExposedPort, ParseExposedPortError, Protocol, ResolvedPackage};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use entry_point::{EntryPoint, ParseEntryPointError};
pub use escaped::{escaped, escaped_but};
pub use guest_path::{GuestPath, GuestPathError};
pub use image_name::{ImageName, ParseImageNameError};
pub use layer::{Layer, LayerKind};
pub use manifest::{Listing, MANIFEST_MEDIA_TYPES, RemoteDocument, check_config, layout_image};
pub use needs::{Needs, NeedsError};
pub use problem::{archive_problem, json_problem};
pub use read::{Blob, LayerReader, Package, ReadError, ReadLimits};
pub use snapshot::{SnapshotRecord, Variables};
pub use unpack::{UnpackError, UnpackLimits, Unpacked, unpack};

/// The version of the package format that this crate writes and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The time of all files in packages, after 1970: 1980-01-01, old enough to be nobody's real time, new enough for zip,
/// which cannot write less.
pub const FILE_TIME: std::time::Duration = std::time::Duration::from_secs(315_532_800);
