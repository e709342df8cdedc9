//! Layers as a package names them.

use crate::{Digest, GuestPath};
use std::fmt;
use std::str::FromStr;

/// What a layer is for. The order is the order of the layers in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerKind {
    /// The Python interpreter: its code, `python.wasm`, and the memory it starts with, `state.wasm`.
    Runtime,
    /// Python's standard library.
    Stdlib,
    /// What the requirements resolved to.
    Dependencies,
    /// Python's memory after it has started and imported what the app imports.
    Snapshot,
    /// The app's own files.
    App,
}

impl LayerKind {
    /// All kinds, in image order.
    pub const ALL: [Self; 5] = [
        Self::Runtime,
        Self::Stdlib,
        Self::Dependencies,
        Self::Snapshot,
        Self::App,
    ];

    /// The name used in annotations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Stdlib => "stdlib",
            Self::Dependencies => "dependencies",
            Self::Snapshot => "snapshot",
            Self::App => "app",
        }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LayerKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(())
    }
}

/// One layer of an opened package: an OCI tar layer and the folder it is mounted at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub(crate) kind: LayerKind,
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
    pub(crate) mount: GuestPath,
}

impl Layer {
    /// What the layer is for.
    pub fn kind(&self) -> LayerKind {
        self.kind
    }

    /// The digest of the compressed layer, its name in the package.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of the uncompressed tar.
    pub fn diff_id(&self) -> Digest {
        self.diff_id
    }

    /// The size of the compressed layer in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The folder that holds everything in the layer.
    pub fn mount(&self) -> &GuestPath {
        &self.mount
    }
}
