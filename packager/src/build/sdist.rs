//! What a source archive says about itself, read without unpacking it.

use super::BuildError;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufReader, Read};

const MOST_ENTRIES: usize = 100_000;
const MOST_BYTES: u64 = 2 << 30;
const LARGEST_TEXT: u64 = 16 << 20;

/// The parts of a source archive that decide something.
#[derive(Debug, Default)]
pub(super) struct SourceArchive {
    /// `PKG-INFO`
    pub(super) pkg_info: Option<Vec<u8>>,
    pyproject: Option<Vec<u8>>,
}

/// How a source is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuildSystem {
    pub(super) requires: Vec<String>,
    pub(super) backend: String,
    pub(super) backend_path: Vec<String>,
}

/// Before pyproject.toml there was only setuptools. Later ones have no `pkg_resources`, which such old
/// `setup.py` files import.
const LEGACY_REQUIRES: &str = "setuptools>=40.8,<81";
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";

/// Backends and build requirements that make native code: (name, what it needs).
const NATIVE_BACKENDS: [(&str, &str); 7] = [
    ("maturin", "a Rust compiler"),
    ("setuptools_rust", "a Rust compiler"),
    ("setuptools-rust", "a Rust compiler"),
    ("scikit_build_core", "a C++ compiler"),
    ("scikit-build", "a C++ compiler"),
    ("skbuild", "a C++ compiler"),
    ("mesonpy", "a C compiler"),
];

#[derive(Deserialize)]
struct PyProject {
    #[serde(rename = "build-system")]
    build_system: Option<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    #[serde(default)]
    requires: Vec<String>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

impl SourceArchive {
    /// Reads an archive by the ending of its name.
    pub(super) fn read(file: File, name: &str) -> Result<Self, BuildError> {
        let broken = |error: &dyn std::fmt::Display| BuildError::Archive {
            file: name.to_owned(),
            reason: error.to_string(),
        };
        let file = BufReader::new(file);
        if name.ends_with(".zip") {
            Self::of_zip(file).map_err(|error| broken(&error))
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Self::of_tar(GzDecoder::new(file)).map_err(|error| broken(&error))
        } else {
            Err(broken(&"only .tar.gz and .zip archives are read"))
        }
    }

    fn of_tar(source: impl Read) -> io::Result<Self> {
        let mut found = Self::default();
        let mut archive = tar::Archive::new(source.take(MOST_BYTES));
        for (number, entry) in archive.entries()?.enumerate() {
            let entry = entry?;
            if number >= MOST_ENTRIES {
                return Err(io::Error::other(format!("more than {MOST_ENTRIES} files")));
            }
            if entry.header().entry_type().is_file() {
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                found.take(&path, entry)?;
            }
        }
        Ok(found)
    }

    fn of_zip(source: BufReader<File>) -> io::Result<Self> {
        let mut found = Self::default();
        let mut archive = zip::ZipArchive::new(source)?;
        if archive.len() > MOST_ENTRIES {
            return Err(io::Error::other(format!("more than {MOST_ENTRIES} files")));
        }
        for number in 0..archive.len() {
            let entry = archive.by_index(number)?;
            let path = entry.name()?.into_owned();
            found.take(&path, entry)?;
        }
        Ok(found)
    }

    /// Keeps an entry if it is one of those looked for.
    fn take(&mut self, path: &str, entry: impl Read) -> io::Result<()> {
        let slot = match path.trim_start_matches("./").split_once('/') {
            Some((_, "PKG-INFO")) => &mut self.pkg_info,
            Some((_, "pyproject.toml")) => &mut self.pyproject,
            _ => return Ok(()),
        };
        let mut bytes = Vec::new();
        entry.take(LARGEST_TEXT).read_to_end(&mut bytes)?;
        *slot = Some(bytes);
        Ok(())
    }

    /// The metadata, where it says that a build will not change it (PEP 643).
    pub(super) fn static_metadata(&self) -> Option<&[u8]> {
        let bytes = self.pkg_info.as_deref()?;
        let text = String::from_utf8_lossy(bytes);
        let mut headers = text
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .map(|(field, value)| (field.trim().to_ascii_lowercase(), value.trim()));
        let is_dynamic = |value: &str| {
            ["requires-dist", "provides-extra", "requires-python"]
                .iter()
                .any(|field| value.eq_ignore_ascii_case(field))
        };
        let mut new_enough = false;
        let settled = headers.all(|(field, value)| match field.as_str() {
            "metadata-version" => {
                let minor = value
                    .strip_prefix("2.")
                    .and_then(|minor| minor.parse::<u8>().ok());
                new_enough = minor.is_some_and(|minor| minor >= 2);
                true
            }
            "dynamic" => !is_dynamic(value),
            _ => true,
        });
        (settled && new_enough).then_some(bytes)
    }

