//! The pywasm package file.

mod guest_path;

pub use guest_path::{GuestPath, GuestPathError};
