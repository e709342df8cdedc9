//! What of a folder is not packed: `.pywasmignore`, else `.dockerignore`, and what never belongs into
//! a package.

use super::{ProjectError, io_error, read_text};
use globset::{GlobBuilder, GlobMatcher};
use std::io;
use std::path::Path;

/// The patterns of one ignore file, in docker's syntax: relative to the project's root, `*` stays
/// within a folder, `**` does not, `!` takes back, the last match decides, a folder covers its content.
#[derive(Debug, Default)]
pub(super) struct IgnoreRules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    matcher: GlobMatcher,
    verdict: Verdict,
}

/// What the patterns say about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Leave out.
    Ignore,
    /// Pack, named by a `!` pattern: also what is left out by default.
    Include,
}

/// Why a file or folder is left out although no pattern names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// Produced by tools, of no use in a package; not worth a word.
    Clutter,
    /// May hold secrets; the person must hear of it.
    Secret,
}

impl IgnoreRules {
    /// Reads the project's ignore file, if it has one.
    pub(super) fn find(root: &Path) -> Result<Self, ProjectError> {
        for name in [".pywasmignore", ".dockerignore"] {
            let path = root.join(name);
            match read_text(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(ProjectError::Io { reason, .. })
                    if reason.kind() == io::ErrorKind::NotFound => {}
                Err(ProjectError::Io { reason, .. }) => return Err(io_error(&path, reason)),
                Err(other) => return Err(other),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ProjectError> {
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (pattern, verdict) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), Verdict::Include),
                None => (line, Verdict::Ignore),
            };
            let pattern: Vec<_> = pattern
                .split('/')
                .filter(|part| !matches!(*part, "" | "."))
                .collect();
            let pattern = pattern.join("/");
            if pattern.is_empty() {
                continue;
            }
            let matcher = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| ProjectError::Malformed {
                    path: path.to_owned(),
                    reason: format!("line {}: {error}", number + 1),
                })?
                .compile_matcher();
            rules.push(Rule { matcher, verdict });
        }
        Ok(Self { rules })
    }

    /// The last matching pattern's verdict, where a pattern that matches a folder above counts too.
    pub(super) fn verdict(&self, path: &str) -> Option<Verdict> {
        self.rules
            .iter()
            .rev()
            .find(|rule| self_and_folders_above(path).any(|part| rule.matcher.is_match(part)))
            .map(|rule| rule.verdict)
    }

    /// Is there a pattern that may take back something below an ignored folder?
    pub(super) fn takes_back(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.verdict == Verdict::Include)
    }
}

fn self_and_folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .map(|(end, _)| &path[..end])
        .chain([path])
}

/// Folders that are left out by default.
pub(super) fn default_for_folder(name: &str, path: &Path) -> Option<Default> {
    let clutter = matches!(
        name,
        ".git"
            | ".hg"
            | ".svn"
            | "__pycache__"
            | "node_modules"
            | ".tox"
            | ".nox"
            | ".mypy_cache"
            | ".pytest_cache"
            | ".ruff_cache"
    );
    // A virtual environment holds native code for the host, whatever it is called.
    match clutter || path.join("pyvenv.cfg").is_file() {
        true => Some(Default::Clutter),
        false => None,
    }
}

/// Files that are left out by default.
pub(super) fn default_for_file(name: &str, path: &Path) -> Option<Default> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    match extension {
        Some("pyc" | "pyo") => return Some(Default::Clutter),
        Some("pem" | "key") => return holds_private_key(path).then_some(Default::Secret),
        Some("p12" | "pfx") => return Some(Default::Secret),
        _ => {}
    }
    let template = ["example", "sample", "template", "dist"]
        .map(Some)
        .contains(&extension);
    let environment = name == ".env" || name.starts_with(".env.") && !template;
    let secret = matches!(
        name,
        ".netrc" | ".pypirc" | ".htpasswd" | "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519"
    );
    (environment || secret).then_some(Default::Secret)
}

/// Certificates are also called .pem; only private keys are kept back.
fn holds_private_key(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| {
        bytes
            .windows(b"PRIVATE KEY-----".len())
            .any(|window| window == b"PRIVATE KEY-----")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(text: &str, paths: &[&str]) -> Vec<Option<Verdict>> {
        let rules = IgnoreRules::parse(Path::new("x"), text).expect("good patterns");
        paths.iter().map(|path| rules.verdict(path)).collect()
    }

    #[test]
    fn docker_syntax() {
        use Verdict::*;
        assert_eq!(
            verdicts(
                "# a comment\n\n/docs/\n*.log\n**/tmp\n!docs/keep.md\nb?r\n",
                &[
                    "docs/a/b.md",
                    "docs/keep.md",
                    "x.log",
                    "sub/x.log",
                    "sub/tmp/y",
                    "tmp",
                    "bar",
                    "sub/bar",
                    "app.py",
                ]
            ),
            [
                Some(Ignore),
                Some(Include),
                Some(Ignore),
                None,
                Some(Ignore),
                Some(Ignore),
                Some(Ignore),
                None,
                None,
            ]
        );
    }

    #[test]
    fn the_last_match_decides() {
        assert_eq!(
            verdicts("!a\na\n", &["a", "a/b"]),
            [Some(Verdict::Ignore), Some(Verdict::Ignore)]
        );
        assert!(IgnoreRules::parse(Path::new("x"), "a[").is_err());
    }

    #[test]
    fn secrets_and_clutter() {
        let file = |name: &str| default_for_file(name, Path::new("nowhere"));
        assert_eq!(file(".env"), Some(Default::Secret));
        assert_eq!(file(".env.production"), Some(Default::Secret));
        assert_eq!(file(".env.example"), None);
        assert_eq!(file("id_ed25519"), Some(Default::Secret));
        assert_eq!(file("a.pyc"), Some(Default::Clutter));
        assert_eq!(file("app.py"), None);
    }
}
