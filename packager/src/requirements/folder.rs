//! Requirements that name a folder: `./lib`, `.[web]`, `name @ file:///home/me/lib`, `-e ./lib`. An archive is made of
//! the folder's files, and that is what is required.

use super::direct;
use crate::project;
use pep508_rs::PackageName;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

/// The line with the archive in place of the folder; `None` if it names none. Paths are relative to `beside`.
pub(super) fn archived(
    line: &str,
    beside: Option<&Path>,
    cache_dir: &Path,
) -> Result<Option<String>, String> {
    let (text, marker) = match line.split_once(" ;") {
        Some((text, marker)) => (text.trim(), Some(marker.trim())),
        None => (line.trim(), None),
    };
    let (named, place) = match text.split_once('@') {
        Some((named, place)) if !direct::is_place(text) => (Some(named.trim()), place.trim()),
        _ => (None, text),
    };
    let (place, extras) = match (named, place.strip_suffix(']').and_then(|_| place.find('['))) {
        (None, Some(at)) => place.split_at(at),
        _ => (place, ""),
    };
    let Some(folder) = folder(place, beside) else {
        return Ok(None);
    };
    let archive = project::archive_of_folder(&folder, cache_dir)
        .map_err(|reason| format!("`{place}`: {reason}"))?;
    let asked = named.map_or_else(|| format!("{}{extras}", archive.name), str::to_owned);
    let name = asked.split('[').next().unwrap_or_default().trim();
    if PackageName::from_str(name).ok() != PackageName::from_str(&archive.name).ok() {
        return Err(format!("`{place}` is {}, not {name}", archive.name));
    }
    let url = Url::from_file_path(&archive.path)
        .map_err(|()| format!("{} is no absolute path", archive.path.display()))?;
    let marker = marker.map(|marker| format!(" ; {marker}"));
    Ok(Some(format!(
        "{asked} @ {url}{}",
        marker.unwrap_or_default()
    )))
}

/// The folder on this machine that a text names.
fn folder(place: &str, beside: Option<&Path>) -> Option<PathBuf> {
    let path = match place.contains("://") {
        true => place.parse::<Url>().ok()?.to_file_path().ok()?,
        false if direct::is_place(place) => match beside {
            Some(folder) => folder.join(place),
            None => PathBuf::from(place),
        },
        false => return None,
    };
    path.canonicalize().ok().filter(|path| path.is_dir())
}
