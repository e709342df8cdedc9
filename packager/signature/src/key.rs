//! Keys, in the PEM forms that cosign and OpenSSL read and write.

use pem::Pem;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use thiserror::Error;

/// Signs.
#[derive(Debug)]
pub struct SigningKey(EcdsaKeyPair);

/// Tells whether a signature is by the key that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    /// A point on the curve, not compressed.
    point: Vec<u8>,
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No PEM, or not one block of it.
    #[error("it is no PEM file; `pywasm key NAME` makes a pair of keys")]
    Pem,
    /// Another kind of block.
    #[error("it holds a `{found}`, not a `{expected}`{hint}")]
    Kind {
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Another kind of key.
    #[error("it is no ECDSA key on the curve P-256, the kind that packages are signed with")]
    Curve,
    /// No randomness.
    #[error("this machine gives no randomness")]
    Random,
}

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// What stands before the point in every public key on this curve (RFC 5480): a sequence of the algorithm
/// `ecPublicKey` with the parameter `prime256v1`, and the head of a bit string of 65 bytes.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;

impl SigningKey {
    /// A new key, as PEM (PKCS #8).
    pub fn generate() -> Result<String, KeyError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| KeyError::Random)?;
        Ok(pem::encode(&Pem::new(PRIVATE, document.as_ref())))
    }

    /// Reads a key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let hint =
            "; a key of cosign that is encrypted cannot be used, one made by `pywasm key` can";
        let block = block(text, PRIVATE, hint)?;
        EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            block.contents(),
            &SystemRandom::new(),
        )
        .map(Self)
        .map_err(|_| KeyError::Curve)
    }

    /// The key that tells others who signed.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey {
            point: self.0.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.0.sign(&SystemRandom::new(), bytes);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| KeyError::Random)
    }
}

impl VerifyingKey {
    /// Reads a key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = block(text, PUBLIC, "; give the public key")?;
        match block.contents().strip_prefix(&SPKI_HEAD) {
            Some(point) if point.len() == POINT && point[0] == 4 => Ok(Self {
                point: point.to_vec(),
            }),
            _ => Err(KeyError::Curve),
        }
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        let document = [&SPKI_HEAD[..], &self.point].concat();
        pem::encode(&Pem::new(PUBLIC, document))
    }

    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        key.verify(bytes, signature).is_ok()
    }
}

fn block(text: &str, expected: &'static str, hint: &'static str) -> Result<Pem, KeyError> {
    let block = pem::parse(text).map_err(|_| KeyError::Pem)?;
    match block.tag() == expected {
        true => Ok(block),
        false => Err(KeyError::Kind {
            found: block.tag().to_owned(),
            expected,
            hint,
        }),
    }
}
