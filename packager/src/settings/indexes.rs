//! Which indexes, with which credentials, certificates and proxies.
//!
//! In order of precedence: flags, requirements files, `PIP_*`, `UV_*`, pip's configuration files, the
//! default. Lists (`--extra-index-url`, `--find-links`) are put together from all of them.

use super::{IndexFlags, Machine, pip_conf};
use crate::index::{Connection, Credentials, LinkPlace, Places};
use crate::requirements::IndexOptions;
use pywasm_http::Proxies;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// The index that is asked when nothing else is said.
const DEFAULT_INDEX: &str = "https://pypi.org/simple/";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_RETRIES: u32 = 4;
const MOST_RETRIES: u32 = 10;

/// Why the settings cannot be followed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A configuration file.
    #[error("{path} cannot be read: {reason}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// An address that is none.
    #[error("the index address {shown} cannot be used: {reason}")]
    Index {
        /// The address without credentials.
        shown: String,
        /// What is wrong.
        reason: String,
    },
    /// The program that keeps passwords.
    #[error(
        "the program `keyring`, which the settings name (keyring-provider), cannot be run: {0}"
    )]
    Keyring(io::Error),
    /// A setting of it that is not supported.
    #[error("keyring-provider `{0}` needs Python on this machine; write subprocess, or disabled")]
    KeyringProvider(String),
    /// A `--find-links` place that is none.
    #[error("--find-links {0}")]
    Links(String),
}

/// Everything needed to reach packages.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) places: Places,
    pub(crate) connection: Connection,
    /// Are pre-releases wanted?
    pub(crate) pre: bool,
}

impl Access {
    pub(crate) fn resolve(
        flags: &IndexFlags,
        files: &IndexOptions,
        machine: &Machine,
    ) -> Result<Self, SettingsError> {
        let sources = Sources {
            env: &machine.env,
            conf: pip_conf::read(machine)?,
        };
        let mut credentials = Credentials::default();
        let netrc = sources.env("NETRC").map(PathBuf::from);
        if let Some(path) = netrc.or_else(|| machine.home.as_ref().map(|home| home.join(".netrc")))
        {
            credentials.read_netrc(&path);
        }
        let places = Places {
            indexes: match flags.no_index || files.no_index || sources.flag("NO_INDEX") {
                true => Vec::new(),
                false => indexes(flags, files, &sources, &mut credentials)?,
            },
            links: links(flags, files, &sources, &mut credentials)?,
            offline: flags.offline || truthy(sources.env("UV_OFFLINE")),
        };
        if sources.keyring()? {
            for url in &places.indexes {
                credentials
                    .ask_keyring(url, "keyring")
                    .map_err(SettingsError::Keyring)?;
            }
        }
        let mut proxies = Proxies::of_environment(&machine.env);
        if let Some(proxy) = sources.pip("PROXY") {
            proxies.http = Some(proxy.clone());
            proxies.https = Some(proxy);
        }
        let seconds = sources
            .pip("DEFAULT_TIMEOUT")
            .or_else(|| sources.pip("TIMEOUT"))
            .and_then(|text| text.parse().ok());
        let retries = sources.pip("RETRIES").and_then(|text| text.parse().ok());
        Ok(Self {
            places,
            connection: Connection {
                servers: pywasm_http::Connection {
                    certificates: sources.certificates(),
                    proxies,
                    timeout: seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
                },
                retries: retries.unwrap_or(DEFAULT_RETRIES).min(MOST_RETRIES),
                credentials,
            },
            pre: flags.pre
                || files.pre
                || sources.flag("PRE")
                || sources.env("UV_PRERELEASE") == Some("allow"),
        })
    }
}

