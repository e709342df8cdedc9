//! Packages whose native code is optional.

use pep440_rs::Version;
use pep508_rs::PackageName;
use std::io::{self, Read, Seek};
use std::str::FromStr;
use zip::ZipArchive;

/// Packages that have native modules for speed alone and work without them: where they have no pure
/// wheel, one for any platform is taken and the native modules are left out.
///
/// Every entry was checked with real wheels, most on a native CPython 3.14: native files deleted (or [`REPLACED`]), the package
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

/// A module of ours that takes the place of a native one. It does the whole work of what it replaces, in the way that a
/// sandbox allows.
struct Replacement {
    package: &'static str,
    /// The first release whose Python files go with it.
    since: &'static str,
    file: &'static str,
    text: &'static str,
    /// What the module itself is built on: required of the package as if its metadata said so.
    requires: &'static [&'static str],
}

const REPLACED: &[Replacement] = &[
    Replacement {
        package: "editdistance",
        since: "0",
        file: "editdistance/bycython.py",
        text: include_str!("replacements/editdistance_bycython.py"),
        requires: &[],
    },
    Replacement {
        package: "fastuuid",
        since: "0",
        file: "fastuuid/fastuuid.py",
        text: include_str!("replacements/fastuuid.py"),
        requires: &[],
    },
    Replacement {
        package: "hiredis",
        since: "0",
        file: "hiredis/hiredis.py",
        text: include_str!("replacements/hiredis.py"),
        requires: &[],
    },
    Replacement {
        package: "levenshtein",
        since: "0",
        file: "Levenshtein/levenshtein_cpp.py",
        text: include_str!("replacements/levenshtein_cpp.py"),
        requires: &[],
    },
    Replacement {
        package: "mysqlclient",
        since: "1.4",
        file: "MySQLdb/_mysql.py",
        text: include_str!("replacements/mysqlclient_mysql.py"),
        // The extra has what passwords need where the server has no TLS.
        requires: &["pymysql[rsa]>=1.1"],
    },
    Replacement {
        package: "psutil",
        since: "5.6",
        file: "psutil/_pswasi.py",
        text: include_str!("replacements/psutil_pswasi.py"),
        requires: &[],
    },
    Replacement {
        package: "setproctitle",
        since: "0",
        file: "setproctitle/_setproctitle.py",
        text: include_str!("replacements/setproctitle.py"),
        requires: &[],
    },
    Replacement {
        package: "watchfiles",
        since: "0",
        file: "watchfiles/_rust_notify.py",
        text: include_str!("replacements/watchfiles_rust_notify.py"),
        requires: &[],
    },
];

/// Packages that choose by `sys.platform` and refuse what they do not know: the package, the file that refuses, and what stands there
/// instead of its [`REFUSAL`].
const PLATFORMS: &[(&str, &str, &str)] = &[
    (
        "psutil",
        "psutil/__init__.py",
        "    from . import _pswasi as _psplatform",
    ),
    (
        "readchar",
        "readchar/__init__.py",
        "    from . import _posix_key as key\n    from ._posix_read import readchar, readkey",
    ),
];

/// How the line begins with which they do.
const REFUSAL: &str = "    raise NotImplementedError(";

/// The file of a package that refuses platforms which it does not know, and the same text with `wasi` among those that it does.
pub(super) struct Platform {
    pub(super) file: &'static str,
    line: &'static str,
}

impl Platform {
    /// Of this package, if it has one.
    pub(super) fn of(name: &PackageName) -> Option<Self> {
        let mut all = PLATFORMS.iter();
        let (_, file, line) = all.find(|(package, ..)| *package == name.as_ref())?;
        Some(Self { file, line })
    }

    /// `text` where `wasi` is known; nothing if it refuses none.
    pub(super) fn known_in(&self, text: &str) -> Option<String> {
        let mut lines: Vec<&str> = text.lines().collect();
        let refusal = lines.iter_mut().find(|line| line.starts_with(REFUSAL))?;
        *refusal = self.line;
        Some(lines.join("\n") + "\n")
    }
}

fn replacement(name: &PackageName) -> Option<&'static Replacement> {
    REPLACED
        .iter()
        .find(|replacement| replacement.package == name.as_ref())
}

/// What takes the place of a package's native modules: file and text.
pub(super) fn replaced(name: &PackageName) -> Option<(&'static str, &'static str)> {
    replacement(name).map(|replacement| (replacement.file, replacement.text))
}

/// What a package requires beside what its metadata says, where its native modules are replaced.
pub(crate) fn replacement_requires(name: &PackageName) -> &'static [&'static str] {
    replacement(name).map_or(&[], |replacement| replacement.requires)
}

/// Is the native code of this release optional?
pub(crate) fn is_optional(name: &PackageName, version: &Version) -> bool {
    let serves = |replacement: &Replacement| {
        Version::from_str(replacement.since).is_ok_and(|since| *version >= since)
    };
    OPTIONAL.contains(&name.as_ref()) || replacement(name).is_some_and(serves)
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
