//! Wheels from source archives. Backends and `setup.py` files are programs of strangers: they run in
//! the sandbox that the caller hands in, with the archive and a folder for the wheel and nothing else.

mod sdist;

use crate::index::{Client, FetchedWheel, IndexError, MetadataFile, RemoteFile};
use crate::project::RequirementInput;
use crate::requirements::{RequirementSet, Variables};
use crate::resolve::{Search, Target, Wishes};
use crate::settings::{AsOf, OlderVersions};
use crate::wheel::{self, Metadata, WheelName};
use crate::{Base, BaseLayers, Event, Progress, dependencies};
use pywasm_format::write::{FileMode, LayerWriter, PackageSpec, write_package};
use pywasm_format::{AppConfig, Digest, GuestPath, GuestPathError, Hasher, LayerKind};
use sdist::{BuildSystem, SourceArchive};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use thiserror::Error;
use url::Url;

/// Runs builds where they can do no harm.
pub trait BuildSandbox: Sync {
    /// Runs `package` with no network, with the folders of `mounts` to write to, and nothing else of the
    /// host. `Ok` is the end of the program with what it printed; `Err` says why it could not run.
    fn run(&self, package: &Path, mounts: &[SandboxMount]) -> Result<BuildEnd, String>;
}

/// A folder of the host that a build or a program may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxMount {
    /// Where it lies.
    pub host: PathBuf,
    /// Where the program finds it.
    pub guest: GuestPath,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEnd {
    /// Did it end well?
    pub success: bool,
    /// What it printed, or the end of it.
    pub log: String,
}

/// Why a source cannot be built.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It is not an archive that can be read.
    #[error("{file} cannot be read: {reason}")]
    Archive {
        /// The archive or a file in it.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Its backend makes native code.
    #[error(
        "its source is built by {backend}, which needs {compiler}: the result would be native code"
    )]
    Compiler {
        /// The backend.
        backend: &'static str,
        /// What it needs.
        compiler: &'static str,
    },
    /// What the build requires cannot be had.
    #[error("what its build requires cannot be had: {0}")]
    Requirements(String),
    /// The build failed.
    #[error("its build in the sandbox failed:\n{0}")]
    Failed(String),
    /// The result is native code.
    #[error("its build made native code ({0}), which cannot run here")]
    Native(String),
    /// The result is not what was asked for.
    #[error("its build made {0}")]
    Other(String),
    /// The archive cannot be had.
    #[error("{0}")]
    Fetch(String),
    /// Files of this machine.
    #[error("{path} cannot be written: {reason}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
}

/// Changes when builds are done in another way, so that older results are not used.
const LAYOUT: &str = "built-v1";
const SCRIPT: &str = include_str!("build.py");
const APP: &str = "/app";
/// Where the script puts the wheel.
const OUT: &str = "/out";
/// A backend that always asks for more is broken.
const MOST_ROUNDS: usize = 3;
const LARGEST_WHEEL: u64 = 1 << 30;
const LARGEST_ANSWER: u64 = 1 << 20;
/// Lines of a failed build that are shown.
const LOG_LINES: usize = 15;

/// A wheel that was built here.
#[derive(Debug, Clone)]
pub(crate) struct BuiltWheel {
    pub(crate) wheel: WheelName,
    /// On this machine.
    pub(crate) file: RemoteFile,
}

pub(crate) struct Builder<'a> {
    pub(crate) client: &'a Client<'a>,
    pub(crate) base: &'a BaseLayers,
    pub(crate) target: &'a Target,
    pub(crate) sandbox: &'a dyn BuildSandbox,
    pub(crate) cache_dir: &'a Path,
    pub(crate) progress: &'a dyn Progress,
    /// By the archive's address. Held while building: one build at a time takes a processor anyway.
    pub(crate) built: Mutex<HashMap<Url, Result<BuiltWheel, BuildError>>>,
}

/// What the script in the sandbox is told.
#[derive(Serialize)]
struct Job<'a> {
    archive: &'a str,
    backend: &'a str,
    backend_path: &'a [String],
    requires: &'a [String],
}

