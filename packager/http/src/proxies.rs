//! Proxies, as the environment names them.

use crate::ConnectionError;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use ureq::{Proxy, ProxyProtocol};
use url::Url;

/// Proxies by the scheme of the address asked for.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http`.
    pub http: Option<String>,
    /// For `https`.
    pub https: Option<String>,
    /// Hosts to be reached without, as in `NO_PROXY`.
    pub except: Option<String>,
}

impl Proxies {
    /// The values of `HTTPS_PROXY` and its relatives.
    pub fn of_environment(env: &BTreeMap<String, String>) -> Self {
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

pub(crate) fn parse(address: &str, except: Option<&str>) -> Result<Proxy, ConnectionError> {
    let with_scheme = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let wrong = |reason: String| ConnectionError::Proxy { reason };
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
            .username(&decoded(url.username()))
            .password(&decoded(url.password().unwrap_or_default()));
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

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
