//! Packages whose native code is optional.

use pep508_rs::PackageName;
use std::io::{self, Read, Seek};
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
    "editdistance",
    "fastuuid",
    "frozenlist",
    "google-crc32c",
    "hiredis",
    "immutables",
    "lazy-object-proxy",
    "levenshtein",
    "markupsafe",
    "msgpack",
    "multidict",
    "propcache",
    "psutil",
    "pybase64",
    "pymongo",
    "pyyaml",
    "rapidfuzz",
    "setproctitle",
    "simplejson",
    "sqlalchemy",
    "tornado",
    "watchdog",
    "watchfiles",
    "websockets",
    "wrapt",
    "yarl",
    "zeroconf",
    "zope-hookable",
    "zope-interface",
    "zope-proxy",
];

/// Modules of ours that take the place of native ones: the package, the file, its text. They do the whole work of
/// what they replace, in the way that a sandbox allows.
const REPLACED: &[(&str, &str, &str)] = &[
    (
        "editdistance",
        "editdistance/bycython.py",
        include_str!("replacements/editdistance_bycython.py"),
    ),
    (
        "fastuuid",
        "fastuuid/fastuuid.py",
        include_str!("replacements/fastuuid.py"),
    ),
    (
        "hiredis",
        "hiredis/hiredis.py",
        include_str!("replacements/hiredis.py"),
    ),
    (
        "levenshtein",
        "Levenshtein/levenshtein_cpp.py",
        include_str!("replacements/levenshtein_cpp.py"),
    ),
    (
        "psutil",
        "psutil/_pswasi.py",
        include_str!("replacements/psutil_pswasi.py"),
    ),
    (
        "setproctitle",
        "setproctitle/_setproctitle.py",
        include_str!("replacements/setproctitle.py"),
    ),
    (
        "watchfiles",
        "watchfiles/_rust_notify.py",
        include_str!("replacements/watchfiles_rust_notify.py"),
    ),
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

/// What takes the place of a package's native modules: file and text.
pub(super) fn replacements(
    name: &PackageName,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = REPLACED
        .iter()
        .filter(|(package, ..)| *package == name.as_ref());
    own.map(|(_, file, text)| (*file, *text))
}

/// Is the native code of this package optional?
pub(crate) fn is_optional(name: &PackageName) -> bool {
    OPTIONAL.contains(&name.as_ref())
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
