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

/// A server with a page and a package index, and its clients: `pip` is a process of its own.
const CLIENTS: &str = r#"
import asyncio, base64, hashlib, http.server, io, ssl, subprocess, sys, threading, zipfile

def wheel():
    files = {"greeting.py": "def greet(): return 'installed over TLS'\n",
             "greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
             "greeting-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    files["greeting-1.0.dist-info/RECORD"] = "\n".join([*lines, "greeting-1.0.dist-info/RECORD,,"]) + "\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()

WHEEL = "greeting-1.0-py3-none-any.whl"
PAGES = {"/": b"over TLS", "/simple/greeting/": f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), f"/{WHEEL}": wheel()}

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = PAGES.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")
    def log_message(self, *arguments): pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://localhost:{server.server_address[1]}"
trusting = ssl.create_default_context(cafile="ca.pem")

import requests
print("requests", requests.get(url, verify="ca.pem").text)
try: requests.get(url)
except requests.exceptions.SSLError as error: print("requests refuses", "CERTIFICATE_VERIFY_FAILED" in str(error))

import httpx
print("httpx", httpx.get(url, verify=trusting).text)
try: httpx.get(url)
except httpx.ConnectError as error: print("httpx refuses", "CERTIFICATE_VERIFY_FAILED" in str(error))

async def main():
    import aiohttp
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=trusting) as response: print("aiohttp", await response.text())
        try: await session.get(url)
        except aiohttp.ClientConnectorCertificateError: print("aiohttp refuses True")
    async with httpx.AsyncClient(verify=trusting) as client: print("httpx async", (await client.get(url)).text)
asyncio.run(main())

pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
for verb in (["download", "-d", "/tmp/wheels"], ["install", "--target", "/tmp/installed"]):
    done = subprocess.run([*pip, *verb, "--index-url", url + "/simple", "--cert", "ca.pem", "greeting"], capture_output=True, text=True)
    print("pip", verb[0], done.returncode or "succeeds", done.stderr if done.returncode else "")
sys.path.append("/tmp/installed")
import greeting
print(greeting.greet())
refused = [*pip, "download", "-d", "/tmp/refused", "--retries=0", "--index-url", url + "/simple", "greeting"]
done = subprocess.run(refused, capture_output=True, text=True)
print("pip refuses", done.returncode != 0 and "CERTIFICATE_VERIFY_FAILED" in done.stdout + done.stderr)
"#;

#[test]
fn registry_clients_and_pip_trust_the_authority_they_are_given_and_no_other() {
    let folder = authority(CLIENTS);
    let mut command = pywasm(["python", "--workdir", "/tls", "--volume"]);
    command.arg(format!("{}:/tls:ro", folder.path().display()));
    for package in ["requests", "httpx", "aiohttp", "pip"] {
        command.args(["--with", package]);
    }
    command.arg("/tls/main.py");
    let ended = run(command);
    let printed: Vec<_> = ended.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        printed,
        [
            "requests over TLS",
            "requests refuses True",
            "httpx over TLS",
            "httpx refuses True",
            "aiohttp over TLS",
            "aiohttp refuses True",
            "httpx async over TLS",
            "pip download succeeds",
            "pip install succeeds",
            "installed over TLS",
            "pip refuses True",
        ],
        "{}",
        ended.stderr
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
