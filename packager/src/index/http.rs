//! HTTP: certificates, proxies, credentials, retries. One place decides what an answer means.

use super::names::RememberedNames;
use super::{Credentials, IndexError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy, ProxyProtocol};
use url::Url;

/// How to reach servers.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// A file of certificate authorities in place of the system's.
    pub(crate) certificates: Option<PathBuf>,
    pub(crate) proxies: Proxies,
    /// How long a server may stay silent.
    pub(crate) timeout: Duration,
    /// How often a failed request is tried again.
    pub(crate) retries: u32,
    pub(crate) credentials: Credentials,
}

/// Proxies by the scheme of the address asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    /// Hosts to be reached without, as in `NO_PROXY`.
    pub(crate) except: Option<String>,
}

/// Where systems keep their certificate authorities; the first that exists is used. Those compiled in
/// are the last resort, because only the system's list knows a company's own authority.
const SYSTEM_CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// As many as there are requests at once, so that each connection serves many.
const IDLE_CONNECTIONS: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A server may ask for more patience, but not for any amount.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// An HTTP client for indexes.
#[derive(Debug)]
pub(super) struct Http {
    http: Agent,
    https: Agent,
    credentials: Credentials,
    retries: u32,
}

/// What a server answered, as far as callers tell answers apart.
pub(super) enum Answer {
    /// 200, or 206 where a range was asked for.
    Found(Response<Body>),
    /// 304: what the cache has is still right.
    NotModified(Response<Body>),
    /// 404 or 410.
    NotFound,
}

impl Http {
    pub(super) fn new(connection: &Connection) -> Result<Self, IndexError> {
        let tls = TlsConfig::builder()
            .root_certs(root_certificates(connection.certificates.as_deref())?)
            .build();
        let agent = |proxy: &Option<String>| -> Result<Agent, IndexError> {
            let proxy = match proxy {
                Some(address) => Some(parse_proxy(address, connection.proxies.except.as_deref())?),
                None => None,
            };
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .tls_config(tls.clone())
                .proxy(proxy)
                .user_agent(concat!("pywasm/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(connection.timeout))
                .timeout_per_read(Some(connection.timeout))
                .max_idle_connections_per_host(IDLE_CONNECTIONS)
                .max_idle_connections(2 * IDLE_CONNECTIONS)
                .build();
            Ok(Agent::with_parts(
                config,
                DefaultConnector::default(),
                RememberedNames::default(),
            ))
        };
        Ok(Self {
            http: agent(&connection.proxies.http)?,
            https: agent(&connection.proxies.https)?,
            credentials: connection.credentials.clone(),
            retries: connection.retries,
        })
    }

    /// Asks for `url`, again where a server or the network falters.
    pub(super) fn get(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Answer, IndexError> {
        let mut attempt = 0;
        loop {
            let last = attempt >= self.retries;
            let pause = match self.once(url, headers) {
                Ok(response) => match response.status().as_u16() {
                    408 | 429 | 500 | 502 | 503 | 504 if !last => requested_pause(&response),
                    _ => return answer(url, response),
                },
                Err(error) if !last && is_passing(&error) => None,
                Err(error) => return Err(unreachable_server(url, &error)),
            };
            sleep(
                pause
                    .unwrap_or(FIRST_PAUSE * 2_u32.pow(attempt))
                    .min(LONGEST_PAUSE),
            );
            attempt += 1;
        }
    }

    fn once(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Response<Body>, ureq::Error> {
        let agent = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        let mut request = agent.get(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = self.credentials.header(url) {
            request = request.header("authorization", value);
        }
        request.call()
    }
}

fn answer(url: &Url, response: Response<Body>) -> Result<Answer, IndexError> {
    match response.status().as_u16() {
        200 | 206 => Ok(Answer::Found(response)),
        304 => Ok(Answer::NotModified(response)),
        404 | 410 => Ok(Answer::NotFound),
        status @ (401 | 403 | 407) => Err(IndexError::Unauthorized {
            url: url.to_string(),
            status,
            host: url.host_str().unwrap_or_default().to_owned(),
        }),
        status => Err(IndexError::Status {
            url: url.to_string(),
            status,
        }),
    }
}

/// May the same request succeed a moment later?
fn is_passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => {
            !is_certificate(error)
        }
        _ => false,
    }
}

fn is_certificate(error: &ureq::Error) -> bool {
    error
        .to_string()
        .to_ascii_lowercase()
        .contains("certificate")
}

fn unreachable_server(url: &Url, error: &ureq::Error) -> IndexError {
    let hint = match error {
        _ if is_certificate(error) => {
            "; if a company's own certificate authority signs it, set SSL_CERT_FILE to the authority's file"
        }
        ureq::Error::HostNotFound => "; check the address and the network, or use --offline",
        _ => "; check the network and the proxy settings (HTTPS_PROXY), or use --offline",
    };
    IndexError::Connection {
        url: url.to_string(),
        reason: match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        },
        hint,
    }
}

fn requested_pause(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn root_certificates(chosen: Option<&Path>) -> Result<RootCerts, IndexError> {
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
    let unreadable = |reason| IndexError::Io {
        path: path.to_owned(),
        what: "read",
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

fn parse_proxy(address: &str, except: Option<&str>) -> Result<Proxy, IndexError> {
    let with_scheme = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let wrong = |reason: String| IndexError::Proxy { reason };
    let url: Url = with_scheme
        .parse()
        .map_err(|error: url::ParseError| wrong(error.to_string()))?;
    let protocol = match url.scheme() {
        "http" => ProxyProtocol::Http,
        "https" => ProxyProtocol::Https,
        other => return Err(wrong(format!("{other} proxies are not supported"))),
    };
    // Behind a proxy the names of the outside often cannot be resolved at all.
    let mut builder = Proxy::builder(protocol)
        .host(url.host_str().unwrap_or_default())
        .resolve_target(false);
    if let Some(port) = url.port_or_known_default() {
        builder = builder.port(port);
    }
    if !url.username().is_empty() {
        builder = builder
            .username(&super::auth::decode(url.username()))
            .password(&super::auth::decode(url.password().unwrap_or_default()));
    }
    for host in except
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
    {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// The values of `HTTPS_PROXY` and its relatives.
impl Proxies {
    pub(crate) fn of_environment(env: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| {
            [name.to_ascii_lowercase(), name.to_owned()]
                .iter()
                .find_map(|name| env.get(name))
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let all = get("ALL_PROXY");
        Self {
            http: get("HTTP_PROXY").or_else(|| all.clone()),
            https: get("HTTPS_PROXY").or(all),
            except: get("NO_PROXY"),
        }
    }
}
