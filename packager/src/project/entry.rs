//! The shell script that a Dockerfile starts (`ENTRYPOINT ["./entrypoint.sh"]`): its text becomes the command.

use super::tree::Tree;
use pywasm_format::GuestPath;
use pywasm_format::shell;
use std::io::Read;
use std::path::PathBuf;

/// Larger ones do more than start a program.
const LONGEST: u64 = 64 << 10;

/// A script among the files of a stage.
pub(super) struct EntryScript {
    /// Its path in the stage.
    pub(super) path: String,
    /// Where it is on the host.
    pub(super) source: PathBuf,
    pub(super) text: String,
    /// The words before its arguments.
    words: usize,
}

impl EntryScript {
    /// The script that `line` starts, if it starts one.
    pub(super) fn find(line: &[String], working_dir: &GuestPath, tree: &Tree) -> Option<Self> {
        let (first, rest) = line.split_first()?;
        let (name, words) = match rest.first() {
            Some(script) if shell::is_shell(first) => (script, 2),
            _ => (first, 1),
        };
        let path = working_dir.join(name).ok()?.to_string();
        let file = tree.files.get(&path).filter(|file| file.size <= LONGEST)?;
        let mut text = String::new();
        file.open().ok()?.read_to_string(&mut text).ok()?;
        let first_line = text.lines().next().unwrap_or_default();
        let is_script = first_line
            .strip_prefix("#!")
            .is_some_and(|program| program.trim_end().ends_with("sh"));
        (is_script || words == 2 || name.ends_with(".sh")).then_some(Self {
            path,
            source: file.source.clone(),
            text,
            words,
        })
    }

    /// `line` with its text in its place.
    pub(super) fn inlined(&self, line: &[String]) -> Vec<String> {
        let mut inlined = shell::command(&self.text, &self.path);
        inlined.extend(line.iter().skip(self.words).cloned());
        inlined
    }
}
