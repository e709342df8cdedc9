//! What will be packed: a value that can be shown before anything is written.

use crate::build::Builder;
use crate::dependencies::{Dependencies, Kept};
use crate::index::{Client, IndexError};
use crate::lock;
use crate::programs::Sandboxed;
use crate::project::{Content, Programs, ProjectError, read_text};
use crate::requirements::{RequirementSet, RequirementsError};
use crate::resolve::{Resolution, ResolveError, ResolvedWheel, Search, Target, Wishes};
use crate::settings::{Access, LockUse, SettingsError};
use crate::wheel::Native;
use crate::{Base, BaseLayers, BuildSandbox, PackSettings, Progress, Project};
use pywasm_format::{Digest, Hasher};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use thiserror::Error;

/// Something the person should know: what was left out, replaced or ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file and line it is about, as `Dockerfile:3`.
    pub at: Option<String>,
    /// The news.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Everything that goes into a package. `Display` is what `--dry-run` prints.
#[derive(Debug)]
pub struct Plan {
    pub(crate) name: Option<String>,
    pub(crate) content: Content,
    pub(crate) requirements: Requirements,
    pub(crate) cache_dir: PathBuf,
    pub(crate) access: Access,
}

/// What the requirements came to.
#[derive(Debug)]
pub(crate) enum Requirements {
    /// Wheels to be fetched, and where to keep what is made of them.
    Resolved(Resolution, Option<Kept>),
    /// What was made of the same ones before.
    Made(Dependencies),
}

/// Why there is no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The project itself.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// What it says it requires.
    #[error(transparent)]
    Requirements(#[from] RequirementsError),
    /// The index settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The connection to the indexes.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The lock file.
    #[error("{0}")]
    Lock(String),
    /// What the requirements lead to.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The base layers' version of Python is none.
    #[error("`{0}` is no version of Python 3")]
    Python(String),
}

impl Project {
    /// Reads the project and resolves what it requires. Fetches what the resolver must know, builds what
    /// is offered as source only in `sandbox`, and writes nothing but the cache.
    pub fn plan(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
        sandbox: &dyn BuildSandbox,
        progress: &dyn Progress,
    ) -> Result<Plan, PlanError> {
        let settings = &self.settings(settings)?;
        let programs = Sandboxed {
            settings,
            base,
            sandbox,
            progress,
        };
        let Inputs {
            mut content,
            set,
            access,
        } = self.inputs(settings, base, Some(&programs))?;
        let kept = settings.keep.as_ref().map(|folder| {
            let mut inputs = Fingerprint::default();
            inputs.requirements(settings, base, &set, &access);
            Kept::new(folder, inputs.0.finish())
        });
        let requirements = match kept.as_ref().and_then(Kept::read) {
            Some(made) => Requirements::Made(made),
            None => {
                let resolution =
                    resolution(&set, &access, settings, base, Some(sandbox), progress)?
                        .runnable()?;
                content.notes.extend(set.notes);
                content.notes.extend(resolution.notes.iter().cloned());
                Requirements::Resolved(resolution, kept)
            }
        };
        Ok(Plan {
            name: settings.name.clone(),
            content,
            requirements,
            cache_dir: settings.machine.cache_dir.clone(),
            access,
        })
    }

    /// A digest of everything in the project, the settings and the base that decides about the
    /// package: as long as it stays the same, a package made before can be used again. It does not
    /// change when an index offers a newer version of something unpinned.
    pub fn fingerprint(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
    ) -> Result<Digest, PlanError> {
        let settings = &self.settings(settings)?;
        let Inputs {
            content,
            set,
            access,
        } = self.inputs(settings, base, None)?;
        let mut all = Fingerprint::default();
        all.requirements(settings, base, &set, &access);
        all.add(&(&content.config, &settings.name, &content.folders));
        for (path, file) in content.files.iter().chain(&content.read) {
            let failed = |reason| ProjectError::Io {
                path: file.source.clone(),
                reason,
            };
            let mut bytes = Vec::new();
            let mut content = file.open().map_err(failed)?;
            content.read_to_end(&mut bytes).map_err(failed)?;
            all.add(&(path, file.mode, Digest::of(&bytes)));
        }
        Ok(all.0.finish())
    }