    /// How it is built, unless it cannot be here.
    pub(super) fn build_system(&self) -> Result<BuildSystem, BuildError> {
        let table = match &self.pyproject {
            None => None,
            Some(bytes) => {
                toml::from_str::<PyProject>(&String::from_utf8_lossy(bytes))
                    .map_err(|error| BuildError::Archive {
                        file: "its pyproject.toml".to_owned(),
                        reason: error.message().to_owned(),
                    })?
                    .build_system
            }
        };
        let legacy = || vec![LEGACY_REQUIRES.to_owned()];
        let system = match table {
            None => BuildSystem {
                requires: legacy(),
                backend: LEGACY_BACKEND.to_owned(),
                backend_path: Vec::new(),
            },
            Some(table) => BuildSystem {
                requires: match table.requires.is_empty() && table.build_backend.is_none() {
                    true => legacy(),
                    false => table.requires,
                },
                backend: table
                    .build_backend
                    .unwrap_or_else(|| LEGACY_BACKEND.to_owned()),
                backend_path: table.backend_path,
            },
        };
        let system = without_uv(system);
        let names = system.requires.iter().chain([&system.backend]);
        for name in names {
            let native = NATIVE_BACKENDS.iter().find(|(native, _)| {
                name.strip_prefix(native)
                    .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
            });
            if let Some((backend, compiler)) = native {
                return Err(BuildError::Compiler { backend, compiler });
            }
        }
        Ok(system)
    }
}

/// uv's own backend is a program in Rust, so hatchling builds in its place: it finds the same files where the module is called
/// as the project is, and all else stands in `[project]`.
fn without_uv(system: BuildSystem) -> BuildSystem {
    match system.backend.as_str() {
        "uv_build" => BuildSystem {
            requires: vec!["hatchling".to_owned()],
            backend: "hatchling.build".to_owned(),
            ..system
        },
        _ => system,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pkg_info: Option<&str>, pyproject: Option<&str>) -> SourceArchive {
        let bytes = |text: &str| text.as_bytes().to_vec();
        SourceArchive {
            pkg_info: pkg_info.map(bytes),
            pyproject: pyproject.map(bytes),
        }
    }

    #[test]
    fn metadata_counts_only_where_it_is_promised() {
        for (text, counts) in [
            (
                "Metadata-Version: 2.2\nName: a\n\nDynamic: Requires-Dist\n",
                true,
            ),
            ("Metadata-Version: 2.4\nName: a\nDynamic: License\n", true),
            ("Metadata-Version: 2.4\nDynamic: requires-dist\n", false),
            ("Metadata-Version: 2.1\nName: a\n", false),
        ] {
            assert_eq!(
                with(Some(text), None).static_metadata().is_some(),
                counts,
                "{text}"
            );
        }
    }

    #[test]
    fn build_systems() {
        let system = |text: Option<&str>| with(None, text).build_system();
        let legacy = system(None).expect("legacy");
        assert_eq!(legacy.backend, LEGACY_BACKEND);
        assert_eq!(system(Some("[tool.black]\n")).expect("legacy"), legacy);
        let flit = system(Some(
            "[build-system]\nrequires = ['flit_core>=3']\nbuild-backend = 'flit_core.buildapi'\n",
        ));
        assert_eq!(flit.expect("flit").requires, ["flit_core>=3"]);
        let uv = system(Some(
            "[build-system]\nrequires = ['uv_build>=0.9,<0.10']\nbuild-backend = 'uv_build'\n",
        ))
        .expect("uv");
        assert_eq!(uv.backend, "hatchling.build");
        assert_eq!(uv.requires, ["hatchling"]);
        for native in [
            "[build-system]\nrequires = ['maturin>=1,<2']\nbuild-backend = 'maturin'\n",
            "[build-system]\nrequires = ['setuptools', 'setuptools-rust>=1']\n",
        ] {
            assert!(matches!(
                system(Some(native)),
                Err(BuildError::Compiler {
                    compiler: "a Rust compiler",
                    ..
                })
            ));
        }
        assert!(system(Some("[build-system\n")).is_err());
    }
}
