//! `pylock.toml` (PEP 751): written from a resolution, read as requirements with hashes.

use crate::index::RemoteFile;
use crate::project::RequirementInput;
use crate::requirements::RequirementSet;
use crate::resolve::{Resolution, ResolvedWheel};
use crate::{Day, PlanError};
use pywasm_format::{Digest, Hasher};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Its name in a project.
pub(crate) const FILE: &str = "pylock.toml";
const VERSION: &str = "1.0";
const CREATED_BY: &str = "pywasm";

/// The file as the standard has it; other tools' further fields are passed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
struct Lock {
    lock_version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    created_by: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<Tool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a table")]
struct Tool {
    pywasm: Option<Own>,
}

/// Our own part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "a table")]
struct Own {
    /// What the requirements were when it was written.
    requirements: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    as_of: Option<Day>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a table")]
struct Package {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sdist: Option<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wheels: Vec<File>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(expecting = "a table")]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    hashes: BTreeMap<String, String>,
}

/// The lock of a resolution, as text.
pub(crate) fn write(
    set: &RequirementSet,
    resolution: &Resolution,
    python_series: &str,
) -> Result<String, PlanError> {
    let packages = resolution.wheels.iter().map(Package::of);
    let lock = Lock {
        lock_version: VERSION.to_owned(),
        environments: vec!["sys_platform == 'wasi'".to_owned()],
        requires_python: Some(format!(">={python_series}")),
        created_by: CREATED_BY.to_owned(),
        packages: packages.collect::<Result<_, _>>()?,
        tool: Some(Tool {
            pywasm: Some(Own {
                requirements: Some(digest(set)),
                as_of: resolution.as_of,
            }),
        }),
    };
    toml::to_string(&lock).map_err(|error| PlanError::Lock(format!("{FILE}: {error}")))
}

impl Package {
    fn of(resolved: &ResolvedWheel) -> Result<Self, PlanError> {
        let file = File::of(resolved.source.as_ref().unwrap_or(&resolved.file))?;
        let (sdist, wheels) = match resolved.source {
            Some(_) => (Some(file), Vec::new()),
            None => (None, vec![file]),
        };
        Ok(Self {
            name: resolved.wheel.name.to_string(),
            version: Some(resolved.wheel.version.to_string()),
            marker: None,
            sdist,
            wheels,
        })
    }
}

impl File {
    fn of(file: &RemoteFile) -> Result<Self, PlanError> {
        let digest = file.sha256.ok_or_else(|| {
            PlanError::Lock(match file.url.scheme() {
                "file" => format!(
                    "{} cannot be locked: it is made of a folder or lies on this machine alone; a lock is for others too",
                    file.filename
                ),
                _ => format!(
                    "{} cannot be locked: its index gives no sha256 for it",
                    file.filename
                ),
            })
        })?;
        // A path of this machine means nothing on another; name and hash find the file again.
        let remote = file.url.scheme() != "file";
        Ok(Self {
            name: Some(file.filename.clone()),
            url: remote.then(|| file.url.to_string()),
            size: file.size,
            hashes: BTreeMap::from([("sha256".to_owned(), digest.hex())]),
        })
    }
}

/// What a lock holds, as requirements for precisely these versions and files. `asked` are the
/// requirements of the project today: a lock of ours that was made for others is refused.
pub(crate) fn read(
    path: &Path,
    text: &str,
    asked: &RequirementSet,
) -> Result<Vec<RequirementInput>, PlanError> {
    let fail = |reason: String| PlanError::Lock(format!("{}: {reason}", path.display()));
    let lock: Lock = toml::from_str(text).map_err(|error| {
        fail(format!(
            "not the TOML expected: {}",
            error.to_string().trim_end()
        ))
    })?;
    if lock.lock_version.split('.').next() != Some("1") {
        return Err(fail(format!(
            "its lock-version is {}, known is {VERSION}",
            lock.lock_version
        )));
    }
    let own = lock.tool.and_then(|tool| tool.pywasm);
    let made_for = own.and_then(|own| own.requirements);
    if made_for.is_some_and(|digest| digest != self::digest(asked)) {
        return Err(fail(
            "the requirements have changed since it was written; write it again with `pywasm lock`, or leave it aside with --no-lock"
                .to_owned(),
        ));
    }
    let mut inputs = Vec::new();
    for package in lock.packages {
        let Package {
            name,
            version,
            marker,
            sdist,
            wheels,
        } = package;
        let version = version.ok_or_else(|| {
            fail(format!(
                "{name} has no version: folders, repositories and archives cannot be packed from a lock"
            ))
        })?;
        let hashes: Vec<&String> = sdist
            .iter()
            .chain(&wheels)
            .filter_map(|file| file.hashes.get("sha256"))
            .collect();
        if hashes.is_empty() {
            return Err(fail(format!("{name} {version} has no file with a sha256")));
        }
        let mut line = format!("{name}=={version}");
        if let Some(marker) = marker {
            line.push_str(&format!(" ; {marker}"));
        }
        for hash in hashes {
            line.push_str(&format!(" --hash=sha256:{hash}"));
        }
        inputs.push(RequirementInput::Text {
            text: line,
            origin: format!("{} ({name})", path.display()),
        });
    }
    Ok(inputs)
}

/// What a set of requirements asks for, wherever it stands.
fn digest(set: &RequirementSet) -> Digest {
    let mut lines: Vec<String> = set
        .requirements
        .iter()
        .map(|asked| format!("{}{:?}", asked.requirement, asked.hashes))
        .chain(
            set.constraints
                .iter()
                .map(|asked| format!("-c {}", asked.requirement)),
        )
        .chain(
            set.overrides
                .iter()
                .map(|asked| format!("--override {}", asked.requirement)),
        )
        .chain(set.excludes.iter().map(|name| format!("--exclude {name}")))
        .collect();
    lines.sort();
    let mut hasher = Hasher::default();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finish()
}
