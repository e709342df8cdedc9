//! What a project says it needs: `[needs]` of a pywasm.toml, or `[tool.pywasm.needs]` of its pyproject.toml.

use super::{ProjectError, read_text};
use pywasm_format::Needs;
use serde::Deserialize;
use std::path::Path;

/// `pywasm.toml`. Its `[policy]` is what a person grants, and no business of a package.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    #[serde(default)]
    needs: Needs,
    #[serde(rename = "policy")]
    _policy: Option<toml::Table>,
}

#[derive(Deserialize)]
struct PyProject {
    tool: Option<Tools>,
}

#[derive(Deserialize)]
struct Tools {
    pywasm: Option<Own>,
}

/// The needs of the project in a folder.
pub(super) fn of_folder(root: &Path) -> Result<Needs, ProjectError> {
    let own = root.join("pywasm.toml");
    if own.is_file() {
        return parse::<Own>(&own).map(|own| own.needs);
    }
    let shared = root.join("pyproject.toml");
    if !shared.is_file() {
        return Ok(Needs::default());
    }
    let tool = parse::<PyProject>(&shared)?.tool;
    let own = tool.and_then(|tool| tool.pywasm);
    Ok(own.map(|own| own.needs).unwrap_or_default())
}

fn parse<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<T, ProjectError> {
    toml::from_str(&read_text(file)?).map_err(|error| ProjectError::Malformed {
        path: file.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(name: &str, text: &str) -> Result<Vec<String>, ProjectError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), text).expect("a file");
        of_folder(folder.path()).map(|needs| needs.hosts().to_vec())
    }

    #[test]
    fn needs_are_found_in_either_file() {
        let hosts = "hosts = ['a.example']";
        let found = needs(
            "pywasm.toml",
            &format!("[needs]\n{hosts}\n[policy]\ncpus = 1"),
        );
        assert_eq!(found.expect("read"), ["a.example"]);
        let found = needs("pyproject.toml", &format!("[tool.pywasm.needs]\n{hosts}"));
        assert_eq!(found.expect("read"), ["a.example"]);
        assert!(
            needs("pyproject.toml", "[tool.black]\n")
                .expect("read")
                .is_empty()
        );
        for wrong in [
            "[needs]\nhost = []",
            "[need]",
            "[needs]\nhosts = ['a b']",
            "[",
        ] {
            assert!(needs("pywasm.toml", wrong).is_err(), "{wrong}");
        }
    }
}
