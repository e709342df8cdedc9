//! A layer in a file of its own, with what its maker says of it: for caches, which make again what does not come back.

use super::BuiltLayer;
use crate::{Digest, GuestPath, LayerKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

/// What stands before the layer, in JSON.
#[derive(Serialize, Deserialize)]
struct Head<T> {
    mount: GuestPath,
    digest: Digest,
    diff_id: Digest,
    said: T,
}

/// Of the head, in bytes.
type Length = u32;

impl BuiltLayer {
    /// Keeps the layer and what is `said` of it in the file `path`, in place of an older one.
    pub fn keep<T: Serialize>(&self, path: &Path, said: &T) -> io::Result<()> {
        let head = serde_json::to_vec(&Head {
            mount: self.mount.clone(),
            digest: self.digest,
            diff_id: self.diff_id,
            said,
        })?;
        let length = Length::try_from(head.len()).map_err(io::Error::other)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&head)?;
        file.write_all(&self.bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// The layer of that kind which was kept in the file `path`, and what was said of it. An error if it is not there, or damaged.
    pub fn kept<T: DeserializeOwned>(path: &Path, kind: LayerKind) -> io::Result<(Self, T)> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // By this time a cache knows what was not used for longest; nothing else depends on it.
        let _ = file.set_modified(SystemTime::now());
        let (length, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let length = Length::from_le_bytes(*length) as usize;
        let head = rest.get(..length).ok_or_else(damaged)?;
        let head: Head<T> = serde_json::from_slice(head)?;
        let layer = bytes.split_off(size_of::<Length>() + length);
        if Digest::of(&layer) != head.digest {
            return Err(damaged());
        }
        let layer = Self {
            kind,
            mount: head.mount,
            digest: head.digest,
            diff_id: head.diff_id,
            bytes: layer.into(),
        };
        Ok((layer, head.said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::LayerWriter;
    use std::fs;

    #[test]
    fn a_layer_comes_back_as_it_was_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kept");
        let kind = LayerKind::Dependencies;
        let writer = LayerWriter::new(kind, "/at".parse().expect("a path")).expect("a writer");
        let layer = writer.finish().expect("a layer");
        layer.keep(&path, &("said", 1)).expect("kept");
        let (back, said): (_, (String, u8)) = BuiltLayer::kept(&path, kind).expect("read");
        assert_eq!(said, ("said".to_owned(), 1));
        assert_eq!(
            (back.digest, back.diff_id, &back.bytes, &back.mount),
            (layer.digest, layer.diff_id, &layer.bytes, &layer.mount)
        );

        let whole = fs::read(&path).expect("read");
        for damaged in [&whole[..2], &whole[..20], &whole[..whole.len() - 1]] {
            fs::write(&path, damaged).expect("written");
            assert!(BuiltLayer::kept::<(String, u8)>(&path, kind).is_err());
        }
    }
}
