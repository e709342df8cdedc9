//! What a distribution's file name says (PEP 427, PEP 425).

use pep440_rs::Version;
use pep508_rs::PackageName;
use std::cmp::Reverse;
use std::str::FromStr;

/// A wheel's file name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelName {
    pub(crate) name: PackageName,
    pub(crate) version: Version,
    build: u64,
    python: Vec<String>,
    abi: Vec<String>,
    platform: Vec<String>,
}

/// The guest's own platform tag, which `sysconfig.get_platform()` there gives.
const GUEST: &str = "wasi_0_0_0_wasm32";

/// How well a wheel without native code fits; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    /// Made for the guest, rather than for every machine.
    own: bool,
    /// 3.14 of `py314` before 3.0 of `py3`.
    minor: u32,
    build: u64,
}

/// How a native wheel compares with others of its version; more is better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NativeTags {
    /// For the Python asked for or an older one, rather than for a later one.
    suits: bool,
    /// How near that Python is.
    near: Reverse<u32>,
    /// The platform whose wheels are the most usual, so that all machines choose the same file.
    linux: bool,
    build: u64,
}

impl WheelName {
    /// Parses `name-version(-build)?-python-abi-platform.whl`.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let (name, version, build, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, "", tags),
            [name, version, build, tags @ ..] if tags.len() == 3 => (name, version, *build, tags),
            _ => return None,
        };
        let list = |text: &str| text.split('.').map(str::to_owned).collect();
        let digits = build
            .find(|c: char| !c.is_ascii_digit())
            .map_or(build, |end| &build[..end]);
        Some(Self {
            name: PackageName::from_str(name).ok()?,
            version: Version::from_str(version).ok()?,
            build: digits.parse().unwrap_or(0),
            python: list(tags[0]),
            abi: list(tags[1]),
            platform: list(tags[2]),
        })
    }

    /// How well the wheel fits the guest with Python 3.`minor`: only wheels without native code do, whether they
    /// are for every machine or for this one.
    pub(crate) fn fit(&self, minor: u32) -> Option<Fit> {
        let own = self.is_guests();
        let pure = self.abi.iter().any(|abi| abi == "none");
        let fits = pure && self.platform.iter().any(|platform| platform == "any")
            || own && (pure || self.fits_mainstream(minor));
        let best = self
            .python
            .iter()
            .filter_map(|tag| python_minor(tag))
            .filter(|tag| *tag <= minor)
            .max();
        Some(Fit {
            own,
            minor: best.filter(|_| fits)?,
            build: self.build,
        })
    }

    /// Was the wheel made for the guest?
    pub(crate) fn is_guests(&self) -> bool {
        self.platform.iter().any(|platform| platform == GUEST)
    }

    /// Would some mainstream platform with CPython 3.`minor` take this wheel?
    pub(crate) fn fits_mainstream(&self, minor: u32) -> bool {
        let abi = format!("cp3{minor}");
        self.python
            .iter()
            .filter_map(|tag| python_minor(tag))
            .any(|tag| {
                self.abi.iter().any(|own| match own.as_str() {
                    "none" | "abi3" => tag <= minor,
                    own => own == abi,
                })
            })
    }

    /// The order among wheels with native code for CPython, seen from CPython 3.`minor`; `None` for the
    /// others.
    pub(crate) fn native(&self, minor: u32) -> Option<NativeTags> {
        if self.is_guests() {
            return None;
        }
        // Free-threaded builds (`cp314t`) are laid out alike but newer and rarer.
        let pure = self.platform.iter().any(|platform| platform == "any");
        if pure || self.abi.iter().any(|abi| abi.ends_with('t')) {
            return None;
        }
        // With no abi it holds programs or libraries, which any Python may start or load.
        let any_python = self.abi.iter().any(|abi| abi == "none");
        let python = self.python.iter();
        let python = python.filter(|tag| any_python || tag.starts_with("cp"));
        let own = python.filter_map(|tag| python_minor(tag)).max()?;
        Some(NativeTags {
            suits: own <= minor,
            near: Reverse(own.abs_diff(minor)),
            linux: self
                .platform
                .iter()
                .any(|platform| platform.starts_with("manylinux") && platform.ends_with("x86_64")),
            build: self.build,
        })
    }
}

/// 14 of `py314` and `cp314`, 0 of `py3`; nothing for other Pythons.
fn python_minor(tag: &str) -> Option<u32> {
    let digits = tag
        .strip_prefix("py3")
        .or_else(|| tag.strip_prefix("cp3"))?;
    match digits {
        "" => Some(0),
        digits => digits.parse().ok(),
    }
}

