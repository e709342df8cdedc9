//! What is signed, and how a signature is looked at.

use crate::{KeyError, SigningKey, VerifyingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pywasm_format::{Digest, json_problem};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A signature with what it is about. Nothing about it is known before it was compared with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The document that was signed, byte by byte.
    payload: String,
    /// In base64.
    signature: String,
}

/// The signatures of one package, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures(Vec<Signature>);

/// What a signature by a known key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The repository that the package was signed for.
    pub repository: String,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// None is by one of the keys.
    #[error("none of its {0} signatures is by a key that is trusted here")]
    OtherKey(usize),
    /// The signature is good, and about another package.
    #[error("its signature is of another package ({0})")]
    OtherPackage(Digest),
    /// The signature is good, and about something else.
    #[error("what was signed is no package")]
    OtherThing,
}

/// A list of signatures that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("these are no signatures: {0}")]
pub struct SignaturesError(String);

/// The signed document.
#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

const KIND: &str = "cosign container image signature";
/// A signature is a few hundred bytes; who sends more sends something else.
const LONGEST: usize = 64 << 10;
/// More are not looked at: each costs a computation.
const MOST: usize = 64;

impl Signature {
    /// Signs the package with this digest, as one of `repository` (a name without a tag).
    pub fn sign(key: &SigningKey, repository: &str, digest: Digest) -> Result<Self, KeyError> {
        let payload = Payload {
            critical: Critical {
                identity: Identity {
                    docker_reference: repository.to_owned(),
                },
                image: Image {
                    docker_manifest_digest: digest,
                },
                kind: KIND.to_owned(),
            },
            optional: None,
        };
        let payload = serde_json::to_string(&payload)
            .unwrap_or_else(|error| unreachable!("strings are JSON: {error}"));
        let signature = STANDARD.encode(key.sign(payload.as_bytes())?);
        Ok(Self { payload, signature })
    }

    /// One that came from elsewhere.
    pub fn new(payload: String, signature: String) -> Result<Self, SignaturesError> {
        match payload.len() <= LONGEST && signature.len() <= LONGEST {
            true => Ok(Self { payload, signature }),
            false => Err(SignaturesError(format!("one has over {LONGEST} bytes"))),
        }
    }

    /// The document that was signed.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The signature in base64.
    pub fn base64(&self) -> &str {
        &self.signature
    }

    /// What it says, if it is by `key`. Only then is the document read at all.
    fn claim(&self, key: &VerifyingKey, digest: Digest) -> Option<Result<Claim, Mismatch>> {
        let bytes = STANDARD.decode(self.signature.trim()).ok()?;
        if !key.verifies(self.payload.as_bytes(), &bytes) {
            return None;
        }
        let Ok(Payload { critical, .. }) = serde_json::from_str::<Payload>(&self.payload) else {
            return Some(Err(Mismatch::OtherThing));
        };
        if critical.kind != KIND {
            return Some(Err(Mismatch::OtherThing));
        }
        let signed = critical.image.docker_manifest_digest;
        Some(match signed == digest {
            true => Ok(Claim {
                repository: critical.identity.docker_reference,
            }),
            false => Err(Mismatch::OtherPackage(signed)),
        })
    }
}

