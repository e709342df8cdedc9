//! Attacks on the sandbox, many to a start of it: tables of Python (`*.py` beside this file), run by
//! `driver.py` inside. Each attack has a control, the same thing where it is granted, which must work; and
//! must end in the very error that it names, so that a mistake in an attack does not pass for safety.

mod floods;
mod interruption;

use crate::support::{project, pywasm};
use serde::Deserialize;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

#[derive(Deserialize)]
struct Outcome {
    name: String,
    control: String,
    attack: String,
    expected: Vec<String>,
}

/// Runs a table of at least so many cases under `flags`; what is on standard error, and what
/// `policy suggest` makes of the denials.
#[track_caller]
fn attack(table: &str, flags: &[String], least: usize) -> (String, String) {
    let state = project(&[]);
    let driver = project(&[("driver.py", include_str!("driver.py"))]);
    let mut command = pywasm(["python"]);
    command
        .args(flags)
        .args(["driver.py", "argument"])
        .current_dir(driver.path())
        .env("PYWASM_TEST_SECRET", SECRET)
        .env("XDG_STATE_HOME", state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    let table = table.to_owned();
    let writer = std::thread::spawn(move || input.write_all(table.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let outcomes: Vec<Outcome> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{stderr}")))
        .collect();
    let failures: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.control != "ok" || !outcome.expected.contains(&outcome.attack))
        .map(
            |Outcome {
                 name,
                 control,
                 attack,
                 expected,
             }| {
                format!("{name}: control {control}, attack {attack}, expected {expected:?}")
            },
        )
        .collect();
    assert!(failures.is_empty(), "{}\n{stderr}", failures.join("\n"));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(outcomes.len() >= least, "{} cases", outcomes.len());
    let mut suggest = pywasm(["policy", "suggest"]);
    suggest.env("XDG_STATE_HOME", state.path());
    (stderr, crate::support::run(suggest).stdout)
}

/// Set in the environment of the host's process, where no guest may find it.
const SECRET: &str = "a-secret-of-the-host-7f3a";

fn flags(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn link(target: &str, at: &Path) {
    std::os::unix::fs::symlink(target, at).expect("a link");
}

#[test]
fn files() {
    let host = project(&[
        ("outside/secret", SECRET),
        ("ro/file", "old"),
        ("ro/folder/inner", "old"),
        ("ro/tree/leaf", "old"),
        ("rw/file", "old"),
        ("rw/folder/inner", "old"),
        ("rw/tree/leaf", "old"),
        ("rw/movable/leaf", "old"),
        ("twice/file", "old"),
    ]);
    let at = |path: &str| host.path().join(path);
    for mount in ["ro", "rw"] {
        std::fs::create_dir(at(mount).join("empty")).expect("a folder");
    }
    for (name, target) in [
        ("link-inside", "file"),
        ("link-up", "../outside/secret"),
        ("link-chain", "link-up"),
        ("link-folder", "../outside"),
        ("link-loop", "link-loop"),
        ("link-dangling", "../outside/none"),
        ("link-create", "../outside/created"),
        ("link-proc", "/proc/self/environ"),
        ("link-self", "."),
        ("folder/link-up-twice", "../../outside/secret"),
    ] {
        link(target, &at("rw").join(name));
    }
    link(
        at("outside/secret").to_str().expect("UTF-8"),
        &at("rw/link-absolute"),
    );
    let before = contents(&[&at("ro"), &at("outside")]);
    let mount =
        |name: &str, guest: &str, option: &str| format!("{}:{guest}{option}", at(name).display());
    let volumes = [
        mount("ro", "/ro", ":ro"),
        mount("rw", "/rw", ""),
        mount("twice", "/twice-ro", ":ro"),
        mount("twice", "/twice-rw", ""),
    ];
    let flags: Vec<String> = volumes
        .into_iter()
        .flat_map(|volume| ["--volume".to_owned(), volume])
        .collect();
    let (stderr, _) = attack(include_str!("files.py"), &flags, 100);
    assert_eq!(contents(&[&at("ro"), &at("outside")]), before, "untouched");
    // Each read-only mount is named, with the flag, and not once per attempt.
    for mount in ["/ro", "/twice-ro"] {
        let told = format!("denied: change files below {mount};");
        assert_eq!(stderr.matches(&told).count(), 1, "{stderr}");
    }
}

/// Every path with its content.
fn contents(folders: &[&Path]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(path) = left.pop() {
        let name = path.display().to_string();
        if path.is_dir() {
            found.push((name, "folder".to_owned()));
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            let metadata = std::fs::symlink_metadata(&path).expect("there");
            let times = format!("{:?} {:?}", metadata.len(), metadata.modified());
            let content = std::fs::read_to_string(&path).expect("text");
            found.push((name, times + &content));
        }
    }
    found.sort();
    found
}

#[test]
fn network() {
    let host = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host_port = host.local_addr().expect("bound").port();
    let Some((allowed, address)) = crate::network::listener_beyond_loopback() else {
        return; // a machine with no network interface but loopback
    };
    // Ends with the process of the test.
    std::thread::spawn(move || while allowed.accept().is_ok() {});
    host.set_nonblocking(true).expect("a socket");
    let table = format!(
        "ALLOWED = ({:?}, {})\nHOST_PORT = {host_port}\n{}",
        address.ip().to_string(),
        address.port(),
        include_str!("network.py")
    );
    let (_, suggested) = attack(&table, &flags(&["--allow-net", &address.to_string()]), 80);
    let reached = host.accept().map(|(_, peer)| peer);
    assert!(
        reached.is_err(),
        "the host's loopback was reached: {reached:?}"
    );
    for flag in ["--allow-net 169.254.169.254:80", "--allow-net example.com"] {
        assert!(suggested.contains(flag), "{flag} in {suggested}");
    }
}

#[test]
fn process() {
    let host_paths = [
        env!("CARGO_MANIFEST_DIR").to_owned(),
        std::env::temp_dir().join(".tmp").display().to_string(),
        crate::support::cache().display().to_string(),
    ];
    let table = format!(
        "SECRET = {SECRET:?}\nHOST_PATHS = {host_paths:?}\n{}",
        include_str!("process.py")
    );
    let folder = project(&[]);
    let volume = format!("{}:/rw", folder.path().display());
    attack(
        &table,
        &flags(&["--env", "GIVEN=1", "--volume", &volume]),
        30,
    );
}
