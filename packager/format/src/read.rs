//! Opening a package.

use crate::archive::{Archive, ArchiveError, Section, Source};
use crate::escaped::escaped;
use crate::problem::json_problem;
use crate::verified::Verified;
use crate::wire::{self, ConfigError, Descriptor, ImageConfig, Index, Manifest, OciLayout};
use crate::{AppConfig, BaseOrigin, Digest, FORMAT_VERSION, GuestPath, Layer, LayerKind};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a package may cost to open and read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Entries of the zip file.
    pub entries: u16,
    /// Bytes of one JSON document.
    pub json: u64,
    /// Bytes of one layer, uncompressed.
    pub layer: u64,
}

impl Default for ReadLimits {
    /// 64 entries, 4 MiB of JSON, 4 GiB per layer.
    fn default() -> Self {
        Self {
            entries: 64,
            json: 4 << 20,
            layer: 4 << 30,
        }
    }
}

/// Why a file is no package that this version can read.
#[derive(Debug, Error)]
#[error("package {path}: {problem}", path = path.display())]
pub struct ReadError {
    path: PathBuf,
    problem: Problem,
}

impl ReadError {
    pub(crate) fn new(name: impl Into<PathBuf>, problem: Problem) -> Self {
        Self {
            path: name.into(),
            problem,
        }
    }

    /// The system's error, where reading the file failed (not there, not allowed).
    pub fn io(&self) -> Option<&io::Error> {
        match &self.problem {
            Problem::Open(error) | Problem::Archive(ArchiveError::Io(error)) => Some(error),
            _ => None,
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum Problem {
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("`{}` is missing", escaped(.0))]
    Missing(String),
    #[error("`{}` is {size} bytes, over the limit of {limit}", escaped(what))]
    TooLarge { what: String, size: u64, limit: u64 },
    #[error("`{0}` is not the size that its descriptor says")]
    Size(Digest),
    #[error("`{}` cannot be read: {reason}", escaped(what))]
    Content { what: String, reason: io::Error },
    #[error(
        "`{}` is not the JSON expected there: {}",
        escaped(what),
        escaped(reason)
    )]
    Json { what: String, reason: String },
    #[error("has image layout version `{}`, this pywasm reads 1.0.0", escaped(.0))]
    LayoutVersion(String),
    #[error(
        "has package format {0}, this pywasm reads format {FORMAT_VERSION}; use the pywasm it was packed with or pack again"
    )]
    FormatVersion(u32),
    #[error("is an OCI image, but not one made by `pywasm pack`: its config has no `pywasm` part")]
    Foreign,
    #[error("holds {0} images; a package holds one")]
    Images(usize),
    #[error(
        "has a {what} of media type `{}`, expected `{expected}`",
        escaped(found)
    )]
    MediaType {
        what: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error("its config {0}")]
    Config(#[from] ConfigError),
    #[error("has {layers} layers but {diff_ids} diff ids")]
    DiffIds { layers: usize, diff_ids: usize },
    #[error("layer {0} lacks a kind and mount that this version knows")]
    Annotations(Digest),
    #[error(
        "layers must be one runtime, one stdlib, then at most one dependencies, one snapshot and one app, in this order"
    )]
    LayerOrder,
    #[error("two layers are mounted at {}", escaped(.0.as_str()))]
    SameMount(GuestPath),
    #[error("a layer is mounted at `/`; layers need a folder of their own")]
    RootMount,
}

/// A part of a package by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// A package whose structure and description were checked. Layer contents are checked as they are read.
#[derive(Debug)]
pub struct Package {
    source: Source,
    path: PathBuf,
    digest: Digest,
    name: Option<String>,
    base: Option<BaseOrigin>,
    config: AppConfig,
    config_blob: Blob,
    manifest_size: u64,
    layers: Vec<Layer>,
    limits: ReadLimits,
}

impl Package {
    /// Opens and checks the package at `path`.
    pub fn open(path: &Path, limits: &ReadLimits) -> Result<Self, ReadError> {
        Self::open_file(path, limits).map_err(|problem| ReadError {
            path: path.to_owned(),
            problem,
        })
    }

    fn open_file(path: &Path, limits: &ReadLimits) -> Result<Self, Problem> {
        let file = File::open(path).map_err(Problem::Open)?;
        let source = Source::Archive(Archive::open(file, limits.entries)?);
        let documents = Documents {
            source: &source,
            limit: limits.json,
        };
        let layout: OciLayout = parse("oci-layout", &documents.escaped("oci-layout")?)?;
        if layout.version != OciLayout::VERSION {
            return Err(Problem::LayoutVersion(layout.version));
        }
        let index: Index = parse("index.json", &documents.escaped("index.json")?)?;
        let [image] = index.manifests.as_slice() else {
            return Err(Problem::Images(index.manifests.len()));
        };
        expect_media_type("manifest", image, wire::MEDIA_MANIFEST)?;
        let (digest, size) = (image.digest, image.size);
        let name = image.annotations.get(wire::REF_NAME).cloned();
        Self::of_manifest(source, path, Blob { digest, size }, name, limits)
    }

