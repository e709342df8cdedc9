//! Runs a package under a policy, captures what it prints and reports how it ended:
//!
//! `cargo run -p pywasm --example embed -- app.pkg`

#![expect(clippy::print_stdout, reason = "an example prints")]

use pywasm::policy::{Limits, Policy};
use pywasm::{
    Cache, Command, EventSink, Interruption, Package, ReadLimits, Runtime, Stdio, default_env,
};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: embed PACKAGE")?;
    let cache = Cache::open(&std::env::temp_dir().join("pywasm-embed-cache"))?;
    let runtime = Runtime::new(cache, Interruption::Checked, |_| {})?;
    let app = runtime.load(&Package::open(path.as_ref(), &ReadLimits::default())?)?;

    let limits = Limits {
        memory: 256 << 20,
        wall: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let policy = Policy::none()
        .limits(limits)
        .envs(default_env(app.config()))
        .env("GREETING", "hello from the host");
    let (stdio, output) = Stdio::captured("", 1 << 20);
    let command = Command::program(&app.config().command_line(), app.config(), &[])?;
    let exit = app
        .start(command, &policy, stdio, EventSink::silent())?
        .wait_blocking();

    println!("{exit}\n{}{}", output.stdout(), output.stderr());
    Ok(())
}
