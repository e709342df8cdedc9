//! The stages of a Dockerfile: only those that the last one needs are looked at, as docker does it.

use super::lexer::{self, Instruction, Variables};
use super::parser::Parser;
use super::{DockerfileError, Stage, WAY_OUT};
use crate::plan::Note;
use crate::settings::DockerfileChoice;
use std::path::Path;
use std::rc::Rc;

/// The lines from one FROM to the next.
struct Part {
    line: usize,
    /// What stands behind FROM, without options and name.
    image: String,
    name: Option<String>,
    instructions: Vec<Instruction>,
    /// Once it was looked at.
    stage: Option<Rc<Stage>>,
}

/// All stages.
pub(super) struct Stages<'a> {
    path: &'a Path,
    parts: Vec<Part>,
    /// What ARG before the first FROM has set.
    global: Variables,
    choice: &'a DockerfileChoice,
    pub(super) notes: &'a mut Vec<Note>,
}

/// The stage that is to be packed.
pub(super) fn last(
    path: &Path,
    text: &str,
    choice: &DockerfileChoice,
    notes: &mut Vec<Note>,
) -> Result<Stage, DockerfileError> {
    let mut stages = Stages::split(path, text, choice, notes)?;
    let target = match &choice.target {
        None => stages.parts.len().checked_sub(1),
        Some(name) => Some(stages.named(name, stages.parts.len()).ok_or_else(|| {
            stages.error(1, format!("there is no stage `{name}` (--target) in it"))
        })?),
    };
    let Some(target) = target else {
        return Err(stages.error(1, "it has no FROM; begin with FROM python:3".to_owned()));
    };
    for part in &stages.parts {
        part.readable(path)?;
    }
    Ok((*stages.stage(target)?).clone())
}

impl Part {
    /// Misspelt instructions are refused in any stage: nobody means them.
    fn readable(&self, path: &Path) -> Result<(), DockerfileError> {
        for instruction in &self.instructions {
            instruction
                .check()
                .map_err(|reason| DockerfileError::new(path, instruction.line, reason))?;
        }
        Ok(())
    }
}

impl<'a> Stages<'a> {
    fn split(
        path: &'a Path,
        text: &str,
        choice: &'a DockerfileChoice,
        notes: &'a mut Vec<Note>,
    ) -> Result<Self, DockerfileError> {
        let mut stages = Self {
            path,
            parts: Vec::new(),
            global: Variables::given(&choice.args),
            choice,
            notes,
        };
        for instruction in lexer::instructions(text) {
            let line = instruction.line;
            if instruction.name == "FROM" {
                let part = stages.from(&instruction)?;
                stages.parts.push(part);
            } else if let Some(part) = stages.parts.last_mut() {
                part.instructions.push(instruction);
            } else {
                let fail = |reason| DockerfileError::new(path, line, reason);
                instruction.check().map_err(fail)?;
                if instruction.name != "ARG" {
                    let name = instruction.name;
                    return Err(fail(format!(
                        "{name} stands before FROM; begin with FROM python:3"
                    )));
                }
                stages.global.declare(&instruction.rest).map_err(fail)?;
            }
        }
        Ok(stages)
    }

    fn from(&self, instruction: &Instruction) -> Result<Part, DockerfileError> {
        let fail = |reason| self.error(instruction.line, reason);
        instruction.check().map_err(fail)?;
        let expanded = self.global.expand(&instruction.rest).map_err(fail)?;
        let words: Vec<&str> = expanded
            .split_whitespace()
            .filter(|word| !word.starts_with("--"))
            .collect();
        let (image, name) = match words[..] {
            [image] => (image, None),
            [image, be, name] if be.eq_ignore_ascii_case("as") => (image, Some(name)),
            _ => {
                return Err(fail(format!(
                    "`FROM {expanded}` is not FROM IMAGE or FROM IMAGE AS NAME"
                )));
            }
        };
        Ok(Part {
            line: instruction.line,
            image: image.to_owned(),
            name: name.map(str::to_ascii_lowercase),
            instructions: Vec::new(),
            stage: None,
        })
    }

