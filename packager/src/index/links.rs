//! `--find-links`: a folder of wheels, or a page that links to some.

use super::cache::unreadable;
use super::{IndexError, MetadataFile, RemoteFile};
use std::path::{Path, PathBuf};
use url::Url;

/// A place given with `--find-links`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkPlace {
    /// A folder, or an HTML file, on this machine.
    Local(PathBuf),
    /// A page.
    Page(Url),
}

impl LinkPlace {
    /// Understands what people write: a path, a `file:` address or a page's address.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Local(PathBuf::from(text)));
        };
        let url: Url = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
        match scheme {
            "file" => url
                .to_file_path()
                .map(Self::Local)
                .map_err(|()| format!("`{text}` is no path on this machine")),
            "http" | "https" => Ok(Self::Page(url)),
            _ => Err(format!(
                "`{text}`: only folders, files, http and https can be searched"
            )),
        }
    }
}

/// The files in a local place. One that is not there holds nothing, as with pip.
pub(super) fn local(path: &Path) -> Result<Vec<RemoteFile>, IndexError> {
    let absolute = std::path::absolute(path).map_err(|reason| unreadable(path, reason))?;
    if absolute.is_file() {
        let text = std::fs::read_to_string(&absolute).map_err(|reason| unreadable(path, reason))?;
        return Ok(match Url::from_file_path(&absolute) {
            Ok(base) => super::html::parse(&text, &base),
            Err(()) => Vec::new(),
        });
    }
    let entries = match std::fs::read_dir(&absolute) {
        Ok(entries) => entries,
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(reason) => return Err(unreadable(path, reason)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|reason| unreadable(path, reason))?;
        let name = entry.file_name().into_string();
        if let (Ok(filename), Ok(url)) = (name, Url::from_file_path(entry.path())) {
            files.push(RemoteFile {
                filename,
                url,
                sha256: None,
                requires_python: None,
                yanked: None,
                metadata: MetadataFile::Absent,
                size: None,
                uploaded: None,
            });
        }
    }
    // The order of a folder is nobody's choice.
    files.sort_by(|one, other| one.filename.cmp(&other.filename));
    Ok(files)
}
