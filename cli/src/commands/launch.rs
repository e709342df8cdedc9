//! What `run` and `python` share: from flags to a policy, from a loaded app to an exit code.

use crate::denials::Log;
use crate::environment::Environment;
use crate::flame_graph::FlameGraph;
use crate::given_file;
use crate::grant_args::{GrantArgs, LimitArgs, VolumeArg, VolumeSource, WallArg};
use crate::isolated;
use crate::output::Output;
use crate::printer::{self, Steps};
use crate::supervise::{HostMemory, supervise};
use crate::template;
use crate::volume_name::VolumeName;
use crate::workers::control::Boss;
use anyhow::{Context, anyhow};
use pywasm::policy::{Access, Limits, Mount, Policy, PortMaps};
use pywasm::{
    App, AppConfig, Command, Crash, Exit, GuestPath, Interruption, Limit, Progress, Runtime, Stdio,
    Terminal, Wall, default_env,
};
use rustix::fs::{FlockOperation, flock};
use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long an app may take to end when it is told to: that of `docker stop`.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the person who runs an app lends to it, and wants to be told of it.
#[derive(Default)]
pub struct Session {
    /// To be set up by the app.
    pub terminal: Option<Terminal>,
    /// A flame graph.
    pub profile: Option<Output>,
    /// What is left of it after a crash.
    pub core_dump: Option<Output>,
}

/// The engine over the person's cache, telling of long work on the terminal.
pub fn runtime(environment: &Environment, interruption: Interruption) -> anyhow::Result<Runtime> {
    let runtime = Runtime::new(environment.cache()?, interruption, told());
    runtime.map_err(|error| no_engine(&error))
}

/// That of a process which starts one instance after the other.
pub fn runtime_for_many(
    environment: &Environment,
    interruption: Interruption,
) -> anyhow::Result<Runtime> {
    let runtime = Runtime::for_many(environment.cache()?, interruption, told());
    runtime.map_err(|error| no_engine(&error))
}

fn told() -> impl Fn(Progress) + Send + Sync + 'static {
    let steps = Steps::new();
    move |progress| match progress {
        Progress::Unpacking => steps.step("unpacking a layer (once per machine)"),
        Progress::Compiling => steps.step("compiling Python for this machine (once, some seconds)"),
        Progress::CompilingBytecode => steps.step("compiling the requirements to bytecode (once)"),
        Progress::Ready => steps.done(),
    }
}

fn no_engine(error: &impl fmt::Display) -> anyhow::Error {
    anyhow!("cannot start the WebAssembly engine: {error:#}")
}

impl GrantArgs {
    /// What these grants allow an app.
    pub fn policy(&self, config: &AppConfig, environment: &Environment) -> anyhow::Result<Policy> {
        self.refuse_double()?;
        let mut policy = Policy::none()
            .limits(self.limits())
            .envs(default_env(config))
            .envs(self.environment(environment)?);
        for volume in &self.volume {
            let host = volume.host(environment)?;
            if !host.is_file() {
                let access = match volume.read_only {
                    true => Access::ReadOnly,
                    false => Access::ReadWrite,
                };
                policy = policy.mount(Mount::new(&host, volume.guest.clone(), access)?);
            }
        }
        if self.read_only {
            policy = policy.root(Access::ReadOnly);
        }
        for folder in &self.tmpfs {
            policy = policy.private_folder(folder.clone());
        }
        for port in self.publish.iter().flat_map(PortMaps::iter) {
            policy = policy.publish(port);
        }
        for rule in &self.allow_net {
            policy = policy.allow_outbound(rule.clone());
        }
        Ok(policy)
    }

    /// How long the app may take to end.
    pub fn stop_timeout(&self) -> Duration {
        self.stop_timeout.map_or(STOP_TIMEOUT, |span| span.0)
    }

    pub fn limits(&self) -> Limits {
        let defaults = Limits::default();
        let LimitArgs {
            cpus,
            cpu_time,
            fuel,
            pids_limit,
            max_sockets,
            max_files,
            disk,
            output_limit,
            output_rate,
        } = &self.limits;
        Limits {
            memory: self.memory.map_or(defaults.memory, |size| size.0),
            wall: self.timeout.map(|span| span.0),
            cpu_time: cpu_time.map(|span| span.0),
            cpus: *cpus,
            fuel: *fuel,
            threads: pids_limit.unwrap_or(defaults.threads),
            sockets: max_sockets.unwrap_or(defaults.sockets),
            files: max_files.unwrap_or(defaults.files),
            disk: disk.map_or(defaults.disk, |size| size.0),
            output: output_limit.map(|size| size.0),
            output_rate: output_rate.and_then(|size| NonZeroU64::new(size.0)),
        }
    }