impl Signatures {
    /// Reads what [`Self::to_bytes`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignaturesError> {
        let all: Vec<Signature> = serde_json::from_slice(bytes)
            .map_err(|error| SignaturesError(json_problem(bytes, &error)))?;
        let mut signatures = Self::default();
        for one in all {
            signatures.add(Signature::new(one.payload, one.signature)?)?;
        }
        Ok(signatures)
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.0)
            .unwrap_or_else(|error| unreachable!("strings are JSON: {error}"))
    }

    /// Adds one, unless it is there.
    pub fn add(&mut self, signature: Signature) -> Result<(), SignaturesError> {
        if self.0.contains(&signature) {
            return Ok(());
        }
        if self.0.len() >= MOST {
            return Err(SignaturesError(format!("there are more than {MOST}")));
        }
        self.0.push(signature);
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Signature> {
        self.0.iter()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first signature says that is by one of the keys and of the package with this digest.
    pub fn verify(&self, keys: &[VerifyingKey], digest: Digest) -> Result<Claim, Mismatch> {
        let mut reason = match self.0.len() {
            0 => Mismatch::Unsigned,
            count => Mismatch::OtherKey(count),
        };
        for signature in &self.0 {
            for key in keys {
                match signature.claim(key, digest) {
                    Some(Ok(claim)) => return Ok(claim),
                    Some(Err(other)) => reason = other,
                    None => {}
                }
            }
        }
        Err(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pem(&SigningKey::generate().expect("randomness")).expect("a key")
    }

    fn signed(key: &SigningKey, digest: Digest) -> Signatures {
        let mut all = Signatures::default();
        let one = Signature::sign(key, "ghcr.io/me/app", digest).expect("signed");
        all.add(one).expect("room");
        all
    }

    #[test]
    fn a_signature_is_by_its_key_and_of_its_package() {
        let (key, other) = (key(), key());
        let digest = Digest::of(b"manifest");
        let public = VerifyingKey::from_pem(&key.verifying_key().to_pem()).expect("a key");
        let signatures = Signatures::parse(&signed(&key, digest).to_bytes()).expect("read");
        let claim = signatures.verify(&[other.verifying_key(), public.clone()], digest);
        assert_eq!(claim.expect("signed").repository, "ghcr.io/me/app");
        assert_eq!(
            signatures.verify(&[other.verifying_key()], digest),
            Err(Mismatch::OtherKey(1))
        );
        assert_eq!(signatures.verify(&[], digest), Err(Mismatch::OtherKey(1)));
        assert_eq!(
            signatures.verify(std::slice::from_ref(&public), Digest::of(b"x")),
            Err(Mismatch::OtherPackage(digest))
        );
        assert_eq!(
            Signatures::default().verify(&[public], digest),
            Err(Mismatch::Unsigned)
        );
    }

    #[test]
    fn what_was_changed_does_not_count() {
        let key = key();
        let digest = Digest::of(b"manifest");
        let good = signed(&key, digest);
        let public = [key.verifying_key()];
        let one = &good.0[0];
        let forged = one
            .payload
            .replace(&digest.to_string(), &Digest::of(b"evil").to_string());
        let again = |payload: &str, signature: &str| {
            let one = Signature::new(payload.to_owned(), signature.to_owned()).expect("small");
            Signatures(vec![one])
        };
        let forged = again(&forged, &one.signature);
        assert_eq!(
            forged.verify(&public, Digest::of(b"evil")),
            Err(Mismatch::OtherKey(1))
        );
        for signature in ["", "!", "AAAA"] {
            let odd = again(&one.payload, signature);
            assert_eq!(odd.verify(&public, digest), Err(Mismatch::OtherKey(1)));
        }
        // By the right key, but of something that is no package.
        let blob = b"{\"critical\": 1}";
        let signature = STANDARD.encode(key.sign(blob).expect("signed"));
        let blob = again("{\"critical\": 1}", &signature);
        assert_eq!(blob.verify(&public, digest), Err(Mismatch::OtherThing));
        assert!(
            again(&one.payload, &one.signature)
                .verify(&public, digest)
                .is_ok()
        );
    }

    #[test]
    fn keys_of_other_kinds_are_named() {
        let private = SigningKey::generate().expect("randomness");
        let error = VerifyingKey::from_pem(&private).expect_err("the private one");
        assert!(error.to_string().contains("give the public key"), "{error}");
        assert_eq!(VerifyingKey::from_pem("x"), Err(KeyError::Pem));
        let rsa = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(VerifyingKey::from_pem(rsa), Err(KeyError::Curve));
    }
}
