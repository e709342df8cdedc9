//! Blobs: fetched and sent in pieces, from where the last try was cut off.

use crate::RegistryError;
use crate::client::{Ask, Client, Failed, location};
use pywasm_format::{Blob, Digest};
use pywasm_http::Pauses;
use pywasm_store::{Incoming, Settled};
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::Body;
use ureq::http::{Method, Response};
use url::Url;

/// A piece is sent again as a whole when its connection breaks.
const PIECE: usize = 8 << 20;
/// So much more must have come for a broken connection to count as progress: a server that gives a few
/// bytes each time would otherwise be asked forever.
const PROGRESS: u64 = 1 << 20;
/// A server that sends less than so much in so long has stalled, however regularly it does so.
const SLOWEST: u64 = 16 << 10;
const WATCH: Duration = Duration::from_secs(30);

/// Why a piece did not come.
enum Cut {
    /// The rest may come with the next request.
    Short(String),
    For(RegistryError),
}

impl<E: Into<RegistryError>> From<E> for Cut {
    fn from(error: E) -> Self {
        Self::For(error.into())
    }
}

/// Fetches what is still missing of a blob, and gives it its place.
pub(crate) fn fetch(
    client: &Client,
    repository: &str,
    blob: &Blob,
    mut incoming: Incoming,
    mut progress: impl FnMut(u64),
) -> Result<(), RegistryError> {
    let url = client.url(&format!("{repository}/blobs/{}", blob.digest))?;
    let mut taken_up = incoming.have() > 0;
    loop {
        complete(client, repository, &url, blob, &mut incoming, &mut progress)?;
        match incoming.finish()? {
            Settled::InPlace => return Ok(()),
            // The beginning is of an earlier process and may be what is wrong.
            Settled::Wrong(_, again) if taken_up => {
                taken_up = false;
                incoming = *again;
            }
            Settled::Wrong(found, _) => {
                return Err(RegistryError::Digest {
                    host: client.host().to_string(),
                    expected: blob.digest,
                    found,
                });
            }
        }
    }
}

fn complete(
    client: &Client,
    repository: &str,
    url: &Url,
    blob: &Blob,
    incoming: &mut Incoming,
    progress: &mut impl FnMut(u64),
) -> Result<(), RegistryError> {
    let mut pauses = Pauses::new(client.retries());
    let mut counted = incoming.have();
    while incoming.left() > 0 {
        let reason = match piece(client, repository, url, incoming, progress) {
            Ok(()) => continue,
            Err(Cut::Short(reason)) => reason,
            Err(Cut::For(error)) => return Err(error),
        };
        if incoming.have() >= counted + PROGRESS {
            counted = incoming.have();
            pauses = Pauses::new(client.retries());
        }
        if !pauses.pause(None) {
            return Err(RegistryError::Transfer {
                host: client.host().to_string(),
                digest: blob.digest,
                reason,
            });
        }
    }
    Ok(())
}

/// One request for all that is missing.
fn piece(
    client: &Client,
    repository: &str,
    url: &Url,
    incoming: &mut Incoming,
    progress: &mut impl FnMut(u64),
) -> Result<(), Cut> {
    let mut ask = Ask::new(Method::GET, url.clone(), repository);
    if incoming.have() > 0 {
        ask = ask.header("range", format!("bytes={}-", incoming.have()));
    }
    let mut response = client.send(&ask)?;
    match response.status().as_u16() {
        206 if begins_at(&response) == Some(incoming.have()) => {}
        // Asked for a part, given the whole or another part: from the beginning, then.
        200 => incoming.restart()?,
        206 | 416 if incoming.have() > 0 => {
            incoming.restart()?;
            return Err(Cut::Short("it gives other parts than asked for".to_owned()));
        }
        _ => return Err(client.refused(url, repository, response).into()),
    }
    let mut body = response.body_mut().as_reader();
    let mut bytes = vec![0; 1 << 16];
    let mut watch = (Instant::now(), incoming.have());
    while incoming.left() > 0 {
        let read = match body.read(&mut bytes) {
            Ok(0) => return Err(Cut::Short("it ends too early".to_owned())),
            Ok(read) => read,
            Err(error) => return Err(Cut::Short(error.to_string())),
        };
        if read as u64 > incoming.left() {
            // Nothing of it can be right.
            incoming.restart()?;
            return Err(Cut::Short("it sends more than the blob has".to_owned()));
        }
        incoming.add(&bytes[..read])?;
        progress(incoming.have());
        if watch.0.elapsed() > WATCH {
            if incoming.have() < watch.1 + SLOWEST {
                return Err(Cut::Short("it has all but stopped sending".to_owned()));
            }
            watch = (Instant::now(), incoming.have());
        }
    }
    Ok(())
}

