//! `pywasm pack`, and packing on the way to a run.

use super::warm::warm;
use crate::args::{DockerfileArgs, IndexArgs, PackArgs};
use crate::build_sandbox::Subprocess;
use crate::environment::Environment;
use crate::grant_args::EnvArg;
use crate::output::{Kind, Output};
use crate::printer::{self, Steps};
use crate::report::in_full;
use crate::snapshot::{self, Taken};
use anyhow::{Context, anyhow, ensure};
use pywasm::{AppConfig, Command, CommandError, Package, ReadLimits};
use pywasm_format::write::BuiltLayer;
use pywasm_format::{Digest, LayerKind};
use pywasm_packager::{
    Base, BaseLayers, Built, DockerfileChoice, DockerfileUse, Event, IndexFlags, LockUse, Machine,
    NativePackage, Note, OlderVersions, Optional, PackSettings, PlanError, Progress, Project,
    ProjectError, VersionChoice, command_words,
};
use pywasm_store::Image;
use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

pub fn pack(args: PackArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PackArgs {
        project,
        output,
        tag,
        entrypoint,
        dockerfile,
        snapshot,
        dry_run,
        quiet,
        index,
    } = args;
    let project = Project::open(&project)?;
    let output = match output {
        None if !tag.is_empty() => None,
        output => Some(output.unwrap_or_else(|| PathBuf::from(format!("{}.pkg", project.name())))),
    };
    let command = entrypoint.as_deref().map(entrypoint_words).transpose()?;
    // Known before the work begins: what is in its place may be worth more.
    let target = match &output {
        Some(output) if !dry_run => Some(Output::new(output, Kind::Package)?),
        _ => None,
    };
    let settings = PackSettings {
        name: tag.first().map(ToString::to_string),
        command,
        output,
        dockerfile: dockerfile_use(dockerfile, environment),
        ..settings(&index, environment)?
    };
    let base = base()?;
    let progress = Shown::new(quiet);
    let sandbox = Subprocess::new(environment)?;
    let plan = project.plan(&settings, &base, &sandbox, &progress)?;
    progress.done();
    if !quiet {
        tell(plan.notes());
    }
    if dry_run {
        printer::result(plan.to_string().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let tag_as_path = tag.first().map(|name| PathBuf::from(name.to_string()));
    let mut built = plan.build(&base, &progress)?;
    match starts(built.config()) {
        // A start that nobody asks for keeps nobody from another one.
        Err(reason) if plan.is_guess() => {
            progress.done();
            if !quiet {
                printer::note(&reason);
            }
        }
        said => said.map_err(anyhow::Error::msg)?,
    }
    if !snapshot.no_snapshot {
        progress.step("taking a snapshot of the started Python");
        let taken = snapshot_of(&built, &snapshot.warm, environment);
        progress.done();
        let news = add_snapshot(&mut built, taken);
        if !quiet {
            tell_lines(&news);
        }
    }
    let mut written = Vec::new();
    for name in &tag {
        let Image { digest, size, .. } = environment.store()?.put(&built.spec(), name)?;
        written.push((name.to_string(), size, digest));
    }
    if let Some(target) = &target {
        let report = built.write(target.path())?;
        written.push((target.shown().to_string(), report.size, report.digest));
    }
    progress.done();
    if !snapshot.no_snapshot {
        let written = target.as_ref().map(Output::path);
        let target = written.or(tag_as_path.as_deref());
        target.iter().for_each(|target| warm(target, environment));
    }
    if !quiet {
        tell(built.notes());
        printer::result(&summary(&built, &written));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a package can start as it says of itself; the reason why not is one for people. What cannot is not packed: a
/// start would tell the same, but to somebody who can do nothing about it.
pub fn starts(config: &AppConfig) -> Result<(), String> {
    let Some(error) = Command::never_starts(config) else {
        return Ok(());
    };
    let way_out = match &error {
        CommandError::NoSuchProgram { program, .. } => {
            format!(", or add what brings `{program}` to the requirements")
        }
        _ => String::new(),
    };
    Err(format!(
        "the package would never start by itself: {error}{way_out}"
    ))
}

/// Puts a snapshot into the package; returns what of it the person should know.
fn add_snapshot(built: &mut Built, taken: anyhow::Result<Taken>) -> Vec<String> {
    match taken {
        Ok(Taken { layer, left_out }) => {
            built.set_snapshot(layer);
            told(&left_out)
        }
        Err(reason) => vec![format!(
            "the package has no snapshot and starts without: {}",
            in_full(&reason)
        )],
    }
}

/// One line for each reason: a framework may have dozens of modules that want to be set up first.
fn told(left_out: &[(String, String)]) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for (module, reason) in left_out {
        match by_reason.iter_mut().find(|(other, _)| other == reason) {
            Some((_, modules)) => modules.push(module),
            None => by_reason.push((reason, vec![module])),
        }
    }
    let line = |(reason, modules): (&str, Vec<&str>)| match (shortened(reason), &modules[..]) {
        (reason, [one]) => {
            format!("{one} is not in the snapshot and is imported at each start: {reason}")
        }
        (reason, _) => format!(
            "{} modules such as {} are not in the snapshot and are imported at each start: {reason}",
            modules.len(),
            modules[0]
        ),
    };
    by_reason.into_iter().map(line).collect()
}

/// Exceptions may have pages of text.
fn shortened(reason: &str) -> Cow<'_, str> {
    const MOST: usize = 300;
    match reason.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &reason[..end]).into(),
        None => reason.into(),
    }
}