    /// The requirements of the lock file, where it is to be followed.
    fn locked(
        &self,
        asked: &RequirementSet,
        settings: &PackSettings,
    ) -> Result<Option<RequirementSet>, PlanError> {
        let path = match (settings.lock, self.lock_file()) {
            (LockUse::Ignore, _) | (LockUse::Follow, None) => return Ok(None),
            (LockUse::Require, None) => {
                return Err(PlanError::Lock(format!(
                    "--locked, and there is no {}; write it with `pywasm lock`",
                    lock::FILE
                )));
            }
            (_, Some(path)) => path,
        };
        let text = read_text(&path)?;
        let inputs = lock::read(&path, &text, asked)?;
        Ok(Some(RequirementSet::read(
            &inputs,
            settings.variables(),
            None,
        )?))
    }

    /// Resolves the project anew and gives the text of its lock file. What is offered as source only is
    /// built in `sandbox`.
    pub fn lock(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
        sandbox: &dyn BuildSandbox,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<Note>), PlanError> {
        let settings = PackSettings {
            lock: LockUse::Ignore,
            ..self.settings(settings)?
        };
        let programs = Sandboxed {
            settings: &settings,
            base,
            sandbox,
            progress,
        };
        let Inputs { set, access, .. } = self.inputs(&settings, base, Some(&programs))?;
        let resolution =
            resolution(&set, &access, &settings, base, Some(sandbox), progress)?.runnable()?;
        let text = lock::write(&set, &resolution, base.python_series())?;
        Ok((text, resolution.notes))
    }

    pub(crate) fn inputs(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
        programs: Option<&dyn Programs>,
    ) -> Result<Inputs, PlanError> {
        let mut content = self.content(settings, programs)?;
        content.config.python.clone_from(&base.python);
        content.notes.extend(self.note_on_python(&base.python));
        let cache_dir = &settings.machine.cache_dir;
        let variables = settings.variables();
        let mut set = RequirementSet::read(&content.requirements, variables, Some(cache_dir))?;
        set.decide(&settings.versions.overrides, &settings.versions.excludes)?;
        if let Some(locked) = self.locked(&set, settings)? {
            set.requirements = locked.requirements;
            set.constraints.clear();
        }
        let access = Access::resolve(&settings.index, &set.options, &settings.machine)?;
        Ok(Inputs {
            content,
            set,
            access,
        })
    }
}

/// What the requirements lead to, whether all of it can run or not.
pub(crate) fn resolution(
    set: &RequirementSet,
    access: &Access,
    settings: &PackSettings,
    base: &BaseLayers,
    sandbox: Option<&dyn BuildSandbox>,
    progress: &dyn Progress,
) -> Result<Resolution, PlanError> {
    let target =
        Target::new(base, settings.base).ok_or_else(|| PlanError::Python(base.python.clone()))?;
    if set.requirements.is_empty() {
        return Ok(Resolution {
            base: settings.base.unwrap_or_default(),
            ..Resolution::default()
        });
    }
    let cache_dir = &settings.machine.cache_dir;
    let client = Client::new(&access.places, &access.connection, cache_dir, progress)?;
    let build_target = Target {
        base: Some(Base::Slim),
        ..target.clone()
    };
    let builder = sandbox.map(|sandbox| Builder {
        client: &client,
        base,
        target: &build_target,
        sandbox,
        cache_dir,
        progress,
        built: Mutex::default(),
    });
    let search = Search {
        set,
        target: &target,
        client: &client,
        builder: builder.as_ref(),
        progress,
    };
    let mut resolution = search.resolve(&Wishes {
        pre: access.pre,
        as_of: settings.versions.as_of,
        older: settings.versions.older,
    })?;
    resolution.tell_doubts();
    Ok(resolution)
}

/// A digest of things that decide about a package.
#[derive(Default)]
struct Fingerprint(Hasher);

