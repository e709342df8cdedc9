//! `pywasm run`: a package, a project folder or a Python file.

use super::launch::{Session, runtime, runtime_for_many, workdir};
use super::pack::{self, Cached};
use super::signature::signed;
use super::target::Place;
use crate::args::RunArgs;
use crate::denials::Log;
use crate::environment::Environment;
use crate::grant_args::GrantArgs;
use crate::output::{Kind, Output};
use crate::workers::control::Boss;
use crate::workers::{self, Interrupts, Packing, Plan, WorkerId};
use crate::{printer, refused, seal, template};
use anyhow::{Context, bail};
use clap::Args;
use pywasm::net::SharedPorts;
use pywasm::policy::{Policy, PortMap, Protocol, Unmet};
use pywasm::{AppConfig, Command, Interruption, Modules, Package, ReadLimits, Runtime, Terminal};
use pywasm_packager::Project;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::mem::ManuallyDrop;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn run(args: RunArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let asked = Asked::of(args, environment)?;
    let policy = asked.policy(environment)?;
    if asked.needs == Needs::MustBeMet {
        refuse_unmet(&policy, asked.package.config(), |_| true)?;
    }
    let line = asked.line();
    let env = policy.environment().to_vec();
    let command = |config: &AppConfig| Ok(Command::program(&line, config, &env)?);
    match asked.role {
        Role::Alone => asked.run(&policy, None, environment, None, command),
        Role::Worker(_) => {
            let (boss, sockets) = Boss::of_stdin(policy.ports().len())?;
            let ports = SharedPorts::adopt(&policy, sockets)?;
            let policy = policy.published_at(ports);
            asked.run(&policy, Some(boss), environment, None, command)
        }
        Role::Command(count) => asked.command(count, &policy, environment),
    }
}

/// `pywasm policy show`: the same without running anything.
pub fn show(args: RunArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let asked = Asked::of(args, environment)?;
    let policy = asked.policy(environment)?;
    let needs = &asked.package.config().needs;
    let unmet = policy.unmet(needs);
    for need in Policy::none().unmet(needs) {
        let state = match unmet.contains(&need) {
            true => format!("missing: {}", need.flag()),
            false => "granted".to_owned(),
        };
        printer::result(&format!("needs     {need}  ({state})"));
    }
    printer::result(policy.to_string().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Which process of a run this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The only one.
    Alone,
    /// One of several, started by the command.
    Worker(WorkerId),
    /// The one that the person started, which starts so many workers.
    Command(NonZeroU16),
}

/// Whether a package that lacks something starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    MustBeMet,
    Ignored,
}

/// What the command line asks for, with the package it is about.
pub struct Asked {
    pub package: Package,
    /// It is of a project's files as they are now.
    is_project: bool,
    pub packing: Packing,
    pub grants: GrantArgs,
    publish_all: bool,
    pub needs: Needs,
    entrypoint: Option<String>,
    args: Vec<String>,
    workdir: Option<String>,
    pub role: Role,
    /// What the command has granted, where the app could change what says so.
    granted: Option<String>,
    no_snapshot: bool,
    session: Session,
}

impl Asked {
    /// What the app may do.
    pub fn policy(&self, environment: &Environment) -> anyhow::Result<Policy> {
        let config = self.package.config();
        let mut policy = self.grants.policy(config, environment)?;
        let exposed = config.exposed_ports.iter().filter(|_| self.publish_all);
        for port in exposed {
            let map = PortMap::new((Ipv4Addr::LOCALHOST, 0).into(), port.port);
            policy = policy.publish(map.with_protocol(port.protocol));
        }
        if let Some(granted) = &self.granted {
            anyhow::ensure!(
                *granted == seal::of(&policy, &self.grants),
                "what a volume, --env-file or --policy names was changed in a folder that the app may write to: start the app anew to \
                 grant what is there now"
            );
        }
        Ok(policy)
    }