/// Extra indexes come before the main one: what a company serves itself must not be looked for in
/// public first, where anybody could have taken its name.
fn indexes(
    flags: &IndexFlags,
    files: &IndexOptions,
    sources: &Sources<'_>,
    credentials: &mut Credentials,
) -> Result<Vec<Url>, SettingsError> {
    let mut texts: Vec<String> = flags.extra_index_urls.clone();
    texts.extend(files.extra_index_urls.iter().cloned());
    texts.extend(sources.list("EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"));
    texts.extend(words(sources.env("UV_INDEX")));
    let main = flags
        .index_url
        .clone()
        .or_else(|| files.index_url.clone())
        .or_else(|| sources.env("PIP_INDEX_URL").map(str::to_owned))
        .or_else(|| sources.env("UV_DEFAULT_INDEX").map(str::to_owned))
        .or_else(|| sources.env("UV_INDEX_URL").map(str::to_owned))
        .or_else(|| sources.conf.get("index-url").cloned());
    texts.push(main.unwrap_or_else(|| DEFAULT_INDEX.to_owned()));
    let mut indexes: Vec<Url> = Vec::new();
    for text in texts {
        let url = index_url(&text, credentials)?;
        if !indexes.contains(&url) {
            indexes.push(url);
        }
    }
    Ok(indexes)
}

fn index_url(text: &str, credentials: &mut Credentials) -> Result<Url, SettingsError> {
    // uv's form NAME=ADDRESS.
    let address = match text.split_once('=') {
        Some((name, address)) if !name.contains([':', '/']) => address,
        _ => text,
    };
    let wrong = |reason: String| SettingsError::Index {
        shown: address.rsplit('@').next().unwrap_or_default().to_owned(),
        reason,
    };
    let mut url: Url = address
        .trim()
        .parse()
        .map_err(|error: url::ParseError| wrong(format!("{error}; write https://HOST/PATH")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(
            "only http and https can be asked; for a folder of wheels use --find-links".to_owned(),
        ));
    }
    credentials.strip(&mut url);
    Ok(url)
}

