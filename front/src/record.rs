//! The access log: one record per response.

use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// A request that was answered. Serialised as JSON, whose strings hide no control characters.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Seconds since 1970, of the request.
    pub time: f64,
    /// Who asked.
    pub client: SocketAddr,
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Such as `HTTP/1.1`.
    pub version: String,
    /// Of the response.
    pub status: u16,
    /// From the head of the request to that of the response.
    pub seconds: f64,
    /// Why there is no response of the app, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Hears of every response; it should be quick.
#[derive(Clone)]
pub struct Records(pub(crate) Arc<dyn Fn(&Record) + Send + Sync>);

impl Records {
    /// Calls `hear` for each.
    pub fn new(hear: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}
