//! Writing packages: the same input gives the same bytes, in any folder, at any time.

mod copy;
mod kept;
mod layer;
mod package;
mod zip;

pub use copy::{copy_package, write_oci_archive};
pub use layer::{BuiltLayer, FileMode, LayerError, LayerWriter};
pub use package::{
    ImageBlobs, PackageSpec, WriteError, Written, folder_of, replace_file, write_package,
};
