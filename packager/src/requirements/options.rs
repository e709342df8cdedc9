//! Options that may stand on lines of their own.

use pep508_rs::PackageName;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Index settings in a requirements file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexOptions {
    pub(crate) index_url: Option<String>,
    pub(crate) extra_index_urls: Vec<String>,
    pub(crate) find_links: Vec<String>,
    pub(crate) no_index: bool,
    pub(crate) pre: bool,
    pub(crate) require_hashes: bool,
    /// Packages that are built from source although they have wheels (`--no-binary`).
    pub(crate) from_source: FromSource,
}

/// Which packages are built from source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FromSource {
    all: bool,
    names: BTreeSet<PackageName>,
}

impl FromSource {
    /// Takes in a value of `--no-binary`: names with commas between, `:all:` or `:none:`.
    fn add(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',').map(str::trim) {
            match part {
                ":all:" => self.all = true,
                ":none:" => *self = Self::default(),
                name => {
                    let name = name
                        .parse()
                        .map_err(|_| format!("`--no-binary {name}` names no package"))?;
                    self.names.insert(name);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn contains(&self, name: &PackageName) -> bool {
        self.all || self.names.contains(name)
    }
}

/// What an option line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OptionLine {
    /// `-r`
    Requirements(PathBuf),
    /// `-c`
    Constraints(PathBuf),
    /// `-e`
    Editable(String),
    /// Taken into the [`IndexOptions`].
    Index,
    /// Understood, but without meaning here.
    NoEffect,
}

impl IndexOptions {
    /// Takes in an option line; relative `--find-links` are left for the caller's folder.
    pub(super) fn take(&mut self, line: &str) -> Result<OptionLine, String> {
        let (option, value) = split(line);
        let needed = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("`{option}` lacks its value"))
        };
        match option {
            "-r" | "--requirement" => return Ok(OptionLine::Requirements(needed()?.into())),
            "-c" | "--constraint" => return Ok(OptionLine::Constraints(needed()?.into())),
            "-i" | "--index-url" | "--pypi-url" => self.index_url = Some(needed()?),
            "--extra-index-url" => self.extra_index_urls.push(needed()?),
            "-f" | "--find-links" => self.find_links.push(needed()?),
            "--no-index" => self.no_index = true,
            "--pre" => self.pre = true,
            "--require-hashes" => self.require_hashes = true,
            "--prefer-binary" | "--only-binary" | "--use-feature" => {
                return Ok(OptionLine::NoEffect);
            }
            "-e" | "--editable" => return Ok(OptionLine::Editable(needed()?)),
            "--no-binary" => self.from_source.add(&needed()?)?,
            "--trusted-host" => {
                return Err("`--trusted-host` would switch off the check of certificates; name the certificate authority with PIP_CERT instead".to_owned());
            }
            _ => {
                return Err(format!(
                    "`{option}` is no option that a requirements file may hold"
                ));
            }
        }
        Ok(OptionLine::Index)
    }
}

/// The option and its value, in all of pip's spellings: `-r x`, `-rx`, `--requirement x`,
/// `--requirement=x`.
fn split(line: &str) -> (&str, Option<&str>) {
    let end = match line.starts_with("--") {
        true => line.find(|c: char| c == '=' || c.is_whitespace()),
        false => line.char_indices().nth(2).map(|(at, _)| at),
    };
    let Some(end) = end else { return (line, None) };
    let value = line[end..].trim_start_matches('=').trim();
    let value = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    (&line[..end], Some(value).filter(|value| !value.is_empty()))
}
