//! Old packages on a new Python: names that it has removed are given back to those who use them.
//!
//! Packages that are older than the removal are searched for the names. Where one is used, a
//! `sitecustomize.py` goes beside them that has it (`compat/sitecustomize.py`).

use crate::Day;
use crate::dependencies::DependenciesError;
use crate::plan::Note;
use crate::resolve::ResolvedWheel;
use crate::wheel::Wheel;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Where it lies in site-packages.
pub(crate) const FILE: &str = "sitecustomize.py";
const SOURCE: &str = include_str!("sitecustomize.py");
/// The line of [`SOURCE`] that names the modules used.
const USED: &str = "USED = ()";

/// The module, what was removed of it (nothing listed: all of it), and when.
const REMOVED: &[(&str, &[&str], &str)] = &[
    (
        "ast",
        &["Str", "Bytes", "Num", "NameConstant", "Ellipsis"],
        "2025-10-07",
    ),
    ("pkgutil", &["get_loader", "find_loader"], "2025-10-07"),
    ("logging", &["_acquireLock", "_releaseLock"], "2024-10-07"),
    ("cgi", &[], "2024-10-07"),
    ("imp", &[], "2023-10-02"),
    ("distutils", &[], "2023-10-02"),
    ("asyncio", &["coroutine"], "2022-10-24"),
    ("inspect", &["getargspec", "ArgSpec"], "2022-10-24"),
    (
        "collections",
        &[
            "Callable",
            "Container",
            "Hashable",
            "ItemsView",
            "Iterable",
            "Iterator",
            "KeysView",
            "Mapping",
            "MappingView",
            "MutableMapping",
            "MutableSequence",
            "MutableSet",
            "Sequence",
            "Set",
            "Sized",
            "ValuesView",
        ],
        "2021-10-04",
    ),
];

/// Python sources larger than this are tables, not programs.
const LARGEST_SOURCE: u64 = 4 << 20;

