//! The wall as somebody meets it who is out of the sandbox already. Every test thread raises its own.

use super::*;
use crate::policy::Policy;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use tempfile::TempDir;

/// Runs `attempt` without a wall, and then behind one around `reach`.
fn with_and_without<T: Send>(
    reach: &Reach,
    attempt: impl Fn() -> io::Result<T> + Sync,
) -> (io::Result<T>, io::Result<T>) {
    std::thread::scope(|scope| {
        let free = attempt();
        let held = scope.spawn(|| {
            Wall::raise(reach, Threads::Own);
            attempt()
        });
        (free, held.join().expect("no panic"))
    })
}

#[track_caller]
fn assert_refused<T: Send>(what: &str, reach: &Reach, attempt: impl Fn() -> io::Result<T> + Sync) {
    let (free, held) = with_and_without(reach, attempt);
    assert!(free.is_ok(), "{what}: the control works: {:?}", free.err());
    let refusal = held.err().map(|e| e.kind());
    assert_eq!(refusal, Some(io::ErrorKind::PermissionDenied), "{what}");
}

#[track_caller]
fn assert_allowed<T: Send>(what: &str, reach: &Reach, attempt: impl Fn() -> io::Result<T> + Sync) {
    let (_, held) = with_and_without(reach, attempt);
    assert!(held.is_ok(), "{what}: {:?}", held.err());
}

/// A kernel without the parts has nothing to test.
fn is_there() -> bool {
    let probe = Wall::probe();
    probe.landlock == Part::Full && probe.seccomp == Part::Full
}

fn folder() -> (TempDir, Reach) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["ro", "rw", "outside"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        fs::write(folder.path().join(name).join("file"), "x").expect("a file");
    }
    let at = |name, access| (folder.path().join(name), access);
    let reach = Reach {
        folders: vec![at("ro", Access::ReadOnly), at("rw", Access::ReadWrite)],
        ..Reach::default()
    };
    (folder, reach)
}

#[test]
fn files_outside_are_out_of_reach() {
    if !is_there() {
        return;
    }
    let (folder, reach) = folder();
    let at = |path: &str| folder.path().join(path);
    assert_allowed("read ro", &reach, || fs::read(at("ro/file")));
    assert_allowed("list ro", &reach, || fs::read_dir(at("ro")).map(drop));
    assert_allowed("write rw", &reach, || fs::write(at("rw/new"), "x"));
    assert_allowed("rename in rw", &reach, || {
        fs::create_dir_all(at("rw/sub"))?;
        fs::write(at("rw/a"), "x")?;
        fs::rename(at("rw/a"), at("rw/sub/b"))
    });
    assert_refused("read outside", &reach, || fs::read(at("outside/file")));
    assert_refused("list outside", &reach, || {
        fs::read_dir(at("outside")).map(drop)
    });
    assert_refused("through ..", &reach, || fs::read(at("ro/../outside/file")));
    assert_refused("write outside", &reach, || {
        fs::write(at("outside/new"), "x")
    });
    assert_refused("write ro", &reach, || fs::write(at("ro/file"), "x"));
    assert_refused("create in ro", &reach, || fs::write(at("ro/new"), "x"));
    assert_refused("cut ro", &reach, || {
        File::options()
            .write(true)
            .truncate(true)
            .open(at("ro/file"))
            .map(drop)
    });
    assert_refused("read /etc/passwd", &reach, || fs::read("/etc/passwd"));
    assert_refused("read own memory", &reach, || {
        File::open("/proc/self/mem").map(drop)
    });
    assert_refused("list /proc", &reach, || fs::read_dir("/proc").map(drop));
    std::os::unix::fs::symlink(at("outside/file"), at("rw/link")).expect("a link");
    assert_refused("through a link", &reach, || fs::read(at("rw/link")));
}

#[test]
fn no_program_starts_and_no_network_is_there() {
    if !is_there() {
        return;
    }
    let none = Reach::default();
    assert_refused("a program", &none, || {
        Command::new("/bin/true").status().map(drop)
    });
    assert_refused("a TCP socket", &none, || {
        TcpListener::bind("127.0.0.1:0").map(drop)
    });
    assert_refused("a UDP socket", &none, || {
        UdpSocket::bind("127.0.0.1:0").map(drop)
    });
    assert_refused("a UNIX socket", &none, || {
        std::os::unix::net::UnixDatagram::unbound().map(drop)
    });
    assert_allowed("a thread", &none, || {
        std::thread::Builder::new()
            .spawn(|| {})
            .map(|thread| thread.join().is_ok())
    });
}

#[test]
fn ports_are_those_of_the_policy() {
    if !is_there() {
        return;
    }
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [allowed, other] = listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("bound"));
    let rule = format!("192.0.2.1:{}", allowed.port());
    let policy = Policy::none().allow_outbound(rule.parse().expect("a rule"));
    let reach = Reach {
        outbound: policy.outbound,
        ..Reach::default()
    };
    assert_allowed("an allowed port", &reach, || TcpStream::connect(allowed));
    assert_refused("another port", &reach, || TcpStream::connect(other));
    assert_refused("to listen", &reach, || TcpListener::bind("127.0.0.1:0"));
}

#[test]
fn system_calls_of_escapes_are_refused() {
    if !is_there() {
        return;
    }
    use rustix::io::Errno;
    let none = Reach::default();
    let call = |attempt: fn() -> Result<(), Errno>| move || attempt().map_err(io::Error::from);
    assert_refused(
        "a limit",
        &none,
        call(|| {
            use rustix::process::{Resource, getrlimit, setrlimit};
            setrlimit(Resource::Core, getrlimit(Resource::Core))
        }),
    );
    assert_refused(
        "a signal",
        &none,
        call(|| rustix::process::test_kill_process(rustix::process::getpid())),
    );
    assert_refused(
        "a better place in the queue",
        &none,
        call(|| rustix::process::setpriority_process(None, -1)),
    );
    assert_refused(
        "the place of others",
        &none,
        call(|| rustix::process::setpriority_process(Some(rustix::process::Pid::INIT), 19)),
    );
    assert_allowed(
        "a lower place",
        &none,
        call(|| rustix::process::nice(1).map(drop)),
    );
}

#[test]
fn the_probe_tells_what_it_saw() {
    let probe = Wall::probe();
    assert!(
        File::open("/").is_ok(),
        "the probe holds only its own thread"
    );
    for part in [&probe.landlock, &probe.seccomp] {
        assert!(!part.to_string().is_empty());
    }
}
