//! What a transfer tells while it goes on.

use pywasm_format::Blob;

/// How far a blob has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is there already and is not transferred.
    Present,
    /// So many of its bytes have been transferred.
    At(u64),
    /// All of it is there, and its digest is right.
    Done,
}

/// Whoever shows progress. Blobs are transferred at the same time.
pub trait Progress: Sync {
    /// Something happened to the blob called `what` (`runtime`, `app`, `config`).
    fn event(&self, what: &str, blob: &Blob, event: Event);
}
