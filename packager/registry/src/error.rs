//! Why a package did not travel.

use crate::{CredentialsError, ParseRemoteNameError};
use pywasm_format::{Digest, ReadError};
use pywasm_http::{ConnectionError, Failure};
use pywasm_store::StoreError;
use thiserror::Error;
use url::Url;

/// What went wrong between a registry and this machine. Nothing that was kept before is changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name.
    #[error(transparent)]
    Name(#[from] ParseRemoteNameError),
    /// Certificates or proxies.
    #[error(transparent)]
    Settings(#[from] ConnectionError),
    /// The credentials of this machine.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry wants credentials and was given none.
    #[error("{host} wants to know who asks; log in with `pywasm login {host}`")]
    LoginNeeded {
        /// The registry.
        host: String,
    },
    /// The credentials are not accepted.
    #[error(
        "{host} does not accept the credentials kept for it{detail}; log in anew with `pywasm login {host}`"
    )]
    LoginRefused {
        /// The registry.
        host: String,
        /// What the server said.
        detail: String,
    },
    /// Known, but not allowed to.
    #[error(
        "{host} does not allow this to the person logged in ({status}){detail}; check the repository's name and its rights"
    )]
    Denied {
        /// The registry.
        host: String,
        /// 401 or 403.
        status: u16,
        /// What the server said.
        detail: String,
    },
    /// Not there.
    #[error("there is no `{what}` on {host}{detail}; check the name and the tag")]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the server said.
        detail: String,
    },
    /// Any other answer than the one needed.
    #[error("{url} answers with status {status}{detail}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the server said.
        detail: String,
    },
    /// No answer.
    #[error("{url} cannot be reached: {reason}{hint}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A redirection that is not followed.
    #[error("{from} leads on to {to}, {reason}; it is not followed")]
    Redirect {
        /// What was asked for.
        from: String,
        /// Where it leads.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// An answer that makes no sense.
    #[error("{url} answers with something that is not {expected}: {reason}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Other content than promised.
    #[error(
        "what {host} sent for {expected} has the digest {found}: it was changed on the way or on the server, and is thrown away"
    )]
    Digest {
        /// The registry.
        host: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// Larger than any package's part.
    #[error("{digest} on {host} is {size} bytes, over the limit of {limit}; it is not fetched")]
    TooLarge {
        /// The registry.
        host: String,
        /// The blob.
        digest: Digest,
        /// Its size, as the manifest says.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A blob of this machine.
    #[error("{digest} cannot be read here: {reason}")]
    Read {
        /// The blob.
        digest: Digest,
        /// What is wrong.
        reason: std::io::Error,
    },
    /// Cut short, or without end, again and again.
    #[error(
        "the transfer of {digest} from {host} does not come to its end: {reason}; what has come is kept, try again later"
    )]
    Transfer {
        /// The registry.
        host: String,
        /// The blob.
        digest: Digest,
        /// The last reason.
        reason: String,
    },
    /// No package, or none of ours.
    #[error(transparent)]
    Package(#[from] ReadError),
    /// The store of this machine.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    pub(crate) fn unreachable(url: &Url, error: &ureq::Error) -> Self {
        let Failure { reason, hint } = Failure::of(error);
        Self::Connection {
            url: shown(url),
            reason,
            hint,
        }
    }

    pub(crate) fn malformed(url: &Url, expected: &'static str, reason: impl ToString) -> Self {
        Self::Malformed {
            url: shown(url),
            expected,
            reason: reason.to_string(),
        }
    }
}

/// An address for people: what stands after `?` may be a signature that opens a door.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for addresses that have no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// What a server says of its refusal (`{"errors": [{"message": …}]}`): short, and without the control
/// characters by which a text takes over a terminal.
pub(crate) fn detail(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &value["errors"][0];
    let text = [&error["message"], &error["code"], &value["details"]]
        .iter()
        .find_map(|text| text.as_str().filter(|text| !text.is_empty()))
        .unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    match text.is_empty() {
        true => text,
        false => format!(" (\"{text}\")"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_cannot_write_to_terminals() {
        let body = br#"{"errors": [{"code": "DENIED", "message": "no\u001b[2J way"}]}"#;
        assert_eq!(detail(body), " (\"no[2J way\")");
        assert_eq!(detail(b"<html>"), "");
    }

    #[test]
    fn signed_addresses_are_not_shown_whole() {
        let url: Url = "https://me:secret@cdn.example/x?sig=secret#x"
            .parse()
            .expect("an address");
        assert_eq!(shown(&url), "https://cdn.example/x");
    }
}