    /// The command line of the app.
    fn line(&self) -> Vec<String> {
        let (config, args) = (self.package.config(), self.args.iter().cloned());
        // What was found out is no entrypoint that somebody chose to take all words as its arguments.
        let replaces = || config.found_command && Command::begins_with_program(&self.args, config);
        match &self.entrypoint {
            Some(program) => std::iter::once(program.clone()).chain(args).collect(),
            None if self.args.is_empty() => config.command_line(),
            None if replaces() => self.args.clone(),
            None => config.entrypoint.iter().cloned().chain(args).collect(),
        }
    }

    /// Runs `command` in this process.
    pub fn run(
        self,
        policy: &Policy,
        boss: Option<Boss>,
        environment: &Environment,
        modules: Option<&Modules<'_>>,
        command: impl FnOnce(&AppConfig) -> anyhow::Result<Command>,
    ) -> anyhow::Result<ExitCode> {
        let interruption = Interruption::for_limits(&self.grants.limits());
        let runtime = self.suited(runtime(environment, interruption)?);
        let app = match modules {
            Some(modules) => runtime.load_with(&self.package, modules),
            None => runtime.load(&self.package),
        }?;
        let command = self.placed(command, app.config())?;
        self.grants
            .run(app, command, policy, environment, boss, self.session)
    }

    /// Runs `command` in this process again and again, each time for one request.
    pub fn run_many(
        &self,
        policy: &Policy,
        boss: Boss,
        environment: &Environment,
        modules: &Modules<'_>,
        at_once: usize,
        command: impl FnOnce(&AppConfig) -> anyhow::Result<Command>,
    ) -> anyhow::Result<ExitCode> {
        let runtime = self.runtime_for_many(environment)?;
        let mut app = runtime.load_with(&self.package, modules)?;
        let command = self.placed(command, app.config())?;
        if command.is_from_snapshot() {
            match template::read(&environment.arguments, self.grants.limits().memory)? {
                Ok(memory) => app = app.with_template(&memory)?,
                Err(why) => printer::note(&format!("each request imports the app anew: {why}")),
            }
        }
        let app = ManuallyDrop::new(app);
        let ended = self
            .grants
            .run_many(&app, command, policy, environment, boss, at_once);
        runtime.remove_files();
        ended
    }

    /// Gives out the memory of an instance that has imported `module`.
    pub fn write_template(
        &self,
        module: &str,
        policy: &Policy,
        environment: &Environment,
        modules: &Modules<'_>,
        command: impl FnOnce(&AppConfig) -> anyhow::Result<Command>,
    ) -> anyhow::Result<ExitCode> {
        // The code of the worker's engine, so that there is one to compile.
        let runtime = self.runtime_for_many(environment)?;
        let app = runtime.load_with(&self.package, modules)?;
        let command = self.placed(command, app.config())?;
        let written = self
            .grants
            .write_template(&app, command, module, policy, environment);
        runtime.remove_files();
        written
    }

    /// One that computes and never looks up is to be ended without the others.
    fn runtime_for_many(&self, environment: &Environment) -> anyhow::Result<Runtime> {
        let interruption = match Interruption::for_limits(&self.grants.limits()) {
            Interruption::ProcessExit => Interruption::Checked,
            other => other,
        };
        Ok(self.suited(runtime_for_many(environment, interruption)?))
    }

    /// A runtime for what this is about.
    fn suited(&self, runtime: Runtime) -> Runtime {
        match self.is_project {
            true => runtime.for_edited_apps(),
            false => runtime,
        }
    }

    /// A command in the folder and with the beginning that were asked for.
    fn placed(
        &self,
        command: impl FnOnce(&AppConfig) -> anyhow::Result<Command>,
        config: &AppConfig,
    ) -> anyhow::Result<Command> {
        // A `cd` in it starts from there.
        let command = command(&AppConfig {
            working_dir: workdir(self.workdir.as_deref(), &config.working_dir)?,
            ..config.clone()
        })?;
        Ok(match self.no_snapshot {
            true => command.without_snapshot(),
            false => command,
        })
    }

