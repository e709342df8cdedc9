//! Builds of source archives: each in a process of its own, under everything that guards a run.

use crate::environment::Environment;
use pywasm_packager::{BuildEnd, BuildSandbox, SandboxMount};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Setuptools takes seconds for a usual package and minutes for a huge one.
const LONGEST: &str = "15m";
const MEMORY: &str = "2g";
/// The log is read into memory.
const OUTPUT: &str = "16m";

/// `pywasm run` of this same binary.
pub struct Subprocess {
    program: PathBuf,
    cache_dir: PathBuf,
}

impl Subprocess {
    pub fn new(environment: &Environment) -> anyhow::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            cache_dir: environment.cache_dir()?,
        })
    }
}

impl BuildSandbox for Subprocess {
    fn run(&self, package: &Path, mounts: &[SandboxMount]) -> Result<BuildEnd, String> {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--network", "none", "--timeout", LONGEST])
            .args(["-m", MEMORY, "--output-limit", OUTPUT]);
        for SandboxMount { host, guest } in mounts {
            // A colon would end the host's part of -v.
            if host.to_string_lossy().contains(':') {
                return Err(format!(
                    "the cache folder {} has a `:` in its name; set PYWASM_CACHE to another",
                    host.display()
                ));
            }
            let mut volume = host.as_os_str().to_owned();
            volume.push(format!(":{guest}"));
            command.arg("-v").arg(volume);
        }
        let ended = command
            .arg(package)
            // Nothing of the person's environment: it may hold secrets.
            .env_clear()
            .env("PYWASM_CACHE", &self.cache_dir)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))?;
        let log = [ended.stdout, ended.stderr].concat();
        Ok(BuildEnd {
            success: ended.status.success(),
            log: String::from_utf8_lossy(&log).into_owned(),
        })
    }
}
