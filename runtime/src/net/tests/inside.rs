//! Connections inside one guest's private network.

use super::*;
use std::net::Shutdown;
use tokio::task::yield_now;
use wasmtime::component::ResourceTable;

#[tokio::test]
async fn bytes_go_both_ways_and_readiness_is_exact() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = guest.pair();
    stays_unready(&mut other.input).await;
    assert_eq!(other.read(), b"");
    assert_eq!(one.write(b"ping"), 4);
    soon(other.input.ready()).await;
    assert_eq!(other.input.read(2).expect("open"), "pi");
    soon(other.input.ready()).await;
    assert_eq!(other.read(), b"ng");
    stays_unready(&mut other.input).await;
    assert_eq!(other.write(b"pong"), 4);
    soon(one.input.ready()).await;
    assert_eq!(one.read(), b"pong");
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = guest.pair();
    let reader = tokio::spawn(async move { other.read_to_end().await });
    yield_now().await;
    one.write(b"late");
    yield_now().await;
    drop(one);
    assert_eq!(soon(reader).await.expect("no panic"), b"late");
}

#[tokio::test]
async fn a_full_pipe_stops_the_writer_until_the_reader_reads() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = guest.pair();
    let data: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    let first = one.write(&data);
    assert!((128 << 10..=256 << 10).contains(&first), "{first}");
    assert_eq!(one.output.check_write().expect("open"), 0);
    stays_unready(&mut one.output).await;
    let writer = tokio::spawn({
        let data = data.clone();
        async move { one.write_all(&data[first..]).await }
    });
    assert_eq!(other.read_to_end().await, data);
    writer.await.expect("no panic");
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = guest.pair();
    one.write(b"last words");
    one.socket.shutdown(Shutdown::Write).expect("connected");
    one.socket.shutdown(Shutdown::Write).expect("twice is fine");
    assert!(matches!(one.output.check_write(), Err(StreamError::Closed)));
    assert_eq!(other.read_to_end().await, b"last words");
    assert!(other.is_at_end(), "and it stays so");
    soon(other.input.ready()).await;
    other.write(b"an answer");
    drop(other);
    assert_eq!(one.read_to_end().await, b"an answer");
}

#[tokio::test]
async fn the_first_write_after_the_end_succeeds_as_with_a_kernel() {
    let guest = Guest::new(Policy::none());
    let (mut one, other) = guest.pair();
    drop(other);
    assert!(one.is_at_end());
    assert!(one.output.check_write().expect("nobody has refused yet") > 0);
    let sent = one.output.write(b"an alert".as_slice().into());
    sent.expect("it is accepted, and lost");
    assert!(matches!(one.output.check_write(), Err(StreamError::Closed)));
}

#[tokio::test]
async fn nobody_reads_means_broken_pipe_and_unread_data_a_reset() {
    let guest = Guest::new(Policy::none());
    let (mut one, other) = guest.pair();
    one.write(b"never read");
    drop(other);
    soon(one.output.ready()).await;
    assert!(matches!(one.output.check_write(), Err(StreamError::Closed)));
    let reset = one.input.read(9).expect_err("reset");
    assert!(
        matches!(reset, StreamError::LastOperationFailed(_)),
        "{reset}"
    );
    assert!(one.is_at_end());
}

#[tokio::test]
async fn a_reader_that_wants_no_more_does_not_stop_the_writer() {
    let guest = Guest::new(Policy::none());
    let (mut one, mut other) = guest.pair();
    other.socket.shutdown(Shutdown::Read).expect("connected");
    assert!(other.is_at_end());
    one.write_all(&vec![0; 1 << 20]).await;
    other.write(b"still here");
    assert_eq!(one.read(), b"still here");
}

