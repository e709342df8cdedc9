//! Programs of a Dockerfile's RUN: run in the sandbox, with the packages installed before and the files copied
//! before, and no network. What they leave is kept by everything that they were given, as docker keeps its layers.

use crate::build::last_lines;
use crate::dependencies;
use crate::index::Client;
use crate::plan::resolution;
use crate::project::{AppFile, Program, Programs, Tree, is_python};
use crate::requirements::RequirementSet;
use crate::resolve::Resolution;
use crate::settings::Access;
use crate::{BaseLayers, BuildEnd, BuildSandbox, Event, PackSettings, Progress, SandboxMount};
use pywasm_format::write::{BuiltLayer, FileMode, PackageSpec, write_package};
use pywasm_format::{AppConfig, Digest, GuestPath, GuestPathError, Hasher};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Changes when programs are run in another way, so that older results are not used.
const LAYOUT: &str = "programs-v1";
/// Folders that are Python's or the sandbox's own: what a Dockerfile puts there, a program does not see.
const OWN: [&str; 6] = ["dev", "etc", "proc", "sys", "tmp", "usr"];
const MOST_FILES: usize = 100_000;

/// Of two runs with the same input the same bytes, as far as the program's own doing allows; and no bytecode,
/// which each machine compiles for itself.
const ENV: [(&str, &str); 3] = [
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONHASHSEED", "0"),
    ("SOURCE_DATE_EPOCH", "315532800"),
];

/// Runs them in the sandbox that is handed in.
pub(crate) struct Sandboxed<'a> {
    pub(crate) settings: &'a PackSettings,
    pub(crate) base: &'a BaseLayers,
    pub(crate) sandbox: &'a dyn BuildSandbox,
    pub(crate) progress: &'a dyn Progress,
}

/// What a program imports from.
struct Packages {
    resolution: Resolution,
    access: Access,
}

fn unavailable(error: impl Display) -> String {
    format!("what it needs cannot be had: {error}")
}

impl Programs for Sandboxed<'_> {
    fn run(&self, program: &Program<'_>) -> Result<Tree, String> {
        let mut config = AppConfig::new(self.base.python.clone(), program.working_dir.clone());
        config.entrypoint = program.line.to_vec();
        config.env = program.env.to_vec();
        for (name, value) in ENV {
            if !config.env.iter().any(|(other, _)| other == name) {
                config.env.push((name.to_owned(), value.to_owned()));
            }
        }
        let packages = self.packages(program)?;
        let shared = shared(program);
        let mut key = Hasher::default();
        let mut add = |text: &str| {
            key.update(&(text.len() as u64).to_le_bytes());
            key.update(text.as_bytes());
        };
        for layer in [
            self.base.runtime(packages.resolution.base),
            &self.base.stdlib,
        ] {
            add(&layer.digest.hex());
        }
        for wheel in &packages.resolution.wheels {
            add(&format!("{} {:?}", wheel.file.filename, wheel.file.sha256));
        }
        add(&format!(
            "{:?} {:?} {}",
            config.entrypoint, config.env, config.working_dir
        ));
        for (path, file) in &program.tree.files {
            let bytes = fs::read(&file.source).map_err(text(&file.source))?;
            add(&format!("{path} {:?} {}", file.mode, Digest::of(&bytes)));
        }
        add(&format!("{:?}", program.tree.folders));
        let root = self.settings.machine.cache_dir.join(LAYOUT);
        let kept = root.join(key.finish().hex());
        if !kept.is_dir() {
            fs::create_dir_all(&root).map_err(text(&root))?;
            let work = TempDir::new_in(&root).map_err(text(&root))?;
            let files = work.path().join("files");
            lay_out(program.tree, &shared, &files)?;
            let layers = self.layers(program, &packages, &mut config)?;
            let package = work.path().join("program.pkg");
            let spec = PackageSpec {
                name: None,
                base: None,
                config: &config,
                layers: &layers,
            };
            write_package(&package, &spec).map_err(|error| error.to_string())?;
            self.start(program, &package, &files, &shared)?;
            // Another pack may have been faster; then its result stays.
            let _ = fs::rename(&files, &kept);
        }
        let mut left = Tree::default();
        for folder in &shared {
            collect(&kept.join(folder), &format!("/{folder}"), &mut left)?;
        }
        // What lies elsewhere the program has not seen.
        let unseen = |path: &str| !shared.contains(top(path));
        let files = program.tree.files.iter().filter(|(path, _)| unseen(path));
        left.files
            .extend(files.map(|(path, file)| (path.clone(), file.clone())));
        let folders = program.tree.folders.iter().filter(|path| unseen(path));
        left.folders.extend(folders.cloned());
        Ok(left)
    }
}