/// What has to be given back.
#[derive(Debug, Default)]
pub(crate) struct Compat {
    /// By module: the names, each with the first package that uses it.
    used: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Compat {
    pub(crate) fn for_wheels(
        resolved: &[ResolvedWheel],
        wheels: &mut [Wheel],
    ) -> Result<Self, DependenciesError> {
        let mut compat = Self::default();
        for (from, wheel) in resolved.iter().zip(wheels) {
            // Who does not tell a day is taken for old: what is not used is not found.
            let removed: Vec<_> = REMOVED
                .iter()
                .filter(|(_, _, day)| {
                    let day = day.parse::<Day>();
                    from.file
                        .uploaded
                        .zip(day.ok())
                        .is_none_or(|(own, day)| own < day)
                })
                .collect();
            if removed.is_empty() {
                continue;
            }
            let sources: Vec<_> = wheel
                .files
                .iter()
                .filter(|(path, file)| path.ends_with(".py") && file.size < LARGEST_SOURCE)
                .map(|(_, file)| file.content.clone())
                .collect();
            for content in sources {
                let mut bytes = Vec::new();
                wheel
                    .read(&content)
                    .and_then(|mut source| Ok(source.read_to_end(&mut bytes)?))
                    .map_err(|reason| from.refuse(reason))?;
                let text = String::from_utf8_lossy(&bytes);
                for (module, names, _) in &removed {
                    for name in uses(&text, module, names) {
                        let package = format!("{} {}", from.wheel.name, from.wheel.version);
                        compat
                            .used
                            .entry(module)
                            .or_default()
                            .entry(name)
                            .or_insert(package);
                    }
                }
            }
        }
        Ok(compat)
    }

    /// The file to pack, if there is need of one.
    pub(crate) fn file(&self) -> Option<Vec<u8>> {
        let modules: Vec<String> = self.used.keys().map(|name| format!("{name:?}, ")).collect();
        let used = format!("USED = ({})", modules.concat().trim_end());
        (!modules.is_empty()).then(|| SOURCE.replacen(USED, &used, 1).into_bytes())
    }

    pub(crate) fn notes(&self) -> Option<Note> {
        let names = self.used.values().flatten();
        let names: Vec<String> = names
            .map(|(name, package)| format!("{name} ({package})"))
            .collect();
        (!names.is_empty()).then(|| Note {
            at: None,
            text: format!(
                "names that this Python has removed are given back to old packages by {FILE}: {}",
                names.join(", ")
            ),
        })
    }
}

/// What of `names` in `module` (of the module itself, if there are none) a source uses. Imports that
/// are indented are left out: they stand in a `try` that knows the new place.
fn uses(text: &str, module: &str, names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Most sources do not even have the word.
    if !text.contains(module) {
        return found;
    }
    for line in text.lines() {
        let words = |part: &str| -> Vec<String> {
            part.split(|c: char| !is_word(c))
                .map(str::to_owned)
                .collect()
        };
        if let Some(rest) = line.strip_prefix("from ") {
            let Some((from, imported)) = rest.split_once(" import ") else {
                continue;
            };
            let own = from == module
                || from
                    .strip_prefix(module)
                    .is_some_and(|r| r.starts_with('.'));
            if own && names.is_empty() {
                found.insert(from.to_owned());
            } else if from == module {
                let imported = words(imported);
                let hits = names
                    .iter()
                    .filter(|name| imported.iter().any(|word| word == *name));
                found.extend(hits.map(|name| format!("{module}.{name}")));
            }
        } else if let Some(imported) = line.strip_prefix("import ") {
            let hit = imported
                .split(',')
                .map(|part| part.split_whitespace().next().unwrap_or_default())
                .any(|name| {
                    name == module
                        || name
                            .strip_prefix(module)
                            .is_some_and(|r| r.starts_with('.'))
                });
            if hit && names.is_empty() {
                found.insert(module.to_owned());
            }
        } else if !names.is_empty() {
            let code = line.split('#').next().unwrap_or_default();
            for (at, _) in code.match_indices(module) {
                let before = code[..at].chars().next_back();
                let Some(rest) = code[at + module.len()..].strip_prefix('.') else {
                    continue;
                };
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let whole = !before.is_some_and(|c| is_word(c) || c == '.');
                if whole && names.contains(&&rest[..end]) {
                    found.insert(format!("{module}.{}", &rest[..end]));
                }
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_found_where_they_are_real() {
        let uses = |text: &str, module: &str, names: &[&str]| {
            uses(text, module, names)
                .into_iter()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let ast = ["Str", "Num"];
        assert_eq!(
            uses(
                "x = ast.Str('')\nisinstance(y, (ast.Num, ast.Str))",
                "ast",
                &ast
            ),
            "ast.Num ast.Str"
        );
        assert_eq!(uses("from ast import Num, parse\n", "ast", &ast), "ast.Num");
        for none in [
            "ast.Strange()",
            "fast.Str",
            "my.ast.Str",
            "# ast.Str",
            "try:\n    from ast import Str\n",
        ] {
            assert_eq!(uses(none, "ast", &ast), "", "{none}");
        }
        assert_eq!(uses("import os, imp\n", "imp", &[]), "imp");
        assert_eq!(
            uses(
                "from distutils.version import LooseVersion\n",
                "distutils",
                &[]
            ),
            "distutils.version"
        );
        for none in [
            "import importlib",
            "import impossible",
            "  import imp",
            "from .imp import x",
        ] {
            assert_eq!(uses(none, "imp", &[]), "", "{none}");
        }
    }

    #[test]
    fn the_modules_used_are_filled_in() {
        assert!(Compat::default().file().is_none());
        let compat = Compat {
            used: BTreeMap::from([("ast", BTreeMap::from([("ast.Str".into(), "a 1".into())]))]),
        };
        let file = String::from_utf8(compat.file().expect("needed")).expect("text");
        assert!(file.contains("\nUSED = (\"ast\",)\n"), "{file}");
    }
}
