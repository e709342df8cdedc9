//! Commands as a shell reads them: the part of its language that needs none.
//!
//! There is no shell in the sandbox. But what images start through one is mostly a few programs, one after the
//! other, with variables among their arguments: that is taken apart here, and everything else is named and refused.

mod words;

use crate::escaped::escaped;
use std::collections::BTreeMap;
use thiserror::Error;
use words::{Line, Token};

/// Shells by the names that images have for them.
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "/bin/sh", "/bin/bash"];

/// Words that begin what only a shell can do.
const KEYWORDS: [&str; 16] = [
    "if", "then", "else", "elif", "fi", "while", "until", "for", "do", "done", "case", "esac", "{",
    "}", "!", "function",
];

/// Its own commands that have no counterpart here; `exit` has one with a number.
const BUILTINS: [&str; 13] = [
    "[", "[[", "test", "eval", "exit", "read", "return", "trap", "shift", "wait", "source", ".",
    "local",
];

/// What to do about a [`ShellError`].
pub const WAY_OUT: &str = "programs one after the other (`a && b`, `a || b`, `cd`, `export`, `exec`, `exit 1`) and variables in \
    their arguments are understood; do the rest in Python, or start the program itself (--entrypoint)";

/// A program to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether it starts at all.
    pub when: When,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The text names the program itself, whatever variables and arguments there are.
    pub is_named: bool,
    /// Variables that it has besides those that were there before.
    pub env: Vec<(String, String)>,
    /// Its folder, below or instead of the one that was there before.
    pub folder: Option<String>,
    /// Nothing is started after it.
    pub is_last: bool,
}

/// On what the program before it must have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever it was.
    Always,
    /// Exit code 0.
    Success,
    /// Any other.
    Failure,
}

/// Something that needs a shell.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` needs a shell, which the sandbox does not have", escaped(what))]
pub struct ShellError {
    /// What it is.
    pub what: String,
    /// In which line of the text, from 1.
    pub line: usize,
}

/// The text and the arguments of `sh -c TEXT [NAME ARGUMENT…]`; nothing if that is not what `line` is.
pub fn script(line: &[String]) -> Option<(&str, &[String])> {
    let (shell, rest) = line.split_first()?;
    let (option, rest) = rest.split_first()?;
    let flags = option.strip_prefix('-')?.strip_suffix('c')?;
    let known = is_shell(shell) && flags.chars().all(|flag| "eux".contains(flag));
    let (text, rest) = rest.split_first().filter(|_| known)?;
    Some((text, rest.get(1..).unwrap_or_default()))
}

/// Is this the name of a shell?
pub fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program)
}

/// `text` as the command of a shell that calls itself `name`. Words after it are its arguments.
pub fn command(text: &str, name: &str) -> Vec<String> {
    ["/bin/sh", "-c", text, name].map(str::to_owned).to_vec()
}

/// What a text starts, with these `arguments` and variables.
pub fn steps(
    text: &str,
    arguments: &[String],
    env: &[(String, String)],
) -> Result<Vec<Step>, ShellError> {
    Shell::new(0, arguments, env.iter().cloned().collect()).run(text)
}

/// A shell in a shell is for a single program (`exec "$@"` of a command that has variables).
const DEEPEST: usize = 2;

struct Shell<'a> {
    depth: usize,
    arguments: &'a [String],
    variables: BTreeMap<String, String>,
    /// Those that programs get.
    exported: Vec<(String, String)>,
    folder: Option<String>,
    /// `set -e`
    stops_at_failure: bool,
    steps: Vec<Step>,
}

impl<'a> Shell<'a> {
    fn new(depth: usize, arguments: &'a [String], variables: BTreeMap<String, String>) -> Self {
        Self {
            depth,
            arguments,
            variables,
            exported: Vec::new(),
            folder: None,
            stops_at_failure: false,
            steps: Vec::new(),
        }
    }

    fn run(mut self, text: &str) -> Result<Vec<Step>, ShellError> {
        let mut when = When::Always;
        for line in words::lines(text)? {
            self.line(when, &line).map_err(|what| ShellError {
                what,
                line: line.number,
            })?;
            when = match line.end {
                Token::And => When::Success,
                Token::Or => When::Failure,
                Token::Next if self.stops_at_failure => When::Success,
                Token::Next => When::Always,
            };
        }
        Ok(self.steps)
    }

