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

/// Modules of ours that take the place of native ones, or of what is written for those. They do the whole work of what they
/// replace, in the way that a sandbox allows.
struct Replacement {
    package: &'static str,
    /// The first release whose Python files go with them.
    since: &'static str,
    /// Path and text of each.
    files: &'static [(&'static str, &'static str)],
    /// What they are built on: required of the package as if its metadata said so.
    requires: &'static [&'static str],
}

const REPLACED: &[Replacement] = &[
    Replacement {
        package: "editdistance",
        since: "0",
        files: &[(
            "editdistance/bycython.py",
            include_str!("replacements/editdistance_bycython.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "fastuuid",
        since: "0",
        files: &[(
            "fastuuid/fastuuid.py",
            include_str!("replacements/fastuuid.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "gevent",
        // Those before do not know the threads of this Python.
        since: "24.10",
        files: &[
            (
                "gevent/libev/corecext.py",
                include_str!("replacements/gevent_libev_corecext.py"),
            ),
            (
                "gevent/subprocess.py",
                include_str!("replacements/gevent_subprocess.py"),
            ),
        ],
        requires: &[],
    },
    Replacement {
        package: "hiredis",
        since: "0",
        files: &[(
            "hiredis/hiredis.py",
            include_str!("replacements/hiredis.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "levenshtein",
        since: "0",
        files: &[(
            "Levenshtein/levenshtein_cpp.py",
            include_str!("replacements/levenshtein_cpp.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "mysqlclient",
        since: "1.4",
        files: &[(
            "MySQLdb/_mysql.py",
            include_str!("replacements/mysqlclient_mysql.py"),
        )],
        // The extra has what passwords need where the server has no TLS.
        requires: &["pymysql[rsa]>=1.1"],
    },
    Replacement {
        package: "psutil",
        since: "5.6",
        files: &[(
            "psutil/_pswasi.py",
            include_str!("replacements/psutil_pswasi.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "setproctitle",
        since: "0",
        files: &[(
            "setproctitle/_setproctitle.py",
            include_str!("replacements/setproctitle.py"),
        )],
        requires: &[],
    },
    Replacement {
        package: "watchfiles",
        since: "0",
        files: &[(
            "watchfiles/_rust_notify.py",
            include_str!("replacements/watchfiles_rust_notify.py"),
        )],
        requires: &[],
    },
];

/// What is changed in a file of a package, which by itself looks for what the sandbox does not have.
pub(super) struct Change {
    package: &'static str,
    pub(super) file: &'static str,
    kind: Kind,
}

enum Kind {
    /// The package chooses by `sys.platform` and refuses what it does not know: that stands there instead of its [`REFUSAL`].
    Platform(&'static str),
    /// The package has a switch for doing without its native modules: that is said at the end.
    Switch(&'static str),
}

const CHANGED: &[Change] = &[
    Change {
        package: "gevent",
        file: "gevent/_compat.py",
        kind: Kind::Switch("PURE_PYTHON = GLOBAL_PURE_PYTHON = True  # by pywasm\n"),
    },
    Change {
        package: "psutil",
        file: "psutil/__init__.py",
        kind: Kind::Platform("    from . import _pswasi as _psplatform"),
    },
    Change {
        package: "readchar",
        file: "readchar/__init__.py",
        kind: Kind::Platform(
            "    from . import _posix_key as key\n    from ._posix_read import readchar, readkey",
        ),
    },
];

/// How the line begins with which a package refuses a platform.
const REFUSAL: &str = "    raise NotImplementedError(";

impl Change {
    /// Of this package, if it has one.
    pub(super) fn of(name: &PackageName) -> Option<&'static Self> {
        CHANGED
            .iter()
            .find(|change| change.package == name.as_ref())
    }

    /// The text of the file with it; nothing where nothing is to be changed.
    pub(super) fn made_in(&self, text: &str) -> Option<String> {
        match self.kind {
            Kind::Platform(instead) => {
                let mut lines: Vec<&str> = text.lines().collect();
                let refusal = lines.iter_mut().find(|line| line.starts_with(REFUSAL))?;
                *refusal = instead;
                Some(lines.join("\n") + "\n")
            }
            Kind::Switch(addition) => Some(format!("{text}\n{addition}")),
        }
    }

    /// For the person.
    pub(super) fn told(&self) -> String {
        let file = self.file;
        match self.kind {
            Kind::Platform(_) => {
                format!("refuses platforms that it does not know, and pywasm's is added in {file}")
            }
            Kind::Switch(_) => format!("is told in {file} to do without its native modules"),
        }
    }
}

fn replacement(name: &PackageName) -> Option<&'static Replacement> {
    REPLACED
        .iter()
        .find(|replacement| replacement.package == name.as_ref())
}

/// What takes the place of a package's native modules: file and text.
pub(super) fn replaced(name: &PackageName) -> &'static [(&'static str, &'static str)] {
    replacement(name).map_or(&[], |replacement| replacement.files)
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
