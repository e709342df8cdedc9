//! The dependencies layer: wheels, fetched and verified, written entry by entry into site-packages.

use crate::compat::{self, Compat};
use crate::index::{Client, FetchedWheel, IndexError};
use crate::plan::Note;
use crate::resolve::{Resolution, ResolvedWheel};
use crate::wheel::{Native, Wheel, WheelContent, WheelError, WheelFile};
use crate::{Base, BaseLayers, Event, Progress};
use pywasm_format::write::{BuiltLayer, FileMode, LayerError, LayerWriter};
use pywasm_format::{Digest, EntryPoint, GuestPathError, LayerKind, ResolvedPackage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;

/// Downloads at once; more gains nothing with one server.
const DOWNLOADS: usize = 6;

/// Why the requirements could not be put into a layer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DependenciesError {
    /// A wheel cannot be had or is not the promised one.
    #[error("{package}: {reason}")]
    Fetch {
        /// The package, with the way to it.
        package: String,
        /// What went wrong.
        reason: Box<IndexError>,
    },
    /// A wheel is malformed or hostile.
    #[error("{file} is refused: {reason}")]
    Wheel {
        /// The wheel's file name.
        file: String,
        /// What is wrong.
        reason: WheelError,
    },
    /// The layer cannot be made.
    #[error("the dependencies layer: {0}")]
    Layer(#[from] LayerError),
    /// The base layers' version of Python gives no path.
    #[error(transparent)]
    Path(#[from] GuestPathError),
}

/// The layer of all packages that are required, what the package's config says of them, and the base that they need.
#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    pub(crate) layer: BuiltLayer,
    pub(crate) contents: Contents,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) base: Base,
    pub(crate) packages: Vec<ResolvedPackage>,
    pub(crate) scripts: BTreeMap<String, EntryPoint>,
}

/// Where the layer of the same requirements is kept from one time to the next. What is not there is made, and what cannot be kept is
/// made anew the next time.
#[derive(Debug)]
pub(crate) struct Kept(PathBuf);

impl Kept {
    /// Below `folder`, for the requirements with this digest.
    pub(crate) fn new(folder: &Path, requirements: Digest) -> Self {
        Self(folder.join(format!("{}.layer", requirements.hex())))
    }

    pub(crate) fn read(&self) -> Option<Dependencies> {
        let (layer, contents) = BuiltLayer::kept(&self.0, LayerKind::Dependencies).ok()?;
        Some(Dependencies { layer, contents })
    }

    pub(crate) fn write(&self, Dependencies { layer, contents }: &Dependencies) {
        let _ = layer.keep(&self.0, contents);
    }
}

/// Fetches what was resolved and writes it into one layer.
pub(crate) fn build(
    resolution: &Resolution,
    base: &BaseLayers,
    client: &Client<'_>,
    progress: &dyn Progress,
) -> Result<(Dependencies, Vec<Note>), DependenciesError> {
    let resolved = &resolution.wheels;
    let fetched = fetch(resolved, client)?;
    progress.event(Event::Layer(LayerKind::Dependencies));
    let mut packages = Vec::with_capacity(resolved.len());
    let mut scripts = BTreeMap::new();
    let mut notes = Vec::new();
    let mut wheels = Vec::with_capacity(resolved.len());
    for (from, FetchedWheel { file, digest }) in resolved.iter().zip(fetched) {
        let wheel =
            Wheel::open(file, &from.wheel, from.native).map_err(|reason| from.refuse(reason))?;
        notes.extend(from.news(&wheel));
        packages.push(ResolvedPackage {
            name: from.wheel.name.to_string(),
            version: from.wheel.version.to_string(),
            file: from.file.filename.clone(),
            digest,
            native_left_out: match from.native {
                Native::None | Native::LeaveOut => wheel.native_left_out.clone(),
                Native::BuiltIn => Vec::new(),
            },
        });
        scripts.extend(wheel.scripts.iter().cloned());
        wheels.push(wheel);
    }
    let compat = Compat::for_wheels(resolved, &mut wheels)?;
    notes.extend(compat.notes());
    let layer = write(resolved, &mut wheels, &compat, base, &mut notes)?;
    let contents = Contents {
        base: resolution.base,
        packages,
        scripts,
    };
    Ok((Dependencies { layer, contents }, notes))
}

