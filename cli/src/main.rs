//! The `pywasm` command: `pack` bundles a Python project, `run` runs it in a sandbox.

mod args;
mod attached;
mod build_sandbox;
mod commands;
mod denials;
mod environment;
mod flame_graph;
mod given_file;
mod grant_args;
mod isolated;
mod output;
mod policy_file;
mod printer;
mod refused;
mod registry_args;
mod report;
mod seal;
mod serve_args;
mod signature_args;
mod snapshot;
mod store_args;
mod supervise;
mod template;
mod units;
mod volume_name;
mod workers;

use anyhow::anyhow;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(Refused::Usage(error)) => return report::usage(&error),
        Err(Refused::Explained(error)) => return report::failure(&error),
    };
    let environment = environment::Environment::of_process();
    let outcome = match args.command {
        args::Verb::Run(args) => commands::run::run(*args, &environment),
        args::Verb::Serve(args) => commands::serve::serve(*args, &environment),
        args::Verb::Reload(args) => commands::reload::reload(&args),
        args::Verb::Dev(args) => commands::dev::dev(*args, &environment),
        args::Verb::Pack(args) => commands::pack::pack(args, &environment),
        args::Verb::TakeSnapshot(args) => {
            commands::take_snapshot::take_snapshot(&args, &environment)
        }
        args::Verb::Check(args) => commands::check::check(args, &environment),
        args::Verb::Python(args) => commands::python::python(*args, &environment),
        args::Verb::Lock(args) => commands::lock::lock(args, &environment),
        args::Verb::Images(args) => commands::images::images(args, &environment),
        args::Verb::Rmi(args) => commands::images::rmi(args, &environment),
        args::Verb::Tag(args) => commands::images::tag(&args, &environment),
        args::Verb::Save(args) => commands::save::save(&args, &environment),
        args::Verb::Load(args) => commands::save::load(&args, &environment),
        args::Verb::Inspect(args) => commands::inspect::inspect(&args, &environment),
        args::Verb::Sbom(args) => commands::inspect::sbom(&args, &environment),
        args::Verb::History(args) => commands::inspect::history(&args, &environment),
        args::Verb::Pull(args) => commands::registry::pull_verb(args, &environment),
        args::Verb::Push(args) => commands::registry::push_verb(args, &environment),
        args::Verb::Key(args) => commands::signature::key(&args),
        args::Verb::Sign(args) => commands::signature::sign(&args, &environment),
        args::Verb::Verify(args) => commands::signature::verify(&args, &environment),
        args::Verb::Login(args) => commands::login::login(args, &environment),
        args::Verb::Logout(args) => commands::login::logout(args, &environment),
        args::Verb::Cache(verb) => commands::cache::cache(verb, &environment),
        args::Verb::System(verb) => commands::system::system(verb, &environment),
        args::Verb::Volume(verb) => commands::volume::volume(verb, &environment),
        args::Verb::Policy(args::PolicyVerb::Show(args)) => {
            commands::run::show(*args, &environment)
        }
        args::Verb::Policy(args::PolicyVerb::Suggest) => commands::policy::suggest(&environment),
        args::Verb::Doctor => commands::doctor::doctor(&environment),
        args::Verb::Version => commands::version::version(),
    };
    outcome.unwrap_or_else(|error| report::failure(&error))
}

/// Why a command line is not understood.
enum Refused {
    Usage(clap::Error),
    Explained(anyhow::Error),
}

impl Refused {
    fn new(error: clap::Error, given: &[OsString]) -> Self {
        match no_verb(&error, given).or_else(|| no_flag(&error)) {
            Some(explained) => Self::Explained(explained),
            None => Self::Usage(error),
        }
    }
}

/// Why there is no such verb, if it is one of docker's.
fn no_verb(error: &clap::Error, given: &[OsString]) -> Option<anyhow::Error> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let words = given.iter().skip(1).map_while(|word| word.to_str());
    let known = words.take_while(|word| word != unknown);
    let verb: Vec<_> = known.chain([unknown.as_str()]).collect();
    let verb = verb.join(" ");
    refused::verb(&verb).map(|reason| anyhow!("there is no `pywasm {verb}`: {reason}"))
}

/// Why there is no such flag, if it is one of docker's.
fn no_flag(error: &clap::Error) -> Option<anyhow::Error> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(unknown))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    refused::reason(unknown).map(|reason| anyhow!("unknown flag {unknown}: {reason}"))
}

/// The command line, with what its `--policy` files say.
fn args() -> Result<args::Cli, Refused> {
    let given = attached::detached(std::env::args_os().collect());
    let parse = |given: &[OsString]| {
        args::Cli::try_parse_from(given).map_err(|error| Refused::new(error, given))
    };
    let cli = parse(&given)?;
    match cli.command.grants() {
        Some(grants) if !grants.policy.is_empty() => {
            parse(&policy_file::expanded(&given, grants).map_err(Refused::Explained)?)
        }
        _ => Ok(cli),
    }
}
