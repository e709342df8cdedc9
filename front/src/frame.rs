//! The frames between the front and a worker: a byte for the kind, four for the length, then so many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::header;
use hyper::http::{HeaderName, HeaderValue, StatusCode};
use hyper::{HeaderMap, Response};
use thiserror::Error;

/// Length of what comes before the content.
pub(crate) const HEAD: usize = 5;

/// The longest content of an HTTP response's frame that is taken from a worker.
pub(crate) const LARGEST: usize = 1 << 20;

/// Headers of a response; a response with more is a worker's mistake.
const MOST_HEADERS: usize = 256;

/// What a worker said that no worker says.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes")]
    Length(usize),
    #[error("a frame of kind {0}")]
    Kind(u8),
    #[error("a response whose {0} is not one of HTTP")]
    Head(&'static str),
}

/// From a worker.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Which worker this is; the first on each connection.
    Worker(Bytes),
    Head(Bytes),
    /// Of a body, or a message of a WebSocket.
    Data(Bytes),
    End,
    /// The app takes the WebSocket.
    Accept(Bytes),
    /// A message.
    Text(Bytes),
    /// The app closes the WebSocket.
    Close(Bytes),
    /// The app failed after its response had begun.
    Failed,
}

impl Frame {
    /// Takes the next one, of at most `largest` bytes, from the front of `buffer`, if it is there in whole.
    pub(crate) fn take(buffer: &mut BytesMut, largest: usize) -> Result<Option<Self>, FrameError> {
        let Some((head, _)) = buffer.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [kind, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > largest {
            return Err(FrameError::Length(length));
        }
        if buffer.len() < HEAD + length {
            return Ok(None);
        }
        buffer.advance(HEAD);
        let content = buffer.split_to(length).freeze();
        Ok(Some(match kind {
            b'W' => Self::Worker(content),
            b'H' => Self::Head(content),
            b'D' => Self::Data(content),
            b'E' => Self::End,
            b'X' => Self::Failed,
            b'A' => Self::Accept(content),
            b'T' => Self::Text(content),
            b'C' => Self::Close(content),
            other => return Err(FrameError::Kind(other)),
        }))
    }
}

/// To a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The head of a request without a body.
    Whole = b'R',
    /// The head of a request with one.
    WithBody = b'B',
    /// The head of a request for a WebSocket.
    Socket = b'S',
    /// Of a body, or a message of a WebSocket.
    Data = b'D',
    End = b'E',
    /// A message.
    Text = b'T',
    /// The client has closed the WebSocket: two bytes for the code, then the reason.
    Close = b'C',
}

/// Appends the head of a frame.
pub(crate) fn put_head(buffer: &mut BytesMut, kind: Kind, length: usize) {
    buffer.put_u8(kind as u8);
    // Parts of a body come from hyper's buffers, and messages are limited: both are far shorter than 4 GiB.
    buffer.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// The response that a worker's head means, without what is between two neighbours on the way only.
pub(crate) fn response(head: &Bytes) -> Result<Response<()>, FrameError> {
    let mut words = head.split(|byte| *byte == 0);
    let status = words.next().and_then(|line| line.get(..3));
    let status = status.and_then(|code| StatusCode::from_bytes(code).ok());
    // 1xx would be no answer.
    let status = status
        .filter(|status| status.as_u16() >= 200)
        .ok_or(FrameError::Head("status"))?;
    let headers = headers(words)?;
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let length = headers.get(header::CONTENT_LENGTH);
    let number = length.is_none_or(|value| value.as_bytes().iter().all(u8::is_ascii_digit));
    if lengths > 1 || !number {
        return Err(FrameError::Head("length"));
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The chosen protocol and the headers of an accepted WebSocket. Headers of the handshake itself are not the app's.
pub(crate) fn accepted(content: &Bytes) -> Result<HeaderMap, FrameError> {
    let mut words = content.split(|byte| *byte == 0);
    let protocol = words.next().unwrap_or_default();
    let mut headers = headers(words)?;
    for name in [
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    if !protocol.is_empty() {
        let value = HeaderValue::from_bytes(protocol).map_err(|_| FrameError::Head("protocol"))?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(headers)
}

/// Names and values, without what is between two neighbours on the way only.
fn headers<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<HeaderMap, FrameError> {
    let mut headers = HeaderMap::new();
    while let Some(name) = words.next() {
        let name = HeaderName::from_bytes(name).map_err(|_| FrameError::Head("header name"))?;
        let value = words.next().ok_or(FrameError::Head("header"))?;
        let value = HeaderValue::from_bytes(value).map_err(|_| FrameError::Head("header value"))?;
        if headers.len() >= MOST_HEADERS {
            return Err(FrameError::Head("number of headers"));
        }
        if !is_between_neighbours(&name) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// Headers that are about one connection, of which the other side of the front knows nothing.
pub(crate) fn is_between_neighbours(name: &HeaderName) -> bool {
    const KEEP_ALIVE: &str = "keep-alive";
    const PROXY_CONNECTION: &str = "proxy-connection";
    [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || name == KEEP_ALIVE
        || name == PROXY_CONNECTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut buffer = BytesMut::from(&b"D\0\0\0\x03ab"[..]);
        assert!(Frame::take(&mut buffer, LARGEST).expect("a part").is_none());
        buffer.extend_from_slice(b"cE\0\0\0\0");
        let Ok(Some(Frame::Data(data))) = Frame::take(&mut buffer, LARGEST) else {
            panic!("data")
        };
        assert_eq!(data, "abc");
        assert!(matches!(
            Frame::take(&mut buffer, LARGEST),
            Ok(Some(Frame::End))
        ));
        assert!(buffer.is_empty());
        for wrong in [&b"?\0\0\0\0"[..], b"D\xff\xff\xff\xff"] {
            assert!(
                Frame::take(&mut wrong.into(), LARGEST).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn an_app_does_not_choose_the_handshake_of_a_websocket() {
        let content = "chat\0Set-Cookie\0a=1\0Sec-WebSocket-Accept\0x\0Upgrade\0evil";
        let headers = accepted(&Bytes::from_static(content.as_bytes())).expect("headers");
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers[header::SEC_WEBSOCKET_PROTOCOL], "chat");
        let split = Bytes::from_static(b"chat\r\nSet-Cookie: evil=1");
        assert!(accepted(&split).is_err());
    }

    #[test]
    fn a_response_is_one_of_http_or_none() {
        let of = |head: &'static str| response(&Bytes::from_static(head.as_bytes()));
        let good = of("404 Not Found\0A\0one\0a\0two\0Connection\0close").expect("a response");
        assert_eq!(good.status(), 404);
        let values: Vec<_> = good.headers().get_all("a").iter().collect();
        assert_eq!(values, ["one", "two"]);
        assert_eq!(good.headers().len(), 2, "and no connection");
        for wrong in [
            "",
            "OK",
            "100 Continue",
            "200 OK\0A",
            "200 OK\0A b\0c",
            "200 OK\0A\0b\r\nSet-Cookie: c",
            "200 OK\0Content-Length\0one",
            "200 OK\0Content-Length\x001\0Content-Length\x002",
        ] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
