//! Why a snapshot starts in microseconds however large it is: the memory of an instance is a file, mapped copy-on-write, and not a
//! copy of it.

use crate::support::{Running, project, pywasm};
use std::process::Command;

/// Waits with all that it has imported.
const WAIT: &str = "print('ready', flush=True)\nimport time\ntime.sleep(3600)\n";

/// Bytes of private, writable mappings of the cache's memories in the process of `command`, once its app waits.
fn copy_on_write_bytes(command: Command) -> u64 {
    let mut running = Running::start(command);
    running.line("ready");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", running.pid())).expect("Linux");
    maps.lines().filter_map(image_bytes).sum()
}

/// The size of a line's mapping, if it is one of them.
fn image_bytes(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    if rights != "rw-p" || !line.ends_with(".memory") {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    Some(u64::from_str_radix(to, 16).ok()? - u64::from_str_radix(from, 16).ok()?)
}

/// Parts that many starts on this machine have changed lie on huge pages instead (docs/adr/0031): never all of it.
const AT_LEAST: u64 = 4 << 20;

#[test]
fn an_instance_begins_with_its_memory_mapped_copy_on_write() {
    let bytes = copy_on_write_bytes(pywasm(["python", "-c", WAIT]));
    assert!(bytes > AT_LEAST, "{bytes}");
}

#[test]
fn registry_large_snapshots_are_mapped_copy_on_write_too() {
    for module in ["numpy", "fastapi"] {
        let app = format!("import {module}\n{WAIT}");
        let requirements = format!("{module}\n");
        let folder = project(&[("app.py", &app), ("requirements.txt", &requirements)]);
        let mut command = pywasm(["run"]);
        command.arg(folder.path());
        let bytes = copy_on_write_bytes(command);
        assert!(bytes > AT_LEAST, "{module}: {bytes}");
    }
}