/// Takes the snapshot of what was built; for that it is written to a file of its own.
fn snapshot_of(
    built: &Built,
    requests: &[String],
    environment: &Environment,
) -> anyhow::Result<Taken> {
    let folder = environment.cache()?.work_folder()?;
    let package = folder.path().join("package.pkg");
    built.write(&package)?;
    snapshot::take(&package, built.config(), requests, environment)
}

/// The snapshot for a package in the cache: one that was taken of the same requirements for the same command
/// and environment does, whatever the app has become since. Without it the app only starts later.
fn cached_snapshot(
    built: &Built,
    environment: &Environment,
    progress: &Shown,
) -> anyhow::Result<BuiltLayer> {
    let below = built
        .layers()
        .into_iter()
        .filter(|layer| layer.kind < LayerKind::Snapshot)
        .map(|layer| layer.digest);
    let path = environment
        .cache()?
        .folder("snapshots")?
        .join(snapshot::key(below, built.config(), None));
    if let Ok(taken) = Taken::read(&path) {
        return Ok(taken.layer);
    }
    progress.step("taking a snapshot of the started Python");
    let taken = snapshot_of(built, &[], environment)?;
    taken.write(&path)?;
    Ok(taken.layer)
}

/// A package in the cache, and its file.
pub struct Cached {
    pub package: Package,
    pub path: PathBuf,
}

/// What `--entrypoint` says of a project.
pub fn entrypoint_words(line: &str) -> anyhow::Result<Vec<String>> {
    let words = command_words(line).map_err(|why| anyhow!("--entrypoint: {why}"))?;
    ensure!(
        !words.is_empty(),
        "--entrypoint: it names no program; leave the flag out to start what is found"
    );
    Ok(words)
}

/// What decides about a package in the cache, beside the project.
pub struct HowPacked<'a> {
    /// What it starts, whatever it says itself.
    pub command: Option<&'a [String]>,
    pub dockerfile: DockerfileUse,
    pub index: &'a IndexArgs,
    pub with_snapshot: bool,
}

/// Packs a project into the cache; what has not changed since is not packed again.
pub fn project_in_cache(
    target: &Path,
    how: HowPacked<'_>,
    environment: &Environment,
) -> anyhow::Result<Cached> {
    in_cache(&Project::open(target)?, how, environment)
}

/// Whether `program` is one that the project in a folder installs.
pub fn installs(project: &Path, program: &str) -> bool {
    Project::open(project).is_ok_and(|project| project.has_program(program))
}

/// Whether a project cannot be packed because nothing says what it starts.
pub fn has_no_command(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(PlanError::Project(
            ProjectError::NoCommand { .. } | ProjectError::SeveralPrograms { .. }
        ))
    )
}

/// A package of requirements alone, in the cache.
pub fn requirements_only(
    requirements: &[String],
    files: &[PathBuf],
    index: &IndexArgs,
    environment: &Environment,
) -> anyhow::Result<Package> {
    let project = Project::requirements_only(requirements, files);
    let how = HowPacked {
        command: None,
        dockerfile: DockerfileUse::default(),
        index,
        with_snapshot: true,
    };
    Ok(in_cache(&project, how, environment)?.package)
}