    fn line(&mut self, when: When, line: &Line) -> Result<(), String> {
        let assigned = line.assignments.iter();
        let value = |word| self.fields(std::slice::from_ref(word)).join(" ");
        let assigned: Vec<(String, String)> = assigned
            .map(|(name, word)| (name.clone(), value(word)))
            .collect();
        if let Some(keyword) = line.plain().filter(|word| KEYWORDS.contains(word)) {
            return Err(keyword.to_owned());
        }
        let mut words = self.fields(&line.words);
        let mut is_last = false;
        let mut program = line.words.iter();
        let mut is_named = program.next().is_some_and(words::Word::is_fixed);
        if words.first().is_some_and(|word| word == "exec") {
            words.remove(0);
            is_last = !words.is_empty();
            is_named &= program.next().is_some_and(words::Word::is_fixed);
        }
        let Some((program, arguments)) = words.split_first() else {
            self.variables.extend(assigned);
            return Ok(());
        };
        if let ("exit", [code]) = (program.as_str(), arguments)
            && let Ok(code) = code.parse::<u8>()
        {
            words = ["python", "-c", &format!("raise SystemExit({code})")]
                .map(str::to_owned)
                .to_vec();
            return self.start(when, words, is_named, assigned, true);
        }
        // What it does here is done whether or not its turn would come.
        let at_once = matches!(program.as_str(), "cd" | "export" | "unset" | "set");
        if at_once && when == When::Failure {
            return Err(format!("|| {program}"));
        }
        match program.as_str() {
            ":" | "true" => return Ok(()),
            "cd" => self.change_folder(arguments)?,
            "export" => self.export(arguments),
            "unset" => arguments.iter().for_each(|name| self.unset(name)),
            "set" => self.set(arguments)?,
            other if BUILTINS.contains(&other) => return Err(other.to_owned()),
            _ => self.start(when, words, is_named, assigned, is_last)?,
        }
        Ok(())
    }

    fn start(
        &mut self,
        when: When,
        words: Vec<String>,
        is_named: bool,
        assigned: Vec<(String, String)>,
        is_last: bool,
    ) -> Result<(), String> {
        let mut env = self.exported.clone();
        env.extend(assigned);
        // Before the first program all is well.
        let when = match self.steps.is_empty() {
            true if when == When::Failure => return Ok(()),
            true => When::Always,
            false => when,
        };
        let mut step = Step {
            when,
            words,
            is_named,
            env,
            folder: self.folder.clone(),
            is_last,
        };
        if let Some((text, arguments)) = script(&step.words) {
            let inner = self.inner(text, arguments)?;
            step.words = inner.words;
            step.is_named = inner.is_named;
            step.env.extend(inner.env);
            step.folder = inner.folder.or(step.folder);
        }
        self.steps.push(step);
        Ok(())
    }

    /// What a shell in this one starts.
    fn inner(&self, text: &str, arguments: &[String]) -> Result<Step, String> {
        let inner = Shell::new(self.depth + 1, arguments, self.variables.clone());
        let mut steps = match self.depth < DEEPEST {
            true => inner.run(text).map_err(|error| error.what)?,
            false => Vec::new(),
        };
        match (steps.pop(), steps.is_empty()) {
            (Some(step), true) => Ok(step),
            _ => Err(text.to_owned()),
        }
    }

    fn change_folder(&mut self, arguments: &[String]) -> Result<(), String> {
        let [folder] = arguments else {
            return Err("cd".to_owned());
        };
        self.folder = Some(match &self.folder {
            Some(before) if !folder.starts_with('/') => format!("{before}/{folder}"),
            _ => folder.clone(),
        });
        Ok(())
    }

    fn export(&mut self, arguments: &[String]) {
        for argument in arguments {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), self.variables.get(argument).cloned()),
            };
            if let Some(value) = value {
                self.variables.insert(name.to_owned(), value.clone());
                self.exported.retain(|(other, _)| other != name);
                self.exported.push((name.to_owned(), value));
            }
        }
    }

    fn unset(&mut self, name: &str) {
        self.variables.remove(name);
        self.exported.retain(|(other, _)| other != name);
    }

    fn set(&mut self, arguments: &[String]) -> Result<(), String> {
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(flags) = argument
                .strip_prefix('-')
                .filter(|flags| !flags.starts_with('-'))
            else {
                return Err(format!("set {argument}"));
            };
            self.stops_at_failure |= flags.contains('e');
            if flags.contains('o') {
                self.stops_at_failure |= arguments.next().is_some_and(|option| option == "errexit");
            }
        }
        Ok(())
    }

    fn fields(&self, words: &[words::Word]) -> Vec<String> {
        words::fields(words, self.arguments, &self.variables)
    }
}

#[cfg(test)]
mod tests;
