//! Looking up host names: the guest's own without asking anyone, allowed ones with the host's resolver.

use super::address::Family;
use super::bindings::network::ErrorCode;
use super::network::Shared;
use super::sync::no_waker;
use crate::policy::machine;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;

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
        if machine::is_name(name) {
            return Ok(lookup(State::Found([machine::ADDRESS].into())));
        }
        Ok(lookup(State::Running(Box::pin(ask_host(
            name.to_owned(),
            Arc::clone(&shared.lookups),
        )))))
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

/// Asks the host's resolver, which keeps a thread busy until it answers, even if nobody waits any more.
async fn ask_host(name: String, turns: Arc<Semaphore>) -> io::Result<Vec<IpAddr>> {
    let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
    let answer = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let addresses = (name.as_str(), 0).to_socket_addrs()?;
        Ok(addresses
            .map(|address| address.ip().to_canonical())
            .collect())
    });
    answer.await.map_err(io::Error::other)?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventSink;
    use crate::net::Network;
    use crate::policy::Policy;
    use std::future::poll_fn;

    #[tokio::test]
    async fn answers_come_once_each_and_are_remembered() {
        let policy = Policy::none().allow_outbound("db.example:1".parse().expect("a rule"));
        let shared = Network::bind(&policy, EventSink::silent())
            .expect("no ports")
            .shared;
        let one = IpAddr::from([192, 0, 2, 1]);
        let (tell, answer) = tokio::sync::oneshot::channel();
        let answer = async { answer.await.map_err(io::Error::other) };
        let state = State::Running(Box::pin(answer));
        let mut lookup = Lookup {
            shared: Arc::clone(&shared),
            name: "DB.example".to_owned(),
            state,
        };
        assert_eq!(lookup.next(), Err(ErrorCode::WouldBlock));
        assert!(!shared.may_connect((one, 1).into()));
        tell.send(vec![one, one, Family::V6.loopback()])
            .expect("it waits");
        poll_fn(|cx| lookup.poll_ready(cx)).await;
        assert_eq!(lookup.next(), Ok(Some(one)));
        assert_eq!(lookup.next(), Ok(Some(Family::V6.loopback())));
        assert_eq!(lookup.next(), Ok(None));
        assert!(shared.may_connect((one, 1).into()));
    }

    #[tokio::test]
    async fn literals_are_answered_by_the_hosts_resolver_too() {
        let asked = ask_host("192.0.2.1".to_owned(), Arc::new(Semaphore::new(1))).await;
        assert_eq!(
            asked.expect("no network is needed"),
            [IpAddr::from([192, 0, 2, 1])]
        );
    }

    #[tokio::test]
    async fn no_answer_is_told_as_such() {
        let shared = Network::bind(&Policy::none(), EventSink::silent())
            .expect("no ports")
            .shared;
        for answer in [Ok(Vec::new()), Err(io::Error::other("no such name"))] {
            let state = State::Running(Box::pin(async { answer }));
            let mut lookup = Lookup {
                shared: Arc::clone(&shared),
                name: "x.example".to_owned(),
                state,
            };
            assert_eq!(lookup.next(), Err(ErrorCode::NameUnresolvable));
        }
    }
}
