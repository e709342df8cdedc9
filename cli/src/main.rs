//! The `pywasm` command: `pack` bundles a Python project, `run` runs it in a sandbox.

mod args;
mod commands;
mod denials;
mod environment;
mod printer;
mod refused;
mod report;
mod supervise;
mod units;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Cli::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let environment = environment::Environment::of_process();
    let outcome = match args.command {
        args::Verb::Run(args) => commands::run::run(args, &environment),
        args::Verb::Pack(args) => commands::pack::pack(args, &environment),
        args::Verb::Check(args) => commands::check::check(args, &environment),
        args::Verb::Python(args) => commands::python::python(args, &environment),
        args::Verb::Policy(args::PolicyVerb::Suggest) => commands::policy::suggest(&environment),
        args::Verb::Doctor => commands::doctor::doctor(&environment),
        args::Verb::Version => commands::version::version(),
    };
    outcome.unwrap_or_else(|error| report::failure(&error))
}
