//! `uv.lock`.

use super::ProjectError;
use super::inputs::Locked;
use serde::Deserialize;
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

/// The packages that come from indexes.
pub(super) fn locked(file: &Path, text: &str) -> Result<Vec<Locked>, ProjectError> {
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
    let packages = lock.package.into_iter();
    let packages = packages.filter(|package| package.source.registry.is_some());
    let locked = packages.filter_map(|package| {
        let files = package.sdist.into_iter().chain(package.wheels);
        Some(Locked {
            name: package.name,
            version: package.version?,
            hashes: files.filter_map(|file| file.hash).collect(),
        })
    });
    Ok(locked.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_indexes_count() {
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
"#;
        let found = locked(Path::new("uv.lock"), text).expect("understood");
        let [Locked { name, hashes, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(name, "flask");
        assert_eq!(hashes[..], ["sha256:11", "sha256:22"]);
        assert!(locked(Path::new("uv.lock"), "version = 2").is_err());
    }
}