/// The version in the name of a source archive of `name`.
pub(crate) fn version_of_sdist(file: &str, name: &PackageName) -> Option<Version> {
    let stem = [".tar.gz", ".zip", ".tar.bz2", ".tgz"]
        .into_iter()
        .find_map(|end| file.strip_suffix(end))?;
    stem.match_indices('-').find_map(|(at, _)| {
        let found = PackageName::from_str(&stem[..at]).ok()?;
        match found == *name {
            true => Version::from_str(&stem[at + 1..]).ok(),
            false => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str) -> WheelName {
        WheelName::parse(file).expect("a wheel's name")
    }

    #[test]
    fn pure_wheels() {
        let minor = |file: &str| parse(file).fit(14).map(|fit| fit.minor);
        assert_eq!(minor("flask-3.1.2-py3-none-any.whl"), Some(0));
        assert_eq!(minor("six-1.17.0-py2.py3-none-any.whl"), Some(0));
        assert_eq!(minor("x-1-py39-none-any.whl"), Some(9));
        assert_eq!(minor("x-1-cp314-none-any.whl"), Some(14));
        for other in [
            "x-1-py315-none-any.whl",
            "x-1-py2-none-any.whl",
            "markupsafe-3.0.3-cp314-cp314-manylinux2014_x86_64.whl",
            "x-1-py3-none-manylinux2014_x86_64.whl",
            "x-1-py3-none-win_amd64.whl",
        ] {
            assert_eq!(minor(other), None, "{other}");
        }
        assert!(parse("x-1-2-py3-none-any.whl").fit(14) > parse("x-1-1a-py3-none-any.whl").fit(14));
    }

    #[test]
    fn wheels_for_the_guest_come_first() {
        let fit = |file: &str| parse(file).fit(14);
        let any = fit("x-1-py314-none-any.whl");
        for own in [
            "x-1-py3-none-wasi_0_0_0_wasm32.whl",
            "x-1-cp314-cp314-wasi_0_0_0_wasm32.whl",
            "x-1-cp39-abi3-wasi_0_0_0_wasm32.whl",
        ] {
            assert!(fit(own) > any, "{own}");
            assert_eq!(parse(own).native(14), None, "{own}");
        }
        for other in [
            "x-1-cp313-cp313-wasi_0_0_0_wasm32.whl",
            "x-1-cp315-cp315-wasi_0_0_0_wasm32.whl",
            "x-1-cp314-cp314-emscripten_4_0_9_wasm32.whl",
        ] {
            assert_eq!(fit(other), None, "{other}");
        }
    }

    #[test]
    fn names() {
        let wheel = parse("Zope.Interface-7.0rc1-3-cp314-cp314-win_amd64.whl");
        assert_eq!(wheel.name.to_string(), "zope-interface");
        assert_eq!(wheel.version.to_string(), "7.0rc1");
        for wrong in [
            "x.whl",
            "x-1-py3-none.whl",
            "x-one-py3-none-any.whl",
            "x-1.tar.gz",
            "x-1-2-3-py3-none-any.whl",
        ] {
            assert_eq!(WheelName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn native_wheels_are_ordered() {
        let native = |file: &str| parse(file).native(14);
        let newest = native("m-3-cp314-cp314-manylinux_2_17_x86_64.manylinux2014_x86_64.whl");
        assert!(newest > native("m-3-cp314-cp314-macosx_11_0_arm64.whl"));
        assert!(newest > native("m-3-cp39-abi3-manylinux2014_x86_64.whl"));
        assert!(newest > native("m-3-cp315-cp315-manylinux2014_x86_64.whl"));
        assert!(
            native("m-3-cp38-cp38-win_amd64.whl")
                > native("m-3-cp315-cp315-manylinux2014_x86_64.whl")
        );
        assert_eq!(native("m-3-cp314-cp314t-manylinux2014_x86_64.whl"), None);
        assert_eq!(
            native("m-3-pp311-pypy311_pp73-manylinux2014_x86_64.whl"),
            None
        );
        assert_eq!(native("m-3-py3-none-any.whl"), None);
        let any_python = native("m-3-py3-none-manylinux2014_x86_64.whl");
        assert!(any_python.is_some() && any_python < newest);
    }

    #[test]
    fn mainstream_platforms() {
        let fits = |file: &str| parse(file).fits_mainstream(14);
        assert!(fits("x-1-cp314-cp314-win_amd64.whl"));
        assert!(fits("x-1-cp39-abi3-manylinux2014_x86_64.whl"));
        assert!(fits("x-1-py3-none-macosx_11_0_arm64.whl"));
        assert!(!fits("x-1-cp313-cp313-manylinux2014_x86_64.whl"));
        assert!(!fits("x-1-cp315-abi3-manylinux2014_x86_64.whl"));
    }

    #[test]
    fn source_archives() {
        let version = |file: &str, name: &str| {
            let name = PackageName::from_str(name).expect("a name");
            version_of_sdist(file, &name).map(|version| version.to_string())
        };
        assert_eq!(version("Flask-1.1.2.tar.gz", "flask"), Some("1.1.2".into()));
        assert_eq!(
            version("zope.interface-7.0.zip", "zope-interface"),
            Some("7.0".into())
        );
        assert_eq!(
            version("python-dateutil-2.9.0.post0.tar.gz", "python-dateutil"),
            Some("2.9.0.post0".into())
        );
        assert_eq!(version("flask-extra-1.0.tar.gz", "flask"), None);
        assert_eq!(version("flask-1.0.exe", "flask"), None);
    }

    proptest::proptest! {
        #[test]
        fn names_of_any_kind(text in r"[a-zA-Z0-9._+!-]{0,40}(\.whl|\.zip)?|.*") {
            if let Some(name) = WheelName::parse(&text) {
                let _ = name.fit(14);
            }
        }
    }
}
