# Granted: connections to ALLOWED, a listener on an address of this machine. HOST_PORTS are listeners on
# the host's loopback. Everything else is not.
import select, threading, urllib.request

def connect(host, port, family=socket.AF_INET):
    def run():
        with socket.socket(family) as s:
            s.settimeout(5)
            s.connect((host, port))
    return run
def send(host, port, family=socket.AF_INET):
    def run():
        with socket.socket(family, socket.SOCK_DGRAM) as s: nothing(s.sendto(b"x", (host, port)))
    return run
def look_up(name): return lambda: nothing(socket.getaddrinfo(name, 80))
def own_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        a.bind(("127.0.0.1", 0)); b.sendto(b"x", a.getsockname()); a.settimeout(5); nothing(a.recv(9))

allowed = connect(*ALLOWED)
DENIED = ("EACCES", "EPERM")
# --- addresses, in every spelling ------------------------------------------------------------------
for address in ["8.8.8.8", "1.1.1.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200",
                "168.63.129.16", "100.64.0.1", "198.18.0.1", "192.0.0.1"]:
    case(f"connect {address}", allowed, connect(address, 80), *DENIED)
    case(f"send to {address}", own_datagram, send(address, 53), *DENIED)
for address in ["::ffff:8.8.8.8", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254",
                "fd00:ec2::254", "fe80::1", "fc00::1", "2001:4860:4860::8888"]:
    case(f"connect [{address}]", allowed, connect(address, 80, socket.AF_INET6), *DENIED)
# Numbers that some resolvers take for addresses. Python asks for them as names; they are not granted.
for name in ["0251.0376.0251.0376", "0xa9fea9fe", "2852039166", "0xa9.0xfe.0xa9.0xfe", "169.254.43518", "169.16689662",
             "127.1", "0x7f000001", "2130706433", "017700000001", "0"]:
    case(f"connect {name}", allowed, connect(name, 80), "gaierror", *DENIED, "ECONNREFUSED")
    case(f"look up {name}", look_up("localhost"), look_up(name), "gaierror")
for name in ["example.com", "metadata.google.internal", "metadata", "instance-data", "kubernetes.default.svc", "host.docker.internal",
             "a.b.c.exfiltrated-data.example.com", "EXAMPLE.COM.", "xn--bcher-kva.example", "localhost.example.com"]:
    case(f"look up {name}", look_up("localhost"), look_up(name), "gaierror")
    case(f"connect {name}", allowed, connect(name, 80), "gaierror")
case("a fetch by URL", allowed, lambda: nothing(urllib.request.urlopen("http://169.254.169.254/latest/meta-data/", timeout=5)), "URLError", *DENIED)
case("the allowed address at another port", allowed, connect(ALLOWED[0], ALLOWED[1] ^ 1), *DENIED)
case("datagrams to the allowed address", allowed, send(ALLOWED[0], ALLOWED[1] ^ 1), *DENIED)
case("a broadcast", own_datagram, send("255.255.255.255", 9), *DENIED, "EINVAL")
case("a multicast", own_datagram, send("224.0.0.1", 9), *DENIED, "EINVAL")
def sent_connected(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((address, 53)); nothing(s.send(b"x"))
case("a connected datagram socket", own_datagram, lambda: sent_connected("8.8.8.8"), *DENIED)
def connect_ex(address):
    s = socket.socket(); s.setblocking(False)
    code = s.connect_ex((address, 80))
    if code == errno.EINPROGRESS:
        select.select([], [s], [], 5); code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    raise OSError(code, "")
case("a connection that does not block", allowed, lambda: connect_ex("8.8.8.8"), *DENIED)
# --- the host's own loopback -----------------------------------------------------------------------
def own_listener():
    with socket.create_server(("127.0.0.1", 0)) as server: connect(*server.getsockname())()
for address in ["127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "localhost"]:
    case(f"the host's listener by {address}", own_listener, connect(address, HOST_PORT), "ECONNREFUSED")
for address in ["::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::"]:
    case(f"the host's listener by [{address}]", own_listener, connect(address, HOST_PORT, socket.AF_INET6), "ECONNREFUSED", "EINVAL")
# --- binding and other kinds of sockets ------------------------------------------------------------
def bound(address, family=socket.AF_INET):
    def run():
        with socket.socket(family) as s: s.bind((address, 0))
    return run
for address in ["192.0.2.1", "8.8.8.8", ALLOWED[0]]:
    case(f"bind {address}", bound("127.0.0.1"), bound(address), "EADDRNOTAVAIL", "EACCES")
NO_FAMILY = ("EAFNOSUPPORT", "EPROTONOSUPPORT", "EINVAL", "ENOTSUP", "EPERM")
def other_family(family):
    with socket.socket(family, socket.SOCK_STREAM): pass
for family in sorted(set(range(64)) - {int(socket.AF_INET), int(socket.AF_INET6), int(getattr(socket, "AF_UNIX", 3))}):
    case(f"a socket of family {family}", lambda: socket.socket().close(), lambda family=family: other_family(family), *NO_FAMILY)
def host_service(path):
    with socket.socket(getattr(socket, "AF_UNIX", 3), socket.SOCK_STREAM) as s: s.connect(path)
for path in ["/run/docker.sock", "/var/run/docker.sock", "/run/systemd/private", "\0abstract"]:
    case(f"the host's socket {path!r}", lambda: socket.socketpair()[0].close(), lambda path=path: host_service(path), *NO_FAMILY, "ENOENT", "ECONNREFUSED")
case("a raw socket", lambda: socket.socket().close(), lambda: socket.socket(socket.AF_INET, 3).close(), "EPROTONOSUPPORT", "EPROTOTYPE", "ESOCKTNOSUPPORT", "EINVAL", "ENOTSUP", "EPERM", "EAFNOSUPPORT")
