//! Looking up host names: the guest's own without asking anyone, allowed ones with the host's resolver.

use super::address::Family;
use super::bindings::network::ErrorCode;
use super::network::Shared;
use super::sync::no_waker;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A lookup under way, or its answer.
pub(crate) struct Lookup {
    shared: Arc<Shared>,
    name: String,
    state: State,
}

enum State {
    Running(Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>),
    Found(VecDeque<IpAddr>),
    Failed,
}

/// The longest name that DNS allows, in text.
const MAX_NAME: usize = 253;

impl Lookup {
    /// Starts it. Names that the policy does not cover fail at once.
    pub(crate) fn start(shared: &Arc<Shared>, name: &str) -> Result<Self, ErrorCode> {
        let lookup = |state| Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            state,
        };
        if let Some(ip) = literal(name) {
            return Ok(lookup(State::Found([ip].into())));
        }
        if !is_host_name(name) {
            return Err(ErrorCode::InvalidArgument);
        }
        if is_own_name(name) {
            let own = [Family::V4.loopback(), Family::V6.loopback()];
            return Ok(lookup(State::Found(own.into())));
        }
        if !shared.may_look_up(name) {
            return Err(ErrorCode::PermanentResolverFailure);
        }
        let (name, turns) = (name.to_owned(), Arc::clone(&shared.lookups));
        Ok(lookup(State::Running(Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let answer = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let addresses = (name.as_str(), 0).to_socket_addrs()?;
                Ok(addresses
                    .map(|address| address.ip().to_canonical())
                    .collect())
            });
            answer.await.map_err(io::Error::other)?
        }))))
    }

    /// The next address, `None` after the last one, or `WouldBlock`.
    pub(crate) fn next(&mut self) -> Result<Option<IpAddr>, ErrorCode> {
        let _ = self.poll_ready(&mut no_waker());
        match &mut self.state {
            State::Running(_) => Err(ErrorCode::WouldBlock),
            State::Found(addresses) => Ok(addresses.pop_front()),
            State::Failed => Err(ErrorCode::NameUnresolvable),
        }
    }

    /// Resolves when [`Self::next`] has an answer.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Running(answer) = &mut self.state else {
            return Poll::Ready(());
        };
        let Poll::Ready(answer) = answer.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.state = match answer {
            Ok(addresses) if !addresses.is_empty() => {
                self.shared.remember(&self.name, &addresses);
                State::Found(without_repeats(addresses))
            }
            _ => State::Failed,
        };
        Poll::Ready(())
    }
}

fn literal(name: &str) -> Option<IpAddr> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    bare.parse().ok()
}

/// Printable ASCII without separators. Python and others encode international names before they get here.
fn is_host_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

/// Names that mean this machine, as RFC 6761 has it.
fn is_own_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Resolvers give an address once for every socket type.
fn without_repeats(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let mut unique = VecDeque::new();
    for ip in addresses {
        if !unique.contains(&ip) {
            unique.push_back(ip);
        }
    }
    unique
}
