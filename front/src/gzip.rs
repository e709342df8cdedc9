//! Compressed responses, for clients that take them.

use crate::answer::Answer;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderValue, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use std::io::Write;

/// Shorter ones are not worth it.
const LEAST: u64 = 1024;

/// Of the fast half: the front is one thread for all clients.
const LEVEL: Compression = Compression::new(4);

/// Compresses a body part by part, each of which can be read as soon as it is there.
#[derive(Debug)]
pub(crate) struct Compressor(GzEncoder<Vec<u8>>);

impl Compressor {
    fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), LEVEL))
    }

    pub(crate) fn part(&mut self, data: &[u8]) -> Bytes {
        // Writing to memory does not fail.
        let _ = self.0.write_all(data);
        let _ = self.0.flush();
        std::mem::take(self.0.get_mut()).into()
    }

    pub(crate) fn end(mut self) -> Bytes {
        let _ = self.0.try_finish();
        std::mem::take(self.0.get_mut()).into()
    }
}

/// Does the client take gzip?
pub(crate) fn is_taken(request: &HeaderMap) -> bool {
    let all = request.get_all(ACCEPT_ENCODING);
    let mut codings = all
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|q: f32| q > 0.0)
    })
}

/// The same response, compressed if that makes sense.
pub(crate) fn compressed(response: Response<Answer>) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    if !is_worth_it(parts.status, &parts.headers, &body) {
        return Response::from_parts(parts, body);
    }
    let headers = &mut parts.headers;
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    // It names other bytes now, though the same thing.
    if let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(ETAG, weak);
    }
    let mut compressor = Compressor::new();
    let body = match body {
        Answer::Whole(bytes) => {
            let start = compressor.part(&bytes.unwrap_or_default());
            Answer::text([start, compressor.end()].concat())
        }
        Answer::Parts(parts) | Answer::Compressed(parts, _) => {
            Answer::Compressed(parts, Some(Box::new(compressor)))
        }
    };
    Response::from_parts(parts, body)
}

fn is_worth_it(status: StatusCode, headers: &HeaderMap, body: &Answer) -> bool {
    let long = match body {
        Answer::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64) >= LEAST,
        Answer::Parts(_) => headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok())
            .is_none_or(|length: u64| length >= LEAST),
        Answer::Compressed(..) => false,
    };
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let kind = text(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let compresses = kind.starts_with("text/")
        || ["+json", "+xml", "/json", "/javascript", "/xml", "/wasm"]
            .iter()
            .any(|end| kind.ends_with(end));
    long && compresses
        && status != StatusCode::PARTIAL_CONTENT
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !text(CACHE_CONTROL).is_some_and(|value| value.contains("no-transform"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_whether_they_take_it() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            is_taken(&headers)
        };
        assert!(of("gzip"));
        assert!(of("br, GZIP;q=0.5"));
        assert!(!of("br"));
        assert!(!of("gzip;q=0, *"));
        assert!(!is_taken(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_or_short_or_an_image_stays_as_it_is() {
        let answer = |kind: &'static str, length: usize| {
            let mut response = Response::new(Answer::text(vec![b'x'; length]));
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        };
        let is = |response| {
            compressed(response)
                .headers()
                .contains_key(CONTENT_ENCODING)
        };
        assert!(is(answer("text/html; charset=utf-8", 2000)));
        assert!(is(answer("application/json", 2000)));
        assert!(!is(answer("text/html", 100)));
        assert!(!is(answer("image/png", 2000)));
        let mut done = answer("text/html", 2000);
        let identity = HeaderValue::from_static("br");
        done.headers_mut().insert(CONTENT_ENCODING, identity);
        assert_eq!(compressed(done).headers()[CONTENT_ENCODING], "br");
    }
}
