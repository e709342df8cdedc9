//! `pywasm doctor`: what this machine offers, found out by trying it.

use crate::environment::Environment;
use crate::printer;
use crate::report::in_full;
use pywasm::Wall;
use std::process::ExitCode;

pub fn doctor(environment: &Environment) -> anyhow::Result<ExitCode> {
    let wall = Wall::probe();
    let cache = environment.cache_dir()?;
    // Opening it checks that nobody else can write to it.
    let private = match environment.cache() {
        Ok(_) => "private".to_owned(),
        Err(error) => in_full(&error),
    };
    let lines = [
        (
            "sandbox",
            "active: WebAssembly, on every machine".to_owned(),
        ),
        ("landlock", wall.landlock.to_string()),
        ("seccomp", wall.seccomp.to_string()),
        ("cache", format!("{} ({private})", cache.display())),
    ];
    for (name, found) in lines {
        printer::result(&format!("{name:<10}{found}"));
    }
    if !wall.is_complete() {
        printer::note(
            "the sandbox holds without them; `run --wall require` refuses to start where they are not active",
        );
    }
    Ok(ExitCode::SUCCESS)
}
