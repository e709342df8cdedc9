//! Which addresses are the machine's own, beside the loopback: those of its network interfaces, which come and go.

use super::sync::lock;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

/// Asks the system, and remembers the last answer: a guest sends many datagrams to one place.
#[derive(Debug, Default)]
pub(crate) struct OwnAddresses(Mutex<Option<(IpAddr, bool)>>);

impl OwnAddresses {
    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        let mut last = lock(&self.0);
        match *last {
            Some((known, answer)) if known == ip => answer,
            _ => {
                // An address that nothing can be sent to is nobody's.
                let answer = source_towards(ip).is_ok_and(|source| source == ip);
                *last = Some((ip, answer));
                answer
            }
        }
    }
}

/// The address that packets to `ip` are sent from, which is `ip` itself if it is the machine's own. Sends none.
fn source_towards(ip: IpAddr) -> io::Result<IpAddr> {
    const DISCARD: u16 = 9;
    let to = SocketAddr::new(ip, DISCARD);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.connect(&to.into())?;
    let from = socket.local_addr()?.as_socket();
    Ok(from.ok_or(io::ErrorKind::Unsupported)?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_packets_would_come_back_from_is_the_machines_own() {
        let own = OwnAddresses::default();
        assert!(own.contain(IpAddr::from([127, 0, 0, 1])));
        assert!(!own.contain(IpAddr::from([203, 0, 113, 7])));
        assert!(own.contain(IpAddr::from([127, 0, 0, 1])));
    }
}
