//! What would become of a project, without packing it.

use crate::index::Client;
use crate::plan::{Inputs, Note, PlanError, resolution};
use crate::resolve::{ResolvedWheel, Unrunnable, UnrunnableReason};
use crate::wheel::Native;
use crate::{Base, BaseLayers, Day, PackSettings, Progress, Project};
use pywasm_format::AppConfig;
use serde::Serialize;

/// What of a project runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The version of Python inside.
    pub python: String,
    /// The base that it would be packed on.
    pub base: Base,
    /// Can the project be packed as it is?
    pub packable: bool,
    /// Why what would be packed could never start, where that is known.
    pub cannot_start: Option<String>,
    /// Everything its requirements lead to, by name.
    pub packages: Vec<CheckedPackage>,
    /// The day as of which versions were chosen, if not today.
    pub as_of: Option<Day>,
    /// What the person should know.
    pub notes: Vec<String>,
}

/// A package that the requirements lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedPackage {
    /// Its name.
    pub name: String,
    /// The version that was chosen.
    pub version: String,
    /// Does it run?
    pub status: Status,
    /// The way from the requirements to it.
    pub path: Vec<String>,
    /// Why it cannot run or what becomes of it; nothing where it simply runs.
    pub reason: Option<String>,
    /// What does its work here, where that is known.
    pub instead: Option<String>,
    /// The newest version that could run, where there is one that all who need it allow.
    pub runnable_version: Option<String>,
}

/// Does a package run?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Yes.
    Runs,
    /// Yes, in pure Python: its optional native parts are left out.
    RunsWithoutNativeParts,
    /// Yes: its native code is built into the bases that have it.
    BuiltIn,
    /// Only its source is offered: packing builds it in the sandbox, if it can be built there.
    NeedsBuild,
    /// No.
    CannotRun,
}

impl Project {
    /// Reads the project and looks at what its requirements lead to. Fetches metadata alone. `starts` tells why a package
    /// with such a config would never start.
    pub fn check(
        &self,
        settings: &PackSettings,
        base: &BaseLayers,
        starts: &dyn Fn(&AppConfig) -> Result<(), String>,
        progress: &dyn Progress,
    ) -> Result<CheckReport, PlanError> {
        let settings = &self.settings(settings)?;
        let Inputs {
            content,
            set,
            access,
        } = self.inputs(settings, base, None)?;
        let resolution = resolution(&set, &access, settings, base, None, progress)?;
        let cannot_start = match starts(&content.config) {
            // Which programs come with what cannot run as it is offered is not known before it is built.
            Err(reason) if resolution.unrunnable.is_empty() => {
                let cache_dir = &settings.machine.cache_dir;
                let client = Client::new(&access.places, &access.connection, cache_dir, progress)?;
                cannot_start(reason, content.config, &resolution.wheels, &client, starts)
            }
            _ => None,
        };
        // A start that nobody asks for keeps nobody from another one.
        let (cannot_start, guess) = match content.is_guess {
            true => (None, cannot_start),
            false => (cannot_start, None),
        };
        let notes = content.notes.iter().chain(&set.notes);
        let notes = notes
            .chain(&resolution.notes)
            .map(Note::to_string)
            .chain(guess);
        let runs = resolution.wheels.iter().map(|resolved| CheckedPackage {
            name: resolved.wheel.name.to_string(),
            version: resolved.wheel.version.to_string(),
            status: match resolved.native {
                Native::None => Status::Runs,
                Native::LeaveOut => Status::RunsWithoutNativeParts,
                Native::BuiltIn => Status::BuiltIn,
            },
            path: resolved.path.clone(),
            reason: None,
            instead: None,
            runnable_version: None,
        });
        let mut packages: Vec<_> = runs
            .chain(resolution.unrunnable.iter().map(CheckedPackage::unrunnable))
            .collect();
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(CheckReport {
            python: base.python.clone(),
            base: resolution.base,
            packable: cannot_start.is_none()
                && packages
                    .iter()
                    .all(|package| package.status != Status::CannotRun),
            cannot_start,
            packages,
            as_of: resolution.as_of,
            notes: notes.collect(),
        })
    }
}

/// Why a package with this config would never start, which without any wheels it does not for this `reason`. The wheels are only asked for their programs until one of them has
/// what is started; if one cannot be asked, nothing is known.
fn cannot_start(
    mut reason: String,
    mut config: AppConfig,
    wheels: &[ResolvedWheel],
    client: &Client<'_>,
    starts: &dyn Fn(&AppConfig) -> Result<(), String>,
) -> Option<String> {
    let mut wheels: Vec<_> = wheels.iter().collect();
    // What the project itself requires brings what it starts.
    wheels.sort_by_key(|wheel| wheel.path.len());
    for wheel in wheels {
        config.scripts.extend(client.scripts(&wheel.file).ok()?);
        reason = starts(&config).err()?;
    }
    Some(reason)
}

impl CheckedPackage {
    fn unrunnable(package: &Unrunnable) -> Self {
        let (status, reason) = match &package.reason {
            UnrunnableReason::Native
            | UnrunnableReason::OtherRelease { .. }
            | UnrunnableReason::SmallerBase { .. } => (
                Status::CannotRun,
                "its wheels hold native code for other machines",
            ),
            UnrunnableReason::SourceOnly => (
                Status::NeedsBuild,
                "only its source is offered; packing builds it in the sandbox",
            ),
            UnrunnableReason::Build(why) => (Status::CannotRun, why.as_str()),
        };
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            status,
            path: package.path.clone(),
            reason: Some(package.why().unwrap_or_else(|| reason.to_owned())),
            instead: package.instead(),
            runnable_version: package.runnable_version.clone(),
        }
    }
}
