//! Connections through the host: published ports, exact readiness, and what is denied.

use super::*;
use crate::events::Denial;
use crate::net::lookup::Lookup;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Waker};
use std::time::Instant;

/// A published guest with one connection: the host's end and the guest's.
async fn connected() -> (Guest, TcpSocket, TcpStream, Open) {
    let guest = Guest::new(publishing(&["0:80"]));
    let mut listener = guest.listen("0.0.0.0:80").expect("free");
    let client = TcpStream::connect(guest.door()).expect("it listens");
    let open = accept(&mut listener).await;
    (guest, listener, client, open)
}

#[tokio::test]
async fn a_published_listener_gets_connections_from_both_sides() {
    let guest = Guest::new(publishing(&["0:80", "0:80", "0:81"]));
    let refused = TcpStream::connect(guest.door()).expect_err("nobody listens yet");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut listener = guest
        .listen("127.0.0.1:80")
        .expect("loopback is published too");
    let doors: Vec<_> = guest.network.published()[..2].to_vec();
    assert_eq!(
        guest.events(),
        doors
            .iter()
            .copied()
            .map(Event::Listening)
            .collect::<Vec<_>>()
    );
    timeout(A_WHILE, poll_fn(|cx| listener.poll_ready(cx)))
        .await
        .expect_err("no connection yet");
    assert_eq!(listener.accept().err(), Some(ErrorCode::WouldBlock));

    let mut outside: Vec<_> = doors
        .iter()
        .map(|door| TcpStream::connect(door.host()).expect("it listens"))
        .collect();
    let mut inside = guest.connect("127.0.0.1:80").expect("it listens");
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut open = accept(&mut listener).await;
        peers.push(open.socket.remote_address().expect("connected"));
        assert_eq!(open.socket.local_address(), Ok(at("127.0.0.1:80")));
        if let Some(socket) = open.socket.options().socket {
            assert!(
                socket.tcp_nodelay().expect("an option"),
                "small answers go out at once"
            );
        }
        open.write(b"hello");
    }
    timeout(A_WHILE, poll_fn(|cx| listener.poll_ready(cx)))
        .await
        .expect_err("no other connection");
    for client in &mut outside {
        let mut text = String::new();
        client.read_to_string(&mut text).expect("an answer");
        assert_eq!(text, "hello");
        assert!(
            peers.contains(&client.local_addr().expect("bound")),
            "the real peer is shown"
        );
    }
    assert_eq!(inside.read_to_end().await, b"hello");
    drop(listener);
    TcpStream::connect(doors[0].host()).expect_err("nobody listens any more");
    let mut again = guest.listen("0.0.0.0:80").expect("free again");
    let client = TcpStream::connect(doors[1].host()).expect("it listens again");
    let peer = accept(&mut again).await.socket.remote_address();
    assert_eq!(peer, Ok(client.local_addr().expect("bound")));
}

#[tokio::test]
async fn a_listener_that_nobody_published_is_told_but_not_reachable() {
    let guest = Guest::new(publishing(&["0:80"]));
    let _fixed = guest.listen("127.0.0.1:81").expect("free");
    let _private = guest.listen("127.0.0.1:0").expect("free");
    assert_eq!(guest.events(), [Event::Unpublished { port: 81 }]);
    TcpStream::connect(guest.door()).expect_err("another port of the guest");
}

#[tokio::test]
async fn readiness_is_exact() {
    let (_guest, _listener, mut client, mut open) = connected().await;
    stays_unready(&mut open.input).await;
    for _ in 0..3 {
        client.write_all(b"request").expect("open");
        soon(open.input.ready()).await;
        assert_eq!(open.read(), b"request");
        stays_unready(&mut open.input).await;
        assert_eq!(open.read(), b"");
        stays_unready(&mut open.input).await;
    }
    // More than is read ahead, taken in small pieces.
    let large: Vec<u8> = (0..50_000u32).map(|i| i as u8).collect();
    client.write_all(&large).expect("open");
    let mut received = Vec::new();
    while received.len() < large.len() {
        soon(open.input.ready()).await;
        received.extend_from_slice(&open.input.read(999).expect("open"));
    }
    assert_eq!(received, large);
    stays_unready(&mut open.input).await;
    client.shutdown(Shutdown::Write).expect("open");
    soon(open.input.ready()).await;
    assert!(open.is_at_end());
    open.write(b"half closed");
    drop(open);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("open");
    assert_eq!(answer, "half closed");
}