#[tokio::test]
async fn addresses_are_those_of_the_private_network() {
    let guest = Guest::new(Policy::none());
    let mut listener = guest.listen("0.0.0.0:80").expect("any port may be bound");
    assert_eq!(listener.local_address(), Ok(at("0.0.0.0:80")));
    let client = guest.connect("127.0.0.1:80").expect("it listens");
    let server = Open::of(listener.accept().expect("a connection"));
    let (local, remote) = (
        client.socket.local_address(),
        client.socket.remote_address(),
    );
    assert_eq!(remote, Ok(at("127.0.0.1:80")));
    assert_eq!(
        (
            server.socket.remote_address(),
            server.socket.local_address()
        ),
        (local, remote)
    );
    assert!(local.is_ok_and(|address| address.ip().is_loopback() && address.port() != 0));
    let elsewhere = guest
        .connect("127.0.0.9:80")
        .expect("it listens on all of 127.0.0.0/8");
    let server = Open::of(listener.accept().expect("a connection"));
    assert_eq!(
        server.socket.local_address(),
        elsewhere.socket.remote_address()
    );
    assert_eq!(
        guest.bind(&local.expect("bound").to_string()).err(),
        Some(ErrorCode::AddressInUse)
    );

    let mut six = guest.listen("[::]:81").expect("free");
    for spelling in [
        "127.0.0.1:81",
        "[::1]:81",
        "[::]:81",
        "0.0.0.0:81",
        "[::ffff:127.0.0.1]:81",
    ] {
        let client = guest
            .connect(spelling)
            .unwrap_or_else(|code| panic!("{spelling}: {code:?}"));
        let server = Open::of(six.accept().expect("a connection"));
        let peer = server.socket.remote_address().expect("connected");
        assert!(peer.is_ipv6(), "{peer}");
        assert_eq!(
            peer.port(),
            client.socket.local_address().expect("connected").port()
        );
    }
}

#[tokio::test]
async fn a_listener_that_is_gone_refuses() {
    let guest = Guest::new(Policy::none());
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::ConnectionRefused)
    );
    let bound = guest.bind("127.0.0.1:80").expect("free");
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::ConnectionRefused)
    );
    drop(bound);
    let listener = guest.listen("127.0.0.1:80").expect("free again");
    let mut waiting = guest.connect("127.0.0.1:80").expect("it listens");
    drop(listener);
    soon(waiting.input.ready()).await;
    assert!(waiting.is_at_end());
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::ConnectionRefused)
    );
}

#[tokio::test]
async fn backlogs_and_sockets_are_bounded() {
    let guest = Guest::new(Policy::none());
    let _listener = guest.listen("127.0.0.1:80").expect("free");
    let clients: Vec<Open> = (0..128)
        .map(|_| guest.connect("127.0.0.1:80").expect("room for 128"))
        .collect();
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::ConnectionRefused)
    );
    drop(clients);

    let guest = Guest::with_sockets(3);
    let mut listener = guest.listen("127.0.0.1:80").expect("one of three");
    let pair = guest
        .connect("127.0.0.1:80")
        .expect("two more for both ends");
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::NewSocketLimit)
    );
    let server = Open::of(listener.accept().expect("a connection"));
    drop(pair);
    assert_eq!(
        guest.connect("127.0.0.1:80").err(),
        Some(ErrorCode::NewSocketLimit)
    );
    drop(server);
    guest.connect("127.0.0.1:80").expect("room again");
}

#[tokio::test]
async fn a_pollable_outlives_its_socket() {
    use crate::net::watch::subscribe;
    use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable};

    let guest = Guest::new(Policy::none());
    let mut table = ResourceTable::new();
    let socket = Arc::new(Mutex::new(guest.listen("127.0.0.1:80").expect("free")));
    let pollable =
        subscribe(&mut table, &socket, TcpSocket::poll_ready).expect("room in the table");
    let borrowed = || wasmtime::component::Resource::new_borrow(pollable.rep());
    assert!(
        !HostPollable::ready(&mut table, borrowed())
            .await
            .expect("no trap")
    );
    socket.lock().expect("a lock").close();
    assert_eq!(table.poll(vec![borrowed()]).await.expect("no trap"), [0]);
    HostPollable::drop(&mut table, pollable).expect("no trap");
    assert!(table.is_empty());
}

#[tokio::test]
async fn a_port_where_nothing_ever_listened_is_told_once() {
    let guest = Guest::new(publishing(&["0:80"]));
    drop(guest.listen("127.0.0.1:5000").expect("free"));
    for port in [11434, 5000, 80, 11434] {
        let refused = guest.connect(&format!("127.0.0.1:{port}")).map(drop);
        assert_eq!(refused, Err(ErrorCode::ConnectionRefused));
    }
    let nobody = |event: &Event| matches!(event, Event::NobodyListens { .. });
    let told: Vec<_> = guest.events().into_iter().filter(nobody).collect();
    let address = at("127.0.0.1:11434");
    assert_eq!(told, [Event::NobodyListens { address }]);
}
