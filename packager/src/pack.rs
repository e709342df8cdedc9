//! Carrying out a plan.

use crate::dependencies::{self, DependenciesError, DependenciesLayer};
use crate::index::Client;
use crate::plan::{Note, Plan};
use crate::project::AppFile;
use crate::{BaseLayers, Event, IndexError, Progress};
use pywasm_format::write::{
    BuiltLayer, LayerError, LayerWriter, PackageSpec, WriteError, write_package,
};
use pywasm_format::{Digest, LayerKind};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// The file written.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
    /// The package's digest.
    pub digest: Digest,
    /// Its layers, in image order.
    pub layers: Vec<LayerReport>,
    /// What the person should know; those of the plan are not repeated.
    pub notes: Vec<Note>,
}

/// A layer that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// What it is for.
    pub kind: LayerKind,
    /// The digest of the compressed layer.
    pub digest: Digest,
    /// Its compressed size.
    pub size: u64,
}

/// Why no package was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file of the app cannot be read.
    #[error("{path} cannot be read: {reason}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// A layer cannot be made.
    #[error("the {kind} layer: {reason}")]
    Layer {
        /// Which layer.
        kind: LayerKind,
        /// What is wrong.
        reason: LayerError,
    },
    /// A wheel cannot be had, or is not one to trust.
    #[error(transparent)]
    Dependencies(#[from] DependenciesError),
    /// The connection to the indexes.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The package cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Plan {
    /// Fetches the wheels, builds the layers and writes the package to `output`.
    pub fn pack(
        &self,
        base: &BaseLayers,
        output: &Path,
        progress: &dyn Progress,
    ) -> Result<PackReport, PackError> {
        let mut config = self.content.config.clone();
        let mut layers = vec![base.runtime.clone(), base.stdlib.clone()];
        let mut notes = Vec::new();
        if !self.resolution.wheels.is_empty() {
            let client = Client::new(
                &self.access.places,
                &self.access.connection,
                &self.cache_dir,
                progress,
            )?;
            let dependencies =
                dependencies::build(&self.resolution.wheels, base, &client, progress)?;
            let DependenciesLayer {
                layer,
                packages,
                scripts,
                notes: news,
            } = dependencies;
            layers.push(layer);
            config.packages = packages;
            config.scripts = scripts;
            notes = news;
        }
        if !self.content.files.is_empty() {
            progress.event(Event::Layer(LayerKind::App));
            layers.push(self.app_layer()?);
        }
        progress.event(Event::Writing);
        let spec = PackageSpec {
            name: self.name.as_deref(),
            config: &config,
            layers: &layers,
        };
        let written = write_package(output, &spec)?;
        Ok(PackReport {
            path: output.to_owned(),
            size: written.size,
            digest: written.digest,
            layers: layers.iter().map(LayerReport::of).collect(),
            notes,
        })
    }

    fn app_layer(&self) -> Result<BuiltLayer, PackError> {
        let kind = LayerKind::App;
        let fail = |reason| PackError::Layer { kind, reason };
        let content = &self.content;
        let mut writer =
            LayerWriter::new(kind, content.config.working_dir.clone()).map_err(fail)?;
        let mut files: Vec<_> = content.files.iter().collect();
        files.sort_by(|(one, _), (other, _)| LayerWriter::compare(one, other));
        for (path, AppFile { source, size, mode }) in files {
            let file = File::open(source).map_err(|reason| PackError::Read {
                path: source.clone(),
                reason,
            })?;
            writer.file(path, *mode, *size, file).map_err(fail)?;
        }
        writer.finish().map_err(fail)
    }
}

impl LayerReport {
    fn of(layer: &BuiltLayer) -> Self {
        Self {
            kind: layer.kind,
            digest: layer.digest,
            size: layer.bytes.len() as u64,
        }
    }
}