    /// Files first, flags over them, as docker has it.
    fn environment(&self, shell: &Environment) -> anyhow::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for path in &self.env_file {
            let text = given_file::text("--env-file", path)?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (name, value) = match line.split_once('=') {
                    Some((name, value)) => (name.trim_end(), Some(value)),
                    None => (line.trim_end(), shell.get(line.trim_end())),
                };
                anyhow::ensure!(
                    !name.is_empty() && !name.contains(char::is_whitespace),
                    "{}:{}: `{line}` is not NAME=VALUE",
                    path.display(),
                    number + 1
                );
                found.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            }
        }
        for arg in &self.env {
            let value = arg.value.as_deref().or_else(|| shell.get(&arg.name));
            found.extend(value.map(|value| (arg.name.clone(), value.to_owned())));
        }
        Ok(found)
    }

    /// Mounted files are given as copies: a sandbox opens files below folders, and a file alone is none.
    fn with_files(
        &self,
        mut command: Command,
        environment: &Environment,
    ) -> anyhow::Result<Command> {
        for volume in &self.volume {
            let host = volume.host(environment)?;
            if host.is_file() {
                anyhow::ensure!(
                    volume.read_only,
                    "`{}` is a file: mount the folder that holds it, or give the app a copy with :ro",
                    host.display()
                );
                command = command.file(host, volume.guest.clone());
            }
        }
        Ok(command)
    }

    /// Keeps named volumes from being removed as long as the answer lives. As in docker an empty one begins with what the package has in
    /// its place.
    fn hold_volumes(&self, app: &App, environment: &Environment) -> anyhow::Result<Vec<File>> {
        let hold = |name: &VolumeName, guest: &GuestPath| {
            let path = environment.volume(name)?;
            let folder = File::open(&path)?;
            if is_empty(&path)?
                && let Some(image) = app.image_folder(guest)
                && !is_empty(&image)?
                && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                copy_folder(&image, &path)?;
                printer::note(&format!(
                    "the volume {name} was empty: it begins with the package's own files in {guest}"
                ));
            }
            flock(&folder, FlockOperation::LockShared)?;
            anyhow::Ok(folder)
        };
        let named = |volume: &VolumeArg| match &volume.source {
            VolumeSource::Named(name) => Some((name.clone(), volume.guest.clone())),
            VolumeSource::Path(_) => None,
        };
        let volumes = self.volume.iter().filter_map(named);
        volumes
            .map(|(name, guest)| {
                hold(&name, &guest).with_context(|| format!("cannot use the volume `{name}`"))
            })
            .collect()
    }

    /// Starts the app under these grants and stays with it to its end, and that of this process.
    pub fn run(
        &self,
        app: App,
        command: Command,
        policy: &Policy,
        environment: &Environment,
        boss: Option<Boss>,
        session: Session,
    ) -> anyhow::Result<ExitCode> {
        // What the process ends with, it need not free part by part.
        let app = ManuallyDrop::new(app);
        let Session {
            terminal,
            profile,
            core_dump,
        } = session;
        let command = self.with_files(command, environment)?;
        let _held = self.hold_volumes(&app, environment)?;
        let stdio = Stdio::inherit().context("cannot pass on the standard streams")?;
        let stdio = match &terminal {
            Some(terminal) => stdio.with_terminal(terminal.clone()),
            None => stdio,
        };
        let policy = &of_terminal(policy, terminal.is_some(), environment);
        let (stdio, events, time_limit) = match &boss {
            // Standard input is the line to the command, which also keeps the time of all.
            Some(boss) => (stdio.without_input(), boss.sink()?, None),
            None => {
                let log = Log::begin(environment);
                let time_limit = self.timeout.map(|span| span.0);
                (stdio, log.into_sink(), time_limit)
            }
        };
        let mut prepared = app.prepare(command, policy, stdio, events)?;
        // Nothing can be opened any more when the process is confined.
        let profile = match &profile {
            Some(output) => Some((prepared.profile()?, FlameGraph::create(output)?)),
            None => None,
        };
        if let Some(output) = &core_dump {
            prepared.dump_crash_to(output.create()?);
        }
        let host_memory = HostMemory::now(self.limits().memory);
        self.confine(|| prepared.confine_process())?;
        let instance = prepared.start()?;
        let ending = supervise(
            instance,
            time_limit,
            self.stop_timeout(),
            &host_memory,
            terminal.as_ref(),
            boss,
        );
        if let Some(terminal) = terminal {
            terminal.restore();
        }
        let ending = ending?;
        if let crate::supervise::Ending::App(exit) = &ending {
            explain(exit, self);
        }
        if let Some((profile, graph)) = profile {
            graph.write(&profile)?;
        }
        Ok(ExitCode::from(ending.code()))
    }

    /// Starts the app again and again under these grants, `at_once` instances at the same time, each for one request.
    pub fn run_many(
        &self,
        app: &App,
        command: Command,
        policy: &Policy,
        environment: &Environment,
        boss: Boss,
        at_once: usize,
    ) -> anyhow::Result<ExitCode> {
        let command = self.with_files(command, environment)?;
        let _held = self.hold_volumes(app, environment)?;
        let events = boss.sink()?;
        let prepare = || {
            let stdio = Stdio::inherit().context("cannot pass on the standard streams")?;
            let stdio = stdio.without_input();
            Ok(app.prepare(command.clone(), policy, stdio, events.clone())?)
        };
        // What is taken from this process for one holds for all that follow.
        let first = prepare()?;
        self.confine(|| first.confine_process())?;
        drop(first);
        let memory = self.limits().memory.saturating_mul(at_once as u64);
        let work = isolated::Work {
            prepare,
            at_once,
            patience: self.stop_timeout(),
            host_memory: HostMemory::now(memory),
        };
        Ok(ExitCode::from(isolated::serve(work, boss)?))
    }

    /// Imports `module` under these grants and gives out the memory.
    pub fn write_template(
        &self,
        app: &App,
        command: Command,
        module: &str,
        policy: &Policy,
        environment: &Environment,
    ) -> anyhow::Result<ExitCode> {
        let command = self.with_files(command, environment)?;
        let _held = self.hold_volumes(app, environment)?;
        let stdio = Stdio::inherit().context("cannot pass on the standard streams")?;
        let events = Log::begin(environment).into_sink();
        let stdio = stdio.without_input();
        let prepared = app.prepare_template(&command, &[module], policy, stdio, events)?;
        self.confine(|| prepared.confine_process())?;
        template::write(prepared)
    }

    fn confine(&self, confine: impl FnOnce() -> Wall) -> anyhow::Result<()> {
        if self.wall != WallArg::Off {
            let wall = confine();
            anyhow::ensure!(
                self.wall != WallArg::Require || wall.is_complete(),
                "--wall require: Landlock is {}, seccomp is {}",
                wall.landlock,
                wall.seccomp
            );
        }
        Ok(())
    }
}