    /// Opens the package whose manifest is `digest` among the blobs in `folder` (`blobs/sha256/…`), as
    /// a store keeps them. `name` is what it is called there.
    pub fn open_blobs(
        folder: &Path,
        digest: Digest,
        name: Option<String>,
        limits: &ReadLimits,
    ) -> Result<Self, ReadError> {
        let source = Source::Folder(folder.to_owned());
        let manifest = blob_name(&digest);
        let opened = match source.size(&manifest) {
            None => Err(Problem::Missing(manifest)),
            Some(size) => Self::of_manifest(source, folder, Blob { digest, size }, name, limits),
        };
        opened.map_err(|problem| ReadError {
            path: folder.to_owned(),
            problem,
        })
    }

    fn of_manifest(
        source: Source,
        path: &Path,
        image: Blob,
        name: Option<String>,
        limits: &ReadLimits,
    ) -> Result<Self, Problem> {
        let documents = Documents {
            source: &source,
            limit: limits.json,
        };
        let manifest: Manifest = parse("manifest", &documents.blob(image)?)?;
        expect_media_type("config", &manifest.config, wire::MEDIA_CONFIG)?;
        let config_blob = Blob {
            digest: manifest.config.digest,
            size: manifest.config.size,
        };
        let config = documents.blob(config_blob)?;
        match parse::<wire::VersionProbe>("config", &config)?.format() {
            Some(FORMAT_VERSION) => {}
            Some(other) => return Err(Problem::FormatVersion(other)),
            None => return Err(Problem::Foreign),
        }
        let (config, diff_ids) = parse::<ImageConfig>("config", &config)?.into_app()?;
        let layers = layers(&source, &manifest.layers, &diff_ids)?;
        Ok(Self {
            path: path.to_owned(),
            digest: image.digest,
            name,
            base: BaseOrigin::of(&manifest.annotations),
            config,
            config_blob,
            manifest_size: image.size,
            layers,
            limits: *limits,
            source,
        })
    }

    /// The digest of the manifest: the identity of the package, whatever its file or tag is called.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The name given with `-t`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the interpreter and the standard library come from, as the package's maker says.
    pub fn base(&self) -> Option<&BaseOrigin> {
        self.base.as_ref()
    }

    /// What the package says about starting its app.
    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    /// The layers, in image order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Everything the package is made of: the manifest, the config, the layers.
    pub fn blobs(&self) -> Vec<Blob> {
        let manifest = Blob {
            digest: self.digest,
            size: self.manifest_size,
        };
        let layers = self.layers.iter().map(|layer| Blob {
            digest: layer.digest,
            size: layer.size,
        });
        [manifest, self.config_blob]
            .into_iter()
            .chain(layers)
            .collect()
    }

    /// The bytes of one of [`Self::blobs`]. Reading gives an error instead of an end where they are not
    /// the promised ones.
    pub fn open_blob(&self, blob: Blob) -> Result<impl Read, ReadError> {
        let name = blob_name(&blob.digest);
        let section = self.source.read(&name).ok_or_else(|| ReadError {
            path: self.path.clone(),
            problem: Problem::Missing(name),
        })?;
        Ok(Verified::new(section, blob.digest, blob.size, "blob"))
    }

    /// Reads everything it is made of and compares the digests, for those who vouch for it.
    pub fn verify(&self) -> Result<(), ReadError> {
        for blob in self.blobs() {
            let mut reader = self.open_blob(blob)?;
            io::copy(&mut reader, &mut io::sink()).map_err(|reason| ReadError {
                path: self.path.clone(),
                problem: Problem::Content {
                    what: blob_name(&blob.digest),
                    reason,
                },
            })?;
        }
        Ok(())
    }

    /// The layer of a kind, if there is one.
    pub fn layer(&self, kind: LayerKind) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.kind == kind)
    }

    /// The tar bytes of a layer. Reading gives an error instead of an end where the digest or the
    /// size is not the promised one: nothing read counts before the end was reached.
    pub fn open_layer(&self, layer: &Layer) -> Result<LayerReader, ReadError> {
        let fail = |problem| ReadError {
            path: self.path.clone(),
            problem,
        };
        let name = blob_name(&layer.digest);
        let section = self
            .source
            .read(&name)
            .ok_or_else(|| fail(Problem::Missing(name.clone())))?;
        let blob = Verified::new(section, layer.digest, layer.size, "layer");
        let unpacked = decompress(blob).map_err(|reason| {
            fail(Problem::Content {
                what: name.clone(),
                reason,
            })
        })?;
        Ok(LayerReader(Verified::new(
            unpacked,
            layer.diff_id,
            self.limits.layer,
            "content of layer",
        )))
    }
}

/// The uncompressed, verified bytes of a layer.
pub struct LayerReader(Verified<WholeFrame>);

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The largest window a layer may ask for: 8 MiB, what the highest ordinary level uses. Without it a
/// few bytes could make the reader allocate 2 GiB.
const WINDOW_LOG: u32 = 23;

