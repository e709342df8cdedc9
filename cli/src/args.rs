//! The command line as it is written. What the values mean is decided in `commands`.

use crate::grant_args::{EnvArg, GrantArgs};
use crate::registry_args::{LoginArgs, LogoutArgs, PullArg, PullArgs, PushArgs, ServerArgs};
use crate::serve_args::ServeArgs;
use crate::signature_args::{KeyArgs, SignArgs, VerifyArgs};
use crate::store_args::{
    CacheVerb, ImagesArgs, LoadArgs, PackageArg, RmiArgs, SaveArgs, SystemVerb, TagArgs, VolumeVerb,
};
use crate::units::{number, request_path};
use crate::workers::WorkerId;
use clap::{Args, Parser, Subcommand, ValueEnum};
use pywasm_format::ImageName;
use pywasm_packager::{AsOf, Base};
use std::num::NonZeroU16;
use std::path::PathBuf;

/// Run Python apps in a WebAssembly sandbox, the way people run containers.
///
/// An app reaches only the files, ports, hosts, environment, memory and time it is given.
#[derive(Debug, Parser)]
#[command(name = "pywasm", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Verb,
}

// The flags of a verb are only put together when it is the one that was asked for. Then what is said of a struct that is flattened
// into it would take the place of what is said of the verb: such structs have comments, and no documentation.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Verb {
    /// Run a package, a project folder or a Python file
    #[command(override_usage = "pywasm run [OPTIONS] <PACKAGE|DIR|FILE.py> [ARGS]...")]
    Run(Box<RunArgs>),
    /// Serve a WSGI or ASGI app over HTTP/1.1 and HTTP/2, parsed and limited outside of the sandbox
    #[command(override_usage = "pywasm serve [OPTIONS] <PACKAGE|DIR|FILE.py>")]
    Serve(Box<ServeArgs>),
    /// Start all workers of a running app anew, one after the other, without losing a request
    Reload(ReloadArgs),
    /// Run a project folder or a Python file, and again whenever its files change
    #[command(override_usage = "pywasm dev [OPTIONS] <DIR|FILE.py> [ARGS]...")]
    Dev(Box<RunArgs>),
    /// Bundle a project and its requirements into one package file
    #[command(visible_alias = "build")]
    Pack(PackArgs),
    #[command(hide = true)]
    TakeSnapshot(TakeSnapshotArgs),
    /// Say what of a project runs here, without packing it
    Check(CheckArgs),
    /// Write the versions and files that a project's requirements lead to into pylock.toml
    Lock(LockArgs),
    /// List the packages that are kept by name
    Images(ImagesArgs),
    /// Take names of kept packages away, and what no name needs
    Rmi(RmiArgs),
    /// Give a kept package a further name
    Tag(TagArgs),
    /// Write a kept package to a file
    Save(SaveArgs),
    /// Keep the package in a file by name
    Load(LoadArgs),
    /// Show what a package says and holds, as JSON
    Inspect(PackageArg),
    /// List every part of a package with version, digest and licence, as CycloneDX
    Sbom(PackageArg),
    /// Show the layers of a package
    History(PackageArg),
    /// Fetch a package from a registry
    Pull(PullArgs),
    /// Send a kept package to a registry
    Push(PushArgs),
    /// Make a pair of keys to sign packages with
    Key(KeyArgs),
    /// Sign a package
    Sign(SignArgs),
    /// Say whether a package is signed by a key
    Verify(VerifyArgs),
    /// Tell who you are to a registry
    Login(LoginArgs),
    /// Forget who you are to a registry
    Logout(LogoutArgs),
    /// Look after what is kept to start faster
    #[command(subcommand)]
    Cache(CacheVerb),
    /// What is kept on this machine
    #[command(subcommand)]
    System(SystemVerb),
    /// The named volumes on this machine
    #[command(subcommand)]
    Volume(VolumeVerb),
    /// The bare Python interpreter in the sandbox, with python3's own arguments
    Python(Box<PythonArgs>),
    /// Show what apps may do and what they were denied
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Show what of this machine's own protection is active
    Doctor,
    /// Show the versions of pywasm and of the Python inside
    Version,
}

