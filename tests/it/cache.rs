//! The cache stays within its bounds and takes nothing from under an app.

use crate::support::{Running, cache, get, project, python, pywasm, run};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A cache of the test's own, in which the interpreter is compiled already.
fn own_cache() -> tempfile::TempDir {
    assert_eq!(python(["-c", ""]).code, Some(0));
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["code", "layers"] {
        let to = folder.path().join(part);
        std::fs::create_dir(&to).expect("a folder");
        // Hidden entries are being made or removed by other tests and may be gone by now.
        let whole = std::fs::read_dir(cache().join(part))
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        let copied = Command::new("cp")
            .arg("-a")
            .args(whole.map(|entry| entry.path()))
            .arg(&to)
            .status();
        assert!(copied.expect("cp runs").success());
    }
    let private = Command::new("chmod").arg("700").arg(folder.path()).status();
    assert!(private.expect("chmod runs").success());
    folder
}

fn within<const N: usize>(cache: &Path, args: [&str; N]) -> Command {
    let mut command = pywasm(args);
    command.env("PYWASM_CACHE", cache);
    command
}

fn count(cache: &Path) -> usize {
    run(within(cache, ["cache", "ls"])).stdout.lines().count() - 1
}

#[test]
fn pruning_takes_what_is_not_in_use_and_nothing_from_under_an_app() {
    let own = own_cache();
    let app = project(&[(
        "app.py",
        "from http.server import HTTPServer, BaseHTTPRequestHandler\n\
         class Handler(BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       module = __import__(self.path[1:])\n\
         \x20       self.send_response(200); self.end_headers()\n\
         \x20       self.wfile.write(module.__file__.encode())\n\
         HTTPServer(('0.0.0.0', 8000), Handler).serve_forever()\n",
    )]);
    let mut command = within(own.path(), ["run", "-p", "0:8000"]);
    command.arg(app.path());
    let mut server = Running::start(command);
    let address = server.address(8000);
    let before = count(own.path());
    let pruned = run(within(own.path(), ["cache", "prune"]));
    assert_eq!(pruned.code, Some(0), "{}", pruned.stderr);
    let left = count(own.path());
    assert!(0 < left && left < before, "{before} before, {left} left");
    assert!(get(address, "/colorsys").ends_with("/usr/local/lib/python3.14/colorsys.py"));
    drop(server);
    run(within(own.path(), ["cache", "prune"]));
    assert_eq!(count(own.path()), 0);
}

#[test]
fn what_an_interrupted_pack_left_is_removed_by_whoever_comes_next() {
    let own = own_cache();
    let app = project(&[("app.py", "import time\ntime.sleep(60)\n")]);
    let output = own.path().join("app.pkg");
    let running = own.path().join("running");
    let left = || {
        let entries = std::fs::read_dir(&running).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with("work-")).count()
    };
    let wait = |until: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(120);
        while !until() {
            assert!(Instant::now() < end, "{} folders are left", left());
            sleep(Duration::from_millis(50));
        }
    };
    for next in [["cache", "prune"], ["system", "prune"], ["python", "-V"]] {
        let mut pack = within(own.path(), ["pack", "-q", "-o"]);
        let pack = pack.arg(&output).arg(app.path());
        let mut pack = pack.spawn().expect("the binary starts");
        wait(&|| left() > 0);
        pack.kill().expect("it runs");
        pack.wait().expect("our child");
        assert!(left() > 0);
        // What it started for a trial may write there for as long as it takes to end.
        wait(&|| run(within(own.path(), next)).code == Some(0) && left() == 0);
    }
}

#[test]
fn the_cache_keeps_itself_below_its_limit() {
    let own = own_cache();
    let app = project(&[("app.py", "print('ran')\n")]);
    // Less than the interpreter takes: what runs is left, and all else is gone.
    let mut command = within(own.path(), ["run"]);
    command.arg(app.path()).env("PYWASM_CACHE_LIMIT", "1m");
    let ended = run(command);
    assert_eq!(ended.stdout, "ran\n", "{}", ended.stderr);
    let mut wrong = within(own.path(), ["cache", "ls"]);
    wrong.env("PYWASM_CACHE_LIMIT", "much");
    let stderr = run(wrong).stderr;
    assert!(
        stderr.contains("PYWASM_CACHE_LIMIT: `much` is not a size"),
        "{stderr}"
    );
}
