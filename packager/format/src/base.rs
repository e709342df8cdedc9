//! Where the layers that every package begins with come from.

use crate::Digest;
use crate::wire::{self, Annotations};

/// The origin of a package's interpreter and standard library, as annotations of its manifest have it. It is what the
/// maker of the package says: the layers' own digests tell whether they are those of a pywasm at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseOrigin {
    /// What they are, such as `cpython-3.14.7-slim`.
    pub name: String,
    /// SHA-256 of the record of their build: its inputs with versions, digests and licences, its recipe and what
    /// came of it (`guests/artifacts/guest.json`).
    pub record: Digest,
}

impl BaseOrigin {
    pub(crate) fn annotations(&self) -> Annotations {
        Annotations::from([
            (wire::BASE_NAME.to_owned(), self.name.clone()),
            (wire::BASE_RECORD.to_owned(), self.record.to_string()),
        ])
    }

    /// What annotations tell; nothing where they do not tell it in our way, for anybody may add some.
    pub(crate) fn of(annotations: &Annotations) -> Option<Self> {
        Some(Self {
            name: annotations.get(wire::BASE_NAME)?.clone(),
            record: annotations.get(wire::BASE_RECORD)?.parse().ok()?,
        })
    }
}
