//! What the network reaches and what it does not. Each denial has a positive control.

use crate::support::{Running, get, project, python, pywasm, run};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

const SERVER: &str = "
import http.server, sys
address = sys.argv[1], int(sys.argv[2])
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
";

fn serve(flags: &[&str], bind: &str) -> Running {
    let mut command = pywasm(["python"]);
    command.args(flags).args(["-c", SERVER, bind, "5000"]);
    Running::start(command)
}

#[test]
fn a_published_port_is_mapped() {
    let mut server = serve(&["--publish", "0:5000"], "0.0.0.0");
    let address = server.address(5000);
    assert_ne!(address.port(), 5000);
    assert!(get(address, "/").starts_with("HTTP/1.0 200"), "it answers");
}

#[test]
fn a_guest_that_binds_loopback_is_reachable_too() {
    let mut server = serve(&["--publish", "0:5000"], "127.0.0.1");
    let address = server.address(5000);
    assert!(get(address, "/").starts_with("HTTP/1.0 200"), "it answers");
}

#[test]
fn an_unpublished_port_is_not_reachable_and_the_flag_is_named() {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let code = format!(
        "import socket,time; s = socket.create_server(('0.0.0.0', {})); time.sleep(60)",
        free.port()
    );
    let mut command = pywasm(["python", "-c"]);
    command.arg(code);
    let mut server = Running::start(command);
    server.line(&format!("add --publish {0}:{0}", free.port()));
    let refused = TcpStream::connect(free).expect_err("nobody listens on the host");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_taken_port_is_our_error_before_the_app_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let ended = python(["--publish", &format!("{port}:80"), "-c", "print('ran')"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(125), ""));
    assert!(ended.stderr.contains(&port.to_string()), "{}", ended.stderr);
}

/// A listener on the host's loopback, which a guest must never reach: its loopback is its own.
#[test]
fn the_hosts_loopback_is_out_of_reach() {
    let host = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = host.local_addr().expect("an address").port();
    let code = format!(
        "import socket
try: socket.create_connection(('127.0.0.1', {port}), 5)
except ConnectionRefusedError: print('refused')
own = socket.create_server(('127.0.0.1', {port}))
client = socket.create_connection(('127.0.0.1', {port}), 5)
print('own', own.accept()[1] == client.getsockname())"
    );
    let ended = python(["-c", &code]);
    assert_eq!(ended.stdout, "refused\nown True\n", "{}", ended.stderr);
}