    /// Runs it in workers.
    fn command(
        self,
        count: NonZeroU16,
        policy: &Policy,
        environment: &Environment,
    ) -> anyhow::Result<ExitCode> {
        let is_tcp = |port: &PortMap| port.protocol() == Protocol::Tcp;
        if !policy.ports().iter().any(is_tcp) {
            bail!("--workers share what is published, and nothing is: add -p HOST:PORT");
        }
        let plan = Plan {
            verb: "run",
            count,
            granted: seal::needed(policy, &self.grants, environment)?,
            arguments: environment.arguments.clone(),
            packing: self.packing,
            ports: SharedPorts::bind(policy)?,
            stop_timeout: self.grants.stop_timeout(),
            time_limit: self.grants.timeout.map(|span| span.0),
            interrupts: Interrupts::AreTheApps,
        };
        let mut log = Log::begin(environment);
        let reactor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(ExitCode::from(
            reactor.block_on(workers::run(plan, &mut log))?,
        ))
    }

    pub fn of(args: RunArgs, environment: &Environment) -> anyhow::Result<Self> {
        let RunArgs {
            workdir,
            ignore_needs,
            mut publish_all,
            no_snapshot,
            profile,
            debug_wasm,
            mut entrypoint,
            network,
            pull,
            server,
            require_signature,
            rm: _,
            interactive: _,
            tty,
            workers,
            worker,
            packed,
            granted,
            with_parent,
            is_folder,
            target_and_args,
            mut grants,
            dockerfile,
            index,
        } = args;
        if let Some(parent) = with_parent {
            end_with(parent)?;
        }
        let Some((target, args)) = target_and_args.split_first() else {
            bail!("nothing to run; give a package file, a project folder or a .py file");
        };
        if target.is_empty() {
            bail!(
                "the name of what to run is empty; give a package's name or file, a project folder or a .py file"
            );
        }
        if target.starts_with('-') {
            let similar = || match similar_flag(target) {
                Some(flag) => format!("did you mean --{flag}?"),
                None => "see `pywasm run --help` for those there are".to_owned(),
            };
            let reason = refused::reason(target).map_or_else(similar, str::to_owned);
            bail!("unknown flag {target}: {reason}");
        }
        if network.is_some() {
            grants.publish.clear();
            grants.allow_net.clear();
            publish_all = false;
        }
        let output =
            |path: Option<PathBuf>, kind| path.map(|path| Output::new(&path, kind)).transpose();
        let profile = output(profile, Kind::Profile)?;
        let core_dump = output(debug_wasm, Kind::CoreDump)?;
        let target = Path::new(target);
        let mut packing = Packing::default();
        let is_project = is_project(target) && (is_folder || !is_kept_name(target, environment)?);
        if !is_project && worker.is_none() {
            tell_of_folder(target);
        }
        let command = entrypoint.as_deref().filter(|_| is_project);
        let command = command.map(pack::entrypoint_words).transpose()?;
        // A word alone stands in the place of the program that the project starts, as in a package; but one that the project
        // would have to be installed for decides about the package.
        let says_all = command.as_deref().is_some_and(|words| match words {
            [program] => pack::installs(target, program),
            _ => true,
        });
        if says_all {
            entrypoint = None;
        }
        let package = match is_project {
            true if !require_signature.is_empty() => bail!(
                "--require-signature is for packages, and `{}` is a project; pack and sign it first",
                target.display()
            ),
            true => match packed.and_then(|file| Package::open(&file, &ReadLimits::default()).ok()) {
                Some(package) => package,
                None => {
                    let environment = environment.clone();
                    let target = target.to_owned();
                    let dockerfile = pack::dockerfile_use(dockerfile, &environment);
                    let again = move || {
                        let packed = |command: Option<&[String]>| {
                            let how = pack::HowPacked {
                                command,
                                dockerfile: dockerfile.clone(),
                                index: &index,
                                with_snapshot: !no_snapshot,
                            };
                            pack::project_in_cache(&target, how, &environment)
                        };
                        match packed(command.as_deref().filter(|_| says_all)) {
                            Err(error) if command.is_some() && pack::has_no_command(&error) => {
                                packed(command.as_deref())
                            }
                            packed => packed,
                        }
                    };
                    let Cached { package, path } = again()?;
                    packing = Packing::of(path, move || Ok(again()?.path));
                    package
                }
            },
            false => super::target::wanted(target, pull, &server, environment).with_context(|| {
                format!(
                    "cannot run `{}`; give a package's name or file, a project folder or a .py file",
                    target.display()
                )
            })?,
        };
        if !require_signature.is_empty() {
            signed(
                &package,
                target,
                ("--require-signature", &require_signature),
                environment,
            )?;
        }
        Ok(Self {
            package,
            is_project,
            packing,
            grants,
            publish_all,
            needs: match ignore_needs {
                true => Needs::Ignored,
                false => Needs::MustBeMet,
            },
            entrypoint,
            args: args.to_vec(),
            workdir,
            role: match (worker, workers) {
                (Some(id), _) => Role::Worker(id),
                (None, Some(count)) => Role::Command(count),
                (None, None) => Role::Alone,
            },
            granted,
            no_snapshot,
            session: Session {
                terminal: tty.then(Terminal::of_this_process).flatten(),
                profile,
                core_dump,
            },
        })
    }
}

