//! Console scripts: `flask = flask.cli:main`.

use crate::escaped::escaped;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What a console script calls: a module and a name inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryPoint {
    module: String,
    attr: String,
}

/// A text that is no `module:attr`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{}` is not an entry point of the form module:attr", escaped(.0))]
pub struct ParseEntryPointError(String);

impl EntryPoint {
    /// The dotted module name.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The dotted name inside the module.
    pub fn attr(&self) -> &str {
        &self.attr
    }
}

impl FromStr for EntryPoint {
    type Err = ParseEntryPointError;

    // The runner builds Python code from these names, so nothing but dotted names may pass.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once(':')
            .filter(|(module, attr)| is_dotted_name(module) && is_dotted_name(attr))
            .map(|(module, attr)| Self {
                module: module.to_owned(),
                attr: attr.to_owned(),
            })
            .ok_or_else(|| ParseEntryPointError(text.to_owned()))
    }
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|first| first == '_' || first.is_alphabetic())
            && characters.all(|next| next == '_' || next.is_alphanumeric())
    })
}

impl TryFrom<String> for EntryPoint {
    type Error = ParseEntryPointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EntryPoint> for String {
    fn from(entry: EntryPoint) -> Self {
        entry.to_string()
    }
}

impl fmt::Display for EntryPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.module, self.attr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dotted_names_pass() {
        for good in ["flask.cli:main", "a:b.c", "_x:y1"] {
            assert_eq!(
                good.parse::<EntryPoint>().map(|e| e.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "flask.cli",
            "a:",
            ":b",
            "a:b()",
            "a b:c",
            "a:b;import os",
            "a..b:c",
            "1a:b",
        ] {
            assert!(bad.parse::<EntryPoint>().is_err(), "{bad}");
        }
    }
}