/// The machine's own loopback has a name, which must be granted with the port; nothing else leads there.
#[test]
fn the_machine_itself_is_reached_by_its_name_where_that_is_granted() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let udp = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = other.local_addr().expect("an address").port();
    let answering = thread::spawn(move || {
        let (mut stream, _) = tcp.accept().expect("a connection");
        stream.write_all(b"hello").expect("it listens");
        drop(stream);
        let mut datagram = [0; 16];
        let (length, from) = udp.recv_from(&mut datagram).expect("a datagram");
        udp.send_to(&datagram[..length], from).expect("it is sent");
        tcp
    });
    let code = format!(
        "import socket
for name in 'host.docker.internal', 'HOST.containers.internal':
    print(socket.gethostbyname(name))
with socket.create_connection(('host.docker.internal', {port}), 20) as stream:
    print(stream.recv(9), stream.getpeername() == ('192.0.0.8', {port}))
with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
    datagrams.settimeout(20)
    datagrams.sendto(b'ping', ('host.docker.internal', {port}))
    print(datagrams.recvfrom(9) == (b'ping', ('192.0.0.8', {port})))
for address in ('host.docker.internal', {other}), ('127.0.0.1', {port}):
    try: socket.create_connection(address, 5)
    except OSError as error: print(type(error).__name__)"
    );
    let grant = format!("host.docker.internal:{port}");
    let ended = python(["--allow-net", &grant, "-c", &code]);
    assert_eq!(
        ended.stdout,
        "192.0.0.8\n192.0.0.8\nb'hello' True\nTrue\nPermissionError\nConnectionRefusedError\n",
        "{}",
        ended.stderr
    );
    let hint = format!("--allow-net host.docker.internal:{other}");
    assert!(ended.stderr.contains(&hint), "{}", ended.stderr);
    let hint = format!(
        "nothing listens on 127.0.0.1:{port} inside the sandbox; a server of this machine is host.docker.internal:{port} inside, with \
         --allow-net host.docker.internal:{port}\n"
    );
    assert!(ended.stderr.contains(&hint), "{}", ended.stderr);
    let tcp = answering.join().expect("it answered");

    // Whatever else is granted.
    let code = format!(
        "import socket
try: socket.gethostbyname('host.docker.internal')
except socket.gaierror: print('no name')
try: socket.create_connection(('192.0.0.8', {port}), 5)
except PermissionError: print('denied')"
    );
    let address = format!("192.0.0.8:{port}");
    let ended = python([
        "--allow-net",
        "*",
        "--allow-net",
        "*.internal",
        "--allow-net",
        &address,
        "--allow-net",
        "192.0.0.0/24",
        "-c",
        &code,
    ]);
    assert_eq!(ended.stdout, "no name\ndenied\n", "{}", ended.stderr);
    let hint = "to allow it add --allow-net host.docker.internal:PORT";
    assert!(ended.stderr.contains(hint), "{}", ended.stderr);
    tcp.set_nonblocking(true).expect("a setting");
    assert!(tcp.accept().is_err(), "nobody came");

    let ended = python(["--allow-net", "host.docker.internal", "-c", "1"]);
    assert!(
        ended
            .stderr
            .contains("name the port as well, for example host.docker.internal:5432"),
        "{}",
        ended.stderr
    );
}

#[test]
fn outbound_is_denied_with_the_flag_that_allows_it() {
    let code = "import socket
try: socket.create_connection(('192.0.2.1', 9), 5)
except PermissionError as error: print('denied', error.errno)";
    let ended = python(["-c", code]);
    assert!(ended.stdout.starts_with("denied "), "{ended:?}");
    assert!(
        ended.stderr.contains("--allow-net 192.0.2.1:9"),
        "{}",
        ended.stderr
    );
}

#[test]
fn names_are_denied_with_the_flag_that_allows_them() {
    let code = "import socket
try: socket.getaddrinfo('example.com', 443)
except socket.gaierror: print('denied')";
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "denied\n", "{}", ended.stderr);
    assert!(
        ended.stderr.contains("--allow-net example.com"),
        "{}",
        ended.stderr
    );
}

/// The positive control of the two above: a host address, granted, is reached.
#[test]
fn a_granted_address_is_reached() {
    let Some((listener, address)) = listener_beyond_loopback() else {
        return; // a machine with no network interface but loopback
    };
    let code = format!(
        "import socket; s = socket.create_connection(('{}', {}), 5); print(s.recv(5))",
        address.ip(),
        address.port()
    );
    let answer = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"hello").expect("it reads");
    });
    let ended = python(["--allow-net", &address.to_string(), "-c", &code]);
    assert_eq!(ended.stdout, "b'hello'\n", "{}", ended.stderr);
    answer.join().expect("it answered");
}

/// The machine's own address on a network interface: traffic to it never leaves the machine.
pub fn listener_beyond_loopback() -> Option<(TcpListener, std::net::SocketAddr)> {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    probe.connect("192.0.2.1:9").ok()?; // chooses an interface, sends nothing
    let ip = probe.local_addr().ok()?.ip();
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let address = listener.local_addr().ok()?;
    (!ip.is_loopback()).then_some((listener, address))
}

#[test]
fn readiness_is_exact() {
    let code = "
import select, socket
a, b = socket.socketpair()
a.sendall(b'x')
assert select.select([b], [], [], 5)[0] == [b]
assert b.recv(9) == b'x'
assert select.select([b], [], [], 0.1)[0] == [], 'spurious'
poll = select.poll(); poll.register(b, select.POLLIN)
assert poll.poll(100) == []
a.close()
assert select.select([b], [], [], 5)[0] == [b] and b.recv(9) == b''
s = socket.socket()
assert 'laddr' in repr(s) or 'fd=' in repr(s)
s.setblocking(False)
print(s.connect_ex(('127.0.0.1', 1)) != 0, repr(s) != '')
";
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "True True\n", "{}", ended.stderr);
}

