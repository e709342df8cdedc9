//! Errors of the engine under this library.

use crate::cache::CacheError;
use std::fmt;
use std::io;

/// What went wrong in the engine, wasmtime, or where its code is kept. A host can show it; there is nothing in it to act on.
#[derive(Debug)]
pub struct EngineError(wasmtime::Error);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for EngineError {}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> Self {
        Self(error)
    }
}

impl From<CacheError> for EngineError {
    fn from(error: CacheError) -> Self {
        Self(error.into())
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_shown() {
        let error = wasmtime::Error::msg("no memory").context("no engine");
        assert_eq!(EngineError::from(error).to_string(), "no engine: no memory");
    }
}