fn in_cache(
    project: &Project,
    how: HowPacked<'_>,
    environment: &Environment,
) -> anyhow::Result<Cached> {
    let HowPacked {
        command,
        dockerfile,
        index,
        with_snapshot,
    } = how;
    let base = base()?;
    let settings = PackSettings {
        command: command.map(<[String]>::to_vec),
        dockerfile,
        keep: Some(environment.cache()?.folder("dependencies")?),
        ..settings(index, environment)?
    };
    let key = project.fingerprint(&settings, &base)?;
    let path = environment.cache()?.folder("packages")?.join(format!(
        "{}{}.pkg",
        key.hex(),
        if with_snapshot { "-s" } else { "" }
    ));
    if let Ok(package) = Package::open(&path, &ReadLimits::default()) {
        // By this time the cache knows what was not used for longest; nothing else depends on it.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        return Ok(Cached { package, path });
    }
    let progress = Shown::new(false);
    let sandbox = Subprocess::new(environment)?;
    let plan = project.plan(&settings, &base, &sandbox, &progress)?;
    progress.done();
    tell(plan.notes());
    let mut built = plan.build(&base, &progress)?;
    if with_snapshot && let Ok(layer) = cached_snapshot(&built, environment, &progress) {
        built.set_snapshot(layer);
    }
    let report = built.write(&path)?;
    progress.done();
    tell(&report.notes);
    let package = Package::open(&path, &ReadLimits::default())?;
    Ok(Cached { package, path })
}

/// The values of variables, of which those that are only named are this shell's.
fn valued<'a>(
    variables: &'a [EnvArg],
    environment: &'a Environment,
) -> impl Iterator<Item = (String, String)> + 'a {
    variables.iter().filter_map(|EnvArg { name, value }| {
        let value = value.as_deref().or_else(|| environment.get(name))?;
        Some((name.clone(), value.to_owned()))
    })
}

/// What the flags about Dockerfiles mean.
pub fn dockerfile_use(args: DockerfileArgs, environment: &Environment) -> DockerfileUse {
    let DockerfileArgs {
        no_dockerfile,
        file,
        target,
        build_arg,
    } = args;
    if no_dockerfile {
        return DockerfileUse::Ignore;
    }
    let args = valued(&build_arg, environment);
    DockerfileUse::Follow(DockerfileChoice {
        file,
        target,
        args: args.collect(),
    })
}

pub fn settings(index: &IndexArgs, environment: &Environment) -> anyhow::Result<PackSettings> {
    let IndexArgs {
        index_url,
        extra_index_url,
        find_links,
        no_index,
        pre,
        offline,
        as_of,
        allow_older,
        overrides,
        exclude,
        extra,
        group,
        requirement_env,
        locked,
        no_lock,
        base,
    } = index;
    Ok(PackSettings {
        index: IndexFlags {
            index_url: index_url.clone(),
            extra_index_urls: extra_index_url.clone(),
            find_links: find_links.clone(),
            no_index: *no_index,
            pre: *pre,
            offline: *offline,
        },
        versions: VersionChoice {
            as_of: *as_of,
            older: match allow_older {
                true => OlderVersions::Allow,
                false => OlderVersions::Refuse,
            },
            overrides: overrides.clone(),
            excludes: exclude.clone(),
        },
        base: *base,
        requirement_env: valued(requirement_env, environment).collect(),
        optional: Optional {
            extras: extra.clone(),
            groups: group.clone(),
        },
        lock: match (locked, no_lock) {
            (true, _) => LockUse::Require,
            (_, true) => LockUse::Ignore,
            _ => LockUse::Follow,
        },
        machine: Machine {
            env: environment.variables.clone(),
            home: environment.home(),
            cache_dir: environment.cache()?.folder("index")?,
        },
        ..PackSettings::default()
    })
}

