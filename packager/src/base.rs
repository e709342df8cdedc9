//! The layers every package begins with.

use pywasm_format::write::BuiltLayer;
use pywasm_format::{GuestPath, GuestPathError};

/// The interpreter and the standard library that a package is built on.
#[derive(Debug, Clone)]
pub struct BaseLayers {
    /// The version of Python, such as `3.14.7`.
    pub python: String,
    /// The interpreter.
    pub runtime: BuiltLayer,
    /// The standard library.
    pub stdlib: BuiltLayer,
}

impl BaseLayers {
    /// `3.14` of `3.14.7`.
    pub fn python_series(&self) -> &str {
        match self.python.match_indices('.').nth(1) {
            Some((end, _)) => &self.python[..end],
            None => &self.python,
        }
    }

    /// Where this Python looks for installed packages.
    pub fn site_packages(&self) -> Result<GuestPath, GuestPathError> {
        format!(
            "/usr/local/lib/python{}/site-packages",
            self.python_series()
        )
        .parse()
    }
}
