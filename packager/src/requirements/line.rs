//! One requirement: the standard's part, hashes, and the forms that are refused.

use super::Requirement;
use pep508_rs::VersionOrUrl;
use pywasm_format::Digest;
use std::str::FromStr;

/// Reads `name[extra]>=1 ; marker --hash=sha256:…`.
pub(super) fn parse(line: &str) -> Result<(Requirement, Vec<Digest>), String> {
    refuse_places(line)?;
    let (text, options) = match options_start(line) {
        Some(at) => (line[..at].trim_end(), &line[at..]),
        None => (line, ""),
    };
    let requirement =
        standard(text).map_err(|reason| format!("`{text}` is not a requirement: {reason}"))?;
    if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
        return Err(refused_url(url.as_str()));
    }
    Ok((requirement, hashes(options)?))
}

/// The standard's grammar. The text may be that of a hostile wheel.
fn standard(text: &str) -> Result<Requirement, String> {
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

/// Version control, folders and files: pip would build or copy them.
fn refuse_places(line: &str) -> Result<(), String> {
    let first = line.split_whitespace().next().unwrap_or_default();
    if ["git+", "hg+", "svn+", "bzr+"]
        .iter()
        .any(|prefix| first.starts_with(prefix))
    {
        return Err(refused_url(first));
    }
    if first.contains("://") {
        return Err(refused_url(first));
    }
    let is_file = [".whl", ".tar.gz", ".zip"]
        .iter()
        .any(|end| first.ends_with(end));
    if first.starts_with('.') || first.starts_with('/') || is_file {
        return Err(format!(
            "`{first}` is a path; name the package instead and give the folder of its wheel with --find-links"
        ));
    }
    Ok(())
}

fn refused_url(url: &str) -> String {
    let shown = url.split_once('@').map_or(url, |(_, behind)| behind);
    let vcs = url
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.contains('+'));
    match vcs {
        true => format!(
            "`{shown}` is a repository, and fetching from version control is not supported; name its archive of a commit (…/archive/COMMIT.tar.gz), or build a wheel of it (`pip wheel`) and name its folder with --find-links"
        ),
        false => format!(
            "`{shown}` is a direct address, which is not supported yet; download the wheel and name its folder with --find-links"
        ),
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
