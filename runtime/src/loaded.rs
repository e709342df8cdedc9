//! Programs that are loaded, by the layer that they come from.

use crate::app::{LoadError, Program};
use crate::net::sync::lock;
use pywasm_format::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// What apps have in common is there once, and goes with the last of them: most have the same interpreter, and a host may load one
/// package again and again.
#[derive(Default)]
pub(crate) struct Loaded(Mutex<BTreeMap<Digest, Weak<Program>>>);

type Programs = BTreeMap<Digest, Weak<Program>>;

impl Loaded {
    /// The program of this layer, which `make` makes if it is not there.
    pub(crate) fn program(
        &self,
        layer: &Digest,
        make: impl FnOnce() -> Result<Program, LoadError>,
    ) -> Result<Arc<Program>, LoadError> {
        let known = |all: &Programs| all.get(layer).and_then(Weak::upgrade);
        if let Some(program) = known(&lock(&self.0)) {
            return Ok(program);
        }
        let program = Arc::new(make()?);
        let mut all = lock(&self.0);
        // Another thread may have been faster.
        if let Some(program) = known(&all) {
            return Ok(program);
        }
        all.retain(|_, program| program.strong_count() > 0);
        all.insert(*layer, Arc::downgrade(&program));
        Ok(program)
    }
}
