//! Requests to one registry: who asks, where it leads, what is tried again.

use crate::challenge::Challenge;
use crate::credentials::Login;
use crate::error::{detail, shown};
use crate::{RegistryError, RegistryHost, Transport};
use pywasm_format::json_problem;
use pywasm_http::{Agents, Connection, Pauses, Redirects, is_passing};
use serde::Deserialize;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use ureq::http::{Method, Request, Response};
use ureq::{Body, SendBody};
use url::Url;

/// What the client is for: the rights that it asks the token server for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see whether the credentials are good.
    Login,
    /// To read a repository.
    Pull,
    /// To write to it.
    Push,
}

/// A registry, as somebody who may be known to it.
#[derive(Debug)]
pub struct Client {
    agents: Agents,
    host: RegistryHost,
    root: Url,
    login: Option<Login>,
    purpose: Purpose,
    /// The value of the `Authorization` header that was accepted last.
    authorization: Mutex<Option<String>>,
    retries: u32,
}

/// One request. Its body can be sent again.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Content<'a>,
    /// What the request is about: `repository:NAME` or nothing.
    pub(crate) repository: &'a str,
}

/// What is sent along.
pub(crate) enum Content<'a> {
    None,
    Bytes(&'a [u8]),
}

const MOST_REDIRECTS: usize = 5;
/// Answers that are read as a whole: tokens, errors.
const SMALL: u64 = 1 << 20;

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, url: Url, repository: &'a str) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Content::None,
            repository,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.body = Content::Bytes(bytes);
        self
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// A client of `host`. A request that fails for passing reasons is tried again `retries` times.
    pub fn new(
        host: RegistryHost,
        login: Option<Login>,
        purpose: Purpose,
        connection: &Connection,
        transport: Transport,
        retries: u32,
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            agents: Agents::new(connection, Redirects::Returned)?,
            root: host.url(transport)?,
            host,
            login,
            purpose,
            authorization: Mutex::new(None),
            retries,
        })
    }

    /// Does the registry accept the credentials?
    pub fn check_login(&self) -> Result<(), RegistryError> {
        let response = self.send(&Ask::new(Method::GET, self.root.clone(), ""))?;
        match response.status().as_u16() {
            200 => Ok(()),
            _ => Err(self.refused(&self.root, "v2", response)),
        }
    }

    pub(crate) fn host(&self) -> &RegistryHost {
        &self.host
    }

    pub(crate) fn root(&self) -> &Url {
        &self.root
    }

    pub(crate) fn retries(&self) -> u32 {
        self.retries
    }

    /// An address of the registry's interface.
    pub(crate) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.root
            .join(path)
            .map_err(|error| RegistryError::malformed(&self.root, "an address", error))
    }

    /// Sends a request, again where the server or the network falters, and along redirections. Any
    /// other status is an answer.
    pub(crate) fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, RegistryError> {
        let mut pauses = Pauses::new(self.retries);
        loop {
            match self.led_on(ask) {
                Ok(response)
                    if Pauses::is_passing_status(response.status().as_u16())
                        && pauses.pause(Pauses::asked(response.headers())) => {}
                Ok(response) => return Ok(response),
                Err(Failed::Passing(_)) if pauses.pause(None) => {}
                Err(Failed::Passing(error) | Failed::For(error)) => return Err(error),
            }
        }
    }

    /// Sends it once, and along redirections: by hand, so that it is seen here who is sent what.
    pub(crate) fn led_on(&self, ask: &Ask<'_>) -> Result<Response<Body>, Failed> {
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.known(ask, &url)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = location(&url, &response).map_err(Failed::For)?;
            let refuse = |reason| {
                Failed::For(RegistryError::Redirect {
                    from: shown(&url),
                    to: shown(&next),
                    reason,
                })
            };
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(refuse("where everybody can read along"));
            }
            if !matches!(next.scheme(), "http" | "https") {
                return Err(refuse("which is no web address"));
            }
            // A body is for the registry that was asked to take it.
            if ask.method != Method::GET && ask.method != Method::HEAD && !self.is_own(&next) {
                return Err(refuse("another server than the package was for"));
            }
            url = next;
        }
        Err(Failed::For(RegistryError::Redirect {
            from: shown(&ask.url),
            to: shown(&url),
            reason: "one step too many",
        }))
    }

    /// Sends it once, and once more if the registry asks who is there.
    fn known(&self, ask: &Ask<'_>, url: &Url) -> Result<Response<Body>, Failed> {
        let known = self.accepted();
        let response = self.once(ask, url, known.as_deref())?;
        if response.status() != 401 || !self.is_own(url) {
            return Ok(response);
        }
        let challenges = response.headers().get_all("www-authenticate");
        let challenge = challenges
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .max_by_key(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let authorization = match challenge {
            Some(Challenge::Bearer { realm, service }) => {
                Some(self.token(ask.repository, &realm, service.as_deref())?)
            }
            Some(Challenge::Basic) => self.login.as_ref().and_then(Login::basic),
            None => None,
        };
        let Some(authorization) = authorization else {
            return Ok(response);
        };
        *self.lock() = Some(authorization.clone());
        self.once(ask, url, Some(&authorization))
    }

    fn once(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, Failed> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url.as_str())
            // The bytes that have the digest, not others that become them.
            .header("accept-encoding", "identity");
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(value) = authorization.filter(|_| self.is_own(url)) {
            request = request.header("authorization", value);
        }
        let failed = |error: ureq::Error| {
            let passing = is_passing(&error);
            let error = RegistryError::unreachable(url, &error);
            match passing {
                true => Failed::Passing(error),
                false => Failed::For(error),
            }
        };
        let agent = self.agents.of(url);
        let response = match ask.body {
            Content::None if matches!(ask.method, Method::GET | Method::HEAD | Method::DELETE) => {
                agent.run(request.body(()).map_err(|error| failed(error.into()))?)
            }
            Content::None => {
                let request = request.header("content-length", "0").body(&[][..]);
                agent.run(request.map_err(|error| failed(error.into()))?)
            }
            Content::Bytes(bytes) => {
                let request = request.header("content-length", bytes.len().to_string());
                let mut reader = bytes;
                let body = SendBody::from_reader(&mut reader);
                let request = request.body(body).map_err(|error| failed(error.into()))?;
                agent.run(request)
            }
        };
        response.map_err(failed)
    }

    /// Asks the token server. The registry chooses it, and could as well ask for the password itself; but
    /// what was meant for TLS stays there.
    fn token(
        &self,
        repository: &str,
        realm: &str,
        service: Option<&str>,
    ) -> Result<String, Failed> {
        let mut url: Url = realm.parse().map_err(|error: url::ParseError| {
            Failed::For(RegistryError::malformed(
                &self.root,
                "the address of a token server",
                error,
            ))
        })?;
        if url.scheme() != "https" && (self.root.scheme() == "https" || url.scheme() != "http") {
            return Err(Failed::For(RegistryError::Redirect {
                from: shown(&self.root),
                to: shown(&url),
                reason: "a token server where everybody can read along",
            }));
        }
        let scope = match self.purpose {
            Purpose::Login => None,
            Purpose::Pull => Some(format!("repository:{repository}:pull")),
            Purpose::Push => Some(format!("repository:{repository}:pull,push")),
        };
        let request = match &self.login {
            Some(Login::IdentityToken(token)) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "pywasm")
                    .append_pair("refresh_token", token.expose());
                if let Some(service) = service {
                    form.append_pair("service", service);
                }
                if let Some(scope) = &scope {
                    form.append_pair("scope", scope);
                }
                let agent = self.agents.of(&url);
                agent
                    .post(url.as_str())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .send(form.finish())
            }
            login => {
                {
                    let mut query = url.query_pairs_mut();
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    if let Some(scope) = &scope {
                        query.append_pair("scope", scope);
                    }
                }
                let mut request = self.agents.of(&url).get(url.as_str());
                if let Some(basic) = login.as_ref().and_then(Login::basic) {
                    request = request.header("authorization", basic);
                }
                request.call()
            }
        };
        let mut response = request.map_err(|error| {
            let passing = is_passing(&error);
            let error = RegistryError::unreachable(&url, &error);
            match passing {
                true => Failed::Passing(error),
                false => Failed::For(error),
            }
        })?;
        let status = response.status().as_u16();
        let body = small(&mut response);
        match status {
            200 => {}
            401 | 403 => {
                let host = self.host.to_string();
                return Err(Failed::For(match self.login {
                    Some(_) => RegistryError::LoginRefused {
                        host,
                        detail: detail(&body),
                    },
                    None => RegistryError::LoginNeeded { host },
                }));
            }
            status => {
                let error = RegistryError::Status {
                    url: shown(&url),
                    status,
                    detail: detail(&body),
                };
                return Err(match Pauses::is_passing_status(status) {
                    true => Failed::Passing(error),
                    false => Failed::For(error),
                });
            }
        }
        let malformed =
            |reason: String| Failed::For(RegistryError::malformed(&url, "a token", reason));
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|error| malformed(json_problem(&body, &error)))?;
        let token = answer
            .token
            .or(answer.access_token)
            .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| malformed("no token in it".to_owned()))?;
        Ok(format!("Bearer {token}"))
    }

    /// Is this address of the registry itself? Scheme, name and port count.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    fn accepted(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that an answer is, to a request for `what`.
    pub(crate) fn refused(
        &self,
        url: &Url,
        what: &str,
        mut response: Response<Body>,
    ) -> RegistryError {
        let status = response.status().as_u16();
        let detail = detail(&small(&mut response));
        let host = self.host.to_string();
        match (status, &self.login) {
            (401, None) => RegistryError::LoginNeeded { host },
            (401, Some(_)) if self.purpose == Purpose::Login => {
                RegistryError::LoginRefused { host, detail }
            }
            (401 | 403, _) => RegistryError::Denied {
                host,
                status,
                detail,
            },
            (404, _) => RegistryError::NotFound {
                host,
                what: what.to_owned(),
                detail,
            },
            _ => RegistryError::Status {
                url: shown(url),
                status,
                detail,
            },
        }
    }
}

/// Why one attempt failed.
pub(crate) enum Failed {
    /// The next one may not.
    Passing(RegistryError),
    /// So will the next.
    For(RegistryError),
}

/// Where an answer says to go on.
pub(crate) fn location(from: &Url, response: &Response<Body>) -> Result<Url, RegistryError> {
    let value = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if value.is_empty() {
        return Err(RegistryError::malformed(
            from,
            "a place to go on",
            "it names none",
        ));
    }
    from.join(value)
        .map_err(|error| RegistryError::malformed(from, "a place to go on", error))
}

/// The body of a small answer, as far as it can be had.
fn small(response: &mut Response<Body>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An error page that is cut off is still an error page.
    let _ = response
        .body_mut()
        .as_reader()
        .take(SMALL)
        .read_to_end(&mut bytes);
    bytes
}
