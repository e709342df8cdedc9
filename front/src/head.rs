//! The frame that begins a request: words separated by NUL, which no part of a head can hold.

use crate::Interface;
use crate::frame::{HEAD, Kind, is_between_neighbours, put_head};
use crate::{environ, scope};
use bytes::{BufMut, Bytes, BytesMut};
use hyper::http::HeaderName;
use hyper::http::request::Parts;
use std::net::SocketAddr;

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Words of a head, each ended by a NUL.
pub(crate) struct Words(BytesMut);

impl Words {
    pub(crate) fn put(&mut self, word: impl AsRef<[u8]>) {
        self.part(word.as_ref());
        self.end();
    }

    /// The beginning of a word.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    pub(crate) fn end(&mut self) {
        self.0.put_u8(0);
    }
}

/// The frame for a request of a client with these ends.
pub(crate) fn frame(request: &Parts, ends: Ends, kind: Kind, interface: Interface) -> Bytes {
    let mut frame = BytesMut::with_capacity(1024);
    put_head(&mut frame, kind, 0);
    let mut words = Words(frame);
    match interface {
        Interface::Wsgi => environ::put(&mut words, request, ends),
        Interface::Asgi => scope::put(&mut words, request, ends, kind),
    }
    let Words(mut frame) = words;
    // The last NUL separates nothing.
    frame.truncate(frame.len() - 1);
    let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
    frame[1..HEAD].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

/// May an app see this header? Not what is about the connection alone; nor `Proxy`, which libraries take for a setting;
/// nor names with an underscore, which would pass for names with a hyphen.
pub(crate) fn is_for_apps(name: &HeaderName) -> bool {
    let text = name.as_str();
    !is_between_neighbours(name) && text != "proxy" && !text.contains('_')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hyper::Request;

    /// The words of a frame for this request.
    pub(crate) fn words(request: Request<()>, kind: Kind, interface: Interface) -> Vec<String> {
        let ends = Ends {
            client: "192.0.2.1:4711".parse().expect("an address"),
            server: "127.0.0.1:80".parse().expect("an address"),
            scheme: Scheme::Http,
        };
        let (parts, ()) = request.into_parts();
        let frame = frame(&parts, ends, kind, interface);
        assert_eq!(frame[0], kind as u8);
        let length = u32::from_be_bytes(frame[1..5].try_into().expect("four"));
        let text = std::str::from_utf8(&frame[5..]).expect("text");
        assert_eq!(length as usize, text.len());
        text.split('\0').map(str::to_owned).collect()
    }
}
