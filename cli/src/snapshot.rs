//! Snapshots when packing: a trial run finds out what the app imports, then a process of its own imports it and
//! writes Python's memory down. Both run under everything that guards a run, without network.

use crate::commands::launch::runtime;
use crate::environment::Environment;
use anyhow::{Context, anyhow, bail};
use pywasm::{AppConfig, Command, Interruption, Package, ReadLimits, default_env};
use pywasm_format::write::{BuiltLayer, FileMode, LayerWriter};
use pywasm_format::{Digest, GuestPath, LayerKind};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A trial run that neither ends nor listens has shown by then what it imports first.
const TRIAL: &str = "20s";

/// A program that has imported nothing for so long is at its work.
const QUIET: Duration = Duration::from_secs(3);
const MEMORY: &str = "2g";
const OUTPUT: &str = "16m";

/// An import that takes longer is not worth the wait when packing.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often modules may turn out unfit before there is no snapshot.
const ATTEMPTS: usize = 16;

/// Where a layer's files are in the guest: nowhere that a program looks.
const MOUNT: &str = "/usr/local/lib/pywasm/snapshot";

/// The exit code that says: without that module it may work.
pub const UNFIT: u8 = 3;

/// A snapshot's layer, and the modules that could not be in it, each with the reason.
pub struct Taken {
    pub layer: BuiltLayer,
    pub left_out: Vec<(String, String)>,
}

/// Takes the snapshot of a package that has none. A server is asked for the paths of `requests` in the trial run.
pub fn take(
    package: &Path,
    config: &AppConfig,
    requests: &[String],
    environment: &Environment,
) -> anyhow::Result<Taken> {
    // Refused here, where it can be said, and not in a trial run that nobody watches.
    command(config)?;
    // Compiled here, where the progress shows; a trial run is silent.
    let opened = Package::open(package, &ReadLimits::default())?;
    let runtime = runtime(environment, Interruption::ProcessExit)?.for_edited_apps();
    runtime.load(&opened)?;
    let work = environment.cache()?.work_folder()?;
    let this = Subprocess {
        program: std::env::current_exe()?,
        cache_dir: environment.cache_dir()?,
        package,
        folder: work.path(),
    };
    let mut imports = this.trial(requests)?;
    // The same imports over the same layers give the same snapshot, whatever else of the app has changed.
    let layers = opened.layers().iter();
    let below = layers
        .filter(|layer| layer.kind() < LayerKind::Snapshot)
        .map(|layer| layer.digest());
    let kept = environment
        .cache()?
        .folder("snapshots")?
        .join(key(below, config, Some(&imports)));
    if let Ok(taken) = Taken::read(&kept) {
        return Ok(taken);
    }
    let patcher = before_patches(&mut imports).map(|name| (name, PATCHED.to_owned()));
    let mut left_out: Vec<(String, String)> = patcher.into_iter().collect();
    for _ in 0..ATTEMPTS {
        let modules: Vec<&str> = imports
            .iter()
            .map(String::as_str)
            .filter(|name| left_out.iter().all(|(left, _)| !is_within(name, left)))
            .collect();
        match this.attempt(&modules)? {
            Attempt::Taken { state, record } => {
                let layer = layer(&state, &record)?;
                let taken = Taken { layer, left_out };
                // Without it the next one takes longer.
                let _ = taken.write(&kept);
                return Ok(taken);
            }
            Attempt::Unfit(modules) => left_out.extend(modules),
        }
    }
    let (module, reason) = left_out.pop().unwrap_or_default();
    bail!("too many modules cannot be in one, such as {module}: {reason}")
}

/// The name under which the cache keeps a snapshot over the layers `below` for the start that a package describes: of
/// these imports, or of whatever this start imported when it was first looked at.
pub fn key(
    below: impl Iterator<Item = Digest>,
    config: &AppConfig,
    imports: Option<&[String]>,
) -> String {
    let start = (
        &config.entrypoint,
        &config.cmd,
        &config.scripts,
        &config.env,
        &config.working_dir,
    );
    let version = env!("CARGO_PKG_VERSION");
    let below: Vec<Digest> = below.collect();
    let all = format!("{version} {below:?} {start:?} {imports:?}");
    format!("{}.layer", Digest::of(all.as_bytes()).hex())
}

impl Taken {
    /// Reads one that was kept in the cache.
    pub fn read(path: &Path) -> io::Result<Self> {
        let (layer, left_out) = BuiltLayer::kept(path, LayerKind::Snapshot)?;
        Ok(Self { layer, left_out })
    }

    /// Keeps it in the cache.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        self.layer.keep(path, &self.left_out)
    }
}

/// What the package starts when nothing else is asked for.
pub fn command(config: &AppConfig) -> anyhow::Result<Command> {
    let env = default_env(config);
    Ok(Command::program(&config.command_line(), config, &env)?)
}

/// Is `name` the module `of`, or one inside it?
fn is_within(name: &str, of: &str) -> bool {
    name.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// This same binary, for one package.
struct Subprocess<'a> {
    program: PathBuf,
    cache_dir: PathBuf,
    package: &'a Path,
    folder: &'a Path,
}

enum Attempt {
    Taken {
        state: PathBuf,
        record: PathBuf,
    },
    /// Modules, each with what its import does.
    Unfit(Vec<(String, String)>),
}

