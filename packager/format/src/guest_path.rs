//! Absolute, normalised paths as the guest sees them.

use crate::escaped::escaped;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// An absolute path inside the sandbox: starts with `/`, no empty, `.` or `..` parts, no NUL, no
/// trailing slash (but for the root itself).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(String);

/// Why a text is no guest path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GuestPathError {
    /// Does not start with `/`.
    #[error("guest path `{}` is not absolute; start it with /", escaped(.0))]
    Relative(String),
    /// Holds a `..` part or a NUL.
    #[error("guest path `{}` holds a part that is not allowed (`..` or NUL)", escaped(.0))]
    Part(String),
}

impl GuestPath {
    /// The root, `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Is it `/`?
    pub fn is_root(&self) -> bool {
        *self == Self::root()
    }

    /// The text, always starting with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below the root: no leading slash, empty for the root.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// This path with `below` (relative, or absolute and then alone) appended.
    pub fn join(&self, below: &str) -> Result<Self, GuestPathError> {
        match below.starts_with('/') {
            true => below.parse(),
            false => format!("{}/{below}", self.0).parse(),
        }
    }
}

impl FromStr for GuestPath {
    type Err = GuestPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with('/') {
            return Err(GuestPathError::Relative(text.to_owned()));
        }
        let mut path = String::with_capacity(text.len());
        for part in text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            if part == ".." || part.contains('\0') {
                return Err(GuestPathError::Part(text.to_owned()));
            }
            path.push('/');
            path.push_str(part);
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(Self(path))
    }
}

impl TryFrom<String> for GuestPath {
    type Error = GuestPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GuestPath> for String {
    fn from(path: GuestPath) -> Self {
        path.0
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_and_refuses() {
        let path = |text: &str| text.parse::<GuestPath>().map(String::from);
        assert_eq!(path("//a/./b/"), Ok("/a/b".into()));
        assert_eq!(path("/"), Ok("/".into()));
        assert!(matches!(path("a"), Err(GuestPathError::Relative(_))));
        assert!(matches!(path("/a/../b"), Err(GuestPathError::Part(_))));
        let app = path("/app")
            .and_then(|p| p.parse::<GuestPath>())
            .map(|p| p.join("x/y"));
        assert_eq!(app.map(|p| p.map(String::from)), Ok(Ok("/app/x/y".into())));
    }
}
