//! A request's head as the scope of ASGI: nine words about the request, then names and values of headers.

use crate::frame::Kind;
use crate::head::{Ends, Scheme, Words, is_for_apps};
use hyper::Version;
use hyper::header::HOST;
use hyper::http::request::Parts;

pub(crate) fn put(words: &mut Words, request: &Parts, ends: Ends, kind: Kind) {
    let (uri, headers) = (&request.uri, &request.headers);
    words.put(request.method.as_str());
    words.put(uri.path());
    words.put(uri.query().unwrap_or_default());
    words.put(match (kind, ends.scheme) {
        (Kind::Socket, Scheme::Http) => "ws",
        (Kind::Socket, Scheme::Https) => "wss",
        (_, Scheme::Http) => "http",
        (_, Scheme::Https) => "https",
    });
    words.put(match request.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    });
    for end in [ends.client, ends.server] {
        words.put(end.ip().to_string());
        words.put(end.port().to_string());
    }
    if let (None, Some(authority)) = (headers.get(HOST), uri.authority()) {
        words.put("host");
        words.put(authority.as_str());
    }
    for (name, value) in headers {
        if is_for_apps(name) {
            words.put(name.as_str());
            words.put(value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Interface;
    use crate::head::tests::words;
    use hyper::Request;

    #[test]
    fn headers_stay_as_they_came_unless_they_fool_an_app() {
        let request = Request::post("http://name.example/a%20b?c=d")
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .header("Proxy", "evil")
            .header("X_Forwarded_For", "evil")
            .header("Connection", "keep-alive")
            .body(())
            .expect("a request");
        let seen = words(request, Kind::Whole, Interface::Asgi);
        let expected = "POST /a%20b c=d http 1.1 192.0.2.1 4711 127.0.0.1 80 host name.example x-twice 1 x-twice 2";
        assert_eq!(seen.join(" "), expected);
    }
}
