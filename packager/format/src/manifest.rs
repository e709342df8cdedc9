//! The documents of a package that comes piece by piece: what else has to be fetched.

use crate::read::{Problem, ReadError, parse};
use crate::wire::{self, Descriptor, Manifest, VersionProbe};
use crate::{Blob, FORMAT_VERSION, LayerKind};
use serde::Deserialize;

/// The media types under which a registry may keep a package: a manifest, or an index that names one.
pub const MANIFEST_MEDIA_TYPES: [&str; 2] = [wire::MEDIA_MANIFEST, wire::MEDIA_INDEX];

/// What a name on a registry stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteDocument {
    /// A package.
    Manifest(Listing),
    /// A list of images; the manifest of the one for us.
    Index(Blob),
}

/// What a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The config.
    pub config: Blob,
    /// The layers, in order.
    pub layers: Vec<(LayerKind, Blob)>,
}

/// Both kinds of documents, as far as they are told apart.
#[derive(Deserialize)]
struct Probe {
    manifests: Option<Vec<Descriptor>>,
}

impl RemoteDocument {
    /// Reads a document whose digest has been compared. `name` is for errors.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        Self::of(bytes).map_err(|problem| ReadError::new(name, problem))
    }

    fn of(bytes: &[u8]) -> Result<Self, Problem> {
        let probe: Probe = parse("manifest", bytes)?;
        if let Some(manifests) = probe.manifests {
            let ours = manifests.iter().find(|image| {
                image.media_type == wire::MEDIA_MANIFEST
                    && image.platform.as_ref().is_some_and(|platform| {
                        platform.os == wire::OS && platform.architecture == wire::ARCHITECTURE
                    })
            });
            return ours.map(blob).map(Self::Index).ok_or(Problem::Foreign);
        }
        let manifest: Manifest = parse("manifest", bytes)?;
        if manifest.config.media_type != wire::MEDIA_CONFIG {
            return Err(Problem::MediaType {
                what: "config",
                found: manifest.config.media_type,
                expected: wire::MEDIA_CONFIG,
            });
        }
        let layers = manifest.layers.iter().map(|layer| {
            let kind = layer.annotations.get(wire::LAYER_KIND);
            match kind.and_then(|kind| kind.parse().ok()) {
                Some(kind) if layer.media_type == wire::MEDIA_LAYER => Ok((kind, blob(layer))),
                _ => Err(Problem::Foreign),
            }
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        // One of each kind: a manifest cannot ask for thousands of downloads.
        if !layers.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(Problem::LayerOrder);
        }
        Ok(Self::Manifest(Listing {
            config: blob(&manifest.config),
            layers,
        }))
    }
}

/// The one image of an image layout, by its `index.json`, and the name recorded there.
pub fn layout_image(name: &str, index: &[u8]) -> Result<(Blob, Option<String>), ReadError> {
    let find = || {
        let index: wire::Index = parse("index.json", index)?;
        match index.manifests.as_slice() {
            [image] => Ok((blob(image), image.annotations.get(wire::REF_NAME).cloned())),
            images => Err(Problem::Images(images.len())),
        }
    };
    find().map_err(|problem| ReadError::new(name, problem))
}

/// Is this the config of a package that can be read here? To be asked before its layers are fetched.
pub fn check_config(name: &str, bytes: &[u8]) -> Result<(), ReadError> {
    let check = || match parse::<VersionProbe>("config", bytes)?.format() {
        Some(FORMAT_VERSION) => Ok(()),
        Some(other) => Err(Problem::FormatVersion(other)),
        None => Err(Problem::Foreign),
    };
    check().map_err(|problem| ReadError::new(name, problem))
}

fn blob(descriptor: &Descriptor) -> Blob {
    Blob {
        digest: descriptor.digest,
        size: descriptor.size,
    }
}
