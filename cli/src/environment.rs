//! What the process brings along: the one place that reads environment variables and
//! the command line as it was written.

use crate::units::ByteSize;
use crate::volume_name::VolumeName;
use anyhow::{Context, anyhow};
use pywasm::Cache;
use pywasm_http::{Connection, Proxies};
use pywasm_registry::CredentialStore;
use pywasm_store::Store;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a registry may stay silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A snapshot of the process's environment.
#[derive(Clone)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    /// What was written after the verb.
    pub arguments: Vec<OsString>,
}

impl Environment {
    pub fn of_process() -> Self {
        // Variables that are not UTF-8 cannot be passed to a guest and name no setting of ours.
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            arguments: std::env::args_os().skip(2).collect(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// `$PYWASM_CACHE`, else `$XDG_CACHE_HOME/pywasm`, else `~/.cache/pywasm`.
    pub fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let xdg = || {
            self.get("XDG_CACHE_HOME")
                .map(|dir| PathBuf::from(dir).join("pywasm"))
        };
        let home = || self.home().map(|dir| dir.join(".cache/pywasm"));
        self.get("PYWASM_CACHE")
            .map(PathBuf::from)
            .or_else(xdg)
            .or_else(home)
            .context(
                "no place for the cache: neither PYWASM_CACHE nor XDG_CACHE_HOME nor HOME is set",
            )
    }

    /// The folder of what runs were denied, made private where it is new:
    /// `$XDG_STATE_HOME/pywasm/runs`, else `~/.local/state/pywasm/runs`, else beside the cache.
    pub fn runs(&self) -> anyhow::Result<PathBuf> {
        let state = self.get("XDG_STATE_HOME").map(PathBuf::from);
        let home = || self.home().map(|dir| dir.join(".local/state"));
        let folder = match state.or_else(home) {
            Some(state) => state.join("pywasm/runs"),
            None => self.cache_dir()?.join("runs"),
        };
        private_folder(folder, "XDG_STATE_HOME")
    }

    /// The folder of all named volumes, which is there if one has been made.
    pub fn volumes(&self) -> anyhow::Result<PathBuf> {
        Ok(self.data_dir()?.join("volumes"))
    }

    /// A named volume's folder, made where it is new.
    pub fn volume(&self, name: &VolumeName) -> anyhow::Result<PathBuf> {
        private_folder(self.volumes()?.join(name.as_str()), "PYWASM_DATA")
    }

    /// `$PYWASM_DATA`, else `$XDG_DATA_HOME/pywasm`, else `~/.local/share/pywasm`.
    fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let xdg = || {
            self.get("XDG_DATA_HOME")
                .map(|dir| PathBuf::from(dir).join("pywasm"))
        };
        let home = || self.home().map(|dir| dir.join(".local/share/pywasm"));
        self.get("PYWASM_DATA")
            .map(PathBuf::from)
            .or_else(xdg)
            .or_else(home)
            .context("no place for packages and volumes: neither PYWASM_DATA nor XDG_DATA_HOME nor HOME is set")
    }

    /// The packages kept by name.
    pub fn store(&self) -> anyhow::Result<Store> {
        let folder = self.data_dir()?.join("store");
        Store::open(&folder).with_context(|| {
            format!(
                "cannot keep packages in {}; choose another folder with PYWASM_DATA",
                folder.display()
            )
        })
    }

    /// Who this person is to registries: the `config.json` of `$DOCKER_CONFIG`, else of `~/.docker`.
    pub fn registry_credentials(&self) -> anyhow::Result<CredentialStore> {
        let folder = self
            .get("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| self.home().map(|home| home.join(".docker")))
            .context("no place for credentials: neither DOCKER_CONFIG nor HOME is set")?;
        Ok(CredentialStore::in_folder(&folder))
    }

    /// How registries are reached: the certificates and proxies that are set for everybody.
    pub fn connection(&self) -> Connection {
        Connection {
            certificates: self.get("SSL_CERT_FILE").map(PathBuf::from),
            proxies: Proxies::of_environment(&self.variables),
            timeout: PATIENCE,
        }
    }

    /// The cache folder, made private where it is new. `$PYWASM_CACHE_LIMIT` bounds it, such as `2g`.
    pub fn cache(&self) -> anyhow::Result<Cache> {
        let folder = self.cache_dir()?;
        let cache = Cache::open(&folder).with_context(|| {
            format!(
                "cannot keep a cache in {}; choose another folder with PYWASM_CACHE",
                folder.display()
            )
        })?;
        Ok(match self.get("PYWASM_CACHE_LIMIT") {
            Some(limit) => {
                let limit: ByteSize = limit
                    .parse()
                    .map_err(|reason| anyhow!("PYWASM_CACHE_LIMIT: {reason}"))?;
                cache.limit(limit.0)
            }
            None => cache,
        })
    }
}

/// Makes a folder, whose place `variable` sets, for this person alone where it is new.
fn private_folder(path: PathBuf, variable: &str) -> anyhow::Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .with_context(|| {
            format!(
                "cannot make the folder {}; choose another place with {variable}",
                path.display()
            )
        })?;
    Ok(path)
}
