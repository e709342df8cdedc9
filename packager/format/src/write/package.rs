//! Putting layers and config together into one file.

use super::BuiltLayer;
use super::zip::ZipWriter;
use crate::read::{self, blob_name};
use crate::wire::{
    self, Annotations, Descriptor, ImageConfig, Index, Manifest, OciLayout, Platform,
};
use crate::{AppConfig, BaseOrigin, Digest, Layer};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What goes into a package.
#[derive(Debug, Clone, Copy)]
pub struct PackageSpec<'a> {
    /// The name given with `-t`; it is not part of the package's digest.
    pub name: Option<&'a str>,
    /// Where the interpreter and the standard library come from, where that is known.
    pub base: Option<&'a BaseOrigin>,
    /// How the app is started.
    pub config: &'a AppConfig,
    /// The layers, in image order.
    pub layers: &'a [BuiltLayer],
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The package's digest.
    pub digest: Digest,
    /// The size of the file.
    pub size: u64,
}

/// Why no package was written. The file at the destination is what it was before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The set of layers is not one a reader would take.
    #[error("a package cannot be made of these layers: {0}")]
    Layers(String),
    /// The config is not one a reader would take.
    #[error("the package's config {0}")]
    Config(String),
    /// The file could not be written.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    Io {
        /// The destination.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
}

/// Writes a package to `dest`, replacing what is there.
///
/// The file is complete or not there at all: it is written beside `dest`, brought to the disk and
/// renamed.
pub fn write_package(dest: &Path, spec: &PackageSpec<'_>) -> Result<Written, WriteError> {
    let ImageBlobs {
        digest,
        manifest,
        config,
        layers,
    } = ImageBlobs::of(spec)?;
    let index = json(&index(&manifest, spec.name));
    let layout = json(&OciLayout {
        version: OciLayout::VERSION.to_owned(),
    });
    // Small documents first: opening a package touches the front and the end of the file only.
    let mut entries = vec![
        ("oci-layout".to_owned(), layout.as_slice()),
        ("index.json".to_owned(), &index),
        (blob_name(&digest), &manifest),
        (blob_name(&Digest::of(&config)), &config),
    ];
    entries.extend(
        layers
            .iter()
            .map(|layer| (blob_name(&layer.digest), layer.bytes.as_ref())),
    );
    let size = write_atomically(dest, &entries).map_err(|reason| WriteError::Io {
        path: dest.to_owned(),
        reason,
    })?;
    Ok(Written { digest, size })
}

/// The parts of a package by their content, for those who keep them in another way than in a file.
#[derive(Debug)]
pub struct ImageBlobs<'a> {
    /// The package's digest, which is the manifest's.
    pub digest: Digest,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The layers.
    pub layers: &'a [BuiltLayer],
}

impl<'a> ImageBlobs<'a> {
    /// What `spec` is made of.
    pub fn of(spec: &PackageSpec<'a>) -> Result<Self, WriteError> {
        let layers = spec.layers;
        check(layers)?;
        let config = json(&checked_config(spec.config, layers)?);
        let manifest = json(&manifest(&config, spec));
        Ok(Self {
            digest: Digest::of(&manifest),
            manifest,
            config,
            layers,
        })
    }
}

pub(super) fn write_atomically(dest: &Path, entries: &[(String, &[u8])]) -> io::Result<u64> {
    let mut size = 0;
    replace_file(dest, |file| {
        let mut zip = ZipWriter::new(file);
        for (name, bytes) in entries {
            zip.entry(name, bytes)?;
        }
        let (file, written) = zip.finish()?;
        size = written;
        file.flush()
    })?;
    Ok(size)
}

/// Where a file of this name is.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Writes a file beside `dest`, brings it to the disk and renames it: `dest` is what it was before, or all that `write` wrote. Others may
/// do with it what they might do with the one it replaces.
pub fn replace_file(
    dest: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(dest);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pywasm-").suffix(".tmp");
    // As any tool would create it: what others may do is the umask's business.
    let file = builder.permissions(permissions()).tempfile_in(folder)?;
    let mut buffered = BufWriter::new(file.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    if let Ok(old) = fs::metadata(dest)
        && old.is_file()
    {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(dest).map_err(|error| error.error)?;
    // The rename itself must survive a crash too.
    File::open(folder)?.sync_all()
}

fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}

fn check(layers: &[BuiltLayer]) -> Result<(), WriteError> {
    let described: Vec<_> = layers
        .iter()
        .map(|layer| Layer {
            kind: layer.kind,
            digest: layer.digest,
            diff_id: layer.diff_id,
            size: layer.bytes.len() as u64,
            mount: layer.mount.clone(),
        })
        .collect();
    read::check_layers(&described).map_err(|problem| WriteError::Layers(problem.to_string()))
}

/// The config, proven to be one that the reader takes and reads back as the same.
fn checked_config(config: &AppConfig, layers: &[BuiltLayer]) -> Result<ImageConfig, WriteError> {
    let image = || ImageConfig::new(config, layers.iter().map(|layer| layer.diff_id).collect());
    match image().into_app() {
        Ok((back, _)) if back.env == config.env => Ok(image()),
        Ok(_) => Err(WriteError::Config(
            "has an environment name with `=` in it".to_owned(),
        )),
        Err(error) => Err(WriteError::Config(error.to_string())),
    }
}

fn manifest(config: &[u8], spec: &PackageSpec<'_>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: wire::MEDIA_MANIFEST.to_owned(),
        config: descriptor(wire::MEDIA_CONFIG, config, Annotations::new()),
        annotations: spec.base.map(BaseOrigin::annotations).unwrap_or_default(),
        layers: spec
            .layers
            .iter()
            .map(|layer| Descriptor {
                digest: layer.digest,
                media_type: wire::MEDIA_LAYER.to_owned(),
                size: layer.bytes.len() as u64,
                platform: None,
                annotations: Annotations::from([
                    (wire::LAYER_KIND.to_owned(), layer.kind.to_string()),
                    (wire::LAYER_MOUNT.to_owned(), layer.mount.to_string()),
                ]),
            })
            .collect(),
    }
}

pub(super) fn index(manifest: &[u8], name: Option<&str>) -> Index {
    let annotations = name
        .map(|name| (wire::REF_NAME.to_owned(), name.to_owned()))
        .into_iter()
        .collect();
    let mut image = descriptor(wire::MEDIA_MANIFEST, manifest, annotations);
    image.platform = Some(Platform {
        architecture: wire::ARCHITECTURE.to_owned(),
        os: wire::OS.to_owned(),
    });
    Index {
        schema_version: 2,
        media_type: wire::MEDIA_INDEX.to_owned(),
        manifests: vec![image],
    }
}

fn descriptor(media_type: &str, bytes: &[u8], annotations: Annotations) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations,
    }
}

/// Field order is fixed by the structs, key order by `BTreeMap`.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        unreachable!("structs of strings, numbers and maps with string keys are JSON: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    #[test]
    fn what_is_replaced_keeps_its_mode() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("x");
        let mode = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("there");
            metadata.permissions().mode() & 0o777
        };
        let write = || replace_file(&path, |file| file.write_all(b"x"));
        write().expect("written");
        // As any other new file.
        let other = folder.path().join("other");
        std::fs::write(&other, "").expect("written");
        assert_eq!(mode(&path), mode(&other));
        for bits in [0o600, 0o664] {
            std::fs::set_permissions(&path, Permissions::from_mode(bits)).expect("owned");
            write().expect("written");
            assert_eq!(mode(&path), bits);
        }
    }
}
