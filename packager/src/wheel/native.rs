//! Packages whose native code is optional.

use super::replacement;
use pep440_rs::Version;
use pep508_rs::PackageName;
use std::io::{self, Read, Seek};
use zip::ZipArchive;

/// Packages that have native modules for speed alone and work without them: where they have no pure
/// wheel, one for any platform is taken and the native modules are left out.
///
/// Every entry was checked with real wheels, most on a native CPython 3.14: native files deleted (or replaced), the package
/// imported and used. `packager/tests/pure_fallback.py` does it again.
const OPTIONAL: &[&str] = &[
    "aiohttp",
    "charset-normalizer",
    "coverage",
    "frozenlist",
    "google-crc32c",
    "immutables",
    "lazy-object-proxy",
    "markupsafe",
    "msgpack",
    "multidict",
    "propcache",
    "pybase64",
    "pymongo",
    "pyyaml",
    "rapidfuzz",
    "simplejson",
    "sqlalchemy",
    "tornado",
    "watchdog",
    "websockets",
    "wrapt",
    "yarl",
    "zeroconf",
    "zope-hookable",
    "zope-interface",
    "zope-proxy",
];

/// Is the native code of this release optional?
pub(crate) fn is_optional(name: &PackageName, version: &Version) -> bool {
    OPTIONAL.contains(&name.as_ref()) || replacement::serves(name, version)
}

/// The native code in a wheel.
pub(crate) fn native_files(wheel: impl Read + Seek) -> io::Result<Vec<String>> {
    let archive = ZipArchive::new(wheel)?;
    let names = archive.file_names().filter_map(Result::ok);
    Ok(names
        .map(|name| name.as_ref().to_owned())
        .filter(|name| is_native(name))
        .collect())
}

/// Is this the path of native code?
pub(super) fn is_native(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let native = |part: &str| matches!(part, "so" | "pyd" | "dll" | "dylib");
    // Also `libx.so.1.2`.
    file.split('.').skip(1).any(native)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_files() {
        for native in [
            "markupsafe/_speedups.cpython-314-x86_64-linux-gnu.so",
            "_yaml.pyd",
            "x.libs/libyaml-0.so.2.1",
            "x/.dylibs/libz.1.dylib",
        ] {
            assert!(is_native(native), "{native}");
        }
        for other in [
            "markupsafe/_native.py",
            "so/x.py",
            "a/so",
            "x/_speedups.pyi",
            "x/_speedups.c",
        ] {
            assert!(!is_native(other), "{other}");
        }
    }
}
