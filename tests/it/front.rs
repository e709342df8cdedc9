//! What `pywasm serve` does beside asking the app: TLS, files, compression.

use crate::support::http::{body, status, talk};
use crate::support::{Running, get, project, pywasm, run};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

const APP: &str = "
def app(environ, start):
    kind = 'image/png' if environ['PATH_INFO'] == '/image' else 'text/plain'
    start('200 OK', [('Content-Type', kind), ('ETag', '\"x\"')])
    if environ['PATH_INFO'] in ('/long', '/image'): return [b'long ' * 1000]
    if environ['PATH_INFO'] == '/parts': return iter([b'part ' * 500, b'last'])
    return [(environ['wsgi.url_scheme'] + ' ' + environ['SERVER_PROTOCOL']).encode()]
";

fn serve(folder: &Path, flags: &[&str]) -> (Running, SocketAddr) {
    let mut command = pywasm(["serve", "--bind", "127.0.0.1:0", "--wsgi", "app:app"]);
    command.args(flags).arg("app.py").current_dir(folder);
    let mut server = Running::start(command);
    let line = server.line("serving at http");
    let (_, address) = line.split_once("://").expect("an address");
    let address = address.parse().expect("an address");
    (server, address)
}

/// Connects as a client that trusts this certificate and speaks this protocol, and asks for `/`.
async fn ask(address: SocketAddr, certificate: CertificateDer<'static>, protocol: &[u8]) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    let request = Request::get("https://localhost/")
        .header("host", "localhost")
        .body(Empty::<hyper::body::Bytes>::new())
        .expect("a request");
    let response = match protocol {
        b"h2" => {
            let handshake =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut client, connection) = handshake.await.expect("HTTP/2");
            tokio::spawn(connection);
            client.send_request(request).await
        }
        _ => {
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            let (mut client, connection) = handshake.await.expect("HTTP/1.1");
            tokio::spawn(connection);
            client.send_request(request).await
        }
    };
    let body = response.expect("a response").into_body();
    let bytes = body.collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn connections_are_encrypted_and_what_is_not_tls_is_sent_away() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = project(&[
        ("app.py", APP),
        ("cert.pem", &cert.pem()),
        ("key.pem", &signing_key.serialize_pem()),
        ("other.pem", &other.signing_key.serialize_pem()),
    ]);
    let flags = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let (_server, address) = serve(folder.path(), &flags);
    // Clients that say nothing, or nonsense, hold up nobody.
    let silent = TcpStream::connect(address).expect("it listens");
    for nonsense in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3],
        &[0; 300],
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(nonsense).expect("open");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    reactor.block_on(async {
        let certificate = cert.der().clone();
        let seen = ask(address, certificate.clone(), b"http/1.1").await;
        assert_eq!(seen, "https HTTP/1.1");
        assert_eq!(ask(address, certificate, b"h2").await, "https HTTP/2.0");
    });
    drop(silent);

    let refused = |key: &str| {
        let mut command = pywasm(["serve", "--wsgi", "app:app", "--tls-cert", "cert.pem"]);
        command.args(["--tls-key", key, "app.py"]);
        command.current_dir(folder.path());
        let ended = run(command);
        assert_eq!(ended.code, Some(125));
        ended.stderr
    };
    assert!(refused("other.pem").contains("the certificate and the key cannot be used"));
    assert!(refused("app.py").contains("there is no private key in PEM format in it"));
    assert!(refused("none.pem").contains("--tls-key: there is no file `none.pem`"));
}

#[test]
fn files_are_served_without_the_app_and_nothing_beside_them() {
    let folder = project(&[
        ("app.py", APP),
        ("public/style.css", "body {}"),
        ("public/index.html", "<p>start"),
        ("public/.env", "secret"),
    ]);
    std::fs::write(folder.path().join("public/large.bin"), vec![7; 300_000]).expect("a file");
    std::os::unix::fs::symlink("../app.py", folder.path().join("public/link")).expect("a link");
    let (_server, address) = serve(folder.path(), &["--static", "/assets=public"]);
    let style = get(address, "/assets/style.css");
    assert!(
        style.contains("content-type: text/css; charset=utf-8"),
        "{style}"
    );
    assert_eq!(body(&style), "body {}");
    assert_eq!(body(&get(address, "/assets/")), "<p>start");
    assert_eq!(body(&get(address, "/assets/large.bin")).len(), 300_000);
    let tag = style.lines().find_map(|line| line.strip_prefix("etag: "));
    let tag = tag.expect("a tag");
    let again = talk(
        address,
        format!("GET /assets/style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: {tag}\r\n\r\n").as_bytes(),
    );
    assert_eq!((status(&again), body(&again).as_str()), ("304", ""));
    // All else is the app's.
    for app in [
        "/assets/.env",
        "/assets/link",
        "/assets/../app.py",
        "/assets/none",
        "/",
    ] {
        assert_eq!(body(&get(address, app)), "http HTTP/1.1", "{app}");
    }
}

#[test]
fn responses_are_compressed_for_those_who_take_it() {
    let folder = project(&[("app.py", APP)]);
    let (_server, address) = serve(folder.path(), &["--gzip"]);
    let ask = |path: &str, more: &str| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).expect("open");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("a response");
        let end = response.windows(4).position(|four| four == b"\r\n\r\n");
        let body = response.split_off(end.expect("a head") + 4);
        (String::from_utf8(response).expect("a head"), body)
    };
    let takes = "Accept-Encoding: br, gzip\r\n";
    for (path, text) in [
        ("/long", "long ".repeat(1000)),
        ("/parts", "part ".repeat(500) + "last"),
    ] {
        let (head, body) = ask(path, takes);
        assert!(head.contains("content-encoding: gzip"), "{head}");
        assert!(
            head.contains("vary: accept-encoding") && head.contains("etag: W/\"x\""),
            "{head}"
        );
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_string(&mut plain)
            .expect("gzip");
        assert!(plain == text && body.len() < text.len() / 4, "{path}");
        let (head, body) = ask(path, "");
        assert!(
            !head.contains("content-encoding") && body == text.as_bytes(),
            "{head}"
        );
    }
    for path in ["/", "/image"] {
        let (head, _) = ask(path, takes);
        assert!(!head.contains("content-encoding"), "{head}");
    }
}