/// A guest that computes and polls, and never waits, must see what arrives all the same.
#[tokio::test]
async fn a_guest_that_never_waits_sees_what_arrives() {
    let (_guest, mut listener, mut client, mut open) = connected().await;
    stays_unready(&mut open.input).await;
    client.write_all(b"x").expect("open");
    let second = TcpStream::connect(client.peer_addr().expect("connected")).expect("it listens");
    let give_up = Instant::now() + PATIENCE;
    let cx = &mut Context::from_waker(Waker::noop());
    let mut poll = |input: &mut DynInputStream| input.ready().as_mut().poll(cx).is_ready();
    while !poll(&mut open.input) {
        assert!(Instant::now() < give_up, "the byte was never seen");
    }
    assert_eq!(open.read(), b"x");
    let mut accepted = listener.accept();
    while accepted.is_err() {
        assert!(Instant::now() < give_up, "the connection was never seen");
        accepted = listener.accept();
    }
    drop(second);
}

#[tokio::test]
async fn what_the_guest_wrote_arrives_after_it_closed() {
    let (guest, listener, mut client, mut open) = connected().await;
    let data: Vec<u8> = (0..32_000_000u32).map(|i| (i % 251) as u8).collect();
    // As much as fits: afterwards the kernel's buffers and our own are full.
    let mut written = 0;
    while timeout(A_WHILE, open.output.ready()).await.is_ok() {
        written += open.write(&data[written..]);
        assert!(written < data.len(), "it all fits");
    }
    assert_eq!(open.output.check_write().expect("open"), 0);
    drop(open);
    drop(listener);
    let draining = guest.network.draining();
    drop(guest);
    timeout(A_WHILE, draining.finished())
        .await
        .expect_err("there is more to send");
    let reader = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("an orderly end");
        all
    });
    soon(draining.finished()).await;
    let all = soon(reader).await.expect("no panic");
    assert_eq!(all.len(), written);
    assert!(all == data[..written]);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_order() {
    let (guest, _listener, mut client, mut open) = connected().await;
    let data: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
    let reader = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("an orderly end");
        all
    });
    open.write_all(&data).await;
    open.socket.shutdown(Shutdown::Write).expect("connected");
    assert!(soon(reader).await.expect("no panic") == data);
    soon(guest.network.draining().finished()).await;
}

#[tokio::test]
async fn a_peer_that_is_gone_breaks_the_pipe() {
    let (_guest, _listener, client, mut open) = connected().await;
    open.write(b"unread");
    tokio::time::sleep(A_WHILE).await;
    drop(client); // resets, for it has unread data
    soon(open.input.ready()).await;
    let reset = open.input.read(9).expect_err("reset");
    assert!(
        matches!(reset, StreamError::LastOperationFailed(_)),
        "{reset}"
    );
    assert!(open.is_at_end());
    let written = open.output.write("more".into());
    assert!(matches!(written, Err(StreamError::Closed)), "{written:?}");
    assert!(matches!(
        open.output.check_write(),
        Err(StreamError::Closed)
    ));
    soon(open.output.ready()).await;
}

#[tokio::test]
async fn writing_more_than_allowed_ends_the_guest() {
    let (_guest, _listener, _client, mut open) = connected().await;
    let written = open.output.write(vec![0; 1 << 20].into());
    assert!(matches!(written, Err(StreamError::Trap(_))), "{written:?}");
    let (_guest, mut one, _other) = {
        let guest = Guest::new(Policy::none());
        let (one, other) = guest.pair();
        (guest, one, other)
    };
    let written = one.output.write(vec![0; 1 << 20].into());
    assert!(matches!(written, Err(StreamError::Trap(_))), "{written:?}");
}