impl Builder<'_> {
    /// What a source requires once it is built, without building it if it says so itself.
    pub(crate) fn metadata(&self, sdist: &RemoteFile) -> Result<Metadata, BuildError> {
        let archive = SourceArchive::read(self.fetch(sdist)?.file, &sdist.filename)?;
        if let Some(bytes) = archive.static_metadata() {
            return Ok(Metadata::parse(bytes));
        }
        let built = self.wheel(sdist)?;
        let path = built.file.url.to_file_path().unwrap_or_default();
        let bytes = File::open(&path)
            .map_err(|error| unwritable(&path, &error))
            .and_then(|file| {
                wheel::read_metadata(file, &built.file.filename)
                    .map_err(|error| BuildError::Other(format!("a broken wheel: {error}")))
            })?;
        Ok(Metadata::parse(&bytes))
    }

    /// The wheel of a source, built unless it was before.
    pub(crate) fn wheel(&self, sdist: &RemoteFile) -> Result<BuiltWheel, BuildError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = built.get(&sdist.url) {
            return known.clone();
        }
        let result = self.cached_or_built(sdist);
        built.insert(sdist.url.clone(), result.clone());
        result
    }

    fn cached_or_built(&self, sdist: &RemoteFile) -> Result<BuiltWheel, BuildError> {
        let archive = self.fetch(sdist)?;
        let mut key = Hasher::default();
        for part in [
            &archive.digest,
            &self.base.runtime(Base::Slim).digest,
            &self.base.stdlib.digest,
        ] {
            key.update(part.hex().as_bytes());
        }
        key.update(SCRIPT.as_bytes());
        let root = self.cache_dir.join(LAYOUT);
        let kept = root.join(key.finish().hex());
        if let Ok(wheel) = only_wheel(&kept) {
            return self.accept(&wheel, sdist);
        }
        fs::create_dir_all(&root).map_err(|error| unwritable(&root, &error))?;
        let work = TempDir::new_in(&root).map_err(|error| unwritable(&root, &error))?;
        let out = self.build(sdist, &archive, work.path())?;
        self.accept(&only_wheel(&out)?, sdist)?;
        // Another pack may have been faster; then its result stays.
        let _ = fs::rename(&out, &kept);
        self.accept(&only_wheel(&kept)?, sdist)
    }

    fn fetch(&self, sdist: &RemoteFile) -> Result<FetchedWheel, BuildError> {
        self.client
            .wheel(sdist, &[])
            .map_err(|error: IndexError| BuildError::Fetch(error.to_string()))
    }

    /// Builds in `work` and gives the folder with the wheel.
    fn build(
        &self,
        sdist: &RemoteFile,
        archive: &FetchedWheel,
        work: &Path,
    ) -> Result<PathBuf, BuildError> {
        let name = &sdist.filename;
        let source = || archive.file.try_clone().and_then(rewound);
        let read = source().map_err(|error| unwritable(work, &error))?;
        let mut system = SourceArchive::read(read, name)?.build_system()?;
        self.progress.event(Event::Building { file: name });
        for _ in 0..MOST_ROUNDS {
            let out = work.join("out");
            fs::create_dir_all(&out).map_err(|error| unwritable(&out, &error))?;
            let package = work.join("build.pkg");
            let source = source().map_err(|error| unwritable(work, &error))?;
            self.write_package(&package, name, source, &system)?;
            let mount = SandboxMount {
                host: out.clone(),
                guest: OUT
                    .parse()
                    .map_err(|error: GuestPathError| BuildError::Other(error.to_string()))?,
            };
            let end = self.sandbox.run(&package, &[mount]);
            let end = end.map_err(BuildError::Failed)?;
            if !end.success {
                return Err(BuildError::Failed(last_lines(&end.log)));
            }
            let more = out.join("requires.json");
            let Some(bytes) = plain_file(&more, LARGEST_ANSWER)? else {
                return Ok(out);
            };
            let asked: Asked = serde_json::from_slice(&bytes)
                .map_err(|error| BuildError::Other(format!("a broken answer: {error}")))?;
            system.requires.extend(asked.0);
            fs::remove_file(&more).map_err(|error| unwritable(&more, &error))?;
        }
        Err(BuildError::Requirements(format!(
            "its backend still asks for more after {}",
            system.requires.join(", ")
        )))
    }

    /// Packs the archive, the script and the backend.
    fn write_package(
        &self,
        path: &Path,
        archive: &str,
        source: File,
        system: &BuildSystem,
    ) -> Result<(), BuildError> {
        let broken = |error: &dyn std::fmt::Display| BuildError::Requirements(error.to_string());
        let inputs: Vec<_> = system
            .requires
            .iter()
            .map(|text| RequirementInput::Text {
                text: text.clone(),
                origin: text.clone(),
            })
            .collect();
        let nothing = BTreeMap::new();
        let none = Variables {
            given: &nothing,
            of_machine: &nothing,
        };
        let set = RequirementSet::read(&inputs, none, None).map_err(|error| broken(&error))?;
        let mut layers = vec![
            self.base.runtime(Base::Slim).clone(),
            self.base.stdlib.clone(),
        ];
        if !set.requirements.is_empty() {
            let search = Search {
                set: &set,
                target: self.target,
                client: self.client,
                // What builds must not itself have to be built.
                builder: None,
                progress: self.progress,
            };
            // Backends have to run on this Python, however old what they build is.
            let wishes = Wishes {
                pre: false,
                as_of: AsOf::Today,
                older: OlderVersions::Refuse,
            };
            let resolution = search
                .resolve(&wishes)
                .and_then(|found| found.runnable())
                .map_err(|error| broken(&error))?;
            let (built, _) =
                dependencies::build(&resolution, self.base, self.client, self.progress)
                    .map_err(|error| broken(&error))?;
            layers.push(built.layer);
        }
        let root: GuestPath = APP.parse().map_err(|error| broken(&error))?;
        let job = serde_json::to_vec(&Job {
            archive,
            backend: &system.backend,
            backend_path: &system.backend_path,
            requires: &system.requires,
        })
        .map_err(|error| broken(&error))?;
        let size = source
            .metadata()
            .map_err(|error| unwritable(path, &error))?
            .len();
        let mut files: Vec<(&str, u64, Box<dyn io::Read>)> = vec![
            (archive, size, Box::new(source)),
            ("build.py", SCRIPT.len() as u64, Box::new(SCRIPT.as_bytes())),
            ("job.json", job.len() as u64, Box::new(job.as_slice())),
        ];
        files.sort_by(|(one, ..), (other, ..)| LayerWriter::compare(one, other));
        let layer = || {
            let mut writer = LayerWriter::new(LayerKind::App, root.clone())?;
            for (name, size, content) in files {
                writer.file(name, FileMode::Plain, size, content)?;
            }
            writer.finish()
        };
        layers.push(layer().map_err(|error| broken(&error))?);
        let mut config = AppConfig::new(self.base.python.clone(), root);
        config.entrypoint = vec!["python".to_owned(), "build.py".to_owned()];
        // Of two builds of the same source the same bytes.
        config.env = [("SOURCE_DATE_EPOCH", "315532800"), ("PYTHONHASHSEED", "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let spec = PackageSpec {
            name: None,
            base: None,
            config: &config,
            layers: &layers,
        };
        write_package(path, &spec).map_err(|error| broken(&error))?;
        Ok(())
    }

    /// Looks at what was built: only a wheel of that package without native code is taken.
    fn accept(&self, path: &Path, sdist: &RemoteFile) -> Result<BuiltWheel, BuildError> {
        let filename = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let wheel = WheelName::parse(&filename)
            .filter(|wheel| {
                wheel::version_of_sdist(&sdist.filename, &wheel.name).as_ref()
                    == Some(&wheel.version)
            })
            .ok_or_else(|| BuildError::Other(format!("{filename} out of {}", sdist.filename)))?;
        let file = File::open(path).map_err(|error| unwritable(path, &error))?;
        let native = wheel::native_files(file)
            .map_err(|error| BuildError::Other(format!("a broken wheel: {error}")))?;
        if !native.is_empty() {
            return Err(BuildError::Native(native.join(", ")));
        }
        let bytes = plain_file(path, LARGEST_WHEEL)?
            .ok_or_else(|| BuildError::Other("no plain file".to_owned()))?;
        Ok(BuiltWheel {
            wheel,
            file: RemoteFile {
                filename,
                url: Url::from_file_path(path)
                    .map_err(|()| BuildError::Other("a path that is none".to_owned()))?,
                sha256: Some(Digest::of(&bytes)),
                requires_python: None,
                yanked: None,
                metadata: MetadataFile::Absent,
                size: Some(bytes.len() as u64),
                uploaded: sdist.uploaded,
            },
        })
    }
}

#[derive(Deserialize)]
struct Asked(Vec<String>);

fn rewound(mut file: File) -> io::Result<File> {
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// The one wheel in a folder.
fn only_wheel(folder: &Path) -> Result<PathBuf, BuildError> {
    let entries = fs::read_dir(folder).map_err(|error| unwritable(folder, &error))?;
    let wheels: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        // The sandbox wrote here: a link could lead to any file of the host.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect();
    match <[PathBuf; 1]>::try_from(wheels) {
        Ok([wheel]) => Ok(wheel),
        Err(wheels) => Err(BuildError::Other(format!("{} wheels", wheels.len()))),
    }
}

/// The content of a file that the sandbox may have written; `None` if there is none.
fn plain_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, BuildError> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(None),
        Ok(metadata) if metadata.is_file() && metadata.len() <= limit => fs::read(path)
            .map(Some)
            .map_err(|error| unwritable(path, &error)),
        Ok(_) => Err(BuildError::Other(format!(
            "{}, which is no plain file of sane size",
            path.display()
        ))),
    }
}

pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines[from..]
        .iter()
        .map(|line| format!("      {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn unwritable(path: &Path, error: &io::Error) -> BuildError {
    BuildError::Io {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
