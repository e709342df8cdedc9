//! Why a request gets no answer of the app.

use crate::answer::Answer;
use crate::connection::Broken;
use hyper::header::{CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_VERSION};
use hyper::{Response, StatusCode};
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("the request names no host")]
    NoHost,
    #[error("the front is no proxy")]
    Connect,
    #[error("the request for a WebSocket is not complete")]
    Handshake,
    #[error("the WebSocket is of a version other than 13")]
    SocketVersion,
    #[error("the body is longer than {0} bytes")]
    Long(u64),
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the client has gone")]
    Gone,
    #[error("no worker was free in time")]
    Busy,
    #[error("the app did not answer in time")]
    Late,
    #[error("{0}")]
    Broken(#[from] Broken),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoHost | Self::Gone | Self::Handshake => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::SocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Long(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// Clients learn what they did, and nothing of what is behind the front.
    pub(crate) fn response(&self) -> Response<Answer> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut response = Response::new(Answer::text(format!("{reason}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if matches!(self, Self::SocketVersion) {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}
