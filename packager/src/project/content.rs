//! What a project is made of, put together from its folder, its Dockerfile and the settings.

use super::command::{self, Command};
use super::copy::{self, AppPart};
use super::detect::{self, Detected};
use super::dockerfile::{Dockerfile, Stage, default_working_dir};
use super::entry::EntryScript;
use super::inputs::{self, RequirementInput};
use super::own::Own;
use super::scripts::Scripts;
use super::tree::Tree;
use super::walk::{self, Found, Walked};
use super::workplace::Workplace;
use super::{Programs, ProjectError, io_error, pyproject, read_text};
use crate::plan::Note;
use crate::settings::PackSettings;
use pywasm_format::shell;
use pywasm_format::write::FileMode;
use pywasm_format::{AppConfig, GuestPath};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Everything that decides about a package but for what the requirements resolve to.
#[derive(Debug)]
pub(crate) struct Content {
    /// Without the parts that the resolver and the base layers know.
    pub(crate) config: AppConfig,
    /// Nobody says for sure what to start: it was found out.
    pub(crate) is_guess: bool,
    /// By their path below the working folder.
    pub(crate) files: BTreeMap<String, AppFile>,
    /// Files of the project that decide about the package and need not be packed: what programs read.
    pub(crate) read: BTreeMap<String, AppFile>,
    /// Folders below it that may be empty.
    pub(crate) folders: BTreeSet<String>,
    pub(crate) requirements: Vec<RequirementInput>,
    pub(crate) notes: Vec<Note>,
}

impl Content {
    /// Is there nothing of an app?
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// The folders that do not come by themselves with what lies in them.
    pub(crate) fn empty_folders(&self) -> impl Iterator<Item = &String> {
        self.folders.iter().filter(|folder| {
            let inside = format!("{folder}/");
            let files = self.files.keys();
            !files
                .chain(&self.folders)
                .any(|path| path.starts_with(&inside))
        })
    }
}

/// A file of the app.
#[derive(Debug, Clone)]
pub(crate) struct AppFile {
    pub(crate) source: PathBuf,
    pub(crate) size: u64,
    pub(crate) mode: FileMode,
}

impl AppFile {
    /// What it was when its size was looked at: a log may grow for as long as somebody reads it.
    pub(crate) fn open(&self) -> io::Result<io::Take<File>> {
        Ok(File::open(&self.source)?.take(self.size))
    }
}

/// What a project's folder has for a package, by paths in it.
#[derive(Debug, Default)]
pub(super) struct ProjectFiles {
    pub(super) files: BTreeMap<String, AppFile>,
    /// Folders with nothing in them.
    pub(super) empty: BTreeSet<String>,
}