/// The first byte of `Content-Range: bytes 5-9/10`.
fn begins_at(response: &Response<Body>) -> Option<u64> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    let range = value.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// A blob that is small enough to be held in memory; the caller has looked at its size.
pub(crate) fn small(
    client: &Client,
    repository: &str,
    blob: &Blob,
) -> Result<Vec<u8>, RegistryError> {
    let url = client.url(&format!("{repository}/blobs/{}", blob.digest))?;
    let mut pauses = Pauses::new(client.retries());
    loop {
        let mut response = client.send(&Ask::new(Method::GET, url.clone(), repository))?;
        if response.status() != 200 {
            return Err(client.refused(&url, &blob.digest.to_string(), response));
        }
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(blob.size + 1);
        let reason = match body.read_to_end(&mut bytes) {
            Ok(_) => {
                let found = Digest::of(&bytes);
                return match found == blob.digest {
                    true => Ok(bytes),
                    false => Err(RegistryError::Digest {
                        host: client.host().to_string(),
                        expected: blob.digest,
                        found,
                    }),
                };
            }
            Err(error) => error.to_string(),
        };
        if !pauses.pause(None) {
            return Err(RegistryError::Transfer {
                host: client.host().to_string(),
                digest: blob.digest,
                reason,
            });
        }
    }
}

/// Has the registry this blob?
pub(crate) fn exists(
    client: &Client,
    repository: &str,
    blob: &Blob,
) -> Result<bool, RegistryError> {
    let url = client.url(&format!("{repository}/blobs/{}", blob.digest))?;
    let response = client.send(&Ask::new(Method::HEAD, url.clone(), repository))?;
    match response.status().as_u16() {
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(client.refused(&url, repository, response)),
    }
}

/// Sends a blob. `open` begins to read it anew.
pub(crate) fn send<R: Read>(
    client: &Client,
    repository: &str,
    blob: &Blob,
    open: impl Fn() -> Result<R, RegistryError>,
    mut progress: impl FnMut(u64),
) -> Result<(), RegistryError> {
    let start = client.url(&format!("{repository}/blobs/uploads/"))?;
    let mut restarts = Pauses::new(client.retries());
    loop {
        let response = client.send(&Ask::new(Method::POST, start.clone(), repository))?;
        if response.status() != 202 {
            return Err(client.refused(&start, repository, response));
        }
        let at = location(&start, &response)?;
        let mut upload = Upload {
            client,
            repository,
            at,
            piece: piece_size(&response),
        };
        match upload.run(blob, open()?, &mut progress) {
            Ok(()) => return Ok(()),
            // The registry has lost the upload or the thread of it: begin another.
            Err(Cut::Short(reason)) => {
                if !restarts.pause(None) {
                    return Err(RegistryError::Transfer {
                        host: client.host().to_string(),
                        digest: blob.digest,
                        reason,
                    });
                }
            }
            Err(Cut::For(error)) => return Err(error),
        }
    }
}

/// Some registries take no small pieces.
fn piece_size(response: &Response<Body>) -> usize {
    let least = response.headers().get("oci-chunk-min-length");
    let least = least.and_then(|value| value.to_str().ok()?.parse().ok());
    // Held in memory: not any size that a server likes.
    least.unwrap_or(PIECE).clamp(PIECE, 8 * PIECE)
}

