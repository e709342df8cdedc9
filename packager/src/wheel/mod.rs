//! Wheels: their names, their metadata, their files.

mod change;
mod content;
mod metadata;
mod name;
mod native;
pub(crate) mod replacement;
mod sound;

pub use content::WheelError;
pub(crate) use content::{Native, Wheel, WheelContent, WheelFile};
pub(crate) use metadata::{Metadata, console_scripts, headers, read_dist_info, read_metadata};
pub(crate) use name::{Fit, NativeTags, WheelName, version_of_sdist};
pub(crate) use native::{is_optional, native_files};
