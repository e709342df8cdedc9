//! A request's head as the CGI variables of WSGI.

use crate::frame::{HEAD, Kind, is_between_neighbours, put_head};
use bytes::{BufMut, Bytes, BytesMut};
use hyper::Version;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use hyper::http::HeaderName;
use hyper::http::request::Parts;
use std::net::SocketAddr;

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// The frame that begins a request: names and values, separated by NUL, which neither can hold.
pub(crate) fn frame(request: &Parts, ends: Ends, kind: Kind) -> Bytes {
    let mut frame = BytesMut::with_capacity(1024);
    put_head(&mut frame, kind, 0);
    let mut variables = Variables(&mut frame);
    let (uri, headers) = (&request.uri, &request.headers);
    variables.put("REQUEST_METHOD", request.method.as_str());
    variables.put("PATH_INFO", uri.path());
    variables.put("QUERY_STRING", uri.query().unwrap_or_default());
    let target = uri.path_and_query().map_or("*", |target| target.as_str());
    variables.put("REQUEST_URI", target);
    variables.put("RAW_URI", target);
    variables.put("wsgi.url_scheme", "http");
    variables.put(
        "SERVER_PROTOCOL",
        match request.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        },
    );
    variables.put("SERVER_NAME", &ends.server.ip().to_string());
    variables.put("SERVER_PORT", &ends.server.port().to_string());
    variables.put("REMOTE_ADDR", &ends.client.ip().to_string());
    variables.put("REMOTE_PORT", &ends.client.port().to_string());
    if let (None, Some(authority)) = (headers.get(HOST), uri.authority()) {
        variables.put("HTTP_HOST", authority.as_str());
    }
    for name in headers.keys() {
        if let Some(variable) = variable(name) {
            let separator: &[u8] = if name == COOKIE { b"; " } else { b"," };
            variables.name(&variable);
            for (index, value) in headers.get_all(name).iter().enumerate() {
                if index > 0 {
                    variables.0.put_slice(separator);
                }
                variables.0.put_slice(value.as_bytes());
            }
            variables.0.put_u8(0);
        }
    }
    // The last NUL separates nothing.
    frame.truncate(frame.len() - 1);
    let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
    frame[1..HEAD].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

struct Variables<'a>(&'a mut BytesMut);

impl Variables<'_> {
    fn name(&mut self, name: &str) {
        self.0.put_slice(name.as_bytes());
        self.0.put_u8(0);
    }

    fn put(&mut self, name: &str, value: &str) {
        self.name(name);
        self.name(value);
    }
}

/// None for what an app must not see: what is about the connection alone; `Proxy`, which libraries take for a
/// setting; and names with an underscore, which would pass for names with a hyphen.
fn variable(name: &HeaderName) -> Option<String> {
    let text = name.as_str();
    if is_between_neighbours(name) || text == "proxy" || text.contains('_') {
        return None;
    }
    let upper: String = text
        .chars()
        .map(|c| match c {
            '-' => '_',
            c => c.to_ascii_uppercase(),
        })
        .collect();
    Some(match *name == CONTENT_TYPE || *name == CONTENT_LENGTH {
        true => upper,
        false => format!("HTTP_{upper}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;
    use std::collections::BTreeMap;

    fn variables(request: Request<()>) -> BTreeMap<String, String> {
        let ends = Ends {
            client: "192.0.2.1:4711".parse().expect("an address"),
            server: "127.0.0.1:80".parse().expect("an address"),
        };
        let (parts, ()) = request.into_parts();
        let frame = frame(&parts, ends, Kind::Whole);
        assert_eq!(frame[0], b'R');
        let length = u32::from_be_bytes(frame[1..5].try_into().expect("four"));
        let text = std::str::from_utf8(&frame[5..]).expect("text");
        assert_eq!(length as usize, text.len());
        let words: Vec<&str> = text.split('\0').collect();
        assert_eq!(words.len() % 2, 0, "{words:?}");
        let pairs = words.chunks(2);
        pairs
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect()
    }

    #[test]
    fn headers_are_variables_unless_they_fool_an_app() {
        let request = Request::post("http://name.example/a%20b?c=d")
            .header("Accept", "x/y")
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .header("Content-Type", "text/plain")
            .header("Content-Length", "3")
            .header("Proxy", "evil")
            .header("X_Forwarded_For", "evil")
            .header("Connection", "keep-alive")
            .header("Transfer-Encoding", "chunked")
            .body(())
            .expect("a request");
        let seen = variables(request);
        let get = |name: &str| seen.get(name).map(String::as_str);
        assert_eq!(get("REQUEST_METHOD"), Some("POST"));
        assert_eq!(get("PATH_INFO"), Some("/a%20b"));
        assert_eq!(get("QUERY_STRING"), Some("c=d"));
        assert_eq!(get("HTTP_HOST"), Some("name.example"));
        assert_eq!(get("HTTP_COOKIE"), Some("a=1; b=2"));
        assert_eq!(get("HTTP_X_TWICE"), Some("1,2"));
        assert_eq!(get("CONTENT_TYPE"), Some("text/plain"));
        assert_eq!(get("CONTENT_LENGTH"), Some("3"));
        assert_eq!(get("REMOTE_ADDR"), Some("192.0.2.1"));
        for absent in [
            "HTTP_PROXY",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_CONNECTION",
            "HTTP_TRANSFER_ENCODING",
        ] {
            assert_eq!(get(absent), None, "{absent}");
        }
    }
}
