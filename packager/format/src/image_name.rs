//! Names of packages, as people write them after `-t`.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// `[HOST[:PORT]/]PATH[:TAG]` in docker's grammar. Without a tag it is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    repository: String,
    tag: String,
}

/// A text that is no name of a package.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is no name for a package: {reason}", text.escape_debug())]
pub struct ParseImageNameError {
    text: String,
    reason: String,
}

/// The tag of names that have none.
const DEFAULT_TAG: &str = "latest";
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

impl ImageName {
    /// The name without its tag, such as `ghcr.io/me/app`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, such as `latest`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The registry server it names, such as `ghcr.io` or `localhost:5000`; none for a bare name.
    pub fn registry(&self) -> Option<&str> {
        registry_of(&self.repository)
    }
}

/// As docker has it: the first part is a server if it has a dot or a colon, or is `localhost`.
fn registry_of(repository: &str) -> Option<&str> {
    let (first, _) = repository.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some(first)
}

impl FromStr for ImageName {
    type Err = ParseImageNameError;

    fn from_str(text: &str) -> Result<Self, ParseImageNameError> {
        parse(text).map_err(|reason| ParseImageNameError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<ImageName, String> {
    // `-t app.` and `-t app./dir`: the space before the folder was forgotten.
    if let Some(name) = text.strip_suffix('.').filter(|name| parse(name).is_ok()) {
        return Err(format!(
            "did you mean `{name} .`, the name and then the folder?"
        ));
    }
    if text.starts_with('<') || text.contains("/<") {
        return Err("put your own name in place of what stands in <…>".to_owned());
    }
    let slash = text.rfind('/').map_or(0, |at| at + 1);
    let (repository, tag) = match text[slash..].split_once(':') {
        Some((last, tag)) => (&text[..slash + last.len()], tag),
        None => (text, DEFAULT_TAG),
    };
    if repository.is_empty() || repository.len() > LONGEST_REPOSITORY {
        return Err(format!(
            "it needs 1 to {LONGEST_REPOSITORY} letters before the tag"
        ));
    }
    let path = match registry_of(repository) {
        Some(host) => {
            check_host(host)?;
            &repository[host.len() + 1..]
        }
        None => repository,
    };
    let small = path.to_ascii_lowercase();
    match path.split('/').try_for_each(check_part) {
        Err(_) if small.split('/').try_for_each(check_part).is_ok() => {
            return Err(format!("write it in small letters: {small}"));
        }
        checked => checked?,
    }
    let first = tag.bytes().next();
    let sane = first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && tag.len() <= LONGEST_TAG
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match sane {
        true => Ok(ImageName {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        }),
        false => Err(format!(
            "the tag `{}` may have letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`",
            tag.escape_debug()
        )),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    let sane = name.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }) && port.parse::<u16>().is_ok_and(|port| port > 0);
    match sane {
        true => Ok(()),
        false => Err(format!("`{}` is no HOST[:PORT]", host.escape_debug())),
    }
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or dashes.
fn check_part(part: &str) -> Result<(), String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [part.bytes().next(), part.bytes().next_back()];
    let sane = ends.iter().all(|byte| byte.is_some_and(is_word))
        && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|joint| {
                matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-')
            });
    match sane {
        true => Ok(()),
        false => Err(format!(
            "`{}` must be small letters and digits, joined by single `.`, `_` or `-`",
            part.escape_debug()
        )),
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_docker_are_names_here() {
        for (text, shown, registry) in [
            ("app", "app:latest", None),
            ("me/app:1.0-rc_1", "me/app:1.0-rc_1", None),
            ("ghcr.io/me/app", "ghcr.io/me/app:latest", Some("ghcr.io")),
            (
                "localhost:5000/app:x",
                "localhost:5000/app:x",
                Some("localhost:5000"),
            ),
            ("my_python_app", "my_python_app:latest", None),
            ("a--b/c__d.e", "a--b/c__d.e:latest", None),
        ] {
            let name: ImageName = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(
                (name.to_string().as_str(), name.registry()),
                (shown, registry)
            );
        }
    }

    #[test]
    fn others_are_refused_with_the_likely_meaning() {
        for (text, part) in [
            ("my_python_app.", "did you mean `my_python_app .`"),
            ("me/app:1.", "did you mean `me/app:1 .`"),
            ("<your_username>/<image_name>", "put your own name"),
            ("App", "small letters: app"),
            ("", "needs 1 to"),
            ("a//b", "must be small letters"),
            ("../a", "no HOST[:PORT]"),
            ("a___b", "must be small letters"),
            ("a:", "the tag"),
            ("a:-x", "the tag"),
            ("host:x/a", "no HOST[:PORT]"),
            ("UP PER", "must be small letters"),
            ("UP/PER_", "must be small letters"),
            ("Me/App:1", "small letters: me/app"),
        ] {
            let error = text.parse::<ImageName>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_name_from_elsewhere_cannot_write_to_terminals() {
        for text in ["a\u{1b}[2J", "a:\u{1b}[2J", "\u{1b}.b/a"] {
            let error = text.parse::<ImageName>().expect_err(text).to_string();
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
}
