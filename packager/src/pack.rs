//! Carrying out a plan.

use crate::dependencies::{self, Dependencies, DependenciesError};
use crate::index::Client;
use crate::plan::{Note, Plan, Requirements};
use crate::project::{ProjectError, io_error};
use crate::settings::Access;
use crate::{BaseLayers, Event, IndexError, Progress};
use pywasm_format::write::{
    BuiltLayer, LayerError, LayerWriter, PackageSpec, WriteError, write_package,
};
use pywasm_format::{AppConfig, BaseOrigin, Digest, LayerKind};
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
    #[error(transparent)]
    Read(#[from] ProjectError),
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

/// Everything of a package, ready to be written to a file or put into a store.
#[derive(Debug)]
pub struct Built {
    name: Option<String>,
    base: BaseOrigin,
    config: AppConfig,
    layers: Vec<BuiltLayer>,
    notes: Vec<Note>,
}

impl Built {
    /// The package as writers take it.
    pub fn spec(&self) -> PackageSpec<'_> {
        PackageSpec {
            name: self.name.as_deref(),
            base: Some(&self.base),
            config: &self.config,
            layers: &self.layers,
        }
    }

    /// How it starts.
    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    /// Adds the snapshot that was taken of it, in place of an older one.
    pub fn set_snapshot(&mut self, layer: BuiltLayer) {
        self.layers.retain(|other| other.kind != layer.kind);
        let place = self.layers.partition_point(|other| other.kind < layer.kind);
        self.layers.insert(place, layer);
    }

    /// Its layers, in image order.
    pub fn layers(&self) -> Vec<LayerReport> {
        self.layers.iter().map(LayerReport::of).collect()
    }

    /// What the person should know; those of the plan are not repeated.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Writes the package to the file `output`.
    pub fn write(&self, output: &Path) -> Result<PackReport, PackError> {
        let written = write_package(output, &self.spec())?;
        Ok(PackReport {
            path: output.to_owned(),
            size: written.size,
            digest: written.digest,
            layers: self.layers(),
            notes: self.notes.clone(),
        })
    }
}

impl Plan {
    /// Fetches the wheels and builds the layers.
    pub fn build(&self, base: &BaseLayers, progress: &dyn Progress) -> Result<Built, PackError> {
        let mut config = self.content.config.clone();
        let mut layers = vec![base.runtime(self.base()).clone(), base.stdlib.clone()];
        let (dependencies, notes) = self.dependencies(base, progress)?;
        if let Some(Dependencies { layer, contents }) = dependencies {
            layers.push(layer);
            config.packages = contents.packages;
            config.scripts = contents.scripts;
        }
        if !self.content.is_empty() {
            progress.event(Event::Layer(LayerKind::App));
            layers.push(self.app_layer()?);
        }
        progress.event(Event::Writing);
        Ok(Built {
            name: self.name.clone(),
            base: base.origin(self.base()),
            config,
            layers,
            notes,
        })
    }

    /// What the requirements are made into; nothing if there are none.
    fn dependencies(
        &self,
        base: &BaseLayers,
        progress: &dyn Progress,
    ) -> Result<(Option<Dependencies>, Vec<Note>), PackError> {
        let (resolution, kept) = match &self.requirements {
            Requirements::Made(dependencies) => {
                return Ok((Some(dependencies.clone()), Vec::new()));
            }
            Requirements::Resolved(resolution, _) if resolution.wheels.is_empty() => {
                return Ok((None, Vec::new()));
            }
            Requirements::Resolved(resolution, kept) => (resolution, kept),
        };
        let Access {
            places, connection, ..
        } = &self.access;
        let client = Client::new(places, connection, &self.cache_dir, progress)?;
        let (dependencies, notes) = dependencies::build(resolution, base, &client, progress)?;
        if let Some(kept) = kept {
            kept.write(&dependencies);
        }
        Ok((Some(dependencies), notes))
    }

    fn app_layer(&self) -> Result<BuiltLayer, PackError> {
        let kind = LayerKind::App;
        let fail = |reason| PackError::Layer { kind, reason };
        let content = &self.content;
        let mut writer =
            LayerWriter::new(kind, content.config.working_dir.clone()).map_err(fail)?;
        let files = content.files.iter().map(|(path, file)| (path, Some(file)));
        let empty = content.empty_folders().map(|path| (path, None));
        let mut entries: Vec<_> = files.chain(empty).collect();
        entries.sort_by(|(one, _), (other, _)| LayerWriter::compare(one, other));
        for (path, file) in entries {
            let Some(file) = file else {
                writer.directory(path).map_err(fail)?;
                continue;
            };
            let content = file
                .open()
                .map_err(|reason| io_error(&file.source, reason))?;
            writer
                .file(path, file.mode, file.size, content)
                .map_err(fail)?;
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