/// An upload that the registry has opened.
struct Upload<'a> {
    client: &'a Client,
    repository: &'a str,
    at: Url,
    piece: usize,
}

impl Upload<'_> {
    fn run(
        &mut self,
        blob: &Blob,
        mut content: impl Read,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), Cut> {
        let mut sent = 0;
        let mut piece = Vec::new();
        while sent < blob.size {
            piece.clear();
            let unreadable = |error: std::io::Error| {
                Cut::For(RegistryError::Read {
                    digest: blob.digest,
                    reason: error,
                })
            };
            let mut part = content.by_ref().take(self.piece as u64);
            part.read_to_end(&mut piece).map_err(unreadable)?;
            self.patch(sent, &piece)?;
            sent += piece.len() as u64;
            progress(sent);
        }
        let mut end = self.at.clone();
        end.query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        let ask = Ask::new(Method::PUT, end.clone(), self.repository);
        let response = self.client.send(&ask)?;
        match response.status().as_u16() {
            201 | 204 => Ok(()),
            // The answer to an earlier try may have been lost on its way.
            _ if exists(self.client, self.repository, blob)? => Ok(()),
            404 => Err(Cut::Short("it has lost the upload".to_owned())),
            _ => Err(self.client.refused(&end, self.repository, response).into()),
        }
    }

    /// Sends the bytes from `start` on, as often as it takes.
    fn patch(&mut self, start: u64, bytes: &[u8]) -> Result<(), Cut> {
        let end = start + bytes.len() as u64;
        let mut sent = start;
        let mut pauses = Pauses::new(self.client.retries());
        while sent < end {
            let rest = &bytes[usize::try_from(sent - start).unwrap_or(bytes.len())..];
            let ask = Ask::new(Method::PATCH, self.at.clone(), self.repository)
                .header("content-type", "application/octet-stream")
                .header("content-range", format!("{sent}-{}", end - 1))
                .bytes(rest);
            let reason = match self.client.led_on(&ask) {
                Ok(response) => match response.status().as_u16() {
                    200..=202 | 204 => {
                        self.at = location(&self.at, &response)?;
                        sent = end;
                        continue;
                    }
                    // Not this part: it may have the bytes of a try that seemed to fail.
                    416 => "it expects another part".to_owned(),
                    404 => return Err(Cut::Short("it has lost the upload".to_owned())),
                    status if Pauses::is_passing_status(status) => {
                        format!("it answers with status {status}")
                    }
                    _ => {
                        return Err(self
                            .client
                            .refused(&self.at, self.repository, response)
                            .into());
                    }
                },
                Err(Failed::Passing(error)) => error.to_string(),
                Err(Failed::For(error)) => return Err(error.into()),
            };
            if !pauses.pause(None) {
                return Err(Cut::Short(reason));
            }
            sent = self.received()?;
            if sent < start || sent > end {
                return Err(Cut::Short("it has other parts than were sent".to_owned()));
            }
        }
        Ok(())
    }

    /// How many bytes the registry has.
    fn received(&mut self) -> Result<u64, Cut> {
        let ask = Ask::new(Method::GET, self.at.clone(), self.repository);
        let response = self.client.send(&ask)?;
        if !matches!(response.status().as_u16(), 200 | 204) {
            return Err(Cut::Short("it has lost the upload".to_owned()));
        }
        if response.headers().contains_key("location") {
            self.at = location(&self.at, &response)?;
        }
        let range = response
            .headers()
            .get("range")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        // `0-9` are ten bytes; `0-0` is one, or what some registries say of none.
        let last = range
            .rsplit('-')
            .next()
            .and_then(|last| last.parse::<u64>().ok());
        Ok(match last {
            Some(0) | None => 0,
            Some(last) => last + 1,
        })
    }
}
