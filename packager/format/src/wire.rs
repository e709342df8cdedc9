//! The JSON of the package as it stands in the file: OCI's own structures, which others may extend,
//! and our own part of the image config, which nobody may.

use crate::config::{AppConfig, ExposedPort, ResolvedPackage};
use crate::escaped::escaped;
use crate::{Digest, EntryPoint, FORMAT_VERSION, GuestPath, Needs};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

pub(crate) const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

pub(crate) const LAYER_KIND: &str = "pywasm.layer.kind";
pub(crate) const LAYER_MOUNT: &str = "pywasm.layer.mount";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const BASE_NAME: &str = "pywasm.base.name";
pub(crate) const BASE_RECORD: &str = "pywasm.base.record";

pub(crate) const ARCHITECTURE: &str = "wasm";
pub(crate) const OS: &str = "wasi";

pub(crate) type Annotations = BTreeMap<String, String>;

/// `oci-layout`
#[derive(Serialize, Deserialize)]
pub(crate) struct OciLayout {
    #[serde(rename = "imageLayoutVersion")]
    pub(crate) version: String,
}

impl OciLayout {
    pub(crate) const VERSION: &str = "1.0.0";
}

/// `index.json`
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    /// Optional in the specification, and left out by some tools.
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: RunConfig,
    pub(crate) rootfs: RootFs,
    pub(crate) pywasm: OwnPart,
}

/// Only the version, readable whatever else a later format holds.
#[derive(Deserialize)]
pub(crate) struct VersionProbe {
    pywasm: Option<VersionOnly>,
}

#[derive(Deserialize)]
struct VersionOnly {
    format: u32,
}

impl VersionProbe {
    pub(crate) fn format(&self) -> Option<u32> {
        self.pywasm.as_ref().map(|part| part.format)
    }
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RunConfig {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    env: Vec<String>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    exposed_ports: BTreeMap<String, Empty>,
    working_dir: String,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    labels: BTreeMap<String, String>,
}

/// The `{}` that OCI puts where a set is meant.
#[derive(Serialize, Deserialize, Default)]
struct Empty {}

#[derive(Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

/// The one key that OCI does not know.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnPart {
    format: u32,
    python: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    scripts: BTreeMap<String, EntryPoint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packages: Vec<ResolvedPackage>,
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    needs: Needs,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    found_command: bool,
}

/// What is wrong in an image config that is otherwise good JSON.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Built for another machine.
    #[error(
        "is for {}/{}, not for wasm/wasi: it is an image for another runner",
        escaped(architecture),
        escaped(os)
    )]
    Platform {
        /// The architecture named.
        architecture: String,
        /// The operating system named.
        os: String,
    },
    /// `rootfs.type` is not `layers`.
    #[error("has the unknown file system type `{}`", escaped(.0))]
    RootFs(String),
    /// An environment entry without `=`, without a name, with NUL, or named twice.
    #[error("has the environment entry `{}`, which is not NAME=VALUE with a name of its own", escaped(.0))]
    Env(String),
    /// A port that is none.
    #[error(transparent)]
    Port(#[from] crate::ParseExposedPortError),
    /// The working folder is no absolute path.
    #[error(transparent)]
    WorkingDir(#[from] crate::GuestPathError),
}

impl ImageConfig {
    pub(crate) fn new(app: &AppConfig, diff_ids: Vec<Digest>) -> Self {
        let AppConfig {
            entrypoint,
            cmd,
            found_command,
            env,
            exposed_ports,
            working_dir,
            scripts,
            labels,
            python,
            packages,
            needs,
        } = app;
        Self {
            architecture: ARCHITECTURE.to_owned(),
            os: OS.to_owned(),
            config: RunConfig {
                entrypoint: entrypoint.clone(),
                cmd: cmd.clone(),
                env: env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                exposed_ports: exposed_ports
                    .iter()
                    .map(|port| (port.to_string(), Empty {}))
                    .collect(),
                working_dir: working_dir.to_string(),
                labels: labels.clone(),
            },
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids,
            },
            pywasm: OwnPart {
                format: FORMAT_VERSION,
                python: python.clone(),
                scripts: scripts.clone(),
                packages: packages.clone(),
                needs: needs.clone(),
                found_command: *found_command,
            },
        }
    }

    pub(crate) fn into_app(self) -> Result<(AppConfig, Vec<Digest>), ConfigError> {
        if self.architecture != ARCHITECTURE || self.os != OS {
            let Self {
                architecture, os, ..
            } = self;
            return Err(ConfigError::Platform { architecture, os });
        }
        if self.rootfs.kind != "layers" {
            return Err(ConfigError::RootFs(self.rootfs.kind));
        }
        let run = self.config;
        let app = AppConfig {
            entrypoint: run.entrypoint,
            cmd: run.cmd,
            found_command: self.pywasm.found_command,
            env: parse_env(run.env)?,
            exposed_ports: run
                .exposed_ports
                .keys()
                .map(|port| port.parse::<ExposedPort>())
                .collect::<Result<_, _>>()?,
            working_dir: match run.working_dir.is_empty() {
                true => GuestPath::root(),
                false => run.working_dir.parse()?,
            },
            scripts: self.pywasm.scripts,
            labels: run.labels,
            python: self.pywasm.python,
            packages: self.pywasm.packages,
            needs: self.pywasm.needs,
        };
        Ok((app, self.rootfs.diff_ids))
    }
}

fn parse_env(entries: Vec<String>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut names = BTreeSet::new();
    entries
        .into_iter()
        .map(|entry| match entry.split_once('=') {
            Some((name, value))
                if !name.is_empty() && !entry.contains('\0') && names.insert(name.to_owned()) =>
            {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => Err(ConfigError::Env(entry)),
        })
        .collect()
}

/// Go writes an absent list as `null`.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
