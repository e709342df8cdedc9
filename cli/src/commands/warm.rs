//! What need not wait for the first run.

use super::launch::runtime;
use super::target;
use crate::environment::Environment;
use pywasm::Interruption;
use std::path::Path;

/// Unpacks a package's layers and compiles its code into the cache. What is wrong with it, its first run will say.
pub fn warm(target: &Path, environment: &Environment) {
    if let Ok(package) = target::package(target, environment)
        && let Ok(runtime) = runtime(environment, Interruption::ProcessExit)
    {
        let _ = runtime.load(&package);
    }
}