pub(super) fn of_folder(
    root: &Path,
    own: Own,
    dockerfile: Option<Dockerfile>,
    settings: &PackSettings,
    programs: Option<&dyn Programs>,
) -> Result<Content, ProjectError> {
    let Walked {
        found,
        empty,
        mut notes,
    } = walk::walk(root, settings.output.as_deref())?;
    let scripts = Scripts::of_folder(root);
    let Detected {
        command: detected,
        notes: news,
    } = detect::detect(&found, &scripts);
    let project = ProjectFiles {
        files: by_path(found),
        empty,
    };
    let Some(dockerfile) = dockerfile else {
        notes.extend(news);
        let ProjectFiles { files, empty } = project;
        let command = match chosen(settings, own.command, detected) {
            Some(command) => command,
            None => scripts
                .command()?
                .ok_or_else(|| no_command(root, Dockerfile::starts(root)))?,
        };
        let is_guess = command.is_guess;
        let mut config = config(default_working_dir(), command);
        config.found_command = settings.command.is_none();
        config.env = own.env.into_iter().collect();
        config.exposed_ports.extend(own.expose);
        config.needs = own.needs;
        check_script(
            &config,
            &files,
            "is it left out by .pywasmignore or .dockerignore?",
        )?;
        let mut requirements = match own.requirements.is_empty() {
            true => {
                notes.extend(inputs::unread(root));
                inputs::of_folder(root, &settings.optional)?
            }
            false => inputs::of_files(root, &own.requirements),
        };
        if let Some(program) = scripts.started_by(&config) {
            notes.push(Note {
                at: Some("pyproject.toml".to_owned()),
                text: format!("the project itself is installed, for its program `{program}`"),
            });
            requirements.push(scripts.project()?);
        }
        return Ok(Content {
            config,
            is_guess,
            files,
            folders: empty,
            read: BTreeMap::new(),
            requirements,
            notes,
        });
    };
    let cache_dir = &settings.machine.cache_dir;
    let workplace = Workplace::new(
        &project,
        &dockerfile,
        cache_dir,
        &settings.optional,
        programs,
    );
    let mut tree = workplace.stage(&dockerfile.stage)?;
    let written = started(&dockerfile.stage, &mut tree)?;
    let AppPart {
        files,
        folders,
        notes: news,
    } = copy::below_working_dir(&tree, &dockerfile)?;
    let requirements = match dockerfile.stage.installs.is_empty() {
        _ if !own.requirements.is_empty() => inputs::of_files(root, &own.requirements),
        true => {
            notes.extend(inputs::unread(root));
            inputs::of_folder(root, &settings.optional)?
        }
        false => copy::requirements(&dockerfile.stage.installs, &settings.optional, &workplace)?,
    };
    let read = match dockerfile.stage.runs_programs() {
        true => project.files.clone(),
        false => BTreeMap::new(),
    };
    let stage = dockerfile.stage;
    let working_dir = stage.working_dir();
    let starts = !(written.entrypoint.is_empty() && written.cmd.is_empty());
    let written = starts.then_some(written);
    let found_command = settings.command.is_none() && (own.command.is_some() || written.is_none());
    let command = chosen(settings, own.command, written.or(detected))
        .ok_or_else(|| no_command(root, None))?;
    // What a program would make may be what is started.
    let is_guess = command.is_guess || tree.incomplete;
    let mut config = config(working_dir, command);
    config.found_command = found_command;
    config.env = stage.env;
    for (name, value) in own.env {
        config.env.retain(|(other, _)| *other != name);
        config.env.push((name, value));
    }
    config.needs = own.needs;
    for port in stage.exposed_ports.into_iter().chain(own.expose) {
        if !config.exposed_ports.contains(&port) {
            config.exposed_ports.push(port);
        }
    }
    config.labels = stage.labels;
    if !tree.incomplete {
        check_script(&config, &files, "copy it with COPY . . in the Dockerfile")?;
    }
    notes.extend(dockerfile.notes);
    notes.extend(news);
    Ok(Content {
        config,
        is_guess,
        files,
        folders,
        read,
        requirements,
        notes,
    })
}

pub(super) fn of_script(file: &Path, settings: &PackSettings) -> Result<Content, ProjectError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| ProjectError::Kind(file.to_owned()))?;
    let metadata = std::fs::metadata(file).map_err(|reason| io_error(file, reason))?;
    let script = Command {
        entrypoint: vec!["python".to_owned(), name.to_owned()],
        ..Command::default()
    };
    let command = chosen(settings, None, Some(script)).unwrap_or_default();
    Ok(Content {
        is_guess: command.is_guess,
        config: config(default_working_dir(), command),
        files: BTreeMap::from([(
            name.to_owned(),
            AppFile {
                source: file.to_owned(),
                size: metadata.len(),
                mode: FileMode::Plain,
            },
        )]),
        folders: BTreeSet::new(),
        read: BTreeMap::new(),
        requirements: pyproject::of_script(file, &read_text(file)?)?,
        notes: Vec::new(),
    })
}

pub(super) fn of_requirements(
    requirements: Vec<RequirementInput>,
    settings: &PackSettings,
) -> Content {
    let interpreter = Command {
        entrypoint: vec!["python".to_owned()],
        ..Command::default()
    };
    let command = chosen(settings, None, Some(interpreter)).unwrap_or_default();
    Content {
        is_guess: command.is_guess,
        config: config(GuestPath::root(), command),
        files: BTreeMap::new(),
        folders: BTreeSet::new(),
        read: BTreeMap::new(),
        requirements,
        notes: Vec::new(),
    }
}

/// The person's command before what the project says for pywasm, and that before what it says or shows
/// otherwise.
fn chosen(
    settings: &PackSettings,
    own: Option<Vec<String>>,
    found: Option<Command>,
) -> Option<Command> {
    match settings.command.clone().or(own) {
        Some(entrypoint) => Some(Command {
            entrypoint,
            ..Command::default()
        }),
        None => found,
    }
}

