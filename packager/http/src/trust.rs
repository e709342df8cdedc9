//! Whose certificates count.

use crate::ConnectionError;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{PemItem, RootCerts};

/// Where systems keep their certificate authorities; the first that exists is used. Those compiled in
/// are the last resort, because only the system's list knows a company's own authority.
const SYSTEM_CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

pub(crate) fn root_certificates(chosen: Option<&Path>) -> Result<RootCerts, ConnectionError> {
    let path = match chosen {
        Some(path) => path,
        None => match SYSTEM_CERTIFICATES
            .iter()
            .map(Path::new)
            .find(|path| path.is_file())
        {
            Some(path) => path,
            None => return Ok(RootCerts::WebPki),
        },
    };
    let unreadable = |reason| ConnectionError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(unreadable(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it holds no certificates",
        ))),
        false => Ok(RootCerts::Specific(Arc::new(certificates))),
    }
}