#[tokio::test]
async fn accepted_connections_count_as_sockets() {
    let policy = publishing(&["0:80"]).limits(Limits {
        sockets: 2,
        ..Limits::default()
    });
    let guest = Guest::new(policy);
    let mut listener = guest.listen("0.0.0.0:80").expect("one of two");
    let clients = [(); 2].map(|()| TcpStream::connect(guest.door()).expect("it listens"));
    let first = accept(&mut listener).await;
    soon(poll_fn(|cx| listener.poll_ready(cx))).await;
    assert_eq!(listener.accept().err(), Some(ErrorCode::NewSocketLimit));
    soon(poll_fn(|cx| listener.poll_ready(cx))).await;
    drop(first);
    accept(&mut listener).await;
    drop(clients);
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_told() {
    let guest = Guest::new(allowing(&["192.0.2.1:443", "db.example:5432"]));
    for (address, flag) in [
        ("198.51.100.2:443", "--allow-net 198.51.100.2:443"),
        ("192.0.2.1:80", "--allow-net 192.0.2.1:80"),
        ("[2001:db8::1]:443", "--allow-net [2001:db8::1]:443"),
        (
            "[::ffff:169.254.169.254]:80",
            "--allow-net 169.254.169.254:80",
        ),
        ("10.0.0.1:1", "--allow-net 10.0.0.1:1"),
    ] {
        assert_eq!(
            guest.connect(address).err(),
            Some(ErrorCode::AccessDenied),
            "{address}"
        );
        let [Event::Denied(denial)] = &guest.events()[..] else {
            panic!("one denial")
        };
        assert_eq!(denial.flag(), flag);
    }
    let shared = &guest.network.shared;
    for name in ["example.com", "db.example.com", "2130706433", "0x7f.1"] {
        let looked_up = Lookup::start(shared, name).err();
        assert_eq!(
            looked_up,
            Some(ErrorCode::PermanentResolverFailure),
            "{name}"
        );
        assert_eq!(
            guest.events(),
            [Event::Denied(Denial::Lookup { name: name.into() })]
        );
    }
    // The rule of a name covers what the name led to, at the rule's port.
    let address = at("192.0.2.7:5432");
    assert!(!shared.may_connect(address));
    shared.remember("db.example", &[address.ip()]);
    assert!(shared.may_connect(address) && shared.may_receive(address));
    assert!(!shared.may_connect(at("192.0.2.7:22")));
    let [_, Event::Denied(denial)] = &guest.events()[..] else {
        panic!("two denials")
    };
    assert_eq!(denial.flag(), "--allow-net db.example:22");
    assert_eq!(denial.to_string(), "connect to 192.0.2.7:22 (db.example)");
    // A name that leads inside opens nothing there.
    for inner in ["169.254.169.254:5432", "10.0.0.1:5432", "[fd00::1]:5432"] {
        shared.remember("db.example", &[at(inner).ip()]);
        assert!(!shared.may_connect(at(inner)), "{inner}");
        let [Event::Denied(denial)] = &guest.events()[..] else {
            panic!("one denial")
        };
        assert_eq!(denial.flag(), format!("--allow-net {inner}"));
    }
}

#[tokio::test]
async fn own_names_and_literals_need_no_resolver() {
    let guest = Guest::new(Policy::none());
    let found = |name: &str| {
        let mut lookup = Lookup::start(&guest.network.shared, name)?;
        let mut all = Vec::new();
        while let Some(ip) = lookup.next()? {
            all.push(ip.to_string());
        }
        Ok::<_, ErrorCode>(all)
    };
    for own in ["localhost", "LocalHost.", "app.localhost"] {
        assert_eq!(
            found(own),
            Ok(vec!["127.0.0.1".into(), "::1".into()]),
            "{own}"
        );
    }
    assert_eq!(found("192.0.2.1"), Ok(vec!["192.0.2.1".into()]));
    assert_eq!(found("[2001:db8::1]"), Ok(vec!["2001:db8::1".into()]));
    for wrong in [
        "",
        "a b",
        "a/b",
        "b\u{fc}cher.example",
        "a\0b",
        &"x".repeat(254),
    ] {
        assert_eq!(found(wrong), Err(ErrorCode::InvalidArgument), "{wrong}");
    }
    assert!(guest.events().is_empty());
}