fn links(
    flags: &IndexFlags,
    files: &IndexOptions,
    sources: &Sources<'_>,
    credentials: &mut Credentials,
) -> Result<Vec<LinkPlace>, SettingsError> {
    let mut texts = flags.find_links.clone();
    texts.extend(files.find_links.iter().cloned());
    texts.extend(sources.list("FIND_LINKS", "UV_FIND_LINKS"));
    let mut places = Vec::new();
    for text in texts {
        let mut place = LinkPlace::parse(&text).map_err(SettingsError::Links)?;
        if let LinkPlace::Page(url) = &mut place {
            credentials.strip(url);
        }
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The environment and pip's files.
struct Sources<'a> {
    env: &'a BTreeMap<String, String>,
    conf: BTreeMap<String, String>,
}

impl Sources<'_> {
    fn env(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `PIP_NAME`, else `name` in a file.
    fn pip(&self, name: &str) -> Option<String> {
        let key = name.to_ascii_lowercase().replace('_', "-");
        self.env(&format!("PIP_{name}"))
            .map(str::to_owned)
            .or_else(|| self.conf.get(&key).cloned())
            .filter(|value| !value.is_empty())
    }

    fn flag(&self, name: &str) -> bool {
        truthy(self.pip(name).as_deref())
    }

    fn list(&self, pip: &str, uv: &str) -> Vec<String> {
        let mut all = words(self.pip(pip).as_deref());
        all.extend(
            self.env(uv)
                .unwrap_or_default()
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(str::to_owned),
        );
        all
    }

    /// Is the program `keyring` to be asked? Only where that is said: it may ask the person in turn.
    fn keyring(&self) -> Result<bool, SettingsError> {
        let provider = self
            .pip("KEYRING_PROVIDER")
            .or_else(|| self.env("UV_KEYRING_PROVIDER").map(str::to_owned));
        match provider.as_deref() {
            Some("subprocess") => Ok(true),
            None | Some("disabled" | "auto") => Ok(false),
            Some(other) => Err(SettingsError::KeyringProvider(other.to_owned())),
        }
    }

    /// The file of certificate authorities, as named for pip, for Python's HTTP or for everybody.
    fn certificates(&self) -> Option<PathBuf> {
        let named = self.pip("CERT").or_else(|| {
            ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
                .iter()
                .find_map(|name| self.env(name).map(str::to_owned))
        });
        named.map(PathBuf::from)
    }
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn truthy(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        matches!(
            value.to_ascii_lowercase().as_str(),
            "1" | "true" | "yes" | "on" | "y" | "t"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(env: &[(&str, &str)]) -> Machine {
        let mut env: BTreeMap<String, String> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        env.entry("PIP_CONFIG_FILE".to_owned())
            .or_insert("/dev/null".to_owned());
        Machine {
            env,
            ..Machine::default()
        }
    }

    fn indexes(flags: &IndexFlags, files: &IndexOptions, env: &[(&str, &str)]) -> Vec<String> {
        let access = Access::resolve(flags, files, &machine(env)).expect("good settings");
        access.places.indexes.iter().map(Url::to_string).collect()
    }

    #[test]
    fn precedence() {
        let mut flags = IndexFlags::default();
        let mut files = IndexOptions::default();
        let env = [
            ("PIP_INDEX_URL", "https://pip.example/"),
            ("UV_INDEX_URL", "https://uv.example/"),
        ];
        assert_eq!(indexes(&flags, &files, &[]), [DEFAULT_INDEX]);
        assert_eq!(indexes(&flags, &files, &env[1..]), ["https://uv.example/"]);
        assert_eq!(indexes(&flags, &files, &env), ["https://pip.example/"]);
        files.index_url = Some("https://file.example/".into());
        assert_eq!(indexes(&flags, &files, &env), ["https://file.example/"]);
        flags.index_url = Some("https://flag.example/".into());
        assert_eq!(indexes(&flags, &files, &env), ["https://flag.example/"]);
        flags.extra_index_urls = vec!["https://own.example/".into()];
        assert_eq!(
            indexes(&flags, &files, &env),
            ["https://own.example/", "https://flag.example/"]
        );
        flags.no_index = true;
        assert!(indexes(&flags, &files, &env).is_empty());
    }

    #[test]
    fn everything_from_the_environment() {
        let access = Access::resolve(
            &IndexFlags::default(),
            &IndexOptions::default(),
            &machine(&[
                ("PIP_INDEX_URL", "https://me:secret@pip.example/simple"),
                ("PIP_EXTRA_INDEX_URL", "https://b.example https://c.example"),
                ("UV_INDEX", "name=https://d.example"),
                ("PIP_FIND_LINKS", "/wheels"),
                ("REQUESTS_CA_BUNDLE", "/ca.pem"),
                ("PIP_DEFAULT_TIMEOUT", "180"),
                ("PIP_RETRIES", "99"),
                ("https_proxy", "http://proxy.example:3128"),
                ("UV_OFFLINE", "1"),
                ("PIP_PRE", "yes"),
            ]),
        )
        .expect("good settings");
        let indexes: Vec<_> = access.places.indexes.iter().map(Url::as_str).collect();
        assert_eq!(
            indexes,
            [
                "https://b.example/",
                "https://c.example/",
                "https://d.example/",
                "https://pip.example/simple"
            ]
        );
        assert_eq!(access.places.links, [LinkPlace::Local("/wheels".into())]);
        assert!(access.places.offline && access.pre);
        let connection = &access.connection;
        assert_eq!(connection.servers.certificates, Some("/ca.pem".into()));
        assert_eq!(connection.servers.timeout, Duration::from_secs(180));
        assert_eq!(connection.retries, MOST_RETRIES);
        assert_eq!(
            connection.servers.proxies.https.as_deref(),
            Some("http://proxy.example:3128")
        );
        assert!(connection.servers.proxies.http.is_none());
        assert!(!format!("{access:?}").contains("secret"));
    }

    #[test]
    fn wrong_addresses_are_named_without_credentials() {
        for text in [
            "https://me:secret@",
            "ftp://me:secret@host/",
            "me:secret@host",
            "wheels",
        ] {
            let flags = IndexFlags {
                index_url: Some(text.to_owned()),
                ..IndexFlags::default()
            };
            let result = Access::resolve(&flags, &IndexOptions::default(), &machine(&[]));
            let error = result.expect_err("refused").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
