//! Where the lines of a Dockerfile are carried out.

use super::content::ProjectFiles;
use super::copy;
use super::dockerfile::{Dockerfile, DockerfileError, FileAction, FileStep, ProgramStep, Stage};
use super::program::{Program, Programs};
use super::tree::{Tree, inside};
use crate::settings::Optional;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

/// What the lines work with.
pub(super) struct Workplace<'a> {
    /// By their path in the project.
    pub(super) project: &'a ProjectFiles,
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) cache_dir: &'a Path,
    optional: &'a Optional,
    programs: Option<&'a dyn Programs>,
    /// What programs have left: a stage is looked at for its files, and for each of its installations.
    left: RefCell<HashMap<*const ProgramStep, Tree>>,
}

impl<'a> Workplace<'a> {
    /// Without `programs`, what they would leave is not known.
    pub(super) fn new(
        project: &'a ProjectFiles,
        dockerfile: &'a Dockerfile,
        cache_dir: &'a Path,
        optional: &'a Optional,
        programs: Option<&'a dyn Programs>,
    ) -> Self {
        Self {
            project,
            dockerfile,
            cache_dir,
            optional,
            programs,
            left: RefCell::default(),
        }
    }

    /// Follows every step of a stage, later ones over earlier ones. Without any COPY, everything goes to the
    /// working folder, as it would lie beside the Dockerfile.
    pub(super) fn stage(&self, stage: &Stage) -> Result<Tree, DockerfileError> {
        let copies = stage.steps.iter().any(|step| {
            matches!(
                step.action,
                FileAction::Copy(_) | FileAction::Add(_) | FileAction::CopyFrom(..)
            )
        });
        let mut tree = Tree::default();
        if !copies {
            let folder = stage.working_dir();
            for (path, file) in &self.project.files {
                tree.files.insert(inside(&folder, path), file.clone());
            }
            let empty = self.project.empty.iter();
            tree.folders.extend(empty.map(|path| inside(&folder, path)));
        }
        self.follow(&mut tree, &stage.steps)?;
        Ok(tree)
    }

    /// The same for steps alone: what is there when a line in their midst is reached.
    pub(super) fn steps(&self, steps: &[FileStep]) -> Result<Tree, DockerfileError> {
        let mut tree = Tree::default();
        self.follow(&mut tree, steps)?;
        Ok(tree)
    }

    fn follow(&self, tree: &mut Tree, steps: &[FileStep]) -> Result<(), DockerfileError> {
        for FileStep { line, action } in steps {
            let fail = |reason| self.dockerfile.error(*line, reason);
            match action {
                FileAction::Copy(copy) => tree.copy(self.project, copy).map_err(fail)?,
                FileAction::Add(copy) => {
                    tree.add(self.project, copy, self.cache_dir).map_err(fail)?;
                }
                FileAction::CopyFrom(stage, copy) => {
                    let other = self.stage(stage)?;
                    tree.copy_from(&other, copy).map_err(fail)?;
                }
                FileAction::Folder(path) => {
                    tree.folders.insert(path.to_string());
                }
                FileAction::Remove(remove) => tree.remove(remove).map_err(fail)?,
                FileAction::Duplicate(copy) => {
                    let here = tree.clone();
                    tree.transfer(&here, copy, "cp").map_err(fail)?;
                }
                FileAction::Move(copy) => {
                    let here = tree.clone();
                    for source in &copy.sources {
                        tree.take(source);
                    }
                    tree.transfer(&here, copy, "mv").map_err(fail)?;
                }
                FileAction::Mode { path, executable } => {
                    tree.mode(path, *executable).map_err(fail)?;
                }
                FileAction::Extract(extract) => {
                    tree.extract(extract, self.cache_dir).map_err(fail)?;
                }
                FileAction::Program(program) => self.program(tree, program, *line)?,
            }
        }
        Ok(())
    }

    /// Runs a program on the files that are there, once.
    fn program(
        &self,
        tree: &mut Tree,
        step: &Rc<ProgramStep>,
        line: usize,
    ) -> Result<(), DockerfileError> {
        let Some(programs) = self.programs else {
            tree.incomplete = true;
            return Ok(());
        };
        let known = self.left.borrow().get(&Rc::as_ptr(step)).cloned();
        if let Some(left) = known {
            *tree = left;
            return Ok(());
        }
        let program = Program {
            line: &step.line,
            env: &step.env,
            working_dir: &step.working_dir,
            requirements: copy::requirements(&step.installs, self.optional, self)?,
            tree,
        };
        let left = programs.run(&program).map_err(|reason| {
            self.dockerfile
                .error(line, format!("`RUN {}`: {reason}", step.line.join(" ")))
        })?;
        self.left
            .borrow_mut()
            .insert(Rc::as_ptr(step), left.clone());
        *tree = left;
        Ok(())
    }
}
