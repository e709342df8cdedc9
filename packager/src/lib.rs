//! From a Python project folder to a package: plan, resolve, fetch, write layers.
//!
//! ```text
//! Project::open(dir) -> project.plan(&settings) -> Plan (shown by --dry-run) -> plan.build() -> Built,
//! which is written to a file or put into a store
//! ```
//! Nothing here reads environment variables or draws on a terminal: the caller hands in what it knows
//! about the machine ([`Machine`]) and listens to [`Progress`].

mod base;
mod build;
mod check;
mod compat;
mod day;
mod dependencies;
mod index;
mod lock;
mod pack;
mod plan;
mod programs;
mod progress;
mod project;
mod requirements;
mod resolve;
mod sbom;
mod settings;
mod wheel;

pub use base::{Base, BaseLayers, NativePackage, ParseBaseError};
pub use build::{BuildEnd, BuildError, BuildSandbox, SandboxMount};
pub use check::{CheckReport, CheckedPackage, Status};
pub use day::{Day, ParseDayError};
pub use dependencies::DependenciesError;
pub use index::IndexError;
pub use pack::{Built, LayerReport, PackError, PackReport};
pub use plan::{Note, Plan, PlanError};
pub use progress::{Event, Progress, Silent};
pub use project::{DockerfileError, Project, ProjectError, command_words};
pub use requirements::RequirementsError;
pub use resolve::{ResolveError, Unrunnable, UnrunnableReason};
pub use sbom::{BasePart, BaseParts, SbomError, cyclonedx};
pub use settings::{
    AsOf, DockerfileChoice, DockerfileUse, IndexFlags, LockUse, Machine, OlderVersions, Optional,
    PackSettings, ParseAsOfError, SettingsError, VersionChoice,
};
pub use wheel::WheelError;