#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Show what a package needs and what these flags of `run` grant
    #[command(override_usage = "pywasm policy show [OPTIONS] <PACKAGE|DIR|FILE.py> [ARGS]...")]
    Show(Box<RunArgs>),
    /// Print the flags that would have granted what the last run was denied
    Suggest,
}

impl Verb {
    /// What the person grants, where something runs.
    pub fn grants(&self) -> Option<&GrantArgs> {
        match self {
            Self::Run(args) => Some(&args.grants),
            Self::Dev(args) => Some(&args.grants),
            Self::Serve(args) => Some(&args.run.grants),
            Self::Python(args) => Some(&args.grants),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Process number of the `pywasm run --workers` or `pywasm serve` in question
    #[arg(value_name = "PID", value_parser = number("a process", 1..=i32::MAX))]
    pub pid: i32,
}

// How requirements are found.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Requirements")]
pub struct IndexArgs {
    /// Package index to use (else pip's environment variables and configuration)
    #[arg(long, value_name = "URL")]
    pub index_url: Option<String>,
    /// Further package index
    #[arg(long, value_name = "URL")]
    pub extra_index_url: Vec<String>,
    /// Folder or page with wheels
    #[arg(long, value_name = "PATH|URL")]
    pub find_links: Vec<String>,
    /// Look at no index, only at --find-links
    #[arg(long)]
    pub no_index: bool,
    /// Take pre-releases too
    #[arg(long)]
    pub pre: bool,
    /// Use only what is in the cache already
    #[arg(long)]
    pub offline: bool,
    /// Choose versions as of a day, such as 2021-08-01; `auto` does so where an old pin needs it
    #[arg(long, value_name = "DATE|auto|none", default_value = "auto")]
    pub as_of: AsOf,
    /// Where the newest version cannot run here, take an older one that can
    #[arg(long)]
    pub allow_older: bool,
    /// Versions of a package, whatever else demands of it, such as `werkzeug<3`
    #[arg(long = "override", value_name = "REQUIREMENT")]
    pub overrides: Vec<String>,
    /// Leave a package out, whoever requires it
    #[arg(long, value_name = "NAME")]
    pub exclude: Vec<String>,
    /// Optional dependencies of pyproject.toml to take too
    #[arg(long, value_name = "NAME")]
    pub extra: Vec<String>,
    /// Dependency group of pyproject.toml to take too
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Variable that requirements may refer to as ${NAME}; NAME alone takes this shell's
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub requirement_env: Vec<EnvArg>,
    /// Fail unless the project's pylock.toml is there and fits; it is followed in any case
    #[arg(long, conflicts_with = "no_lock")]
    pub locked: bool,
    /// Do not look at the project's pylock.toml
    #[arg(long)]
    pub no_lock: bool,
    /// Python with hardly any native packages (slim), with those of most apps for the web (web), with others too (full), with numpy
    /// too (scientific), with pandas and matplotlib too (data), with scipy and scikit-learn too (analysis) [default: the smallest that has what is required]
    #[arg(long, value_name = "NAME")]
    pub base: Option<Base>,
}

// Which instructions are followed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dockerfile")]
pub struct DockerfileArgs {
    /// Do not look at the project's Dockerfile
    #[arg(long, conflicts_with_all = ["file", "target", "build_arg"])]
    pub no_dockerfile: bool,
    /// Another file than the project's Dockerfile
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage to pack [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Value for an ARG; NAME alone takes this shell's
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<EnvArg>,
}

#[derive(Debug, Args)]
pub struct PackArgs {
    /// Project folder or Python file
    #[arg(default_value = ".", value_name = "DIR|FILE.py")]
    pub project: PathBuf,
    /// Package file to write [default: NAME.pkg in the current folder, none with -t]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Keep the package on this machine by this name, for `pywasm run NAME`; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub tag: Vec<ImageName>,
    /// Program to start, instead of the one found
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    #[command(flatten)]
    pub dockerfile: DockerfileArgs,
    #[command(flatten)]
    pub snapshot: SnapshotArgs,
    /// Show what would be packed and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub index: IndexArgs,
}

#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Pack no snapshot of the started Python: every start imports everything anew
    #[arg(long)]
    pub no_snapshot: bool,
    /// Path that a server is asked for in the trial run which finds out what the app imports [default: /]
    #[arg(long, value_name = "PATH", conflicts_with = "no_snapshot", value_parser = request_path)]
    pub warm: Vec<String>,
}

// What `pack` asks a process of its own to do.
#[derive(Debug, Args)]
pub struct TakeSnapshotArgs {
    /// Package that the snapshot is for
    #[arg(value_name = "FILE")]
    pub package: PathBuf,
    /// File with the names of the modules to import, one a line
    #[arg(long, value_name = "FILE")]
    pub modules: PathBuf,
    /// File for the memory
    #[arg(long, value_name = "FILE")]
    pub state: PathBuf,
    /// File for what the snapshot is good for
    #[arg(long, value_name = "FILE")]
    pub record: PathBuf,
    /// End when the process with this number, which started this one, ends
    #[arg(long, value_name = "PID")]
    pub with_parent: u32,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Project folder or Python file
    #[arg(default_value = ".", value_name = "DIR|FILE.py")]
    pub project: PathBuf,
    /// Look at a requirements file instead of a project
    #[arg(short, long, value_name = "FILE")]
    pub requirements: Vec<PathBuf>,
    /// How to say it
    #[arg(long, value_name = "text|json", default_value = "text")]
    pub format: ReportFormat,
    #[command(flatten)]
    pub dockerfile: DockerfileArgs,
    #[command(flatten)]
    pub index: IndexArgs,
}

#[derive(Debug, Args)]
pub struct LockArgs {
    /// Project folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub project: PathBuf,
    /// File to write, `-` for standard output [default: pylock.toml in the project]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub dockerfile: DockerfileArgs,
    #[command(flatten)]
    pub index: IndexArgs,
}

/// A report for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct RunArgs {
    #[command(flatten)]
    pub grants: GrantArgs,
    /// Working folder of the app
    #[arg(short, long, value_name = "FOLDER")]
    pub workdir: Option<String>,
    /// Start although the package needs what is not granted
    #[arg(long)]
    pub ignore_needs: bool,
    /// Publish all ports that the package exposes, at ports that the system chooses
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Start Python from nothing, though the package brings a snapshot
    #[arg(long)]
    pub no_snapshot: bool,
    /// Write a flame graph of what the Python code spends the processor's time on
    #[arg(long, value_name = "FILE.svg", conflicts_with = "workers")]
    pub profile: Option<PathBuf>,
    /// Write a WebAssembly core dump if the app crashes inside the sandbox
    #[arg(long, value_name = "FILE", conflicts_with = "workers")]
    pub debug_wasm: Option<PathBuf>,
    /// Program to start instead of the package's own
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// `none`: no published ports and no outbound connections
    #[arg(long, value_name = "none", value_parser = closed_network)]
    pub network: Option<ClosedNetwork>,
    /// When to fetch the package from the registry that its name begins with
    #[arg(
        long,
        value_name = "missing|always|never",
        default_value = "missing",
        hide_possible_values = true
    )]
    pub pull: PullArg,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Start the package only if it is signed by this key, or by one of several
    #[arg(long, value_name = "FILE")]
    pub require_signature: Vec<PathBuf>,
    /// Remove the app's files after it ends; always so, accepted for habit
    #[arg(long, hide = true)]
    pub rm: bool,
    /// Keep standard input open; always so, accepted for habit
    #[arg(short, long, hide = true)]
    pub interactive: bool,
    /// Let the app set up this terminal: how keys are read, for line editing and full-screen programs
    #[arg(short, long)]
    pub tty: bool,
    /// Run this many instances of the app, which share the published ports
    #[arg(long, value_name = "NUMBER", value_parser = number("workers", NonZeroU16::MIN..=NonZeroU16::MAX))]
    pub workers: Option<NonZeroU16>,
    /// Be one of them: standard input is the line to the command that started this process
    #[arg(long, hide = true, value_name = "NUMBER")]
    pub worker: Option<WorkerId>,
    /// The project as the command has packed it
    #[arg(long, hide = true, value_name = "FILE")]
    pub packed: Option<PathBuf>,
    /// What the command has granted, which this process may not exceed
    #[arg(long, hide = true, value_name = "DIGEST")]
    pub granted: Option<String>,
    /// End when the process with this number, which started this one, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub with_parent: Option<u32>,
    /// The target is a folder, whatever is kept under its name
    #[arg(long, hide = true)]
    pub is_folder: bool,
    /// Package file, project folder or Python file, and the arguments of the app
    // One list, so that from the target on nothing is taken for a flag of ours.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PACKAGE|DIR|FILE.py"
    )]
    pub target_and_args: Vec<String>,
    #[command(flatten)]
    pub dockerfile: DockerfileArgs,
    #[command(flatten)]
    pub index: IndexArgs,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    // Short flags are python3's own.
    mut_arg("publish", |arg| arg.short(None)),
    mut_arg("volume", |arg| arg.short(None)),
    mut_arg("env", |arg| arg.short(None)),
    mut_arg("memory", |arg| arg.short(None))
)]
pub struct PythonArgs {
    #[command(flatten)]
    pub grants: GrantArgs,
    /// Working folder [default: /]
    #[arg(long, value_name = "FOLDER")]
    pub workdir: Option<String>,
    /// Install a requirement first
    #[arg(long, value_name = "REQUIREMENT")]
    pub with: Vec<String>,
    /// Install the requirements of a file first
    #[arg(long, value_name = "FILE")]
    pub requirements: Vec<PathBuf>,
    /// python3's own arguments: -c CODE, -m MODULE, FILE, …
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub args: Vec<String>,
    #[command(flatten)]
    pub index: IndexArgs,
}

