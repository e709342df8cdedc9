//! Writing a package that is there already to a file of its own.

use super::WriteError;
use super::package::{index, json, replace_file, write_atomically};
use crate::Package;
use crate::read::blob_name;
use crate::wire::OciLayout;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes `package` to a package file at `dest`, replacing what is there.
pub fn copy_package(dest: &Path, package: &Package) -> Result<u64, WriteError> {
    let documents = Documents::of(package).map_err(|reason| failed(dest, reason))?;
    write_atomically(dest, &documents.entries()).map_err(|reason| failed(dest, reason))
}

/// Writes `package` to `dest` as an OCI archive: a tar of the image layout, as skopeo, podman and
/// containerd read it.
pub fn write_oci_archive(dest: &Path, package: &Package) -> Result<u64, WriteError> {
    let write = || {
        let documents = Documents::of(package)?;
        replace_file(dest, |file| {
            let mut archive = tar::Builder::new(file);
            for (name, bytes) in documents.entries() {
                let mut header = tar::Header::new_ustar();
                header.set_mode(0o644);
                header.set_size(bytes.len() as u64);
                header.set_entry_type(tar::EntryType::Regular);
                archive.append_data(&mut header, name, bytes)?;
            }
            archive.into_inner()?.flush()
        })?;
        Ok(std::fs::metadata(dest)?.len())
    };
    write().map_err(|reason| failed(dest, reason))
}

/// The files of an image layout, verified while they were read.
struct Documents(Vec<(String, Vec<u8>)>);

impl Documents {
    fn of(package: &Package) -> io::Result<Self> {
        let mut blobs = Vec::new();
        for blob in package.blobs() {
            let mut bytes = Vec::new();
            package
                .open_blob(blob)
                .map_err(io::Error::other)?
                .read_to_end(&mut bytes)?;
            blobs.push((blob_name(&blob.digest), bytes));
        }
        let manifest = blobs.first().map_or(&[][..], |(_, bytes)| bytes);
        let mut documents = vec![
            (
                "oci-layout".to_owned(),
                json(&OciLayout {
                    version: OciLayout::VERSION.to_owned(),
                }),
            ),
            (
                "index.json".to_owned(),
                json(&index(manifest, package.name())),
            ),
        ];
        documents.append(&mut blobs);
        Ok(Self(documents))
    }

    fn entries(&self) -> Vec<(String, &[u8])> {
        let entries = self.0.iter();
        entries
            .map(|(name, bytes)| (name.clone(), bytes.as_slice()))
            .collect()
    }
}

fn failed(dest: &Path, reason: io::Error) -> WriteError {
    WriteError::Io {
        path: dest.to_owned(),
        reason,
    }
}
