//! One client per scheme.

use crate::names::RememberedNames;
use crate::{ConnectionError, Proxies, proxies, trust};
use std::path::PathBuf;
use std::time::Duration;
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// As many as there are requests at once, so that each connection serves many.
const IDLE_CONNECTIONS: usize = 16;

/// How to reach servers.
#[derive(Debug, Clone)]
pub struct Connection {
    /// A file of certificate authorities in place of the system's.
    pub certificates: Option<PathBuf>,
    /// The proxies.
    pub proxies: Proxies,
    /// How long a server may stay silent.
    pub timeout: Duration,
}

/// Who follows redirections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// The client; credentials stay with the host they were for.
    Followed,
    /// The caller, who is given the answer as it came.
    Returned,
}

/// Clients that answer with any status, not with errors for some.
#[derive(Debug)]
pub struct Agents {
    http: Agent,
    https: Agent,
}

impl Agents {
    /// Clients for these settings.
    pub fn new(connection: &Connection, redirects: Redirects) -> Result<Self, ConnectionError> {
        let tls = TlsConfig::builder()
            .root_certs(trust::root_certificates(
                connection.certificates.as_deref(),
            )?)
            .build();
        let agent = |proxy: &Option<String>| -> Result<Agent, ConnectionError> {
            let proxy = match proxy {
                Some(address) => Some(proxies::parse(
                    address,
                    connection.proxies.except.as_deref(),
                )?),
                None => None,
            };
            let mut config = Agent::config_builder()
                .http_status_as_error(false)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .tls_config(tls.clone())
                .proxy(proxy)
                .user_agent(concat!("pywasm/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(connection.timeout))
                .timeout_per_read(Some(connection.timeout))
                .timeout_per_write(Some(connection.timeout))
                .max_idle_connections_per_host(IDLE_CONNECTIONS)
                .max_idle_connections(2 * IDLE_CONNECTIONS);
            if redirects == Redirects::Returned {
                config = config.max_redirects(0).max_redirects_will_error(false);
            }
            Ok(Agent::with_parts(
                config.build(),
                DefaultConnector::default(),
                RememberedNames::default(),
            ))
        };
        Ok(Self {
            http: agent(&connection.proxies.http)?,
            https: agent(&connection.proxies.https)?,
        })
    }

    /// The client for an address.
    pub fn of(&self, url: &Url) -> &Agent {
        match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        }
    }
}
