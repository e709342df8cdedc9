//! `pywasm dev`: an edit is served by a new start of the app.

use crate::support::{Running, get, project, pywasm, run};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const APP: &str = "
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'first')
print('serving', flush=True)
http.server.ThreadingHTTPServer(('0.0.0.0', 5000), Handler).serve_forever()
";

fn dev(folder: &std::path::Path) -> Running {
    let mut command = pywasm(["dev", "-p", "0:5000"]);
    command.arg(folder);
    Running::start(command)
}

/// The address of the next start: the system chooses a port for each.
fn next_address(dev: &mut Running) -> SocketAddr {
    let address = dev.address(5000);
    dev.forget();
    address
}

#[test]
fn a_change_starts_the_app_again_and_a_broken_one_waits_for_the_next() {
    let folder = project(&[("app.py", APP)]);
    let write = |text: &str| std::fs::write(folder.path().join("app.py"), text).expect("a file");
    let mut dev = dev(folder.path());
    assert!(get(next_address(&mut dev), "/").ends_with("first"));

    write(&APP.replace("first", "second"));
    dev.line("files changed; starting the app again");
    assert!(get(next_address(&mut dev), "/").ends_with("second"));

    write("import http.server\nraise SystemExit('half an edit')\n");
    dev.line("half an edit");
    dev.line("the app ended (exit status: 1); it starts again when its files change");
    dev.forget();

    write(&APP.replace("first", "third"));
    assert!(get(next_address(&mut dev), "/").ends_with("third"));
}

#[test]
fn what_is_not_packed_does_not_start_the_app_again() {
    let folder = project(&[("app.py", APP), (".pywasmignore", "notes.txt\n")]);
    let mut dev = dev(folder.path());
    next_address(&mut dev);
    std::fs::write(folder.path().join("notes.txt"), "a thought").expect("a file");
    std::fs::write(folder.path().join("app.py"), APP).expect("the same content");
    // So that what follows is a change of its own.
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(folder.path().join("app.py"), APP.replace("first", "second")).expect("a file");
    assert!(get(next_address(&mut dev), "/").ends_with("second"));
    assert_eq!(dev.count("files changed"), 1);
}

#[test]
fn the_app_ends_with_it() {
    let folder = project(&[("app.py", APP)]);
    let mut dev = dev(folder.path());
    let address = next_address(&mut dev);
    dev.signal("TERM");
    assert_eq!(dev.wait(), Some(143));
    TcpStream::connect(address).expect_err("nobody serves any more");
}

#[test]
fn the_app_ends_with_it_also_when_it_is_killed() {
    let folder = project(&[("app.py", APP)]);
    let mut dev = dev(folder.path());
    let address = next_address(&mut dev);
    dev.signal("KILL");
    dev.wait();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the app stays behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_package_is_refused_with_the_command_that_runs_it() {
    let ended = run(pywasm(["dev", "app.pkg"]));
    assert_eq!(ended.code, Some(125));
    insta::assert_snapshot!(ended.stderr, @"pywasm: error: cannot watch `app.pkg`: give a project folder or a .py file; a package does not change, start it with `pywasm run`");
}
