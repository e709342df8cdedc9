//! cryptography from the package index on the interpreter that has its native part built in: `registry_` tests.

use crate::support::{pywasm, run};

const PROGRAM: &str = r#"
import datetime
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.x509.oid import NameOID

box = Fernet(Fernet.generate_key())
assert box.decrypt(box.encrypt(b"hidden")) == b"hidden"
try:
    Fernet(Fernet.generate_key()).decrypt(box.encrypt(b"hidden"))
except InvalidToken:
    print("another key opens nothing")
for cipher in (AESGCM(bytes(32)), ChaCha20Poly1305(bytes(32))):
    assert cipher.decrypt(bytes(12), cipher.encrypt(bytes(12), b"text", b"seen"), b"seen") == b"text"

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.org")])
now = datetime.datetime(2026, 1, 1)
builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=9))
names = x509.SubjectAlternativeName([x509.DNSName("example.org")])
made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
read = x509.load_pem_x509_certificate(made.public_bytes(serialization.Encoding.PEM))
assert read == made and read.serial_number == 7
assert read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == ["example.org"]
read.verify_directly_issued_by(made)
other = ec.generate_private_key(ec.SECP256R1())
forged = builder.sign(other, hashes.SHA256())
try:
    forged.verify_directly_issued_by(made)
except InvalidSignature:
    print("a forged certificate is found out")

signer = rsa.generate_private_key(65537, 2048)
pem = signer.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
signer = serialization.load_pem_private_key(pem, b"secret")
signature = signer.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
signer.public_key().verify(signature, b"text", padding.PKCS1v15(), hashes.SHA256())
signer = ed25519.Ed25519PrivateKey.generate()
signer.public_key().verify(signer.sign(b"text"), b"text")
"#;

#[test]
fn registry_cryptography_encrypts_signs_and_makes_certificates() {
    let mut command = pywasm(["python", "--with", "cryptography", "-c"]);
    command.arg(PROGRAM);
    let ended = run(command);
    assert_eq!(
        ended.stdout, "another key opens nothing\na forged certificate is found out\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
