//! Modules of ours in place of native ones.

use pep440_rs::Version;
use pep508_rs::PackageName;
use std::str::FromStr;

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

fn of(name: &PackageName) -> Option<&'static Replacement> {
    REPLACED
        .iter()
        .find(|replacement| replacement.package == name.as_ref())
}

/// What takes the place of a package's native modules: file and text.
pub(super) fn replaced(name: &PackageName) -> &'static [(&'static str, &'static str)] {
    of(name).map_or(&[], |replacement| replacement.files)
}

/// What a package requires beside what its metadata says, where its native modules are replaced.
pub(crate) fn requires(name: &PackageName) -> &'static [&'static str] {
    of(name).map_or(&[], |replacement| replacement.requires)
}

/// Do they go with the Python files of this release?
pub(super) fn serves(name: &PackageName, version: &Version) -> bool {
    of(name).is_some_and(|replacement| {
        Version::from_str(replacement.since).is_ok_and(|since| *version >= since)
    })
}