impl Sandboxed<'_> {
    /// What was installed before.
    fn packages(&self, program: &Program<'_>) -> Result<Packages, String> {
        let Self {
            settings,
            base,
            sandbox,
            progress,
        } = *self;
        let machine = &settings.machine;
        let mut set = RequirementSet::read(
            &program.requirements,
            settings.variables(),
            Some(&machine.cache_dir),
        )
        .map_err(unavailable)?;
        set.decide(&settings.versions.overrides, &settings.versions.excludes)
            .map_err(unavailable)?;
        let access =
            Access::resolve(&settings.index, &set.options, machine).map_err(unavailable)?;
        let resolution = resolution(&set, &access, settings, base, Some(sandbox), progress)
            .and_then(|found| Ok(found.runnable()?))
            .map_err(unavailable)?;
        Ok(Packages { resolution, access })
    }

    /// The interpreter and the packages. Their programs go into the config.
    fn layers(
        &self,
        program: &Program<'_>,
        packages: &Packages,
        config: &mut AppConfig,
    ) -> Result<Vec<BuiltLayer>, String> {
        let Packages { resolution, access } = packages;
        let mut layers = vec![
            self.base.runtime(resolution.base).clone(),
            self.base.stdlib.clone(),
        ];
        if !resolution.wheels.is_empty() {
            let cache_dir = &self.settings.machine.cache_dir;
            let client = Client::new(&access.places, &access.connection, cache_dir, self.progress)
                .map_err(unavailable)?;
            let (built, _) = dependencies::build(resolution, self.base, &client, self.progress)
                .map_err(unavailable)?;
            config.scripts = built.contents.scripts;
            layers.push(built.layer);
        }
        let name = program.line.first().map_or("", String::as_str);
        match is_python(name) || config.scripts.contains_key(name) {
            true => Ok(layers),
            false => Err(format!(
                "`{name}` is neither python nor a program of the packages that are installed by then, and no others are in the sandbox"
            )),
        }
    }

    fn start(
        &self,
        program: &Program<'_>,
        package: &Path,
        files: &Path,
        shared: &BTreeSet<String>,
    ) -> Result<(), String> {
        let line = program.line.join(" ");
        self.progress.event(Event::Running { line: &line });
        let mounts = shared.iter().map(|folder| {
            let guest: GuestPath = format!("/{folder}")
                .parse()
                .map_err(|error: GuestPathError| error.to_string())?;
            Ok(SandboxMount {
                host: files.join(folder),
                guest,
            })
        });
        let mounts: Vec<SandboxMount> = mounts.collect::<Result<_, String>>()?;
        let BuildEnd { success, log } = self.sandbox.run(package, &mounts)?;
        match success {
            true => Ok(()),
            false => Err(format!(
                "it failed in the sandbox, where it has no network and sees only what was copied before:\n{}",
                last_lines(&log)
            )),
        }
    }
}

/// The folders below the root that the program shares with us: all that it has files in, and where it starts.
fn shared(program: &Program<'_>) -> BTreeSet<String> {
    let paths = program.tree.files.keys().chain(&program.tree.folders);
    let paths = paths
        .map(String::as_str)
        .chain([program.working_dir.as_str()]);
    paths
        .map(top)
        .filter(|top| !top.is_empty() && !OWN.contains(top))
        .map(str::to_owned)
        .collect()
}

/// `app` of `/app/x`; nothing for a file right below the root.
fn top(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

/// Copies files to where the sandbox sees them: it may write there, and must not reach the project's own.
fn lay_out(tree: &Tree, shared: &BTreeSet<String>, to: &Path) -> Result<(), String> {
    let place = |path: &str| to.join(path.trim_start_matches('/'));
    for folder in shared {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).map_err(text(&folder))?;
    }
    for path in tree
        .folders
        .iter()
        .filter(|path| shared.contains(top(path)))
    {
        fs::create_dir_all(place(path)).map_err(text(&place(path)))?;
    }
    for (path, file) in tree
        .files
        .iter()
        .filter(|(path, _)| shared.contains(top(path)))
    {
        let place = place(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(text(folder))?;
        }
        fs::copy(&file.source, &place).map_err(text(&file.source))?;
        let mode = match file.mode {
            FileMode::Plain => 0o644,
            FileMode::Executable => 0o755,
        };
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).map_err(text(&place))?;
    }
    Ok(())
}

/// Lists what lies in a folder that the sandbox has written to: a link could lead to any file of the host, so
/// none is followed or kept.
fn collect(folder: &Path, path: &str, left: &mut Tree) -> Result<(), String> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(text(folder))?;
    if entries.is_empty() {
        left.folders.insert(path.to_owned());
    }
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(format!("it left a file in {path} whose name is not UTF-8"));
        };
        let below = format!("{path}/{name}");
        let metadata = entry.metadata().map_err(text(folder))?;
        if metadata.is_dir() {
            if name != "__pycache__" {
                collect(&entry.path(), &below, left)?;
            }
        } else if metadata.is_file() {
            left.files.insert(
                below,
                AppFile {
                    source: entry.path(),
                    size: metadata.len(),
                    mode: match metadata.permissions().mode() & 0o111 {
                        0 => FileMode::Plain,
                        _ => FileMode::Executable,
                    },
                },
            );
            if left.files.len() > MOST_FILES {
                return Err(format!("it left more than {MOST_FILES} files"));
            }
        } else {
            return Err(format!(
                "it left {below}, which is a link; a package holds plain files and folders"
            ));
        }
    }
    Ok(())
}

fn text(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}
