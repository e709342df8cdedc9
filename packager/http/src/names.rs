//! Host names, looked up once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Remembers addresses and looks up one name at a time. A dozen connections that begin at once would
/// ask a dozen times for the same name, and name servers drop such floods: the ones who were not
/// answered then wait five seconds before they ask again.
#[derive(Debug, Default)]
pub(crate) struct RememberedNames {
    names: DefaultResolver,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Resolver for RememberedNames {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        if let Some(addresses) = known.get(&place) {
            let mut found = self.empty();
            for address in addresses {
                found.push(*address);
            }
            return Ok(found);
        }
        let found = self.names.resolve(uri, config, timeout)?;
        known.insert(place, found.to_vec());
        Ok(found)
    }
}
