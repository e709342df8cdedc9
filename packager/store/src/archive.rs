//! OCI archives: image layouts in tar files, as other tools write them.

use crate::incoming::Settled;
use crate::{Loaded, Naming, Store, StoreError};
use pywasm_format::{Blob, Digest, ReadLimits, archive_problem, layout_image};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use tar::{Archive, Entry};

type Part<'a> = Entry<'a, BufReader<File>>;

impl Store {
    /// Takes the package out of an OCI archive and gives it a name.
    /// Each part is compared with its digest as it comes; what no name needs in the end, `prune` removes.
    pub fn load_archive(&self, path: &Path, naming: Naming<'_>) -> Result<Loaded, StoreError> {
        let limits = ReadLimits::default();
        let wrong = |reason: String| StoreError::Archive {
            path: path.to_owned(),
            reason,
        };
        let broken = |error: std::io::Error| wrong(archive_problem(&error));
        let file = File::open(path).map_err(|reason| StoreError::read(path, reason))?;
        let mut archive = Archive::new(BufReader::new(file));
        let mut index = None;
        let mut entries = 0;
        for part in archive.entries().map_err(broken)? {
            let mut part = part.map_err(broken)?;
            entries += 1;
            if entries > limits.entries {
                return Err(wrong(format!("it has over {} entries", limits.entries)));
            }
            let written = part.path_bytes().into_owned();
            let place = String::from_utf8_lossy(&written);
            let place = place.strip_prefix("./").unwrap_or(&place);
            let is_file = part.header().entry_type().is_file();
            match place.strip_prefix("blobs/sha256/").map(Digest::from_hex) {
                Some(Ok(digest)) if is_file => {
                    if part.size() > limits.layer {
                        return Err(wrong(format!(
                            "{place} is over the limit of {}",
                            limits.layer
                        )));
                    }
                    self.take(&mut part, digest, &broken, &wrong)?;
                }
                None if place == "index.json" && is_file => {
                    if part.size() > limits.json {
                        return Err(wrong(format!(
                            "index.json is over the limit of {}",
                            limits.json
                        )));
                    }
                    let mut bytes = Vec::new();
                    part.read_to_end(&mut bytes).map_err(broken)?;
                    if index.replace(bytes).is_some() {
                        return Err(wrong("it has two files index.json".to_owned()));
                    }
                }
                // Folders, `oci-layout`, and what other tools add for themselves.
                _ => {}
            }
        }
        let index = index
            .ok_or_else(|| wrong("it has no index.json, so it is no OCI archive".to_owned()))?;
        let (manifest, recorded) = layout_image(&path.display().to_string(), &index)?;
        let (name, before) = self.name_for(path, manifest.digest, recorded.as_deref(), naming)?;
        if !self.holds(&manifest.digest) {
            return Err(wrong(format!(
                "its manifest {} is missing",
                manifest.digest
            )));
        }
        let manifest = self.small(&manifest)?;
        let image = self.admit(&manifest, &name)?;
        Ok(Loaded { image, before })
    }

    fn take(
        &self,
        part: &mut Part<'_>,
        digest: Digest,
        broken: &impl Fn(std::io::Error) -> StoreError,
        wrong: &impl Fn(String) -> StoreError,
    ) -> Result<(), StoreError> {
        let size = part.size();
        let Some(mut incoming) = self.incoming(Blob { digest, size })? else {
            return Ok(());
        };
        // What another transfer has left is not looked at: all of it is here.
        incoming.restart()?;
        let mut bytes = vec![0; 1 << 16];
        loop {
            match part.read(&mut bytes).map_err(broken)? {
                0 => break,
                read => incoming.add(&bytes[..read])?,
            }
        }
        match incoming.finish()? {
            Settled::InPlace => Ok(()),
            Settled::Wrong(found, _) => Err(wrong(format!(
                "the content of {digest} has the digest {found}; the archive is damaged or forged"
            ))),
        }
    }
}
