//! Bytes of any kind from a worker, and requests of any kind for one: nothing panics, and neither side is fooled.

use crate::Interface;
use crate::frame::{Frame, HEAD, Kind, LARGEST, is_between_neighbours, response};
use crate::head::{self, Ends, Scheme};
use bytes::{Bytes, BytesMut};
use hyper::Request;
use hyper::header::CONTENT_LENGTH;
use proptest::prelude::*;

/// Frames and what looks like some.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = (prop::sample::select(b"WHDEXATC?\0".to_vec()), 0u32..40).prop_flat_map(
        |(kind, length)| {
            let content = prop::collection::vec(any::<u8>(), length as usize);
            content.prop_map(move |content| [&[kind][..], &length.to_be_bytes(), &content].concat())
        },
    );
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![8 => frame, 1 => noise], 0..8)
        .prop_map(|parts| parts.concat())
}

/// All frames of a buffer, as text to be compared; whether an error came after them.
fn frames(buffer: &mut BytesMut, all: &mut Vec<String>) -> bool {
    loop {
        match Frame::take(buffer, LARGEST) {
            Ok(Some(frame)) => all.push(format!("{frame:?}")),
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// A head as an app might make it: words that are nearly right, between NULs.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => prop::sample::select(vec![
            &b"200 OK"[..], b"99 No", b"404", b"Content-Length", b"content-length", b"7", b"-1", b"1, 1", b"Transfer-Encoding",
            b"chunked", b"Connection", b"X-A", b"a\r\nSet-Cookie: b", b"", b"\xff\xfe", b"Keep-Alive", b"Set-Cookie", b" ",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(word, 0..9).prop_map(|words| words.join(&0u8))
}

proptest! {
    #[test]
    fn frames_are_the_same_however_they_arrive(
        bytes in stream(),
        cuts in prop::collection::vec(1usize..30, 1..60),
    ) {
        let mut whole = Vec::new();
        let failed = frames(&mut BytesMut::from(&bytes[..]), &mut whole);
        let (mut pieces, mut buffer, mut rest) = (Vec::new(), BytesMut::new(), &bytes[..]);
        let mut failed_in_pieces = false;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() && !failed_in_pieces {
            let (piece, later) = rest.split_at(rest.len().min(*cuts.next().expect("a cycle")));
            buffer.extend_from_slice(piece);
            rest = later;
            failed_in_pieces = frames(&mut buffer, &mut pieces);
        }
        prop_assert_eq!((whole, failed), (pieces, failed_in_pieces));
    }

    #[test]
    fn a_response_of_any_bytes_is_one_of_http_or_none(bytes in head()) {
        if let Ok(response) = response(&Bytes::from(bytes)) {
            prop_assert!(response.status().as_u16() >= 200);
            let headers = response.headers();
            prop_assert!(!headers.keys().any(is_between_neighbours));
            for value in headers.values() {
                prop_assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)));
            }
            let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            prop_assert!(lengths.len() <= 1);
            prop_assert!(lengths.iter().all(|length| length.as_bytes().iter().all(u8::is_ascii_digit)));
        }
    }

    #[test]
    fn a_request_of_any_kind_is_pairs_that_say_what_it_said(
        method in "[A-Z]{1,8}",
        target in "/[ -~]{0,20}",
        interface in prop::sample::select(vec![Interface::Wsgi, Interface::Asgi]),
        headers in prop::collection::vec(("[a-zA-Z0-9_-]{1,12}", prop::collection::vec(any::<u8>(), 0..12)), 0..8),
    ) {
        let mut builder = Request::builder().method(method.as_str()).uri(target.as_str());
        for (name, value) in &headers {
            builder = builder.header(name.as_str(), value.as_slice());
        }
        // What is not a request of HTTP never gets here.
        let Ok(request) = builder.body(()) else { return Ok(()) };
        let (parts, ()) = request.into_parts();
        let ends = Ends {
            client: ([192, 0, 2, 1], 4711).into(),
            server: ([127, 0, 0, 1], 80).into(),
            scheme: Scheme::Http,
        };
        let frame = head::frame(&parts, ends, Kind::Whole, interface);
        let length = u32::from_be_bytes(frame[1..HEAD].try_into().expect("four"));
        prop_assert_eq!(length as usize, frame.len() - HEAD);
        let words: Vec<&[u8]> = frame[HEAD..].split(|byte| *byte == 0).collect();
        // Nine words about the request, then pairs; or nothing but pairs.
        let (said, pairs) = match interface {
            Interface::Wsgi => (words[1], &words[..]),
            Interface::Asgi => (words[0], &words[9..]),
        };
        prop_assert_eq!(said, method.as_bytes());
        prop_assert_eq!(pairs.len() % 2, 0);
        let mut names: Vec<&[u8]> = pairs.chunks(2).map(|pair| pair[0]).collect();
        for hidden in ["HTTP_PROXY", "proxy", "transfer-encoding", "HTTP_TRANSFER_ENCODING"] {
            prop_assert!(!names.contains(&hidden.as_bytes()));
        }
        if interface == Interface::Wsgi {
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), count, "each variable once");
        }
    }
}
