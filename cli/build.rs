//! Has the linker pack the relocations of a position-independent binary, some 65,000, where the C library can read that: reading them is a
//! tenth of the start of a small program. See `docs/adr/0027-what-a-start-loads.md`.

use std::env::var;
use std::process::Command;

/// Of glibc: the first one that reads them.
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_native = var("TARGET").is_ok_and(|target| var("HOST").is_ok_and(|host| host == target));
    if is_native && glibc().is_some_and(|version| version >= FIRST) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's, as `getconf` says it: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
