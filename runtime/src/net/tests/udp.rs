//! Datagrams.

use super::*;
use crate::events::{Denial, Destination};
use crate::net::udp::UdpSocket;
use crate::policy::Refusal;
use std::net::UdpSocket as HostUdp;

impl Guest {
    fn udp(&self, address: &str) -> UdpSocket {
        let address = at(address);
        let mut socket =
            UdpSocket::new(&self.network.shared, Family::of(address.ip())).expect("a socket");
        socket.start_bind(address).expect("free");
        socket.finish_bind().expect("started");
        socket
    }
}

fn received(socket: &mut UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    socket
        .receive()
        .expect("bound")
        .map(|datagram| (datagram.data, datagram.from))
}

#[tokio::test]
async fn datagrams_stay_whole_and_inside() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = (guest.udp("0.0.0.0:0"), guest.udp("127.0.0.1:53"));
    let one_address = SocketAddr::new(
        Family::V4.loopback(),
        one.local_address().expect("bound").port(),
    );
    let pending = timeout(A_WHILE, poll_fn(|cx| other.poll_receivable(cx))).await;
    pending.expect_err("nothing was sent");
    one.send(b"first", Some(at("127.0.0.1:53")))
        .expect("allowed");
    one.send(b"", Some(at("127.0.0.1:53"))).expect("allowed");
    one.send(b"lost", Some(at("127.0.0.1:54")))
        .expect("nobody there is no error");
    soon(poll_fn(|cx| other.poll_receivable(cx))).await;
    assert_eq!(received(&mut other), Some((b"first".to_vec(), one_address)));
    assert_eq!(received(&mut other), Some((vec![], one_address)));
    assert_eq!(received(&mut other), None);
    let pending = timeout(A_WHILE, poll_fn(|cx| other.poll_receivable(cx))).await;
    pending.expect_err("all was received");

    other.connect(Some(one_address)).expect("bound");
    assert_eq!(
        other.send(b"no", Some(at("127.0.0.1:9"))),
        Err(ErrorCode::InvalidArgument)
    );
    other.send(b"answer", None).expect("connected");
    assert_eq!(
        received(&mut one),
        Some((b"answer".to_vec(), at("127.0.0.1:53")))
    );
    let mut stranger = guest.udp("127.0.0.1:0");
    stranger
        .send(b"from elsewhere", Some(at("127.0.0.1:53")))
        .expect("allowed");
    one.send(b"from the peer", Some(at("127.0.0.1:53")))
        .expect("allowed");
    assert_eq!(
        received(&mut other),
        Some((b"from the peer".to_vec(), one_address))
    );
    assert_eq!(received(&mut other), None, "only the peer is heard");
    assert!(guest.events().is_empty());
}

#[tokio::test]
async fn a_socket_that_does_not_read_loses_datagrams() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = (guest.udp("[::1]:0"), guest.udp("[::]:53"));
    for _ in 0..1000 {
        one.send(&[0; 1000], Some(at("[::1]:53"))).expect("allowed");
    }
    let mut count = 0;
    while received(&mut other).is_some() {
        count += 1;
    }
    assert_eq!(count, 256);
    assert_eq!(
        one.send(&[0; 65_508], Some(at("[::1]:53"))),
        Err(ErrorCode::DatagramTooLarge)
    );
}

#[tokio::test]
async fn every_datagram_out_is_checked() {
    let guest = Guest::new(allowing(&["192.0.2.1:53"]));
    let mut socket = guest.udp("0.0.0.0:0");
    let address = at("198.51.100.2:53");
    let denied = |address| {
        let (name, refusal) = (None, Refusal::NotAllowed);
        Event::Denied(Denial::Send(Destination {
            address,
            name,
            refusal,
        }))
    };
    assert_eq!(
        socket.send(b"x", Some(address)),
        Err(ErrorCode::AccessDenied)
    );
    assert_eq!(guest.events(), [denied(address)]);
    assert_eq!(socket.send(b"x", None), Err(ErrorCode::InvalidArgument));
    // Connecting sends nothing; what is sent afterwards is checked as before.
    assert_eq!(socket.connect(Some(address)), Ok(()));
    let local = socket.local_address().expect("bound");
    assert_eq!(
        local.ip(),
        Family::V4.loopback(),
        "as programs ask for their own address"
    );
    assert!(guest.events().is_empty());
    assert_eq!(socket.send(b"x", None), Err(ErrorCode::AccessDenied));
    assert_eq!(guest.events(), [denied(address)]);
    assert_eq!(socket.connect(None), Ok(()));
    assert_eq!(
        socket.send(b"x", Some(at("127.0.0.1:0"))),
        Err(ErrorCode::InvalidArgument)
    );
    socket.close();
    assert_eq!(
        socket.send(b"x", Some(at("127.0.0.1:53"))),
        Err(ErrorCode::InvalidState)
    );
}

#[tokio::test]
async fn a_published_port_hears_everybody_and_answers() {
    let guest = Guest::new(publishing(&["0:53/udp"]));
    let host = guest.network.published()[0].host();
    let mut socket = guest.udp("0.0.0.0:53");
    assert_eq!(
        guest.events(),
        [Event::Listening(guest.network.published()[0])]
    );
    let callers = [(); 2].map(|()| HostUdp::bind("127.0.0.1:0").expect("a port"));
    for (number, caller) in callers.iter().enumerate() {
        let text = format!("question {number}");
        caller.send_to(text.as_bytes(), host).expect("sent");
        soon(poll_fn(|cx| socket.poll_receivable(cx))).await;
        let got = socket.receive().expect("bound").expect("a datagram");
        assert_eq!(got.data, text.as_bytes());
        assert_eq!(Ok(got.from), caller.local_addr().map_err(|_| ()));
        socket.send(b"answer", Some(got.from)).expect("a caller");
        let mut answer = [0; 9];
        let (size, from) = caller.recv_from(&mut answer).expect("an answer");
        assert_eq!((&answer[..size], from), (&b"answer"[..], host));
    }
    // Who did not call is somebody on the guest's own loopback, where nobody is.
    let silent = HostUdp::bind("127.0.0.1:0").expect("a port");
    silent.set_nonblocking(true).expect("a socket");
    let address = silent.local_addr().expect("bound");
    assert_eq!(socket.send(b"x", Some(address)), Ok(()));
    tokio::time::sleep(A_WHILE).await;
    assert!(
        silent.recv_from(&mut [0; 9]).is_err(),
        "nothing left the sandbox"
    );
    assert_eq!(
        socket.send(b"x", Some(at("192.0.2.1:53"))),
        Err(ErrorCode::AccessDenied)
    );
}