impl Subprocess<'_> {
    /// What the app imports from Python's own folders, in order, until it ends, has answered or time is up.
    fn trial(&self, requests: &[String]) -> anyhow::Result<Vec<String>> {
        let shown = self.folder.join("trial");
        fs::create_dir(&shown)?;
        if shown.to_string_lossy().contains(':') {
            bail!("the cache folder has a `:` in its name; set PYWASM_CACHE to another");
        }
        let requests = match requests {
            [] => "/".to_owned(),
            paths => paths.join(" "),
        };
        let child = self
            .command("run")
            .args(["--network", "none", "--ignore-needs", "--timeout", TRIAL])
            .args(["-m", MEMORY, "--output-limit", OUTPUT, "-v"])
            .arg(format!("{}:/run/pywasm", shown.display()))
            .args(["-e", "PYWASM_TRIAL=/run/pywasm/imports", "-e"])
            .arg(format!("PYWASM_REQUESTS={requests}"))
            .arg(self.package)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the trial run")?;
        let log = shown.join("imports");
        let mut last = (None, Instant::now());
        wait(child, || {
            // There from before the program begins.
            let size = fs::metadata(&log).ok().map(|file| file.len());
            if size != last.0 {
                last = (size, Instant::now());
            }
            size.is_none() || last.1.elapsed() < QUIET
        })?;
        // Without the file the app ended before it imported anything.
        let log = fs::read_to_string(log).unwrap_or_default();
        Ok(imported(&log))
    }

    fn attempt(&self, modules: &[&str]) -> anyhow::Result<Attempt> {
        let [list, state, record, said] =
            ["modules", "state.wasm", "snapshot.json", "said"].map(|name| self.folder.join(name));
        fs::write(&list, modules.join("\n"))?;
        let child = self
            .command("take-snapshot")
            .arg(self.package)
            .arg("--modules")
            .arg(&list)
            .arg("--state")
            .arg(&state)
            .arg("--record")
            .arg(&record)
            .stdout(File::create(&said)?)
            .stderr(File::options().append(true).open(&said)?)
            .spawn()
            .context("cannot start a process for the snapshot")?;
        let status = wait(child, || true)?;
        let said = fs::read_to_string(&said)?;
        match status.code() {
            Some(0) => Ok(Attempt::Taken { state, record }),
            Some(code) if code == i32::from(UNFIT) => {
                let lines = said.lines().filter_map(|line| line.split_once('\t'));
                let owned = |(module, reason): (&str, &str)| (module.to_owned(), reason.to_owned());
                Ok(Attempt::Unfit(lines.map(owned).collect()))
            }
            _ => Err(anyhow!(
                "{}",
                last_line(&said).unwrap_or("it ended at once")
            )),
        }
    }

    fn command(&self, verb: &str) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        // Nothing of the person's environment: it may hold secrets.
        command
            .arg(verb)
            .arg("--with-parent")
            .arg(std::process::id().to_string())
            .env_clear()
            .env("PYWASM_CACHE", &self.cache_dir)
            .env("PYWASM_DATA", self.folder)
            .env("XDG_STATE_HOME", self.folder)
            .stdin(Stdio::null());
        command
    }
}

/// Waits for as long as it is `worth` it, and not for ever: imports may hang.
fn wait(mut child: Child, mut worth: impl FnMut() -> bool) -> anyhow::Result<ExitStatus> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end || !worth() {
            child.kill()?;
            return Ok(child.wait()?);
        }
        sleep(Duration::from_millis(5));
    }
}

/// The names of a trial run's log that were imported to the end.
fn imported(log: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in log.lines() {
        if let Some(name) = line.strip_prefix('+') {
            if !names.iter().any(|other| other == name) {
                names.push(name.to_owned());
            }
        } else if let Some(name) = line.strip_prefix('-') {
            names.retain(|other| other != name);
        }
    }
    names
}

/// Modules that change what others find. Those that are imported after them keep what they find.
const PATCHERS: [&str; 2] = ["eventlet.patcher", "gevent.monkey"];

const PATCHED: &str = "it patches modules, and nor is what is imported after it";

/// Leaves what was imported before a module that patches others, and names that.
fn before_patches(imports: &mut Vec<String>) -> Option<String> {
    let is_patcher = |name: &String| PATCHERS.contains(&name.as_str());
    let first = imports.iter().position(is_patcher)?;
    imports.drain(first..).next()
}

fn layer(state: &Path, record: &Path) -> anyhow::Result<BuiltLayer> {
    let mount: GuestPath = MOUNT.parse()?;
    let mut layer = LayerWriter::new(LayerKind::Snapshot, mount)?;
    for (name, path) in [("snapshot.json", record), ("state.wasm", state)] {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        layer.file(name, FileMode::Plain, size, file)?;
    }
    Ok(layer.finish()?)
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_takes_its_submodules_along() {
        assert!(is_within("a.b", "a") && is_within("a", "a"));
        assert!(!is_within("ab", "a") && !is_within("a", "a.b"));
    }

    #[test]
    fn what_failed_is_not_imported_again() {
        assert_eq!(imported("+a\n+b\n+a\n-b\n+c\n"), ["a", "c"]);
    }

    #[test]
    fn what_finds_patched_modules_is_imported_at_each_start() {
        let mut imports = ["flask", "gevent.monkey", "requests"]
            .map(str::to_owned)
            .to_vec();
        let patcher = before_patches(&mut imports);
        assert_eq!(patcher.as_deref(), Some("gevent.monkey"));
        assert_eq!(imports, ["flask"]);
        assert_eq!(before_patches(&mut imports), None);
    }
}
