//! `pywasm reload`: starts all workers of a running app anew.

use crate::args::ReloadArgs;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::ExitCode;

pub fn reload(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let pid = args.pid;
    let Some(process) = Pid::from_raw(pid).filter(|_| has_workers(pid)) else {
        bail!("process {pid} is no `pywasm run --workers` or `pywasm serve` of yours");
    };
    kill_process(process, Signal::USR1).with_context(|| format!("cannot reach process {pid}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The signal would end any other program. Where this cannot be seen, the person is believed.
fn has_workers(pid: i32) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return cfg!(not(target_os = "linux"));
    };
    let mut words = line.split(|byte| *byte == 0);
    let serves = words.clone().nth(1) == Some(b"serve");
    let command = words.clone().any(|word| word.starts_with(b"--workers"));
    (serves || command) && !words.any(|word| word == b"--worker")
}
