//! Files of packages that are changed, as they look for what the sandbox does not have.

use pep508_rs::PackageName;

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
