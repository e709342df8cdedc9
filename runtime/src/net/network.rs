//! The network of one instance: what all its sockets share.

use super::budget::Budget;
use super::doors::Doors;
use super::drain::Draining;
use super::listener::Listener;
use super::names::Names;
use super::own::OwnAddresses;
use super::ports::Ports;
use super::publish::{NetError, Publication, Published};
use super::publish_udp::UdpPublication;
use super::shared::SharedPorts;
use super::sync::lock;
use super::udp::Inbox;
use crate::events::{Denial, Destination, Event, EventSink};
use crate::policy::{Outbound, Policy, PortMap, Protocol, Refusal, machine};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// The network of one instance.
pub(crate) struct Network {
    pub(crate) shared: Arc<Shared>,
    published: Vec<Published>,
}

/// What every socket of an instance refers to.
pub(crate) struct Shared {
    pub(crate) tcp: Arc<Ports<Listener>>,
    pub(crate) udp: Arc<Ports<Inbox>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) draining: Draining,
    pub(crate) doors: Doors,
    /// Turns at the host's resolver, which keeps a thread busy for each.
    pub(crate) lookups: Arc<Semaphore>,
    publications: Vec<Arc<Publication>>,
    udp_publications: Vec<UdpPublication>,
    outbound: Outbound,
    own: OwnAddresses,
    names: Mutex<Names>,
    /// Ports inside where something has listened, and those of which it was told that nothing does.
    known_ports: Mutex<BTreeSet<u16>>,
    events: EventSink,
}

/// Ports from here on are given out by systems; nobody publishes them on purpose.
const FIRST_EPHEMERAL: u16 = 32768;

/// Lookups of one instance at the same time.
const LOOKUPS: usize = 8;

impl Network {
    /// Sets up what `policy` grants. Every published address is bound from now on, and listens when the
    /// guest does.
    pub(crate) fn bind(policy: &Policy, events: EventSink) -> Result<Self, NetError> {
        let Bound {
            published,
            tcp: publications,
            udp: udp_publications,
        } = match &policy.shared_ports {
            Some(shared) => Bound::shared(shared)?,
            None => Bound::anew(&policy.ports)?,
        };
        let shared = Arc::new(Shared {
            tcp: Ports::new(),
            udp: Ports::new(),
            budget: Budget::new(policy.limits.sockets, events.clone()),
            draining: Draining::new(),
            doors: Doors::default(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            publications,
            udp_publications,
            outbound: policy.outbound.clone(),
            own: OwnAddresses::default(),
            names: Mutex::default(),
            known_ports: Mutex::default(),
            events,
        });
        Ok(Self { shared, published })
    }

    /// The same network for another process of the app.
    pub(crate) fn share(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            published: Vec::new(),
        }
    }

    /// The published ports with the addresses they really have.
    pub(crate) fn published(&self) -> &[Published] {
        &self.published
    }

    /// Counts the connections that still send what the guest wrote; it outlives the network.
    pub(crate) fn draining(&self) -> Draining {
        self.shared.draining.clone()
    }

    /// The published ports, to be shut.
    pub(crate) fn doors(&self) -> Doors {
        self.shared.doors.clone()
    }
}

/// The host's side of all published ports.
struct Bound {
    published: Vec<Published>,
    tcp: Vec<Arc<Publication>>,
    udp: Vec<UdpPublication>,
}

impl Bound {
    fn anew(maps: &[PortMap]) -> Result<Self, NetError> {
        let (mut published, mut tcp, mut udp) = (Vec::new(), Vec::new(), Vec::new());
        for map in maps {
            match map.protocol() {
                Protocol::Tcp => {
                    let publication = Publication::bind(*map)?;
                    published.push(publication.published());
                    tcp.push(publication);
                }
                Protocol::Udp => {
                    let publication = UdpPublication::bind(*map)?;
                    published.push(publication.published());
                    udp.push(publication);
                }
            }
        }
        Ok(Self {
            published,
            tcp,
            udp,
        })
    }

    fn shared(ports: &SharedPorts) -> Result<Self, NetError> {
        Ok(Self {
            published: ports.published().collect(),
            tcp: ports.tcp().map_err(NetError::Shared)?,
            udp: ports.udp().map_err(NetError::Shared)?,
        })
    }
}

impl Shared {
    /// The host addresses that a guest port is published at.
    pub(crate) fn publications_of(&self, guest: u16) -> impl Iterator<Item = &Arc<Publication>> {
        self.publications
            .iter()
            .filter(move |publication| publication.published().guest() == guest)
    }

    /// The same for UDP.
    pub(crate) fn udp_publications_of(&self, guest: u16) -> impl Iterator<Item = &UdpPublication> {
        self.udp_publications
            .iter()
            .filter(move |publication| publication.published().guest() == guest)
    }

    pub(crate) fn tell_listening(&self, address: SocketAddr, published: Vec<Published>) {
        lock(&self.known_ports).insert(address.port());
        let expected = address.ip().is_unspecified() || address.port() < FIRST_EPHEMERAL;
        if published.is_empty() && expected {
            self.events.tell(Event::Unpublished {
                port: address.port(),
            });
        }
        for published in published {
            self.events.tell(Event::Listening(published));
        }
    }

    /// Nothing listens at `address`, which is inside. Of a published port the person knows whose it is.
    pub(crate) fn tell_nobody_listens(&self, address: SocketAddr) {
        let is_published = self.publications_of(address.port()).next().is_some();
        if !is_published && lock(&self.known_ports).insert(address.port()) {
            self.events.tell(Event::NobodyListens { address });
        }
    }

    /// May the guest connect to `address`? If not, the denial is told.
    pub(crate) fn may_connect(&self, address: SocketAddr) -> bool {
        self.check(address, Denial::Connect)
    }

    /// May the guest send a datagram to `address`? If not, the denial is told.
    pub(crate) fn may_send(&self, address: SocketAddr) -> bool {
        self.check(address, Denial::Send)
    }

    /// May the guest get a datagram from `address`?
    pub(crate) fn may_receive(&self, address: SocketAddr) -> bool {
        self.verdict(address.ip(), address.port(), &lock(&self.names))
            .is_ok()
    }

    fn verdict(&self, ip: IpAddr, port: u16, names: &Names) -> Result<(), Refusal> {
        // Where nothing is allowed there is nothing to ask the system.
        match !self.outbound.is_empty() && self.own.contain(ip) {
            true => self.outbound.check_own(ip, port),
            false => self.outbound.check_connect(ip, port, names.of(ip)),
        }
    }

    /// May the guest look up `name`? If not, the denial is told.
    pub(crate) fn may_look_up(&self, name: &str) -> bool {
        let allowed = self.outbound.allows_name(name);
        if !allowed {
            self.events.tell(Event::Denied(Denial::Lookup {
                name: name.to_owned(),
            }));
        }
        allowed
    }

    /// An allowed name has resolved.
    pub(crate) fn remember(&self, name: &str, addresses: &[IpAddr]) {
        lock(&self.names).remember(name, addresses);
    }

    fn check(&self, address: SocketAddr, denial: fn(Destination) -> Denial) -> bool {
        let names = lock(&self.names);
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let Err(refusal) = self.verdict(ip, port, &names) else {
            return true;
        };
        let name = match ip == machine::ADDRESS {
            true => Some(machine::NAME.to_owned()),
            false => names.of(ip).next().map(str::to_owned),
        };
        drop(names);
        self.events.tell(Event::Denied(denial(Destination {
            address: SocketAddr::new(ip, port),
            name,
            refusal,
        })));
        false
    }
}
