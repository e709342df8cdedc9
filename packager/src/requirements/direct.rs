//! Requirements that say where their file is: `name @ https://…/name-1.0-py3-none-any.whl`,
//! `https://…`, `./name-1.0.tar.gz`.

use super::Requirement;
use super::line::standard;
use crate::index::{MetadataFile, RemoteFile};
use crate::wheel::{self, WheelName};
use pep508_rs::{PackageName, VersionOrUrl};
use pywasm_format::Digest;
use std::path::Path;
use std::str::FromStr;
use url::Url;

/// A requirement for one file.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    /// As it would be with a version: `name==1.0`.
    pub(super) requirement: Requirement,
    pub(super) file: RemoteFile,
}

/// Is this a place rather than a name?
pub(super) fn is_place(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_file = [".whl", ".tar.gz", ".tgz", ".zip"]
        .iter()
        .any(|end| first.split('#').next().unwrap_or(first).ends_with(end));
    first.contains("://") || first.starts_with('.') || first.starts_with('/') || is_file
}

/// Reads `PLACE ; marker`; a path is relative to `folder`.
pub(super) fn parse(text: &str, folder: Option<&Path>) -> Result<Direct, String> {
    let (place, marker) = match text.split_once(" ;") {
        Some((place, marker)) => (place.trim(), Some(marker.trim())),
        None => (text.trim(), None),
    };
    let url = match place.contains("://") {
        true => place
            .parse::<Url>()
            .map_err(|error| format!("`{place}`: {error}"))?,
        false => of_path(place, folder)?,
    };
    let file = file(&url)?;
    let (name, version) = name_and_version(&file.filename, None).ok_or_else(|| unnamed(&url))?;
    let mut line = format!("{name}=={version}");
    if let Some(marker) = marker {
        line.push_str(&format!(" ; {marker}"));
    }
    let requirement =
        standard(&line).map_err(|reason| format!("`{text}` is not a requirement: {reason}"))?;
    Ok(Direct { requirement, file })
}

/// The same of `name @ PLACE`.
pub(super) fn of_requirement(requirement: &Requirement, url: &Url) -> Result<Direct, String> {
    let file = file(url)?;
    let (_, version) =
        name_and_version(&file.filename, Some(&requirement.name)).ok_or_else(|| unnamed(url))?;
    let pinned = standard(&format!("{}=={version}", requirement.name))?;
    let version_or_url: Option<VersionOrUrl<Url>> = pinned.version_or_url;
    Ok(Direct {
        requirement: Requirement {
            version_or_url,
            ..requirement.clone()
        },
        file,
    })
}

fn of_path(place: &str, folder: Option<&Path>) -> Result<Url, String> {
    let path = folder.map_or_else(|| Path::new(place).to_owned(), |folder| folder.join(place));
    let absolute = path
        .canonicalize()
        .map_err(|reason| format!("`{place}` cannot be read: {reason}"))?;
    if absolute.is_dir() {
        return Err(format!(
            "`{place}` is a folder of this machine, which cannot be required here; name a wheel or a source archive"
        ));
    }
    Url::from_file_path(&absolute).map_err(|()| format!("`{place}` is no path"))
}

fn file(url: &Url) -> Result<RemoteFile, String> {
    if !matches!(url.scheme(), "https" | "http" | "file") {
        let shown = without_user(url);
        return Err(match url.scheme().contains('+') {
            true => format!(
                "`{shown}` is a repository, and fetching from version control is not supported; name a wheel or a source archive of it, or build one (`python -m build`)"
            ),
            false => format!("`{shown}`: only http, https and file addresses can be fetched"),
        });
    }
    let fragment = url.fragment().unwrap_or_default();
    let digest = fragment
        .split('&')
        .find_map(|part| part.strip_prefix("sha256="))
        .map(|digits| {
            Digest::from_hex(&digits.to_ascii_lowercase())
                .map_err(|_| format!("`#{fragment}` holds no sha256 of 64 digits"))
        })
        .transpose()?;
    let mut plain = url.clone();
    plain.set_fragment(None);
    let filename = plain
        .path_segments()
        .and_then(|mut parts| parts.next_back().map(str::to_owned))
        .unwrap_or_default();
    Ok(RemoteFile {
        filename: filename.replace("%2B", "+").replace("%2b", "+"),
        url: plain,
        sha256: digest,
        requires_python: None,
        yanked: None,
        metadata: MetadataFile::Absent,
        size: None,
        uploaded: None,
    })
}

/// What a file's name says, of a package that is known or not.
fn name_and_version(
    filename: &str,
    known: Option<&PackageName>,
) -> Option<(PackageName, pep440_rs::Version)> {
    if let Some(wheel) = WheelName::parse(filename) {
        let right = known.is_none_or(|known| *known == wheel.name);
        return right.then_some((wheel.name, wheel.version));
    }
    if let Some(name) = known {
        return Some((name.clone(), wheel::version_of_sdist(filename, name)?));
    }
    // `NAME-VERSION.tar.gz`: the last dash that leaves a version.
    filename.rmatch_indices('-').find_map(|(at, _)| {
        let name = PackageName::from_str(&filename[..at]).ok()?;
        let version = wheel::version_of_sdist(filename, &name)?;
        Some((name, version))
    })
}

fn unnamed(url: &Url) -> String {
    format!(
        "`{}` does not say in its name which version of which package it is; only NAME-VERSION-….whl and NAME-VERSION.tar.gz can be named so",
        without_user(url)
    )
}

/// An address that may be shown.
fn without_user(url: &Url) -> String {
    let mut shown = url.clone();
    // Neither fails for an address that has a host.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}
