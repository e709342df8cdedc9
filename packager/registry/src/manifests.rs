//! Manifests: small documents that are compared before they are read.

use crate::client::{Ask, Client};
use crate::error::shown;
use crate::{At, RegistryError};
use pywasm_format::{Digest, MANIFEST_MEDIA_TYPES};
use pywasm_http::Pauses;
use std::io::Read;
use ureq::Body;
use ureq::http::{Method, Response};
use url::Url;

/// What registries allow, too.
const LARGEST: u64 = 4 << 20;

/// The bytes of a manifest, with the digest asked for or the one that the registry says it has.
pub(crate) fn get(client: &Client, repository: &str, at: &At) -> Result<Vec<u8>, RegistryError> {
    let url = client.url(&format!("{repository}/manifests/{}", at.reference()))?;
    let ask = Ask::new(Method::GET, url.clone(), repository)
        .header("accept", MANIFEST_MEDIA_TYPES.join(", "));
    let mut pauses = Pauses::new(client.retries());
    loop {
        let mut response = client.send(&ask)?;
        if response.status() != 200 {
            let what = match at {
                At::Tag(tag) => format!("{repository}:{tag}"),
                At::Digest(digest) => format!("{repository}@{digest}"),
            };
            return Err(client.refused(&url, &what, response));
        }
        let promised = match at {
            At::Digest(digest) => Some(*digest),
            At::Tag(_) => said_digest(&url, &response)?,
        };
        let bytes = match read(&url, &mut response) {
            Ok(bytes) => bytes,
            Err(error @ RegistryError::Connection { .. }) => match pauses.pause(None) {
                true => continue,
                false => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let found = Digest::of(&bytes);
        return match promised {
            Some(expected) if expected != found => Err(RegistryError::Digest {
                host: client.host().to_string(),
                expected,
                found,
            }),
            _ => Ok(bytes),
        };
    }
}

fn read(url: &Url, response: &mut Response<Body>) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let mut reader = response.body_mut().as_reader().take(LARGEST + 1);
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| RegistryError::Connection {
            url: shown(url),
            reason: format!("the answer is cut off: {error}"),
            hint: "; try again",
        })?;
    match bytes.len() as u64 > LARGEST {
        true => Err(RegistryError::malformed(
            url,
            "a manifest",
            format!("it is larger than {LARGEST} bytes"),
        )),
        false => Ok(bytes),
    }
}

/// `Docker-Content-Digest`; registries need not send it.
fn said_digest(url: &Url, response: &Response<Body>) -> Result<Option<Digest>, RegistryError> {
    match response.headers().get("docker-content-digest") {
        None => Ok(None),
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            let digest = text
                .parse()
                .map_err(|error| RegistryError::malformed(url, "a digest", error))?;
            Ok(Some(digest))
        }
    }
}

/// Puts a manifest there: from then on the name stands for it.
pub(crate) fn put(
    client: &Client,
    repository: &str,
    reference: &str,
    manifest: &[u8],
) -> Result<(), RegistryError> {
    let url = client.url(&format!("{repository}/manifests/{reference}"))?;
    let ask = Ask::new(Method::PUT, url.clone(), repository)
        .header("content-type", MANIFEST_MEDIA_TYPES[0])
        .bytes(manifest);
    let response = client.send(&ask)?;
    if !matches!(response.status().as_u16(), 200..=202) {
        return Err(client.refused(&url, repository, response));
    }
    let expected = Digest::of(manifest);
    match said_digest(&url, &response)? {
        Some(found) if found != expected => Err(RegistryError::Digest {
            host: client.host().to_string(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}
