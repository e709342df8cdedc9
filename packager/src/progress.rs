//! What happens while packing, for whoever draws it.

use pywasm_format::LayerKind;

/// Hears what is going on. Called from several threads.
pub trait Progress: Sync {
    /// Something began, went on or ended.
    fn event(&self, event: Event<'_>);
}

/// A step of planning or packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The resolver looks at a package; `decided` packages have a version so far.
    Resolving {
        /// The package.
        name: &'a str,
        /// How many packages have a version.
        decided: usize,
    },
    /// A file is being fetched from an index.
    Fetching {
        /// The file's name.
        file: &'a str,
        /// Its size, where the index tells.
        size: Option<u64>,
    },
    /// More of a file has arrived.
    Fetched {
        /// The file's name.
        file: &'a str,
        /// Bytes since the last event for this file.
        bytes: u64,
    },
    /// A file is there and verified.
    Ready {
        /// The file's name.
        file: &'a str,
    },
    /// A wheel is being built from a source archive.
    Building {
        /// The archive's name.
        file: &'a str,
    },
    /// A program of a Dockerfile is being run.
    Running {
        /// The program and its arguments.
        line: &'a str,
    },
    /// A layer is being written.
    Layer(LayerKind),
    /// The package file is being written.
    Writing,
}

/// Draws nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
