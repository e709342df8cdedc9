//! The Python that the packages must run on.

use crate::requirements::Requirement;
use crate::{Base, BaseLayers, NativePackage};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerEnvironmentBuilder, PackageName};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The guest as markers and `Requires-Python` see it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) markers: MarkerEnvironment,
    /// The same on the machine that wheels are usually made for.
    pub(crate) elsewhere: MarkerEnvironment,
    pub(crate) python: Version,
    /// 14 of 3.14.
    pub(crate) minor: u32,
    /// The packages that are built into a base.
    pub(crate) natives: BTreeMap<PackageName, NativePackage>,
    /// The base to build on, where the person decides and not the packages.
    pub(crate) base: Option<Base>,
}

impl Target {
    /// The guest of `layers`; `None` if its Python is no version of Python 3.
    pub(crate) fn new(layers: &BaseLayers, base: Option<Base>) -> Option<Self> {
        let natives = layers.natives.iter();
        Some(Self {
            natives: natives
                .map(|native| (native.name.clone(), native.clone()))
                .collect(),
            base,
            ..Self::of_python(&layers.python)?
        })
    }

    /// The guest with Python `version`, such as `3.14.7`, and nothing built in.
    fn of_python(version: &str) -> Option<Self> {
        let python = Version::from_str(version).ok()?;
        let [3, minor, ..] = *python.release() else {
            return None;
        };
        let series = format!("3.{minor}");
        let markers = |machine| {
            MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
                implementation_name: "cpython",
                implementation_version: version,
                os_name: "posix",
                platform_machine: machine,
                platform_python_implementation: "CPython",
                platform_release: "",
                platform_system: "wasi",
                platform_version: "",
                python_full_version: version,
                python_version: &series,
                sys_platform: "wasi",
            })
        };
        Some(Self {
            markers: markers("wasm32").ok()?,
            elsewhere: markers("x86_64").ok()?,
            python,
            minor: u32::try_from(minor).ok()?,
            natives: BTreeMap::new(),
            base: None,
        })
    }

    /// Does a requirement apply, as one of the package's itself or of its `extras`? Packages ask for a native one only on the machines
    /// that have wheels of it (SQLAlchemy for greenlet): what is built in is there on this one, too.
    pub(crate) fn applies(&self, requirement: &Requirement, extras: &[ExtraName]) -> bool {
        requirement.evaluate_markers(&self.markers, extras)
            || self.built_in(&requirement.name).is_some()
                && requirement.evaluate_markers(&self.elsewhere, extras)
    }

    /// What is built in of a package; nothing where the person wants a base without it.
    pub(crate) fn built_in(&self, name: &PackageName) -> Option<&NativePackage> {
        let native = self.natives.get(name)?;
        self.base
            .is_none_or(|base| base >= native.base)
            .then_some(native)
    }

    /// Does `Requires-Python` allow this Python? What cannot be understood forbids nothing, as with
    /// other installers.
    pub(crate) fn allows(&self, requires_python: &str) -> bool {
        VersionSpecifiers::from_str(requires_python)
            .map_or(true, |specifiers| specifiers.contains(&self.python))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_as_markers_see_it() {
        let target = Target::of_python("3.14.7").expect("a version");
        for (marker, expected) in [
            ("sys_platform == 'wasi'", true),
            ("sys_platform == 'win32'", false),
            ("platform_system == 'Linux'", false),
            ("os_name == 'posix'", true),
            ("platform_machine == 'wasm32'", true),
            ("python_version >= '3.10'", true),
            ("python_full_version < '3.14.7'", false),
            ("platform_python_implementation == 'CPython'", true),
            ("implementation_name != 'pypy'", true),
            ("extra == 'x'", false),
        ] {
            let requirement: Requirement = format!("a ; {marker}").parse().expect("a requirement");
            assert_eq!(target.applies(&requirement, &[]), expected, "{marker}");
        }
        assert!(target.allows(">=3.8,<4") && target.allows("nonsense") && !target.allows("<3.14"));
        assert!(Target::of_python("2.7.18").is_none() && Target::of_python("x").is_none());
    }

    #[test]
    fn what_is_built_in_is_there_whatever_machines_have_wheels_of_it() {
        let mut target = Target::of_python("3.14.7").expect("a version");
        let requirement: Requirement =
            "greenlet >=1 ; platform_machine == 'aarch64' or platform_machine == 'x86_64'"
                .parse()
                .expect("a requirement");
        assert!(!target.applies(&requirement, &[]));
        let native = NativePackage {
            name: requirement.name.clone(),
            version: "3.5.6".parse().expect("a version"),
            releases: ">=1,<4".parse().expect("a specifier"),
            base: Base::Web,
            completes: false,
        };
        target.natives.insert(native.name.clone(), native);
        assert!(target.applies(&requirement, &[]));
        let of_windows = "greenlet ; platform_machine == 'x86_64' and sys_platform == 'win32'";
        assert!(!target.applies(&of_windows.parse().expect("a requirement"), &[]));
        target.base = Some(Base::Slim);
        assert!(!target.applies(&requirement, &[]));
    }
}
