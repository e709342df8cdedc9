//! Index pages in JSON (PEP 691).

use super::{MetadataFile, RemoteFile};
use crate::Day;
use pywasm_format::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;
use url::Url;

#[derive(Deserialize)]
struct Page {
    meta: Meta,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Yanked,
    core_metadata: Option<Metadata>,
    /// The older names of `core-metadata`.
    dist_info_metadata: Option<Metadata>,
    data_dist_info_metadata: Option<Metadata>,
    size: Option<u64>,
    upload_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Flag(bool),
    Reason(String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Flag(false)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Metadata {
    Flag(bool),
    Hashes(BTreeMap<String, String>),
}

/// The files of a page; addresses are relative to `base`.
pub(super) fn parse(bytes: &[u8], base: &Url) -> Result<Vec<RemoteFile>, String> {
    let page: Page = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match page.meta.api_version.split('.').next() {
        Some("1") => {}
        _ => {
            return Err(format!(
                "its version is {}, known is 1",
                page.meta.api_version
            ));
        }
    }
    page.files.into_iter().map(|file| file.read(base)).collect()
}

impl File {
    fn read(self, base: &Url) -> Result<RemoteFile, String> {
        let url = base
            .join(&self.url)
            .map_err(|error| format!("the address of {}: {error}", self.filename))?;
        let metadata = self
            .core_metadata
            .or(self.dist_info_metadata)
            .or(self.data_dist_info_metadata);
        Ok(RemoteFile {
            url,
            sha256: sha256(&self.hashes),
            requires_python: self.requires_python.filter(|text| !text.is_empty()),
            yanked: match self.yanked {
                Yanked::Flag(false) => None,
                Yanked::Flag(true) => Some(String::new()),
                Yanked::Reason(reason) => Some(reason),
            },
            metadata: match metadata {
                None | Some(Metadata::Flag(false)) => MetadataFile::Absent,
                Some(Metadata::Flag(true)) => MetadataFile::Unhashed,
                Some(Metadata::Hashes(hashes)) => {
                    sha256(&hashes).map_or(MetadataFile::Unhashed, MetadataFile::Hashed)
                }
            },
            size: self.size,
            uploaded: self.upload_time.as_deref().and_then(Day::of_time),
            filename: self.filename,
        })
    }
}

fn sha256(hashes: &BTreeMap<String, String>) -> Option<Digest> {
    Digest::from_hex(&hashes.get("sha256")?.to_ascii_lowercase()).ok()
}