/// Fetches all wheels, several at once; the first error in the order of names is reported, so that
/// the same problem gives the same message.
fn fetch(
    resolved: &[ResolvedWheel],
    client: &Client<'_>,
) -> Result<Vec<FetchedWheel>, DependenciesError> {
    let next = AtomicUsize::new(0);
    let results: Vec<_> = resolved.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..DOWNLOADS.min(resolved.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(wheel), Some(slot)) = (resolved.get(number), results.get(number))
                    else {
                        break;
                    };
                    let result = client.wheel(&wheel.file, &wheel.allowed);
                    // Nothing else is worth fetching for a pack that has failed.
                    if result.is_err() {
                        next.store(resolved.len(), Ordering::Relaxed);
                    }
                    if let Ok(mut slot) = slot.lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    let mut fetched = Vec::with_capacity(resolved.len());
    let mut missing = false;
    for (wheel, slot) in resolved.iter().zip(results) {
        match slot.into_inner().ok().flatten() {
            Some(Ok(file)) => fetched.push(file),
            Some(Err(reason)) => {
                return Err(DependenciesError::Fetch {
                    package: wheel.path.join(" -> "),
                    reason: Box::new(reason),
                });
            }
            None => missing = true,
        }
    }
    debug_assert!(!missing, "a wheel is only skipped after an error");
    Ok(fetched)
}

fn write(
    resolved: &[ResolvedWheel],
    wheels: &mut [Wheel],
    compat: &Compat,
    base: &BaseLayers,
    notes: &mut Vec<Note>,
) -> Result<BuiltLayer, DependenciesError> {
    let mut files: BTreeMap<String, (usize, WheelFile)> = BTreeMap::new();
    for (number, wheel) in wheels.iter_mut().enumerate() {
        for (path, file) in std::mem::take(&mut wheel.files) {
            // As with other installers the later one wins, but not in silence. What is empty, as the
            // `__init__.py` of shared folders is, cannot differ.
            if let Some((other, known)) = files.insert(path.clone(), (number, file))
                && known.size > 0
            {
                notes.push(Note {
                    at: None,
                    text: format!(
                        "{path} is in {} and in {}; the latter is used",
                        resolved[other].file.filename, resolved[number].file.filename
                    ),
                });
            }
        }
    }
    if let Some(bytes) = compat.file() {
        let file = WheelFile {
            size: bytes.len() as u64,
            mode: FileMode::Plain,
            content: WheelContent::Bytes(bytes),
        };
        // A package that brings a file of that name keeps it. The number is of no matter.
        files.entry(compat::FILE.to_owned()).or_insert((0, file));
    }
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by(|(one, _), (other, _)| LayerWriter::compare(one, other));
    let mut writer = LayerWriter::new(LayerKind::Dependencies, base.site_packages()?)?;
    for (path, (number, file)) in files {
        let content = wheels[number]
            .read(&file.content)
            .map_err(|reason| resolved[number].refuse(reason))?;
        writer.file(&path, file.mode, file.size, content)?;
    }
    Ok(writer.finish()?)
}

impl ResolvedWheel {
    pub(crate) fn refuse(&self, reason: WheelError) -> DependenciesError {
        DependenciesError::Wheel {
            file: self.file.filename.clone(),
            reason,
        }
    }

    fn news(&self, wheel: &Wheel) -> Vec<Note> {
        let (name, version) = (&self.wheel.name, &self.wheel.version);
        let mut texts = Vec::new();
        if self.native == Native::LeaveOut && !wheel.native_left_out.is_empty() {
            let left_out = a_few_of(&wheel.native_left_out);
            texts.push(match wheel.replaced_by[..] {
                [] => format!(
                    "{name} {version} runs in pure Python: its optional native parts are left out ({left_out})"
                ),
                _ => format!(
                    "{name} {version} runs in pure Python: its native parts are left out ({left_out}), and modules of pywasm's own take their place ({})",
                    wheel.replaced_by.join(", ")
                ),
            });
        }
        if let Some(changed) = wheel.changed() {
            texts.push(format!("{name} {version} {changed}"));
        }
        if !wheel.elsewhere.is_empty() {
            texts.push(format!(
                "{name} {version} has files for places outside site-packages, which are left out ({})",
                wheel.elsewhere.join(", ")
            ));
        }
        texts
            .into_iter()
            .map(|text| Note { at: None, text })
            .collect()
    }
}

/// The first of many names, and how many more there are.
fn a_few_of(names: &[String]) -> String {
    const FEW: usize = 3;
    match names.len().saturating_sub(FEW) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..FEW].join(", ")),
    }
}