impl Fingerprint {
    fn add(&mut self, part: &dyn fmt::Debug) {
        // The length keeps two neighbours from being mistaken for two others.
        let text = format!("{part:?}");
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    /// All that decides which packages come of the requirements.
    fn requirements(
        &mut self,
        settings: &PackSettings,
        base: &BaseLayers,
        set: &RequirementSet,
        access: &Access,
    ) {
        self.add(&env!("CARGO_PKG_VERSION"));
        // It names the layers, and says what is built in.
        self.add(&(base.record, settings.base));
        self.add(&(&set.requirements, &set.constraints, set.requires_hashes()));
        self.add(&(&settings.versions, &set.options.from_source, &set.direct));
        self.add(&(&access.places.indexes, &access.places.links, access.pre));
    }
}

/// What is known without asking anybody.
pub(crate) struct Inputs {
    pub(crate) content: Content,
    pub(crate) set: RequirementSet,
    pub(crate) access: Access,
}

impl Plan {
    /// Does nobody say what to start, so that it was found out?
    pub fn is_guess(&self) -> bool {
        self.content.is_guess
    }

    /// The base that the packages need.
    pub(crate) fn base(&self) -> Base {
        match &self.requirements {
            Requirements::Resolved(resolution, _) => resolution.base,
            Requirements::Made(dependencies) => dependencies.contents.base,
        }
    }

    /// What the person should know before packing.
    pub fn notes(&self) -> &[Note] {
        &self.content.notes
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { config, files, .. } = &self.content;
        let line = config.command_line();
        let command: Vec<_> = line.iter().map(|word| quoted(word)).collect();
        match self.base() {
            Base::Slim => writeln!(f, "python    {}", config.python)?,
            base => writeln!(
                f,
                "python    {} with native packages ({base})",
                config.python
            )?,
        }
        writeln!(
            f,
            "starts    {}  (in {})",
            command.join(" "),
            config.working_dir
        )?;
        for (name, value) in &config.env {
            writeln!(f, "env       {name}={value}")?;
        }
        for port in &config.exposed_ports {
            writeln!(f, "exposes   {port}")?;
        }
        let needs = &config.needs;
        let ports = needs.ports().iter().map(|port| format!("port {port}"));
        let folders = needs.folders().iter().map(|at| format!("folder {at}"));
        let hosts = needs.hosts().iter().map(|host| format!("host {host}"));
        let env = needs.env().iter().map(|name| format!("variable {name}"));
        let memory = needs.memory_mib().map(|mib| format!("memory {mib} MiB"));
        for need in ports.chain(folders).chain(hosts).chain(env).chain(memory) {
            writeln!(f, "needs     {need}")?;
        }
        match &self.requirements {
            Requirements::Resolved(resolution, _) => {
                resolution
                    .wheels
                    .iter()
                    .try_for_each(|wheel| package(f, wheel))?;
            }
            Requirements::Made(Dependencies { contents, .. }) => {
                for package in &contents.packages {
                    writeln!(f, "package   {} {}", package.name, package.version)?;
                }
            }
        }
        let bytes: u64 = files.values().map(|file| file.size).sum();
        writeln!(f, "app       {} files, {bytes} bytes", files.len())?;
        for (path, file) in files {
            writeln!(f, "  {:>9} {path}", file.size)?;
        }
        Ok(())
    }
}

fn package(f: &mut fmt::Formatter<'_>, resolved: &ResolvedWheel) -> fmt::Result {
    let ResolvedWheel {
        wheel,
        file,
        native,
        path,
        source,
        ..
    } = resolved;
    write!(f, "package   {} {}", wheel.name, wheel.version)?;
    if path.len() > 1 {
        write!(f, "  ({})", path.join(" -> "))?;
    }
    f.write_str(match native {
        Native::None => "",
        Native::LeaveOut => "  without its optional native parts",
        Native::BuiltIn => "  built in",
    })?;
    let digest = file
        .sha256
        .map_or_else(|| "no digest given".to_owned(), |digest| digest.to_string());
    writeln!(f, "\n            {}  {digest}", file.filename)?;
    match source {
        Some(source) => writeln!(f, "            built from {}", source.filename),
        None => Ok(()),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