/// The interpreter and standard library that this build of pywasm brings along.
pub fn base() -> anyhow::Result<BaseLayers> {
    let built = |layer: pywasm_guest::GuestLayer| {
        Ok::<_, anyhow::Error>(BuiltLayer {
            kind: match layer.part {
                pywasm_guest::Part::Runtime => LayerKind::Runtime,
                pywasm_guest::Part::Stdlib => LayerKind::Stdlib,
            },
            mount: layer.mount.parse()?,
            digest: Digest::from_hex(layer.sha256)?,
            diff_id: Digest::from_hex(layer.diff_sha256)?,
            bytes: Cow::Borrowed(layer.tar_zst),
        })
    };
    let [_, stdlib] = pywasm_guest::layers(pywasm_guest::Base::Slim);
    let runtime = |base| {
        let [runtime, _] = pywasm_guest::layers(base);
        built(runtime)
    };
    let native = |native: &pywasm_guest::NativePackage| {
        Ok::<_, anyhow::Error>(NativePackage {
            name: native.name.parse()?,
            version: native.version.parse().map_err(anyhow::Error::msg)?,
            releases: native.releases.parse().map_err(anyhow::Error::msg)?,
            base: base_of(native.base),
            completes: native.completes,
        })
    };
    let natives = pywasm_guest::manifest().natives.iter();
    let damaged =
        || anyhow!("the Python inside this build of pywasm is damaged; build pywasm again");
    Ok(BaseLayers {
        python: pywasm_guest::PYTHON_VERSION.to_owned(),
        runtimes: [
            runtime(pywasm_guest::Base::Slim).with_context(damaged)?,
            runtime(pywasm_guest::Base::Web).with_context(damaged)?,
            runtime(pywasm_guest::Base::Full).with_context(damaged)?,
            runtime(pywasm_guest::Base::Scientific).with_context(damaged)?,
            runtime(pywasm_guest::Base::Data).with_context(damaged)?,
            runtime(pywasm_guest::Base::Analysis).with_context(damaged)?,
        ],
        natives: natives
            .map(native)
            .collect::<Result<_, _>>()
            .with_context(damaged)?,
        stdlib: built(stdlib).with_context(damaged)?,
        record: Digest::of(pywasm_guest::RECORD.as_bytes()),
    })
}

/// The packager's name of one of the interpreters.
pub fn base_of(base: pywasm_guest::Base) -> Base {
    match base {
        pywasm_guest::Base::Slim => Base::Slim,
        pywasm_guest::Base::Web => Base::Web,
        pywasm_guest::Base::Full => Base::Full,
        pywasm_guest::Base::Scientific => Base::Scientific,
        pywasm_guest::Base::Data => Base::Data,
        pywasm_guest::Base::Analysis => Base::Analysis,
    }
}

/// Tells notes that are text already.
pub fn tell_lines(notes: &[String]) {
    for note in notes {
        printer::note(note);
    }
}

pub fn tell(notes: &[Note]) {
    for note in notes {
        printer::note(&note.to_string());
    }
}

/// The layers, then where the package is now.
fn summary(built: &Built, written: &[(String, u64, Digest)]) -> String {
    let layers = built.layers().into_iter();
    layers
        .map(|layer| (layer.kind.to_string(), layer.size, layer.digest))
        .chain(written.iter().cloned())
        .map(|(what, size, digest)| format!("{what:<13}{:>10}  {digest}", bytes(size)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A size for people, in decimal units.
pub fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        _ => format!("{:.1} MB", size as f64 / 1e6),
    }
}

/// The packager's progress on the terminal.
pub struct Shown {
    steps: Steps,
    quiet: bool,
}

impl Shown {
    pub fn new(quiet: bool) -> Self {
        Self {
            steps: Steps::new(),
            quiet,
        }
    }
}

impl Shown {
    /// Tells a step that the packager does not know of.
    fn step(&self, text: &str) {
        if !self.quiet {
            self.steps.step(text);
        }
    }

    /// Ends the line of the last step.
    pub fn done(&self) {
        self.steps.done();
    }
}

impl Progress for Shown {
    fn event(&self, event: Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::Resolving { name, decided } => {
                self.steps
                    .flicker(&format!("resolving {name} ({decided} decided)"));
            }
            Event::Fetching { file, .. } => self.steps.step(&format!("fetching {file}")),
            Event::Building { file } => self.steps.step(&format!("building {file} in the sandbox")),
            Event::Running { line } => self.steps.step(&format!("running `{line}` in the sandbox")),
            Event::Layer(kind) => self.steps.flicker(&format!("writing the {kind} layer")),
            Event::Writing => self.steps.flicker("writing the package"),
            _ => {}
        }
    }
}
