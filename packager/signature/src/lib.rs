//! Signatures of packages, as cosign makes them with keys: ECDSA on P-256 with SHA-256 over a small
//! document that names the digest of the package's manifest. The manifest names the digests of all the
//! rest, so the signature is about every byte of the package.

mod key;
mod signature;

pub use key::{KeyError, SigningKey, VerifyingKey};
pub use signature::{Claim, Mismatch, Signature, Signatures, SignaturesError};