/// With the kind of terminal in the environment where the app is lent one, unless the person set another.
fn of_terminal<'a>(policy: &'a Policy, lent: bool, shell: &Environment) -> Cow<'a, Policy> {
    let set = policy.environment().iter().any(|(name, _)| name == "TERM");
    match lent && !set {
        true => {
            let kind = shell.get("TERM").unwrap_or("xterm");
            Cow::Owned(policy.clone().env("TERM", kind))
        }
        false => Cow::Borrowed(policy),
    }
}

impl VolumeArg {
    /// The folder or file of the host; a named volume is made where it is new.
    pub fn host(&self, environment: &Environment) -> anyhow::Result<PathBuf> {
        match &self.source {
            VolumeSource::Path(path) => Ok(path.clone()),
            VolumeSource::Named(name) => environment.volume(name),
        }
    }
}

/// The working folder the person asked for, below the package's own where it is relative.
pub fn workdir(asked: Option<&str>, own: &GuestPath) -> anyhow::Result<GuestPath> {
    Ok(match asked {
        Some(folder) => own.join(folder)?,
        None => own.clone(),
    })
}

fn explain(exit: &Exit, grants: &GrantArgs) {
    match exit {
        Exit::Limit(Limit::Memory) => printer::note(&format!(
            "the app ran out of memory ({} MiB); give it more with --memory",
            grants.limits().memory >> 20
        )),
        Exit::Limit(limit) => printer::note(&format!(
            "the app was ended at its limit of {} ({})",
            limit.what(),
            limit.flag()
        )),
        Exit::Trap(crash) => printer::note(&crashed(crash)),
        // The app's own, or what the person asked for.
        _ => {}
    }
}

/// What is told of a crash, and whose fault it may be: not that of the Python code shown, where one would look first.
pub fn crashed(crash: &Crash) -> String {
    let whose = match crash.functions.is_empty() {
        true => "",
        false => {
            "\nUnless the app asked for it (os.abort), the interpreter or an extension in C has failed: please report it with \
             these lines."
        }
    };
    format!("the app crashed inside the sandbox: {crash}{whose}")
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

/// Of files and folders, which is all that a package has.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => {
                fs::create_dir(&target)?;
                copy_folder(&entry.path(), &target)?;
            }
            false => drop(fs::copy(entry.path(), &target)?),
        }
    }
    Ok(())
}
