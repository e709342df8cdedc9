//! TLS between programs in the sandbox, with a certificate authority made for the test.

use crate::support::{project, python, pywasm, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// A folder with `ca.pem` and, issued by it for localhost, `server.pem` and its key.
pub fn authority(code: &str) -> tempfile::TempDir {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "An authority of a test");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.use_authority_key_identifier_extension = true;
    let server = params.signed_by(&key, &issuer).expect("a certificate");
    project(&[
        ("ca.pem", &issuer.pem()),
        ("server.pem", &server.pem()),
        ("server.key", &key.serialize_pem()),
        ("main.py", code),
    ])
}

/// Runs `code` as a program beside the certificates, with an environment variable.
fn beside_certificates(code: &str, env: &[&str]) -> String {
    let folder = authority(code);
    let mut command = pywasm(["python", "--workdir", "/tls", "--volume"]);
    command.arg(format!("{}:/tls:ro", folder.path().display()));
    for variable in env {
        command.args(["--env", variable]);
    }
    let ended = run({
        command.arg("/tls/main.py");
        command
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

const SERVER: &str = "
import http.server, ssl, threading, urllib.error, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'over TLS')
    def log_message(self, *arguments): pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('server.pem', 'server.key')
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]

def fetch(host, context=None):
    try:
        return urllib.request.urlopen(f'https://{host}:{port}/', context=context).read().decode()
    except urllib.error.URLError as error:
        return getattr(error.reason, 'verify_message', error.reason)
";

#[test]
fn urllib_trusts_the_authority_it_is_given_and_no_other() {
    let code = format!(
        "{SERVER}
trusting = ssl.create_default_context(cafile='ca.pem')
print(fetch('localhost', trusting))
print(fetch('localhost'))
print(fetch('127.0.0.1', trusting))
"
    );
    let printed = beside_certificates(&code, &[]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "over TLS");
    assert_eq!(lines[1], "unable to get local issuer certificate");
    assert!(lines[2].starts_with("IP address mismatch"), "{printed}");
}

#[test]
fn ssl_cert_file_names_the_trusted_authorities() {
    let code = format!("{SERVER}print(fetch('localhost'))");
    assert_eq!(
        beside_certificates(&code, &["SSL_CERT_FILE=/tls/ca.pem"]),
        "over TLS\n"
    );
}

#[test]
fn asyncio_speaks_tls_on_both_sides() {
    let code = "
import asyncio, ssl

async def main():
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain('server.pem', 'server.key')
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0, ssl=mine)
    port = server.sockets[0].getsockname()[1]
    async def ask(context):
        reader, writer = await asyncio.open_connection('localhost', port, ssl=context)
        writer.write(b'hello\\n')
        answer = await reader.readline()
        version = writer.get_extra_info('ssl_object').version()
        writer.close()
        return answer, version
    trusting = ssl.create_default_context(cafile='ca.pem')
    print(*await asyncio.gather(*(ask(trusting) for _ in range(3))), sep='\\n')
    try: await ask(ssl.create_default_context())
    except ssl.SSLCertVerificationError as error: print(error.verify_message)

asyncio.run(main())
";
    let answer = "(b'HELLO\\n', 'TLSv1.3')\n";
    assert_eq!(
        beside_certificates(code, &[]),
        answer.repeat(3) + "unable to get local issuer certificate\n"
    );
}

#[test]
fn public_authorities_are_in_the_standard_layer() {
    let code = "
import hashlib, ssl
print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 100)
print(hashlib.scrypt(b'password', salt=b'NaCl', n=1024, r=8, p=16, dklen=8).hex())
print(hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 1, 8).hex())
";
    assert_eq!(
        python(["-c", code]).stdout,
        "True\nfdbabe1c9d347200\n120fb6cffcf8b32c\n"
    );
}

#[test]
fn random_bytes_are_fresh_in_every_instance() {
    let draw = || {
        python([
            "-c",
            "import ssl; print(ssl.RAND_bytes(16).hex(), ssl.RAND_bytes(300).hex()[-32:])",
        ])
        .stdout
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first.len(), 66, "{first}");
    assert_ne!(first, second);
}
