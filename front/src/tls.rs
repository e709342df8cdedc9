//! Encrypted connections of clients: TLS 1.2 and 1.3 by rustls.

use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

/// What clients may choose from, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate that the front shows to clients, with its key. Cheap to clone.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why clients cannot be shown this certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate can be read from the text.
    #[error("there is no certificate in PEM format in it")]
    Certificate,
    /// No private key can be read from the text.
    #[error("there is no private key in PEM format in it, or it is encrypted")]
    Key,
    /// They do not go together, or are of a kind that nobody takes.
    #[error("the certificate and the key cannot be used: {0}")]
    Pair(#[source] tokio_rustls::rustls::Error),
}

impl Tls {
    /// From texts in PEM format: the certificate followed by those that vouch for it, and its key.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.0.accept(stream).await
    }
}
