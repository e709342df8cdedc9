//! Run Python in a WebAssembly sandbox.

pub mod policy;
