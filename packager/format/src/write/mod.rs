//! Writing packages: the same input gives the same bytes, in any folder, at any time.

mod layer;
mod package;
mod zip;

pub use layer::{BuiltLayer, FileMode, LayerError, LayerWriter};
pub use package::{PackageSpec, WriteError, Written, write_package};
