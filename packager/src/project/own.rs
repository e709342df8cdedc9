//! What a project says for pywasm itself: `pywasm.toml`, else `[tool.pywasm]` of its pyproject.toml. It comes
//! after flags and before a Dockerfile and what is found out from the files.

use super::{ProjectError, command, read_text};
use crate::settings::{AsOf, DockerfileUse, OlderVersions, Optional, PackSettings, VersionChoice};
use pywasm_format::{ExposedPort, Needs};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

/// The whole of it. Its `[policy]` is what a person grants, and no business of a package.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    default,
    expecting = "a table"
)]
pub(super) struct Own {
    pub(super) needs: Needs,
    /// What to start.
    #[serde(deserialize_with = "words")]
    pub(super) command: Option<Vec<String>>,
    /// Requirements files in place of those that would be looked at.
    pub(super) requirements: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    pub(super) expose: Vec<ExposedPort>,
    /// `false`: do not look at the Dockerfile.
    dockerfile: Option<bool>,
    #[serde(deserialize_with = "text")]
    as_of: Option<AsOf>,
    allow_older: bool,
    overrides: Vec<String>,
    excludes: Vec<String>,
    extras: Vec<String>,
    groups: Vec<String>,
    #[serde(rename = "policy")]
    _policy: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct PyProject {
    tool: Option<Tools>,
}

#[derive(Deserialize)]
#[serde(expecting = "a table")]
struct Tools {
    pywasm: Option<Own>,
}

impl Own {
    /// What the project in a folder says.
    pub(super) fn of_folder(root: &Path) -> Result<Self, ProjectError> {
        let own = root.join("pywasm.toml");
        if own.is_file() {
            return parse(&own);
        }
        let shared = root.join("pyproject.toml");
        if !shared.is_file() {
            return Ok(Self::default());
        }
        let tool = parse::<PyProject>(&shared)?.tool;
        Ok(tool.and_then(|tool| tool.pywasm).unwrap_or_default())
    }

    /// The caller's settings, with the project's where the caller has said nothing.
    pub(super) fn below(&self, flags: &PackSettings) -> PackSettings {
        let join = |own: &[String], flags: &[String]| [own, flags].concat();
        let VersionChoice {
            as_of,
            older,
            overrides,
            excludes,
        } = &flags.versions;
        PackSettings {
            versions: VersionChoice {
                as_of: match (*as_of, self.as_of) {
                    (AsOf::Auto, Some(own)) => own,
                    (asked, _) => asked,
                },
                older: match self.allow_older {
                    true => OlderVersions::Allow,
                    false => *older,
                },
                overrides: join(&self.overrides, overrides),
                excludes: join(&self.excludes, excludes),
            },
            optional: Optional {
                extras: join(&self.extras, &flags.optional.extras),
                groups: join(&self.groups, &flags.optional.groups),
            },
            dockerfile: match self.dockerfile {
                Some(false) if flags.dockerfile == DockerfileUse::default() => {
                    DockerfileUse::Ignore
                }
                _ => flags.dockerfile.clone(),
            },
            ..flags.clone()
        }
    }
}

fn parse<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<T, ProjectError> {
    toml::from_str(&read_text(file)?).map_err(|error| ProjectError::Malformed {
        path: file.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })
}

/// A command as a list of words or as one line.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected the command as a line of text or a list of words"
    )]
    enum Command {
        Line(String),
        Words(Vec<String>),
    }
    let words = match Command::deserialize(deserializer)? {
        Command::Words(words) => words,
        Command::Line(line) => command::words(&line)
            .map_err(|why| serde::de::Error::custom(format!("`{line}`: {why}")))?,
    };
    match words.is_empty() {
        true => Err(serde::de::Error::custom("the command is empty")),
        false => Ok(Some(words)),
    }
}

fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn texts<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parsed = texts.iter().map(|text| text.parse::<T>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, text: &str) -> Result<Own, ProjectError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), text).expect("a file");
        Own::of_folder(folder.path())
    }

    #[test]
    fn it_is_found_in_either_file() {
        let hosts = "hosts = ['a.example']";
        let text = format!("[needs]\n{hosts}\n[policy]\ncpus = 1");
        let found = own("pywasm.toml", &text).expect("read");
        assert_eq!(found.needs.hosts(), ["a.example"]);
        let text = format!("[tool.pywasm]\ncommand = 'a \"b c\"'\n[tool.pywasm.needs]\n{hosts}");
        let found = own("pyproject.toml", &text).expect("read");
        assert_eq!(found.needs.hosts(), ["a.example"]);
        assert_eq!(found.command, Some(vec!["a".to_owned(), "b c".to_owned()]));
        let found = own("pyproject.toml", "[tool.black]\n").expect("read");
        assert!(found.needs.is_empty());
        for wrong in [
            "[needs]\nhost = []",
            "[need]",
            "[needs]\nhosts = ['a b']",
            "command = 'a | b'",
            "command = []",
            "as-of = 'soon'",
            "expose = ['http']",
            "[",
        ] {
            assert!(own("pywasm.toml", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_key_holds_is_said() {
        for (text, line, expected) in [
            (
                "[tool.pywasm]\ncommand = 5",
                2,
                "a line of text or a list of words",
            ),
            ("[tool]\npywasm = 1", 2, "expected a table"),
            ("tool = 1", 1, "expected a table"),
        ] {
            let error = own("pyproject.toml", text).expect_err(text).to_string();
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn flags_come_first() {
        let text = "as-of = '2021-08-01'\nexcludes = ['a']\nextras = ['web']\ndockerfile = false";
        let own = own("pywasm.toml", text).expect("read");
        let settings = own.below(&PackSettings::default());
        assert!(matches!(settings.versions.as_of, AsOf::Day(_)));
        assert_eq!(settings.optional.extras, ["web"]);
        assert_eq!(settings.dockerfile, DockerfileUse::Ignore);
        let mut flags = PackSettings::default();
        flags.versions.as_of = AsOf::Today;
        flags.versions.excludes = vec!["b".to_owned()];
        let settings = own.below(&flags);
        assert_eq!(settings.versions.as_of, AsOf::Today);
        assert_eq!(settings.versions.excludes, ["a", "b"]);
    }

    proptest::proptest! {
        /// Text of any kind: an error, or what a package may ask for.
        #[test]
        fn text_of_any_kind(lines in proptest::collection::vec(
            r#"(\[(needs|policy|env|tool\.pywasm|tool\.pywasm\.needs)\]|(command|requirements|env|expose|dockerfile|as-of|ports|folders|hosts|memory-mib|allow-older|overrides) ?= ?(\[('[^']{0,12}',? ?){0,3}\]|'[^']{0,16}'|-?[0-9]{1,12}|true|\{.{0,8}\}|.{0,8}))"#,
            0..8,
        )) {
            let text = lines.join("\n");
            for name in ["pywasm.toml", "pyproject.toml"] {
                if let Ok(found) = own(name, &text) {
                    let shown = serde_json::to_string(&found.needs).expect("JSON");
                    let again: Needs = serde_json::from_str(&shown).expect("what is said is understood");
                    proptest::prop_assert_eq!(again, found.needs);
                }
            }
        }
    }
}
