//! Clients that say nothing, little, or too much at once. No worker hears of any of them.

use pywasm_front::{Front, Interface, Life, Limits, Running, Settings};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const A_WHILE: Duration = Duration::from_millis(300);

async fn front(limits: Limits) -> (Running, SocketAddr) {
    let nobody = std::env::temp_dir().join("no-such-socket");
    let front = Front::new(Settings {
        workers: nobody,
        at_once: 8,
        interface: Interface::Wsgi,
        life: Life::Worker,
        limits,
        records: None,
        statics: Vec::new(),
        gzip: false,
        tls: None,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (front.serve(listener), address)
}

/// What comes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    timeout(PATIENCE, read).await.expect("it closes")?;
    Ok(text)
}

#[tokio::test]
async fn silent_and_slow_ones_are_sent_away() {
    let limits = Limits {
        head_time: A_WHILE,
        ..Limits::default()
    };
    let (_front, address) = front(limits).await;
    for sent in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTT",
        b"GET / HTTP/1.1\r\nHost: x\r\nA",
    ] {
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(sent).await.expect("open");
        // What it says, if anything, is not a response of an app.
        let said = rest(&mut client).await.unwrap_or_default();
        assert!(!said.contains(" 200 "), "{said}");
    }
}

#[tokio::test]
async fn those_beyond_the_limit_wait_for_their_turn() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (_front, address) = front(limits).await;
    let first = TcpStream::connect(address).await.expect("it listens");
    let _second = TcpStream::connect(address).await.expect("it listens");
    let mut third = TcpStream::connect(address)
        .await
        .expect("the kernel keeps it");
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    third.write_all(request).await.expect("open");
    timeout(A_WHILE, third.readable())
        .await
        .expect_err("not its turn");
    drop(first);
    let answer = rest(&mut third).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 502 "), "no worker: {answer}");
}
