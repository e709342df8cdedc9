//! The ports of one guest's private network: which are taken, and who listens there.
//!
//! Nothing here touches the host. Every port may be bound, those below 1024 too.

use super::address::Family;
use super::bindings::network::ErrorCode;
use super::sync::lock;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};

/// Port 0 and outgoing connections get a port from here, as IANA suggests.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 49152..=65535;

/// The ports of one protocol; `E` receives what is sent to a port.
pub(crate) struct Ports<E> {
    table: Mutex<Table<E>>,
}

struct Table<E> {
    taken: BTreeMap<u16, Vec<Entry<E>>>,
    next_ephemeral: u16,
}

struct Entry<E> {
    ip: IpAddr,
    endpoint: Weak<E>,
}

/// A bound port; free again when dropped.
pub(crate) struct Reservation<E> {
    ports: Arc<Ports<E>>,
    address: SocketAddr,
}

impl<E> Ports<E> {
    pub(crate) fn new() -> Arc<Self> {
        let table = Table {
            taken: BTreeMap::new(),
            next_ephemeral: *EPHEMERAL.start(),
        };
        Arc::new(Self {
            table: Mutex::new(table),
        })
    }

    /// Takes a port; port 0 is any free one. `ip` is a loopback address or "any".
    pub(crate) fn reserve(
        self: &Arc<Self>,
        address: SocketAddr,
    ) -> Result<Reservation<E>, ErrorCode> {
        let ip = address.ip();
        let mut table = lock(&self.table);
        let port = match address.port() {
            0 => table.free_ephemeral(ip).ok_or(ErrorCode::AddressInUse)?,
            port if table.conflicts(ip, port) => return Err(ErrorCode::AddressInUse),
            port => port,
        };
        table.taken.entry(port).or_default().push(Entry {
            ip,
            endpoint: Weak::new(),
        });
        Ok(Reservation {
            ports: Arc::clone(self),
            address: SocketAddr::new(ip, port),
        })
    }

    /// Who receives what is sent to this loopback address?
    pub(crate) fn find(&self, target: SocketAddr) -> Option<Arc<E>> {
        let table = lock(&self.table);
        let entries = table.taken.get(&target.port())?;
        let own_family = |entry: &&Entry<E>| {
            entry.ip == target.ip() || entry.ip == Family::of(target.ip()).unspecified()
        };
        // Apps that bind `::` expect IPv4 too, as is the default on Linux.
        let dual = |entry: &&Entry<E>| target.is_ipv4() && entry.ip == Family::V6.unspecified();
        [entries.iter().find(own_family), entries.iter().find(dual)]
            .into_iter()
            .flatten()
            .find_map(|entry| entry.endpoint.upgrade())
    }
}

impl<E> Table<E> {
    fn conflicts(&self, ip: IpAddr, port: u16) -> bool {
        self.taken.get(&port).is_some_and(|entries| {
            entries.iter().any(|entry| {
                Family::of(entry.ip) == Family::of(ip)
                    && (entry.ip == ip || entry.ip.is_unspecified() || ip.is_unspecified())
            })
        })
    }

    fn free_ephemeral(&mut self, ip: IpAddr) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.next_ephemeral;
            self.next_ephemeral = port.checked_add(1).unwrap_or(*EPHEMERAL.start());
            if !self.conflicts(ip, port) {
                return Some(port);
            }
        }
        None
    }
}

impl<E> Reservation<E> {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `endpoint` receives what is sent to this port.
    pub(crate) fn attach(&self, endpoint: &Arc<E>) {
        let mut table = lock(&self.ports.table);
        let entries = table.taken.get_mut(&self.address.port());
        if let Some(entry) = entries.and_then(|e| e.iter_mut().find(|e| e.ip == self.address.ip()))
        {
            entry.endpoint = Arc::downgrade(endpoint);
        }
    }
}

impl<E> Drop for Reservation<E> {
    fn drop(&mut self) {
        let mut table = lock(&self.ports.table);
        if let Some(entries) = table.taken.get_mut(&self.address.port()) {
            entries.retain(|entry| entry.ip != self.address.ip());
            if entries.is_empty() {
                table.taken.remove(&self.address.port());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_port_is_taken_until_it_is_dropped() {
        let ports = Ports::<()>::new();
        let first = ports.reserve(at("0.0.0.0:80")).expect("free");
        assert_eq!(first.address(), at("0.0.0.0:80"));
        assert_eq!(
            ports.reserve(at("127.0.0.1:80")).err(),
            Some(ErrorCode::AddressInUse)
        );
        ports
            .reserve(at("[::]:80"))
            .expect("the other family is free");
        drop(first);
        let one = ports.reserve(at("127.0.0.1:80")).expect("free again");
        let two = ports
            .reserve(at("127.0.0.2:80"))
            .expect("another address is free");
        assert_eq!(
            ports.reserve(at("0.0.0.0:80")).err(),
            Some(ErrorCode::AddressInUse)
        );
        drop((one, two));
        assert!(lock(&ports.table).taken.is_empty());
    }

    #[test]
    fn port_zero_is_any_free_one_until_none_is_left() {
        let ports = Ports::<()>::new();
        let all: Vec<_> = EPHEMERAL
            .map(|_| ports.reserve(at("127.0.0.1:0")).expect("a free port"))
            .collect();
        assert_ne!(all[0].address(), all[1].address());
        assert_eq!(
            ports.reserve(at("0.0.0.0:0")).err(),
            Some(ErrorCode::AddressInUse)
        );
        ports
            .reserve(at("[::1]:0"))
            .expect("the other family has free ones");
        drop(all);
        ports.reserve(at("0.0.0.0:0")).expect("free again");
    }

    #[test]
    fn connections_find_the_listener_of_their_address() {
        let ports = Ports::new();
        let bind = |address: &str, name: &'static str| {
            let (reservation, endpoint) =
                (ports.reserve(at(address)).expect("free"), Arc::new(name));
            reservation.attach(&endpoint);
            (reservation, endpoint)
        };
        let found = |address: &str| ports.find(at(address)).map(|name| *name);
        let any = bind("0.0.0.0:1", "any");
        let one = bind("127.0.0.1:2", "one");
        let six = bind("[::]:3", "six");
        assert_eq!(found("127.0.0.7:1"), Some("any"));
        assert_eq!(found("127.0.0.1:2"), Some("one"));
        assert_eq!(found("127.0.0.2:2"), None);
        assert_eq!(found("[::1]:1"), None);
        assert_eq!(found("[::1]:3"), Some("six"));
        assert_eq!(
            found("127.0.0.1:3"),
            Some("six"),
            "`::` serves both families"
        );
        let four = bind("127.0.0.1:3", "four");
        assert_eq!(
            found("127.0.0.1:3"),
            Some("four"),
            "but its own family comes first"
        );
        drop(any.1);
        assert_eq!(found("127.0.0.1:1"), None, "bound, but nobody listens");
        drop((any.0, one, six, four));
    }
}