    /// The stage of a name or a number, before the one with the number `before`.
    pub(super) fn named(&self, name: &str, before: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let named = self.parts[..before]
            .iter()
            .rposition(|part| part.name.as_deref() == Some(&lower));
        named.or_else(|| name.parse().ok().filter(|number| *number < before))
    }

    /// Follows a stage, once.
    pub(super) fn stage(&mut self, number: usize) -> Result<Rc<Stage>, DockerfileError> {
        if let Some(stage) = &self.parts[number].stage {
            return Ok(stage.clone());
        }
        let (line, image) = (self.parts[number].line, self.parts[number].image.clone());
        let base = match self.named(&image, number) {
            Some(base) => (*self.stage(base)?).clone(),
            None => {
                self.python(line, &image)?;
                Stage::default()
            }
        };
        let instructions = std::mem::take(&mut self.parts[number].instructions);
        let stage = Rc::new(Parser::follow(self, number, base, &instructions)?);
        self.parts[number].stage = Some(stage.clone());
        Ok(stage)
    }

    /// Only images of Python can be replaced by ours.
    fn python(&mut self, line: usize, image: &str) -> Result<(), DockerfileError> {
        let repository = image.split(['@', ':']).next().unwrap_or_default();
        match repository.rsplit('/').next() {
            Some("python") => {}
            // Made of those of Python, with its tool in them.
            Some("uv") => {}
            _ if image.contains('<') => {
                return Err(self.error(line, format!(
                    "`FROM {image}`: put the name of an image in place of what stands in <…>, such as FROM python:3"
                )));
            }
            _ => {
                return Err(self.error(line, format!(
                    "`FROM {image}`: only python images can be followed, because a package brings its own Python and no other programs; write FROM python:3, or pack without the Dockerfile (--no-dockerfile)"
                )));
            }
        }
        let tag = image.split_once(':').map_or("", |(_, tag)| tag);
        let note = format!("`{image}` is replaced by pywasm's own Python{}", drift(tag));
        self.note(line, note);
        Ok(())
    }

    /// The stage that COPY --from names; `None` for the tools of uv, which are not needed here.
    pub(super) fn source(
        &mut self,
        name: &str,
        before: usize,
        instruction: &str,
    ) -> Result<Option<Rc<Stage>>, Stuck> {
        if let Some(number) = self.named(name, before) {
            return self.stage(number).map(Some).map_err(Stuck::There);
        }
        let repository = name.split(['@', ':']).next().unwrap_or_default();
        match repository.rsplit('/').next() {
            Some("uv") => Ok(None),
            _ => Err(Stuck::Here(format!(
                "{instruction} --from={name}: no stage before this one is called so, and other images are not fetched; {WAY_OUT}"
            ))),
        }
    }

    pub(super) fn variables(&self) -> Variables {
        Variables::given(&self.choice.args).below(&self.global)
    }

    pub(super) fn note(&mut self, line: usize, text: String) {
        let at = Some(format!("{}:{line}", self.path.display()));
        self.notes.push(Note { at, text });
    }

    pub(super) fn error(&self, line: usize, reason: String) -> DockerfileError {
        DockerfileError::new(self.path, line, reason)
    }
}

/// Why a line cannot be followed: for what stands in it, or in another stage.
pub(super) enum Stuck {
    Here(String),
    There(DockerfileError),
}

impl From<String> for Stuck {
    fn from(reason: String) -> Self {
        Self::Here(reason)
    }
}

/// Says so when the Dockerfile counts on another version of Python.
fn drift(tag: &str) -> String {
    let version = tag.split('-').next().unwrap_or_default();
    let version = version.strip_prefix("python").unwrap_or(version);
    let is_series = version.starts_with(|c: char| c.is_ascii_digit()) && version != "3";
    match is_series {
        true => format!("; it asks for {version}"),
        false => String::new(),
    }
}
