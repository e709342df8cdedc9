//! A request's head as the CGI variables of WSGI.

use crate::head::{Ends, Scheme, Words, is_for_apps};
use hyper::Version;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use hyper::http::HeaderName;
use hyper::http::request::Parts;

/// Names and values.
pub(crate) fn put(words: &mut Words, request: &Parts, ends: Ends) {
    let mut put = |name: &str, value: &str| {
        words.put(name);
        words.put(value);
    };
    let (uri, headers) = (&request.uri, &request.headers);
    put("REQUEST_METHOD", request.method.as_str());
    put("PATH_INFO", uri.path());
    put("QUERY_STRING", uri.query().unwrap_or_default());
    let target = uri.path_and_query().map_or("*", |target| target.as_str());
    put("REQUEST_URI", target);
    put("RAW_URI", target);
    let scheme = match ends.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    put("wsgi.url_scheme", scheme);
    let version = match request.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    put("SERVER_PROTOCOL", version);
    put("SERVER_NAME", &ends.server.ip().to_string());
    put("SERVER_PORT", &ends.server.port().to_string());
    put("REMOTE_ADDR", &ends.client.ip().to_string());
    put("REMOTE_PORT", &ends.client.port().to_string());
    if ends.scheme == Scheme::Https {
        put("HTTPS", "on");
    }
    if let (None, Some(authority)) = (headers.get(HOST), uri.authority()) {
        put("HTTP_HOST", authority.as_str());
    }
    for name in headers.keys().filter(|name| is_for_apps(name)) {
        let separator: &[u8] = if name == COOKIE { b"; " } else { b"," };
        words.put(variable(name));
        for (index, value) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                words.part(separator);
            }
            words.part(value.as_bytes());
        }
        words.end();
    }
}

fn variable(name: &HeaderName) -> String {
    let upper = name.as_str().replace('-', "_").to_ascii_uppercase();
    match *name == CONTENT_TYPE || *name == CONTENT_LENGTH {
        true => upper,
        false => format!("HTTP_{upper}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::Interface;
    use crate::frame::Kind;
    use crate::head::tests::words;
    use hyper::Request;
    use std::collections::BTreeMap;

    fn variables(request: Request<()>) -> BTreeMap<String, String> {
        let words = words(request, Kind::Whole, Interface::Wsgi);
        assert_eq!(words.len() % 2, 0, "{words:?}");
        let pairs = words.chunks(2);
        pairs
            .map(|pair| (pair[0].clone(), pair[1].clone()))
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
