//! What a wheel says about itself: `METADATA` and `entry_points.txt`.

use super::WheelName;
use pywasm_format::EntryPoint;
use std::io::{self, Read, Seek};
use zip::ZipArchive;
use zip::result::ZipError;

const LARGEST_METADATA: u64 = 16 << 20;

/// The fields of `METADATA` that decide something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) requires_dist: Vec<String>,
    pub(crate) requires_python: Option<String>,
    pub(crate) provides_extra: Vec<String>,
}

impl Metadata {
    /// Reads the headers; the description behind them does not matter.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut metadata = Self::default();
        for (field, value) in headers(&text) {
            match field.to_ascii_lowercase().as_str() {
                "name" => metadata.name = value,
                "version" => metadata.version = value,
                "requires-dist" => metadata.requires_dist.push(value),
                "requires-python" => metadata.requires_python = Some(value),
                "provides-extra" => metadata.provides_extra.push(value),
                _ => {}
            }
        }
        metadata
    }
}

/// `Field: value` lines up to the first empty one; lines that begin with a space go on with the one
/// before.
pub(crate) fn headers(text: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            break;
        }
        match line.strip_prefix([' ', '\t']) {
            Some(more) => {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(more.trim());
                }
            }
            None => headers.extend(
                line.split_once(':')
                    .map(|(field, value)| (field.trim().to_owned(), value.trim().to_owned())),
            ),
        }
    }
    headers
}

/// Takes `METADATA` out of a wheel.
pub(crate) fn read_metadata(wheel: impl Read + Seek, filename: &str) -> io::Result<Vec<u8>> {
    let missing = || io::Error::other("it has no METADATA");
    read_dist_info(wheel, filename, "METADATA")?.ok_or_else(missing)
}

/// Takes a small file out of a wheel's `.dist-info` folder, if it is there.
pub(crate) fn read_dist_info(
    wheel: impl Read + Seek,
    filename: &str,
    what: &str,
) -> io::Result<Option<Vec<u8>>> {
    let mut archive = ZipArchive::new(wheel)?;
    let name =
        WheelName::parse(filename).ok_or_else(|| io::Error::other("its name is not a wheel's"))?;
    let folder = dist_info(archive.file_names().filter_map(Result::ok), &name)
        .ok_or_else(|| io::Error::other("it has no .dist-info folder of its name"))?;
    let file = match archive.by_name(&format!("{folder}/{what}")) {
        Err(ZipError::FileNotFound) => return Ok(None),
        found => found?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_METADATA + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_METADATA {
        true => Err(io::Error::other(format!("its {what} is too large"))),
        false => Ok(Some(bytes)),
    }
}

/// The wheel's `.dist-info` folder; its spelling may differ from the file name's.
pub(super) fn dist_info(
    names: impl Iterator<Item: AsRef<str>>,
    wheel: &WheelName,
) -> Option<String> {
    names
        .filter_map(|path| Some(path.as_ref().split_once('/')?.0.to_owned()))
        .find(|folder| {
            folder.strip_suffix(".dist-info").is_some_and(|stem| {
                stem.split_once('-').is_some_and(|(name, version)| {
                    name.parse()
                        .is_ok_and(|name: pep508_rs::PackageName| name == wheel.name)
                        && version
                            .parse()
                            .is_ok_and(|version: pep440_rs::Version| version == wheel.version)
                })
            })
        })
}

/// The console scripts in an `entry_points.txt`; lines that name no function are left out.
pub(crate) fn console_scripts(text: &str) -> Vec<(String, EntryPoint)> {
    let mut inside = false;
    let mut scripts = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').trim() == "console_scripts";
        } else if inside && !line.starts_with(['#', ';']) {
            let entry = line.split_once('=').and_then(|(name, target)| {
                // Extras in brackets are from before wheels and mean nothing now.
                let target = target.split('[').next().unwrap_or_default();
                let plain: String = target.chars().filter(|c| !c.is_whitespace()).collect();
                let name = name.trim();
                let usable = !name.is_empty() && !name.contains('/');
                Some((name.to_owned(), plain.parse().ok().filter(|_| usable)?))
            });
            scripts.extend(entry);
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_headers() {
        let text = "Metadata-Version: 2.1\nName: Flask\nVersion: 3.1\nRequires-Dist: werkzeug>=3.1\nrequires-dist: asgiref ;\n  extra == 'async'\nProvides-Extra: async\nRequires-Python: >=3.9\n\nRequires-Dist: not-a-header\n";
        let metadata = Metadata::parse(text.as_bytes());
        assert_eq!(
            (metadata.name.as_str(), metadata.version.as_str()),
            ("Flask", "3.1")
        );
        assert_eq!(
            metadata.requires_dist,
            ["werkzeug>=3.1", "asgiref ; extra == 'async'"]
        );
        assert_eq!(metadata.provides_extra, ["async"]);
        assert_eq!(metadata.requires_python.as_deref(), Some(">=3.9"));
    }

    #[test]
    fn entry_points() {
        let scripts = console_scripts(
            "[console_scripts]\nflask = flask.cli:main\nold=a.b : c [extra]\n# x = y:z\nbad = not a target\n../up = a:b\n[gui_scripts]\ng = a:b\n",
        );
        let shown: Vec<_> = scripts
            .iter()
            .map(|(name, entry)| format!("{name} {entry}"))
            .collect();
        assert_eq!(shown, ["flask flask.cli:main", "old a.b:c"]);
    }
}
