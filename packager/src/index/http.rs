//! Asking an index: credentials, retries. One place decides what an answer means.

use super::{Credentials, IndexError};
use pywasm_http::{Agents, ConnectionError, Failure, Pauses, Redirects, is_passing};
use ureq::Body;
use ureq::http::Response;
use url::Url;

/// How to reach indexes.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) servers: pywasm_http::Connection,
    /// How often a failed request is tried again.
    pub(crate) retries: u32,
    pub(crate) credentials: Credentials,
}

/// An HTTP client for indexes.
#[derive(Debug)]
pub(super) struct Http {
    agents: Agents,
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
    pub(super) fn new(connection: &Connection) -> Result<Self, ConnectionError> {
        Ok(Self {
            agents: Agents::new(&connection.servers, Redirects::Followed)?,
            credentials: connection.credentials.clone(),
            retries: connection.retries,
        })
    }

    /// Asks for `url`, again where a server or the network falters.
    pub(super) fn get(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Answer, IndexError> {
        let mut pauses = Pauses::new(self.retries);
        loop {
            match self.once(url, headers) {
                Ok(response)
                    if Pauses::is_passing_status(response.status().as_u16())
                        && pauses.pause(Pauses::asked(response.headers())) => {}
                Ok(response) => return answer(url, response),
                Err(error) if is_passing(&error) && pauses.pause(None) => {}
                Err(error) => return Err(unreachable_server(url, &error)),
            }
        }
    }

    fn once(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agents.of(url).get(url.as_str());
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

fn unreachable_server(url: &Url, error: &ureq::Error) -> IndexError {
    let Failure { reason, hint } = Failure::of(error);
    IndexError::Connection {
        url: url.to_string(),
        reason,
        hint,
    }
}