/// `--network none`.
#[derive(Debug, Clone, Copy)]
pub struct ClosedNetwork;

fn closed_network(text: &str) -> Result<ClosedNetwork, String> {
    match text {
        "none" => Ok(ClosedNetwork),
        _ => Err(format!(
            "apps have no networks but their own: leave out `{text}`, publish ports with -p and let the app reach others with --allow-net, \
             this machine with --allow-net host.docker.internal:PORT; `none` closes what these open"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_its_own_usage() {
        for verb in ["run", "serve", "dev", "policy show"] {
            let line = ["pywasm"].into_iter().chain(verb.split(' '));
            let shown = Cli::try_parse_from(line).expect_err(verb).to_string();
            assert!(
                shown.contains(&format!("Usage: pywasm {verb} [OPTIONS]")),
                "{shown}"
            );
        }
    }

    #[test]
    fn arguments_after_the_target_belong_to_the_app() {
        let cli =
            Cli::try_parse_from(["pywasm", "run", "-e", "A=1", "app.pkg", "-p", "x", "--help"]);
        let Ok(Cli {
            command: Verb::Run(run),
        }) = cli
        else {
            panic!("a run")
        };
        assert_eq!(run.target_and_args, ["app.pkg", "-p", "x", "--help"]);
        let cli = Cli::try_parse_from(["pywasm", "run", "-m", "64m", "app.pkg", "-m", "pytest"]);
        let Ok(Cli {
            command: Verb::Run(run),
        }) = cli
        else {
            panic!("a run")
        };
        assert_eq!(run.target_and_args, ["app.pkg", "-m", "pytest"]);
        let cli = Cli::try_parse_from([
            "pywasm", "python", "--memory", "64m", "-c", "print(1)", "-v",
        ]);
        let Ok(Cli {
            command: Verb::Python(python),
        }) = cli
        else {
            panic!("a python")
        };
        assert_eq!(python.args, ["-c", "print(1)", "-v"]);
    }
}
