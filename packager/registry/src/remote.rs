//! Names of packages on registries.

use pywasm_format::{Digest, ImageName, ParseDigestError, ParseImageNameError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use url::Url;

/// A registry server, such as `registry.example` or `localhost:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryHost(String);

/// A package there: `HOST/PATH[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteName {
    name: ImageName,
    host: RegistryHost,
    at: At,
}

/// Which of the packages of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The one that a tag stands for now.
    Tag(String),
    /// This one.
    Digest(Digest),
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// By TLS, but on this very machine, where nobody listens in between, by plain HTTP.
    #[default]
    Usual,
    /// By plain HTTP, wherever it is.
    PlainHttp,
    /// By TLS, wherever it is.
    Tls,
}

/// A text that names no package on a registry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseRemoteNameError {
    /// No name at all.
    #[error(transparent)]
    Name(#[from] ParseImageNameError),
    /// What stands after `@`.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
    /// A name without a server.
    #[error(
        "`{0}` does not say on which registry: a name there is HOST/{0}, and `pywasm tag {0} HOST/{0}` gives a kept package such a name"
    )]
    NoRegistry(String),
    /// A server's name that is none.
    #[error("`{0}` is no registry: write HOST or HOST:PORT, without https://")]
    Host(String),
}

/// Docker's own registry is called by one name, reached by another and known to its credentials file
/// by a third.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

impl RegistryHost {
    /// The name that credentials are kept under in docker's configuration.
    pub(crate) fn key(&self) -> &str {
        match self.0.as_str() {
            DOCKER_HUB => DOCKER_HUB_KEY,
            other => other,
        }
    }

    /// Where it answers.
    pub(crate) fn url(&self, transport: Transport) -> Result<Url, ParseRemoteNameError> {
        let server = match self.0.as_str() {
            DOCKER_HUB => DOCKER_HUB_SERVER,
            other => other,
        };
        let scheme = match transport {
            Transport::Usual if self.is_loopback() => "http",
            Transport::PlainHttp => "http",
            Transport::Usual | Transport::Tls => "https",
        };
        Url::parse(&format!("{scheme}://{server}/v2/"))
            .map_err(|_| ParseRemoteNameError::Host(self.0.clone()))
    }

    fn is_loopback(&self) -> bool {
        let name = self.0.split(':').next().unwrap_or_default();
        name == "localhost"
            || name
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for RegistryHost {
    type Err = ParseRemoteNameError;

    fn from_str(text: &str) -> Result<Self, ParseRemoteNameError> {
        let wrong = || ParseRemoteNameError::Host(text.to_owned());
        // The grammar of hosts is that of names: any path behind it shows whether it is one.
        let name: ImageName = format!("{text}/x").parse().map_err(|_| wrong())?;
        match name.registry() == Some(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RemoteName {
    /// The server.
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// The name without the digest. What is pinned by a digest is kept under the digest, as a tag, so that it
    /// never takes the place of what another name means.
    pub fn local(&self) -> Result<ImageName, ParseRemoteNameError> {
        match &self.at {
            At::Tag(_) => Ok(self.name.clone()),
            At::Digest(digest) => {
                Ok(format!("{}:sha256-{}", self.name.repository(), digest.hex()).parse()?)
            }
        }
    }

    /// Which one of the repository.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// The path on the server.
    pub(crate) fn repository(&self) -> String {
        let path = self.name.repository();
        let path = path.split_once('/').map_or(path, |(_, path)| path);
        match self.host.0 == DOCKER_HUB && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        }
    }
}

impl At {
    /// As it stands in addresses.
    pub(crate) fn reference(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }
}

impl TryFrom<ImageName> for RemoteName {
    type Error = ParseRemoteNameError;

    fn try_from(name: ImageName) -> Result<Self, ParseRemoteNameError> {
        match name.registry() {
            Some(host) => Ok(Self {
                host: RegistryHost(host.to_owned()),
                at: At::Tag(name.tag().to_owned()),
                name,
            }),
            None => Err(ParseRemoteNameError::NoRegistry(name.to_string())),
        }
    }
}

impl FromStr for RemoteName {
    type Err = ParseRemoteNameError;

    fn from_str(text: &str) -> Result<Self, ParseRemoteNameError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let remote = Self::try_from(name.parse::<ImageName>()?)?;
        Ok(match digest {
            Some(digest) => Self {
                at: At::Digest(digest),
                ..remote
            },
            None => remote,
        })
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Tag(_) => self.name.fmt(f),
            At::Digest(digest) => write!(f, "{}@{digest}", self.name.repository()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn servers_and_repositories() {
        for (text, url, repository) in [
            ("ghcr.io/me/app:1", "https://ghcr.io/v2/", "me/app"),
            ("localhost:5000/app", "http://localhost:5000/v2/", "app"),
            ("127.0.0.2:5000/app", "http://127.0.0.2:5000/v2/", "app"),
            (
                "docker.io/app",
                "https://registry-1.docker.io/v2/",
                "library/app",
            ),
            (
                "docker.io/me/app",
                "https://registry-1.docker.io/v2/",
                "me/app",
            ),
        ] {
            let name: RemoteName = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let usual = name.host().url(Transport::Usual).expect("an address");
            assert_eq!(usual.as_str(), url);
            assert_eq!(name.repository(), repository);
            let tls = name.host().url(Transport::Tls).expect("an address");
            assert_eq!(tls.scheme(), "https");
            let plain = name.host().url(Transport::PlainHttp).expect("an address");
            assert_eq!(plain.scheme(), "http");
        }
    }

    #[test]
    fn pinned_names_are_kept_under_their_digest() {
        let name: RemoteName = format!("ghcr.io/me/app:1@{DIGEST}")
            .parse()
            .expect("a name");
        assert_eq!(name.to_string(), format!("ghcr.io/me/app@{DIGEST}"));
        assert_eq!(
            name.local().expect("a name").to_string(),
            format!("ghcr.io/me/app:{}", DIGEST.replace(':', "-"))
        );
    }

    #[test]
    fn others_are_refused_with_the_way_out() {
        for (text, part) in [
            ("app", "`pywasm tag app:latest HOST/app:latest`"),
            ("me/app:2", "does not say on which registry"),
            ("ghcr.io/app@sha256:12", "is not a digest"),
        ] {
            let error = text.parse::<RemoteName>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
        for text in ["https://ghcr.io", "", "ghcr.io/x", "plain"] {
            assert!(text.parse::<RegistryHost>().is_err(), "{text}");
        }
    }
}