/// Asks the kernel for SIGTERM when `parent`, which started this process, is gone.
pub fn end_with(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have gone before we asked: then somebody else has adopted us.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    anyhow::ensure!(
        now == Some(parent),
        "the process that started this one has ended"
    );
    Ok(())
}

/// All that is missing and matters at once, each with the flag that grants it.
pub fn refuse_unmet(
    policy: &Policy,
    config: &AppConfig,
    matters: impl Fn(&Unmet) -> bool,
) -> anyhow::Result<()> {
    let mut unmet = policy.unmet(&config.needs);
    unmet.retain(matters);
    if unmet.is_empty() {
        return Ok(());
    }
    let lines: String = unmet
        .iter()
        .map(|need| format!("\n  {:<40}{}", need.to_string(), need.flag()))
        .collect();
    let flags: Vec<String> = unmet.iter().map(Unmet::flag).collect();
    bail!(
        "the package needs what it was not granted:{lines}\nto grant all of it add: {}\nto start \
         without it add: --ignore-needs",
        flags.join(" ")
    );
}

/// Whether `target` is to be packed first.
pub fn is_project(target: &Path) -> bool {
    target.is_dir()
        || target
            .extension()
            .is_some_and(|extension| extension == "py")
}

/// Is a package kept under the name that is also a folder's? Then it is meant, as everywhere where packages are asked for.
fn is_kept_name(target: &Path, environment: &Environment) -> anyhow::Result<bool> {
    match super::target::place(target) {
        Place::Named(reference) if target.is_dir() => {
            Ok(environment.store()?.contains(&reference)?)
        }
        _ => Ok(false),
    }
}

/// Tells that a folder with an app was not taken, because a package of its name is kept.
fn tell_of_folder(target: &Path) {
    if target.is_dir() && Project::open(target).is_ok_and(|project| project.holds_app()) {
        let name = target.display();
        printer::note(&format!(
            "`{name}` is taken for the package of that name that is kept here; the folder is `./{name}`"
        ));
    }
}

/// The flag of `run` that somebody may have meant by `unknown`: what follows the flags is the app's, so clap does not look.
fn similar_flag(unknown: &str) -> Option<String> {
    let name = unknown.trim_start_matches('-');
    let name = name.split('=').next().unwrap_or(name);
    let command = RunArgs::augment_args(clap::Command::new("run"));
    let flags = command.get_arguments().filter_map(|flag| flag.get_long());
    let near = flags.map(|flag| (strsim::jaro(flag, name), flag.to_owned()));
    near.filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, flag)| flag)
}