#[test]
fn an_asyncio_echo_server_serves() {
    let folder = project(&[(
        "echo.py",
        "
import asyncio
async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '0.0.0.0', 7000)
    async with server:
        await server.serve_forever()
asyncio.run(main())
",
    )]);
    let mut command = pywasm(["python", "--publish", "0:7000", "echo.py"]);
    command.current_dir(folder.path());
    let mut server = Running::start(command);
    let address = server.address(7000);
    let streams: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(address).expect("it accepts"))
        .collect();
    for (number, stream) in streams.iter().enumerate() {
        use std::io::{Read, Write};
        let mut stream = stream;
        let sent = vec![number as u8; 100_000];
        let mut received = vec![0; sent.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| (&*stream).write_all(&sent).expect("it reads"));
            stream.read_exact(&mut received).expect("it echoes");
        });
        assert!(received == sent);
    }
}

#[test]
fn what_was_denied_is_told_once_and_suggested_afterwards() {
    let state = project(&[]);
    let with_state = |args: &[&str]| {
        let mut command = pywasm(args);
        command.env("XDG_STATE_HOME", state.path());
        run(command)
    };
    assert!(
        with_state(&["policy", "suggest"])
            .stderr
            .contains("nothing was run")
    );
    let code = "import socket
def attempt(what, *args):
    try: what(*args)
    except OSError: pass
for _ in range(50):
    attempt(socket.create_connection, ('192.0.2.1', 9), 5)
    attempt(socket.getaddrinfo, 'example.com', 443)
for last in range(60): attempt(socket.create_connection, ('192.0.2.9', 1000 + last), 5)";
    let ended = with_state(&["python", "-c", code]);
    let told = |text: &str| ended.stderr.matches(text).count();
    assert_eq!(
        (
            told("connect to 192.0.2.1:9;"),
            told("the name example.com;")
        ),
        (1, 1)
    );
    assert_eq!(
        (told("denied: "), told("more was denied")),
        (20, 1),
        "{}",
        ended.stderr
    );
    let suggested = with_state(&["policy", "suggest"]);
    let flags: Vec<_> = suggested.stdout.lines().collect();
    assert_eq!(flags.len(), 62, "{}", suggested.stdout);
    assert_eq!(
        flags[..2],
        ["--allow-net 192.0.2.1:9", "--allow-net example.com"]
    );
    with_state(&["python", "-c", "print()"]);
    assert!(
        with_state(&["policy", "suggest"])
            .stderr
            .contains("nothing was denied")
    );
}

/// The resolver of the host works from behind the second wall: the machine's own name needs no network.
#[test]
fn an_allowed_name_is_looked_up() {
    use std::net::ToSocketAddrs;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("linux");
    let name = name.trim();
    if name == "localhost" {
        return; // a machine without a name of its own: this one is the app's
    }
    let Ok(found) = (name, 80).to_socket_addrs() else {
        return; // a machine that does not know itself
    };
    let mut found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
    found.sort();
    found.dedup();
    let code = format!(
        "import socket
print(*sorted({{info[4][0] for info in socket.getaddrinfo('{name}', 80)}}))"
    );
    let ended = python(["--allow-net", name, "-c", &code]);
    assert_eq!(ended.stdout.trim(), found.join(" "), "{}", ended.stderr);
}

