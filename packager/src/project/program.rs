//! RUN of a program: who runs it, and with what.

use super::inputs::RequirementInput;
use super::tree::Tree;
use pywasm_format::GuestPath;

/// Runs programs of a Dockerfile where they can do no harm.
pub(crate) trait Programs {
    /// Runs one and gives the files as it leaves them; else the reason, for people.
    fn run(&self, program: &Program<'_>) -> Result<Tree, String>;
}

/// A program and what is there when it starts.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// The program and its arguments.
    pub(crate) line: &'a [String],
    pub(crate) env: &'a [(String, String)],
    pub(crate) working_dir: &'a GuestPath,
    /// What was installed before.
    pub(crate) requirements: Vec<RequirementInput>,
    pub(crate) tree: &'a Tree,
}

/// `python`, `python3`, `python3.12`
pub(crate) fn is_python(program: &str) -> bool {
    let version = program.strip_prefix("python");
    version.is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte == b'.' || byte.is_ascii_digit())
    })
}
