//! What people write to mean a package in the store.

use pywasm_format::{Digest, ImageName, ParseDigestError, ParseImageNameError};
use std::str::FromStr;
use thiserror::Error;

/// A name, the beginning of a digest, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `NAME[:TAG]`
    Name(ImageName),
    /// `sha256:` and at least some of its digits, in small letters.
    Digest(String),
    /// `NAME@DIGEST`: that package, whatever the name stands for.
    Pinned(ImageName, Digest),
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseReferenceError {
    /// No name.
    #[error(transparent)]
    Name(#[from] ParseImageNameError),
    /// No digest.
    #[error("`{0}` is no digest: after sha256: come 6 to 64 of the digits 0-9 and a-f")]
    Digest(String),
    /// No whole digest after `@`.
    #[error(transparent)]
    Pin(#[from] ParseDigestError),
}

impl Reference {
    /// The name without tag and digest, where there is one.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Name(name) | Self::Pinned(name, _) => Some(name.repository()),
            Self::Digest(_) => None,
        }
    }
}

/// Fewer digits could mean anything.
const FEWEST_DIGITS: usize = 6;

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        if let Some((name, digest)) = text.split_once('@') {
            return Ok(Self::Pinned(name.parse()?, digest.parse()?));
        }
        let Some(digits) = text.strip_prefix("sha256:") else {
            return Ok(Self::Name(text.parse()?));
        };
        let sane = (FEWEST_DIGITS..=64).contains(&digits.len())
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match sane {
            true => Ok(Self::Digest(digits.to_owned())),
            false => Err(ParseReferenceError::Digest(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_digests() {
        let parse = |text: &str| text.parse::<Reference>();
        assert!(matches!(parse("app:1"), Ok(Reference::Name(name)) if name.tag() == "1"));
        assert_eq!(
            parse("sha256:0123ab"),
            Ok(Reference::Digest("0123ab".to_owned()))
        );
        let digest = Digest::of(b"");
        assert!(matches!(
            parse(&format!("ghcr.io/me/app@{digest}")),
            Ok(Reference::Pinned(_, pin)) if pin == digest
        ));
        for wrong in ["app@sha256:0123ab", "sha256:01", "sha256:0123AB", "App", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