fn config(working_dir: GuestPath, command: Command) -> AppConfig {
    let mut config = AppConfig::new(String::new(), working_dir);
    config.entrypoint = command.entrypoint;
    config.cmd = command.cmd;
    config.exposed_ports = command.ports;
    config
}

/// Files by their path in the project.
pub(super) fn by_path(found: Vec<Found>) -> BTreeMap<String, AppFile> {
    let files = found.into_iter().map(|file| {
        let Found {
            path,
            source,
            size,
            mode,
        } = file;
        (path, AppFile { source, size, mode })
    });
    files.collect()
}

fn no_command(root: &Path, ignored: Option<String>) -> ProjectError {
    ProjectError::NoCommand {
        path: root.to_owned(),
        looked: format!(
            "{}, a Procfile, a Dockerfile with CMD, an ASGI app in app/main.py, a .py file that is alone and [project.scripts]",
            detect::KNOWN.join(", ")
        ),
        ignored: ignored.map_or_else(String::new, |line| {
            format!("; the Dockerfile, which is not followed, has `{line}`")
        }),
    }
}

/// What a stage starts, with the text of a shell script in place of its name. Such a script is needed for nothing else, so
/// it may lie outside of the working folder.
fn started(stage: &Stage, tree: &mut Tree) -> Result<Command, ProjectError> {
    let mut command = Command {
        entrypoint: stage.entrypoint.clone(),
        cmd: stage.cmd.clone(),
        ..Command::default()
    };
    let line = match command.entrypoint.is_empty() {
        true => &mut command.cmd,
        false => &mut command.entrypoint,
    };
    let working_dir = stage.working_dir();
    let Some(script) = EntryScript::find(line, &working_dir, tree) else {
        return Ok(command);
    };
    *line = script.inlined(line);
    let line = [command.entrypoint.as_slice(), &command.cmd].concat();
    if let Some((text, arguments)) = shell::script(&line) {
        shell::steps(text, arguments, &stage.env).map_err(|error| ProjectError::Malformed {
            path: script.source,
            reason: format!("line {}: {error}; {}", error.line, shell::WAY_OUT),
        })?;
    }
    let inside = format!("{}/", working_dir.as_str().trim_end_matches('/'));
    if !script.path.starts_with(&inside) {
        tree.files.remove(&script.path);
    }
    Ok(command)
}

/// A command that names a script which is not packed would fail at every start: better now.
fn check_script(
    config: &AppConfig,
    files: &BTreeMap<String, AppFile>,
    hint: &str,
) -> Result<(), ProjectError> {
    let line = config.command_line();
    let programs = match shell::script(&line) {
        None => vec![line],
        Some((text, arguments)) => {
            let steps = shell::steps(text, arguments, &config.env).unwrap_or_default();
            // A step in a folder of its own names its files from there.
            let here = steps.into_iter().filter(|step| step.folder.is_none());
            here.map(|step| step.words).collect()
        }
    };
    programs
        .iter()
        .try_for_each(|line| check_program(line, config, files, hint))
}

fn check_program(
    line: &[String],
    config: &AppConfig,
    files: &BTreeMap<String, AppFile>,
    hint: &str,
) -> Result<(), ProjectError> {
    let Some(script) = command::script(line) else {
        return Ok(());
    };
    // Outside the app's folder it may be a file of a mount, which only the start will show.
    let missing = config.working_dir.join(script).is_ok_and(|path| {
        let working_dir = config.working_dir.as_str().trim_end_matches('/');
        match path.as_str().strip_prefix(working_dir) {
            Some("") => !files.contains_key("__main__.py"),
            Some(below) if below.starts_with('/') => {
                let file = &below[1..];
                let folder = format!("{file}/");
                !files.contains_key(file) && !files.keys().any(|path| path.starts_with(&folder))
            }
            _ => false,
        }
    });
    match missing {
        false => Ok(()),
        true => Err(ProjectError::NoScript {
            command: line.join(" "),
            file: script.to_owned(),
            hint: hint.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_is_what_it_was() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "one\ntwo\n").expect("written");
        let seen = AppFile {
            source: file.path().to_owned(),
            size: 4,
            mode: FileMode::Plain,
        };
        let mut content = String::new();
        let read = seen
            .open()
            .and_then(|mut it| it.read_to_string(&mut content));
        assert_eq!((read.ok(), content.as_str()), (Some(4), "one\n"));
    }
}
