//! `pywasm dev`: runs a project, and runs it anew whenever its files change.
//!
//! The app is a `pywasm run` of its own with the same arguments: that process confines itself for good
//! and can be ended whatever the app does.

use super::{pack, run};
use crate::args::RunArgs;
use crate::environment::Environment;
use crate::printer;
use anyhow::{Context, bail};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use pywasm_packager::{BaseLayers, PackSettings, Project};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{sleep, timeout};

/// An editor writes a file in several steps, and a checkout many files: they count as one change.
const QUIET: Duration = Duration::from_millis(50);

/// How long the old app may take to end. Its person waits for the new one.
const STOP: Duration = Duration::from_millis(500);

pub fn dev(args: RunArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let target = PathBuf::from(args.target_and_args.first().map_or(".", String::as_str));
    if !run::is_project(&target) {
        bail!(
            "cannot watch `{}`: give a project folder or a .py file; a package does not change, \
             start it with `pywasm run`",
            target.display()
        );
    }
    let settings = PackSettings {
        dockerfile: pack::dockerfile_use(args.dockerfile, environment),
        ..pack::settings(&args.index, environment)?
    };
    let project = Sources::of(&target, settings)?;
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    reactor.block_on(serve(&target, project, &environment.arguments))
}

/// Runs the app and its successors until a signal ends it all.
async fn serve(
    target: &Path,
    mut project: Sources,
    arguments: &[OsString],
) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (_watcher, mut changes) = watch(target)?;
    let mut app = start(arguments)?;
    let mut running = true;
    loop {
        let code = tokio::select! {
            biased;
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 143,
            ended = app.wait(), if running => {
                running = false;
                printer::note(&format!("the app ended ({}); it starts again when its files change", ended?));
                continue;
            }
            Some(()) = changes.recv() => {
                settle(&mut changes).await;
                if project.changed() {
                    printer::note("files changed; starting the app again");
                    stop(&mut app).await?;
                    app = start(arguments)?;
                    running = true;
                }
                continue;
            }
        };
        stop(&mut app).await?;
        return Ok(ExitCode::from(code));
    }
}

/// What decides about the package, to tell a change that matters from one that is not packed.
struct Sources {
    target: PathBuf,
    settings: PackSettings,
    base: BaseLayers,
    fingerprint: Option<String>,
}

impl Sources {
    fn of(target: &Path, settings: PackSettings) -> anyhow::Result<Self> {
        // What is broken may be mended, but what is not there was most likely written wrongly.
        Project::open(target)?;
        let mut sources = Self {
            target: target.to_owned(),
            settings,
            base: pack::base()?,
            fingerprint: None,
        };
        sources.fingerprint = sources.look();
        Ok(sources)
    }

    /// None where the project cannot be packed; the app's own start says why.
    fn look(&self) -> Option<String> {
        let project = Project::open(&self.target).ok()?;
        let fingerprint = project.fingerprint(&self.settings, &self.base).ok()?;
        Some(fingerprint.hex())
    }

    fn changed(&mut self) -> bool {
        let now = self.look();
        let changed = now.is_none() || now != self.fingerprint;
        self.fingerprint = now;
        changed
    }
}

/// Tells of changes below the project, several at once as one.
fn watch(target: &Path) -> anyhow::Result<(RecommendedWatcher, Receiver<()>)> {
    // A file is watched by its folder: editors replace files.
    let (folder, mode) = match target.is_dir() {
        true => (target, RecursiveMode::Recursive),
        false => (
            target
                .parent()
                .filter(|folder| *folder != Path::new(""))
                .unwrap_or(Path::new(".")),
            RecursiveMode::NonRecursive,
        ),
    };
    let (tell, changes) = channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change, and we read all files after each.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // One that waits already stands for this one too.
            let _ = tell.try_send(());
        }
    })?;
    watcher.watch(folder, mode).with_context(|| {
        format!(
            "cannot watch `{}` for changes; where the system has too few watches, raise \
             fs.inotify.max_user_watches",
            folder.display()
        )
    })?;
    Ok((watcher, changes))
}

/// Waits until nothing has changed for a moment.
async fn settle(changes: &mut Receiver<()>) {
    while timeout(QUIET, changes.recv())
        .await
        .is_ok_and(|event| event.is_some())
    {}
}

fn start(arguments: &[OsString]) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new(program)
        // Not only `kill_on_drop`: we may be killed ourselves, and the app must not stay behind.
        .args(["run", "--with-parent", &std::process::id().to_string()])
        .arg("--is-folder")
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start `pywasm run`")
}

/// Ends the app: asked first, then not.
async fn stop(app: &mut Child) -> anyhow::Result<()> {
    let Some(pid) = app
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    else {
        return Ok(()); // It has ended.
    };
    // It may end at this very moment.
    let _ = kill_process(pid, Signal::TERM);
    tokio::select! {
        ended = app.wait() => drop(ended?),
        () = sleep(STOP) => app.kill().await?,
    }
    Ok(())
}