#[test]
fn listening_over_and_over_is_told_once() {
    let code = "
import socket
for port in list(range(2000, 2100)) * 3: socket.create_server(('0.0.0.0', port)).close()
print('done')";
    let mut command = pywasm(["python", "--publish", "0:2000", "-c", code]);
    // A home that cannot be written to keeps no log, and runs.
    command.env("XDG_STATE_HOME", "/proc/nowhere");
    let ended = run(command);
    assert_eq!(ended.stdout, "done\n", "{}", ended.stderr);
    let told = |text: &str| ended.stderr.matches(text).count();
    assert_eq!(told("port 2000 of the app is at"), 1, "{}", ended.stderr);
    assert!(told("is not published") <= 20, "{}", ended.stderr);
}

#[test]
fn ranges_and_addresses_of_both_kinds_are_published() {
    let code = "
import select, socket
def listener(family, address, port):
    s = socket.socket(family)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, port)); s.listen(); return s
names = {listener(socket.AF_INET, '0.0.0.0', port): str(port) for port in (5000, 5001)}
names[listener(socket.AF_INET6, '::', 5006)] = '5006'
echo = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); echo.bind(('::', 53))
print('up', flush=True)
while True:
    for s in select.select([*names, echo], [], [])[0]:
        if s is echo:
            data, caller = s.recvfrom(100); s.sendto(data.upper(), caller)
        else:
            peer = s.accept()[0]; peer.sendall(names[s].encode()); peer.close()";
    if TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    // A range has to be named; so it is taken from ports that were free a moment ago.
    let first = free_pair();
    let range = format!("127.0.0.2:{first}-{}:5000-5001", first + 1);
    let mut command = pywasm(["python", "--publish", &range]);
    command.args([
        "--publish",
        "[::1]:0:5006",
        "--publish",
        "[::1]:0:53/udp",
        "-c",
        code,
    ]);
    let mut server = Running::start(command);
    server.line("up");
    let six = server.address(5006);
    assert!(six.is_ipv6(), "{six}");
    for (address, name) in [
        (([127, 0, 0, 2], first).into(), "5000"),
        (([127, 0, 0, 2], first + 1).into(), "5001"),
        (six, "5006"),
    ] {
        let mut said = String::new();
        let mut peer = TcpStream::connect::<SocketAddr>(address).expect("it listens");
        peer.read_to_string(&mut said).expect("text");
        assert_eq!(said, name, "{address}");
    }
    assert!(
        TcpStream::connect(("127.0.0.1", first)).is_err(),
        "another address"
    );
    let echo = server.address(53);
    let client = UdpSocket::bind("[::1]:0").expect("a port");
    let patience = Some(std::time::Duration::from_secs(60));
    client.set_read_timeout(patience).expect("a socket");
    client.send_to(b"ping", echo).expect("sent");
    let mut answer = [0; 10];
    let (size, from) = client.recv_from(&mut answer).expect("an answer");
    assert_eq!((&answer[..size], from), (&b"PING"[..], echo));
}

/// The first of two neighbouring ports that are free.
fn free_pair() -> u16 {
    let free = |port| TcpListener::bind(("127.0.0.2", port));
    let pair = (0..100).find_map(|_| {
        let first = free(0).ok()?.local_addr().ok()?.port();
        free(first.checked_add(1)?).ok().map(|_| first)
    });
    pair.expect("two free ports")
}

#[test]
fn an_address_of_this_machine_is_granted_by_itself_alone() {
    let Some((_listener, own)) = listener_beyond_loopback() else {
        return; // a machine with no network interface but loopback
    };
    let port = own.port();
    let code = format!(
        "import socket; socket.create_connection(('{}', {port})); print('connected')",
        own.ip()
    );
    for wide in [
        "*".to_owned(),
        "0.0.0.0/0".to_owned(),
        format!("{}/24", own.ip()),
    ] {
        let ended = python(["--allow-net", &wide, "-c", &code]);
        assert_eq!(ended.stdout, "", "{wide}");
        let flag = format!("--allow-net {}:{port}", own.ip());
        assert!(ended.stderr.contains(&flag), "{wide}: {}", ended.stderr);
    }
    let itself = format!("{}:{port}", own.ip());
    let ended = python(["--allow-net", &itself, "-c", &code]);
    assert_eq!(ended.stdout, "connected\n", "{}", ended.stderr);
}
