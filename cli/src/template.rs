//! The memory that instances of `pywasm serve --isolate request` begin with: that of one which has imported the app.
//!
//! A process of its own takes it. So the one that starts instances has run no guest code when it makes the memory ready, which
//! takes rights that it gives up before it runs any.

use anyhow::Context;
use pywasm::policy::Policy;
use pywasm::{PreparedTemplate, SnapshotError};
use pywasm_front::GATEWAY_FOLDER;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

/// The exit code that says: the file holds the reason.
const REFUSED: u8 = 3;

/// What the file may hold beside the memory: the same memory in a form of its own.
const OVERHEAD: u64 = 16 << 20;

/// Under which the app of `target` is imported, and asked for the pages `warm`.
pub fn policy(policy: &Policy, target: &str, warm: &[String]) -> Policy {
    let mut environment = policy.environment().iter();
    let path = match environment.find(|(name, _)| name == "PYTHONPATH") {
        Some((_, path)) => format!("{GATEWAY_FOLDER}:{path}"),
        None => GATEWAY_FOLDER.to_owned(),
    };
    let policy = policy.clone().env("PYTHONPATH", path);
    let policy = policy.env("PYWASM_TARGET", target);
    policy.env("PYWASM_WARM", warm.join(" "))
}

/// Takes it in this process, and writes it to the file at standard input.
pub fn write(prepared: PreparedTemplate) -> anyhow::Result<ExitCode> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    match prepared.take() {
        Ok(memory) => {
            file.write_all(&memory)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ (SnapshotError::Unfit(_) | SnapshotError::Handles)) => {
            file.write_all(error.to_string().as_bytes())?;
            Ok(ExitCode::from(REFUSED))
        }
        Err(error) => Err(error.into()),
    }
}

/// Has it taken by another process like this one, which was started with `arguments`. It is at most `memory` bytes large. Gives
/// the reason where there is none.
pub fn read(arguments: &[OsString], memory: u64) -> anyhow::Result<Result<Vec<u8>, String>> {
    let mut file = tempfile::tempfile().context("cannot make a file for the app's memory")?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let status = Command::new(program)
        .args(["serve", "--template", &std::process::id().to_string()])
        .args(arguments)
        .stdin(file.try_clone()?)
        .status()
        .context("cannot start a process that imports the app")?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(memory + OVERHEAD).read_to_end(&mut bytes)?;
    Ok(match status.code() {
        Some(0) => Ok(bytes),
        Some(code) if code == i32::from(REFUSED) => Err(String::from_utf8_lossy(&bytes).into()),
        _ => Err("importing it ended the process".to_owned()),
    })
}
