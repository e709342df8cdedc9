//! One requirement: the standard's part, hashes, and the forms that are refused.

use super::Requirement;
use super::direct::{self, Direct};
use crate::index::RemoteFile;
use pep508_rs::VersionOrUrl;
use pywasm_format::Digest;
use std::path::Path;
use std::str::FromStr;

/// One line of requirements.
pub(super) struct Line {
    pub(super) requirement: Requirement,
    pub(super) hashes: Vec<Digest>,
    /// The only file that may be taken, where the line names one.
    pub(super) file: Option<RemoteFile>,
}

/// Reads `name[extra]>=1 ; marker --hash=sha256:…`; paths are relative to `folder`.
pub(super) fn parse(line: &str, folder: Option<&Path>) -> Result<Line, String> {
    let (text, options) = match options_start(line) {
        Some(at) => (line[..at].trim_end(), &line[at..]),
        None => (line, ""),
    };
    let hashes = hashes(options)?;
    let found = match direct::is_place(text) {
        true => Some(direct::parse(text, folder)?),
        false => None,
    };
    if let Some(Direct { requirement, file }) = found {
        return Ok(Line {
            requirement,
            hashes,
            file: Some(file),
        });
    }
    let requirement =
        standard(text).map_err(|reason| format!("`{text}` is not a requirement: {reason}"))?;
    let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url else {
        return Ok(Line {
            requirement,
            hashes,
            file: None,
        });
    };
    let Direct { requirement, file } = direct::of_requirement(&requirement, url)?;
    Ok(Line {
        requirement,
        hashes,
        file: Some(file),
    })
}

/// The standard's grammar. The text may be that of a hostile wheel.
pub(super) fn standard(text: &str) -> Result<Requirement, String> {
    let names = text
        .split(['<', '>', '=', '!', '~', ';', '@', '('])
        .next()
        .unwrap_or_default();
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // The parser takes for granted that it never meets such a name, and panics.
    let cut = names
        .split(|c| !in_name(c))
        .find(|name| name.ends_with(['.', '-', '_']));
    match cut {
        Some(name) => Err(format!("`{name}` does not end with a letter or a digit")),
        None => Requirement::from_str(text).map_err(|error| error.message.to_string()),
    }
}

/// Where `--hash` and the like begin: the first word that starts with two dashes.
fn options_start(line: &str) -> Option<usize> {
    line.match_indices("--")
        .map(|(at, _)| at)
        .find(|at| line[..*at].ends_with(char::is_whitespace))
}

fn hashes(options: &str) -> Result<Vec<Digest>, String> {
    let mut hashes = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--hash", value)) => value,
            None if word == "--hash" => words.next().unwrap_or_default(),
            _ => {
                return Err(format!(
                    "`{word}` is not supported with a requirement; only --hash is"
                ));
            }
        };
        match value.split_once(':') {
            Some(("sha256", digits)) => hashes.push(
                Digest::from_hex(&digits.to_ascii_lowercase())
                    .map_err(|_| format!("`{word}` is not a sha256 hash of 64 digits"))?,
            ),
            // Others may stand beside it; files are checked by sha256 alone.
            Some(("sha384" | "sha512", _)) => {}
            _ => return Err(format!("`{word}` is not a hash; write --hash=sha256:…")),
        }
    }
    match hashes.is_empty() && !options.trim().is_empty() {
        true => Err("has hashes, but no sha256 among them; add --hash=sha256:…".to_owned()),
        false => Ok(hashes),
    }
}

/// Repairs what old metadata wrote and the standard refuses: `>=1.0.*`, where the star says nothing.
pub(crate) fn fix_legacy(text: &str) -> Option<Requirement> {
    if let Ok(requirement) = standard(text) {
        return Some(requirement);
    }
    let (specifiers, marker) = text
        .split_once(';')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let repaired: Vec<String> = specifiers
        .split(',')
        .map(|part| match part.contains(['<', '>']) {
            true => part.replace(".*", ""),
            false => part.to_owned(),
        })
        .collect();
    let mut repaired = repaired.join(",");
    if let Some(marker) = marker {
        repaired.push(';');
        repaired.push_str(marker);
    }
    standard(&repaired).ok()
}
