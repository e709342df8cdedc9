//! The order of calls that the standard prescribes for TCP sockets.

use super::*;
use std::net::Shutdown;

#[tokio::test]
async fn calls_out_of_order_are_refused() {
    let guest = Guest::new(Policy::none());
    let mut socket = guest.socket(at("0.0.0.0:0")).expect("a socket");
    assert_eq!(socket.finish_bind(), Err(ErrorCode::NotInProgress));
    assert_eq!(socket.finish_listen(), Err(ErrorCode::NotInProgress));
    assert_eq!(
        socket.finish_connect().err(),
        Some(ErrorCode::NotInProgress)
    );
    assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
    assert_eq!(socket.accept().err(), Some(ErrorCode::InvalidState));
    assert_eq!(socket.local_address(), Err(ErrorCode::InvalidState));
    assert_eq!(socket.remote_address(), Err(ErrorCode::InvalidState));
    assert_eq!(
        socket.shutdown(Shutdown::Both),
        Err(ErrorCode::InvalidState)
    );

    socket.start_bind(at("0.0.0.0:80")).expect("free");
    for busy in [
        socket.start_bind(at("0.0.0.0:81")),
        socket.start_listen(),
        socket.start_connect(at("127.0.0.1:80")),
    ] {
        assert_eq!(busy, Err(ErrorCode::ConcurrencyConflict));
    }
    assert_eq!(socket.local_address(), Err(ErrorCode::InvalidState));
    socket.finish_bind().expect("started");
    assert_eq!(
        socket.start_bind(at("0.0.0.0:81")),
        Err(ErrorCode::InvalidState)
    );
    socket.start_listen().expect("bound");
    assert!(!socket.is_listening());
    socket.finish_listen().expect("started");
    assert!(socket.is_listening());
    assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
    assert_eq!(
        socket.start_connect(at("127.0.0.1:80")),
        Err(ErrorCode::InvalidState)
    );

    let mut open = guest.connect("127.0.0.1:80").expect("it listens");
    assert_eq!(
        open.socket.start_connect(at("127.0.0.1:80")),
        Err(ErrorCode::InvalidState)
    );
    assert_eq!(open.socket.set_backlog(5), Err(ErrorCode::InvalidState));
    socket.close();
    assert_eq!(socket.accept().err(), Some(ErrorCode::InvalidState));
}

#[tokio::test]
async fn addresses_are_checked() {
    let guest = Guest::new(Policy::none());
    let bind = |family: &str, address: &str| {
        let mut socket = guest.socket(at(family)).expect("a socket");
        socket.start_bind(at(address)).err()
    };
    const V4: &str = "0.0.0.0:0";
    const V6: &str = "[::]:0";
    assert_eq!(bind(V4, "[::1]:80"), Some(ErrorCode::InvalidArgument));
    assert_eq!(bind(V6, "127.0.0.1:80"), Some(ErrorCode::InvalidArgument));
    assert_eq!(
        bind(V6, "[::ffff:127.0.0.1]:80"),
        Some(ErrorCode::InvalidArgument)
    );
    assert_eq!(bind(V4, "224.0.0.1:80"), Some(ErrorCode::InvalidArgument));
    assert_eq!(
        bind(V4, "192.0.2.1:80"),
        Some(ErrorCode::AddressNotBindable)
    );
    assert_eq!(
        bind(V6, "[2001:db8::1]:80"),
        Some(ErrorCode::AddressNotBindable)
    );
    assert_eq!(bind(V4, "127.1.2.3:80"), None);

    let connect = |family: &str, address: &str| {
        let mut socket = guest.socket(at(family)).expect("a socket");
        socket.start_connect(at(address)).err()
    };
    assert_eq!(connect(V4, "[::1]:80"), Some(ErrorCode::InvalidArgument));
    assert_eq!(connect(V4, "127.0.0.1:0"), Some(ErrorCode::InvalidArgument));
    assert_eq!(
        connect(V4, "255.255.255.255:80"),
        Some(ErrorCode::InvalidArgument)
    );
    assert_eq!(
        connect(V6, "[ff02::1]:80"),
        Some(ErrorCode::InvalidArgument)
    );
    assert!(guest.events().is_empty(), "mistakes are no denials");
}

#[tokio::test]
async fn a_failed_connect_closes_the_socket() {
    let guest = Guest::new(Policy::none());
    let mut socket = guest.socket(at("127.0.0.1:0")).expect("a socket");
    socket
        .start_connect(at("127.0.0.1:80"))
        .expect("the answer comes with finish");
    soon(poll_fn(|cx| socket.poll_ready(cx))).await;
    assert_eq!(
        socket.finish_connect().err(),
        Some(ErrorCode::ConnectionRefused)
    );
    assert_eq!(
        socket.start_connect(at("127.0.0.1:80")),
        Err(ErrorCode::InvalidState)
    );
    assert_eq!(socket.local_address(), Err(ErrorCode::InvalidState));

    let mut socket = guest.socket(at("127.0.0.1:0")).expect("a socket");
    assert_eq!(
        socket.start_connect(at("192.0.2.1:80")),
        Err(ErrorCode::AccessDenied)
    );
    socket
        .start_bind(at("127.0.0.1:80"))
        .expect("a denial changes nothing");
}