/// One zstd frame that reaches to the end of its blob.
struct WholeFrame(zstd::Decoder<'static, BufReader<Verified<Section>>>);

fn decompress(blob: Verified<Section>) -> io::Result<WholeFrame> {
    let mut decoder = zstd::Decoder::new(blob)?.single_frame();
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(WholeFrame(decoder))
}

impl Read for WholeFrame {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        // At the end of the frame the blob is read to its end too: that is what checks its digest.
        if read == 0 && !buffer.is_empty() && self.0.get_mut().read(&mut [0])? != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "bytes follow the compressed data of the layer",
            ));
        }
        Ok(read)
    }
}

/// JSON documents of the archive, each within the limit.
struct Documents<'a> {
    source: &'a Source,
    limit: u64,
}

impl Documents<'_> {
    fn escaped(&self, name: &str) -> Result<Vec<u8>, Problem> {
        self.check_size(name)?;
        let section = self
            .source
            .read(name)
            .ok_or_else(|| Problem::Missing(name.to_owned()))?;
        self.read(name, section)
    }

    /// A document whose digest is checked before anybody parses it.
    fn blob(&self, blob: Blob) -> Result<Vec<u8>, Problem> {
        let name = blob_name(&blob.digest);
        let size = self.check_size(&name)?;
        if size != blob.size {
            return Err(Problem::Size(blob.digest));
        }
        let section = self
            .source
            .read(&name)
            .ok_or_else(|| Problem::Missing(name.clone()))?;
        self.read(&name, Verified::new(section, blob.digest, size, "document"))
    }

    fn check_size(&self, name: &str) -> Result<u64, Problem> {
        let size = self
            .source
            .size(name)
            .ok_or_else(|| Problem::Missing(name.to_owned()))?;
        match size <= self.limit {
            true => Ok(size),
            false => Err(Problem::TooLarge {
                what: name.to_owned(),
                size,
                limit: self.limit,
            }),
        }
    }

    fn read(&self, name: &str, mut reader: impl Read) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|reason| Problem::Content {
                what: name.to_owned(),
                reason,
            })?;
        Ok(bytes)
    }
}

pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::Json {
        what: what.to_owned(),
        reason: json_problem(bytes, &error),
    })
}

fn expect_media_type(
    what: &'static str,
    descriptor: &Descriptor,
    expected: &'static str,
) -> Result<(), Problem> {
    match descriptor.media_type == expected {
        true => Ok(()),
        false => Err(Problem::MediaType {
            what,
            found: descriptor.media_type.clone(),
            expected,
        }),
    }
}

fn layers(
    source: &Source,
    descriptors: &[Descriptor],
    diff_ids: &[Digest],
) -> Result<Vec<Layer>, Problem> {
    if descriptors.len() != diff_ids.len() {
        return Err(Problem::DiffIds {
            layers: descriptors.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let layers = descriptors
        .iter()
        .zip(diff_ids)
        .map(|(descriptor, diff_id)| layer(source, descriptor, *diff_id))
        .collect::<Result<Vec<_>, _>>()?;
    check_layers(&layers)?;
    Ok(layers)
}

fn layer(source: &Source, descriptor: &Descriptor, diff_id: Digest) -> Result<Layer, Problem> {
    expect_media_type("layer", descriptor, wire::MEDIA_LAYER)?;
    let annotation = |key| descriptor.annotations.get(key);
    let unknown = || Problem::Annotations(descriptor.digest);
    let name = blob_name(&descriptor.digest);
    match source.size(&name) {
        None => return Err(Problem::Missing(name)),
        Some(size) if size != descriptor.size => return Err(Problem::Size(descriptor.digest)),
        Some(_) => {}
    }
    Ok(Layer {
        kind: annotation(wire::LAYER_KIND)
            .and_then(|kind| kind.parse().ok())
            .ok_or_else(unknown)?,
        mount: annotation(wire::LAYER_MOUNT)
            .and_then(|mount| mount.parse().ok())
            .ok_or_else(unknown)?,
        digest: descriptor.digest,
        diff_id,
        size: descriptor.size,
    })
}

/// The rules for the set of layers, which the writer keeps too.
pub(crate) fn check_layers(layers: &[Layer]) -> Result<(), Problem> {
    let kinds: Vec<_> = layers.iter().map(|layer| layer.kind).collect();
    let ordered = kinds.is_sorted_by(|one, next| one < next);
    if !ordered || !kinds.starts_with(&[LayerKind::Runtime, LayerKind::Stdlib]) {
        return Err(Problem::LayerOrder);
    }
    for (number, layer) in layers.iter().enumerate() {
        if layer.mount == GuestPath::root() {
            return Err(Problem::RootMount);
        }
        if layers[..number]
            .iter()
            .any(|other| other.mount == layer.mount)
        {
            return Err(Problem::SameMount(layer.mount.clone()));
        }
    }
    Ok(())
}

pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
