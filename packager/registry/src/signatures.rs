//! Signatures beside packages, where cosign keeps them: under the tag `sha256-DIGEST.sig`, one layer for
//! each document that was signed, its signature in an annotation.

use crate::client::Client;
use crate::{At, RegistryError, RemoteName, blobs, manifests};
use pywasm_format::{Blob, Digest, json_problem};
use pywasm_signature::{Signature, Signatures};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Of one signed document.
const LARGEST: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    config: Part,
    layers: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Part {
    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
        }
    }

    fn blob(&self) -> Blob {
        Blob {
            digest: self.digest,
            size: self.size,
        }
    }
}

fn tag(digest: Digest) -> At {
    At::Tag(format!("sha256-{}.sig", digest.hex()))
}

/// The signatures that a registry has of a package. They are not compared with any key here.
pub(crate) fn fetch(
    client: &Client,
    name: &RemoteName,
    digest: Digest,
) -> Result<Signatures, RegistryError> {
    let repository = name.repository();
    let mut found = Signatures::default();
    let bytes = match manifests::get(client, &repository, &tag(digest)) {
        Err(RegistryError::NotFound { .. }) => return Ok(found),
        other => other?,
    };
    let url = client.url(&repository)?;
    let odd = |reason: String| RegistryError::malformed(&url, "a list of signatures", reason);
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| odd(json_problem(&bytes, &error)))?;
    for layer in manifest.layers {
        let Some(signature) = layer.annotations.get(SIGNATURE) else {
            continue;
        };
        if layer.media_type != PAYLOAD || layer.size > LARGEST {
            continue;
        }
        let payload = blobs::small(client, &repository, &layer.blob())?;
        let payload = String::from_utf8(payload).map_err(|error| odd(error.to_string()))?;
        let one = Signature::new(payload, signature.clone());
        one.and_then(|one| found.add(one))
            .map_err(|error| odd(error.to_string()))?;
    }
    Ok(found)
}

/// Puts signatures beside a package, with those that are there already.
pub(crate) fn send(
    client: &Client,
    name: &RemoteName,
    digest: Digest,
    signatures: &Signatures,
) -> Result<(), RegistryError> {
    let repository = name.repository();
    let mut all = fetch(client, name, digest)?;
    let before = all.clone();
    for signature in signatures.iter() {
        all.add(signature.clone()).map_err(|error| {
            RegistryError::malformed(client.root(), "a list with room for more", error)
        })?;
    }
    if all == before {
        return Ok(());
    }
    let payloads: Vec<&[u8]> = all.iter().map(|one| one.payload().as_bytes()).collect();
    let config = json!({
        "architecture": "", "os": "", "config": {},
        "rootfs": {"type": "layers", "diff_ids": payloads.iter().map(|bytes| Digest::of(bytes).to_string()).collect::<Vec<_>>()},
    })
    .to_string();
    let layers = all.iter().map(|one| {
        let mut part = Part::of(PAYLOAD, one.payload().as_bytes());
        part.annotations
            .insert(SIGNATURE.to_owned(), one.base64().to_owned());
        part
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config: Part::of(CONFIG, config.as_bytes()),
        layers: layers.collect(),
    };
    for bytes in payloads.into_iter().chain([config.as_bytes()]) {
        let blob = Part::of("", bytes).blob();
        if !blobs::exists(client, &repository, &blob)? {
            blobs::send(client, &repository, &blob, || Ok(bytes), |_| {})?;
        }
    }
    let bytes = serde_json::to_vec(&manifest)
        .unwrap_or_else(|error| unreachable!("strings are JSON: {error}"));
    manifests::put(client, &repository, &tag(digest).reference(), &bytes)
}
