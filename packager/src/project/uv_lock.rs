//! `uv.lock`: the versions that a project was tested with, read as constraints on what its
//! pyproject.toml requires. It covers every platform and group; what of it counts here, the requirements
//! say.

use super::{ProjectError, RequirementInput};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Lock {
    version: u32,
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    source: Source,
    sdist: Option<File>,
    #[serde(default)]
    wheels: Vec<File>,
}

#[derive(Deserialize)]
struct Source {
    registry: Option<String>,
}

#[derive(Deserialize)]
struct File {
    hash: Option<String>,
}

pub(super) fn constraints(file: &Path, text: &str) -> Result<Vec<RequirementInput>, ProjectError> {
    let malformed = |reason: String| ProjectError::Malformed {
        path: file.to_owned(),
        reason,
    };
    let lock: Lock = toml::from_str(text)
        .map_err(|error| malformed(format!("not the TOML expected: {}", error.message())))?;
    if lock.version != 1 {
        return Err(malformed(format!(
            "its version is {}, known is 1",
            lock.version
        )));
    }
    let mut by_name: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in &lock.package {
        if package.source.registry.is_some() {
            by_name.entry(&package.name).or_default().push(package);
        }
    }
    let mut found = Vec::new();
    for (name, packages) in by_name {
        // Several versions are for several platforms, none of which is this one.
        let [package] = packages[..] else { continue };
        let Some(version) = &package.version else {
            continue;
        };
        let mut text = format!("{name}=={version}");
        let files = package.sdist.iter().chain(&package.wheels);
        for hash in files.filter_map(|file| file.hash.as_ref()) {
            text.push_str(&format!(" --hash={hash}"));
        }
        found.push(RequirementInput::Constraint {
            text,
            origin: format!("{} ({name})", file.display()),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_indexes_that_are_the_only_ones_count() {
        let text = r#"
version = 1
[[package]]
name = "app"
version = "0.1"
source = { virtual = "." }
[[package]]
name = "flask"
version = "3.1.0"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://x", hash = "sha256:11" }
wheels = [{ url = "https://y", hash = "sha256:22" }]
[[package]]
name = "numpy"
version = "1"
source = { registry = "https://index.example/simple" }
[[package]]
name = "numpy"
version = "2"
source = { registry = "https://index.example/simple" }
"#;
        let found = constraints(Path::new("uv.lock"), text).expect("understood");
        let [RequirementInput::Constraint { text, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(text, "flask==3.1.0 --hash=sha256:11 --hash=sha256:22");
        assert!(constraints(Path::new("uv.lock"), "version = 2").is_err());
    }
}
