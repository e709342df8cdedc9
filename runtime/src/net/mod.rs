//! The network of a guest: an implementation of `wasi:sockets` of our own, in place of wasmtime's.
//!
//! Every instance has a private network. What it binds and listens on exists there and nowhere else, and
//! loopback connections stay inside, in memory. Two doors lead out, both closed by default:
//!
//! - a *published* port ([`PortMap`](crate::policy::PortMap)): connections to an address of the host reach
//!   the guest's listener, whatever address and port it has inside;
//! - an *outbound* rule ([`OutboundRule`](crate::policy::OutboundRule)): connections, datagrams and
//!   lookups that it covers use the host's network.
//!
//! The path of a request has no task and no copy of its own: `accept`, `recv` and `send` are called from
//! the guest's calls, and readiness is what the kernel says at that moment.
//!
//! | part | files |
//! |---|---|
//! | the standard's interfaces | `bindings`, `*_host`, `error`, `address` |
//! | sockets | `tcp`, `listener`, `connection`, `udp`, `lookup`, `options` |
//! | inside | `ports`, `loopback` |
//! | outside | `host_socket`, `stream`, `drain`, `publish`, `publish_udp`, `shared`, `doors`, `names` |
//! | shared | `network`, `budget`, `watch`, `sync` |

mod address;
mod bindings;
mod budget;
mod connection;
mod doors;
mod drain;
mod error;
mod host_socket;
mod listener;
mod lookup;
mod lookup_host;
mod loopback;
mod names;
mod network;
mod network_host;
mod options;
mod own;
mod ports;
mod publish;
mod publish_udp;
mod shared;
mod stream;
pub(crate) mod sync;
mod tcp;
mod tcp_host;
#[cfg(test)]
mod tests;
mod udp;
mod udp_host;
mod watch;

pub use doors::Doors;
pub(crate) use network::Network;
pub use publish::{NetError, Published};
pub use shared::SharedPorts;

use wasmtime::component::{HasData, Linker, ResourceTable};

/// What the socket functions work on.
pub(crate) struct NetView<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) table: &'a mut ResourceTable,
}

struct Net;

impl HasData for Net {
    type Data<'a> = NetView<'a>;
}

/// Adds `wasi:sockets` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> NetView<'_>,
) -> wasmtime::Result<()> {
    let mut unstable = bindings::network::LinkOptions::default();
    // Lets the guest tell a reset connection from other failures.
    unstable.network_error_code(true);
    bindings::network::add_to_linker::<T, Net>(linker, &unstable, view)?;
    bindings::instance_network::add_to_linker::<T, Net>(linker, view)?;
    bindings::tcp::add_to_linker::<T, Net>(linker, view)?;
    bindings::tcp_create_socket::add_to_linker::<T, Net>(linker, view)?;
    bindings::udp::add_to_linker::<T, Net>(linker, view)?;
    bindings::udp_create_socket::add_to_linker::<T, Net>(linker, view)?;
    bindings::ip_name_lookup::add_to_linker::<T, Net>(linker, view)
}
