//! Ports that several instances share, and their orderly end.

use super::*;
use crate::net::SharedPorts;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};

/// Two guests at one published port, as if each were in a process of its own.
fn two() -> (Guest, Guest) {
    let (one, two, _) = two_and_their_ports();
    (one, two)
}

fn two_and_their_ports() -> (Guest, Guest, SharedPorts) {
    let policy = publishing(&["0:80"]);
    let bound = SharedPorts::bind(&policy).expect("a free port");
    let sockets = bound.sockets().map(|socket| socket.try_clone_to_owned());
    let sockets = sockets.collect::<Result<_, _>>().expect("descriptors");
    let adopted = SharedPorts::adopt(&policy, sockets).expect("as many as ports");
    assert!(bound.published().eq(adopted.published()));
    (
        Guest::new(policy.clone().published_at(bound.clone())),
        Guest::new(policy.published_at(adopted)),
        bound,
    )
}

#[tokio::test]
async fn connections_go_to_whoever_takes_them_and_outlive_one_who_ends() {
    let (one, two) = two();
    TcpStream::connect(one.door()).expect_err("nobody listens yet");
    let mut first = one.listen("0.0.0.0:80").expect("free in its own network");
    let mut second = two.listen("0.0.0.0:80").expect("free in its own network");
    let mut clients: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(one.door()).expect("both listen"))
        .collect();
    for listener in [&mut first, &mut second] {
        accept(listener).await.write(b"hello");
    }
    drop((first, one));
    let waiting = TcpStream::connect(two.door()).expect("the other listens");
    clients.push(waiting);
    for _ in 0..3 {
        accept(&mut second).await.write(b"hello");
    }
    for mut client in clients {
        let mut text = String::new();
        client.read_to_string(&mut text).expect("an answer");
        assert_eq!(text, "hello");
    }
}

#[tokio::test]
async fn a_socket_of_this_machine_can_stand_for_a_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a new one");
    let policy = publishing(&["0:80"]);
    let ports = SharedPorts::adopt(&policy, vec![listener.into()]).expect("one for one");
    let guest = Guest::new(policy.clone().published_at(ports));
    let mut listener = guest.listen("127.0.0.1:80").expect("free");
    let mut client = UnixStream::connect(&path).expect("it listens");
    let mut open = accept(&mut listener).await;
    assert!(
        open.socket
            .remote_address()
            .expect("connected")
            .ip()
            .is_loopback()
    );
    client.write_all(b"ping").expect("it reads");
    soon(open.input.ready()).await;
    assert_eq!(open.read(), b"ping");
    open.write(b"pong");
    drop(open);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer");
    assert_eq!(text, "pong");
    assert!(SharedPorts::adopt(&policy, Vec::new()).is_err(), "too few");
}

#[tokio::test]
async fn nobody_comes_to_ports_that_are_closed_and_that_is_no_error() {
    let (one, two, ports) = two_and_their_ports();
    let mut first = one.listen("0.0.0.0:80").expect("free");
    let mut second = two.listen("0.0.0.0:80").expect("free");
    TcpStream::connect(one.door()).expect("it listens");
    drop(accept(&mut first).await);
    ports.close();
    for listener in [&mut first, &mut second] {
        timeout(A_WHILE, poll_fn(|cx| listener.poll_ready(cx)))
            .await
            .expect_err("there is nobody to accept");
        assert!(matches!(listener.accept(), Err(ErrorCode::WouldBlock)));
    }
    TcpStream::connect(one.door()).expect_err("refused");
}

#[tokio::test]
async fn behind_shut_doors_those_who_came_in_are_served() {
    let (one, two) = two();
    let mut first = one.listen("0.0.0.0:80").expect("free");
    let mut second = two.listen("0.0.0.0:80").expect("free");
    let mut client = TcpStream::connect(one.door()).expect("it listens");
    let mut open = accept(&mut first).await;
    let doors = one.network.doors();
    doors.shut();
    let late = TcpStream::connect(one.door()).expect("the other still listens");
    timeout(A_WHILE, poll_fn(|cx| first.poll_ready(cx)))
        .await
        .expect_err("shut");
    let peer = accept(&mut second).await.socket.remote_address();
    assert_eq!(peer, Ok(late.local_addr().expect("bound")));

    // One that waits to be accepted when the doors are shut came in before.
    let mut held = TcpStream::connect(two.door()).expect("it listens");
    soon(poll_fn(|cx| second.poll_ready(cx))).await;
    let others = two.network.doors();
    others.shut();
    held.write_all(b"a question").expect("open");
    timeout(A_WHILE * 20, others.quiet())
        .await
        .expect_err("it is still to be accepted");
    drop(accept(&mut second).await);

    client.write_all(b"a question").expect("open");
    soon(open.input.ready()).await;
    timeout(A_WHILE * 20, doors.quiet())
        .await
        .expect_err("it waits for its answer");
    assert_eq!(open.read(), b"a question");
    timeout(A_WHILE * 20, doors.quiet())
        .await
        .expect_err("it still does");
    open.write(b"an answer");
    soon(doors.quiet()).await;
    client.write_all(b"another").expect("open");
    timeout(A_WHILE * 20, doors.quiet())
        .await
        .expect_err("it asks again");
    drop(open);
    soon(doors.quiet()).await;
    // A program that listens anew does not open them again.
    drop(first);
    let mut again = one.listen("0.0.0.0:80").expect("free again");
    let _later = TcpStream::connect(one.door()).expect("the socket still listens");
    timeout(A_WHILE, poll_fn(|cx| again.poll_ready(cx)))
        .await
        .expect_err("shut");
}
