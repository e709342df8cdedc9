//! Lines, quotes and variables of a Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

/// One instruction, continuation lines joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// The line it begins in, from 1.
    pub(super) line: usize,
    /// In upper case.
    pub(super) name: String,
    pub(super) rest: String,
}

const NAMES: [&str; 18] = [
    "FROM",
    "ARG",
    "WORKDIR",
    "ENV",
    "LABEL",
    "EXPOSE",
    "COPY",
    "ADD",
    "RUN",
    "CMD",
    "ENTRYPOINT",
    "VOLUME",
    "USER",
    "SHELL",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "MAINTAINER",
    "ONBUILD",
];

/// Splits the text into instructions: comment lines go, a backslash at a line's end joins the next.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (line, mut joined) = open.take().unwrap_or((number + 1, String::new()));
        match trimmed.strip_suffix('\\') {
            Some(part) => {
                joined.push_str(part);
                open = Some((line, joined));
            }
            None => {
                joined.push_str(trimmed);
                found.push(instruction(line, &joined));
            }
        }
    }
    found.extend(open.map(|(line, joined)| instruction(line, &joined)));
    found
}

fn instruction(line: usize, text: &str) -> Instruction {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    Instruction {
        line,
        name: name.to_ascii_uppercase(),
        rest: rest.trim().to_owned(),
    }
}

impl Instruction {
    /// Refuses unknown names, with the likely meaning, and here-documents.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { name, rest, .. } = self;
        if NAMES.contains(&name.as_str()) {
            return match rest.is_empty() {
                true => Err(format!("{name} stands alone; it needs an argument")),
                false if rest.contains("<<") && matches!(name.as_str(), "RUN" | "COPY" | "ADD") => {
                    Err(format!(
                        "here-documents (`{name} <<`) are not supported; write the content to a file"
                    ))
                }
                false => Ok(()),
            };
        }
        // `COPY. /app`: the space was forgotten.
        let glued = NAMES.iter().find(|known| {
            name.starts_with(**known) && !name[known.len()..].starts_with(char::is_alphanumeric)
        });
        let hint = match glued {
            Some(known) => format!(
                "; did you mean `{known} {} {rest}`?",
                name[known.len()..].to_ascii_lowercase()
            ),
            None => match NAMES.iter().find(|known| distance(known, name) <= 2) {
                Some(known) => format!("; did you mean {known}?"),
                None => String::new(),
            },
        };
        Err(format!("`{name}` is no Dockerfile instruction{hint}"))
    }
}

/// The number of letters to change, add or take away.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = number + 1;
        for (column, wanted) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The exec form: a JSON list of strings.
pub(super) fn exec_form(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text.trim()).ok()
}

/// A text without the quotes around it.
pub(super) fn unquote(text: &str) -> &str {
    let text = text.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

/// `NAME=value NAME="two words"`, or the old form `NAME value`.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("`{text}` has no value; write {text}=VALUE"))?;
        return Ok(vec![(name.to_owned(), unquote(value).to_owned())]);
    }
    words(text)
        .ok_or_else(|| format!("`{text}` has a quote that does not end"))?
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(format!(
                "`{word}` is not NAME=VALUE; put values with spaces into double quotes"
            )),
        })
        .collect()
}

/// Words with quotes and backslashes taken away.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), same) if open == same => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, ' ' | '\t') => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None | Some('"'), '\\') => word.push(characters.next()?),
            (_, other) => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    quote.is_none().then_some(words)
}

/// What ARG and ENV have set so far.
#[derive(Debug, Default)]
pub(super) struct Variables {
    set: BTreeMap<String, String>,
    /// Values from outside (`--build-arg`), which ARG asks for by name.
    given: BTreeMap<String, String>,
    /// What ARG before the first FROM has set, which ARG asks for by name, too.
    global: BTreeMap<String, String>,
    /// What ARG has named and nobody has given a value.
    without: BTreeSet<String>,
}

impl Variables {
    pub(super) fn given(values: &[(String, String)]) -> Self {
        Self {
            given: values.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// These, in a stage of a file whose first lines have set `global`.
    pub(super) fn below(self, global: &Self) -> Self {
        Self {
            global: global.set.clone(),
            ..self
        }
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.without.remove(name);
        self.set.insert(name.to_owned(), value);
    }

    /// `ARG NAME[=default]`
    pub(super) fn declare(&mut self, rest: &str) -> Result<(), String> {
        let (name, default) = rest
            .split_once('=')
            .map_or((rest, None), |(name, default)| (name, Some(default)));
        let name = name.trim();
        let value = match (self.given.get(name), default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(unquote(default))?),
            (None, None) => self.global.get(name).cloned(),
        };
        match value {
            Some(value) => self.set(name, value),
            None if self.set.contains_key(name) => {}
            None => drop(self.without.insert(name.to_owned())),
        }
        Ok(())
    }

    /// A variable in `text` that ARG has named and nobody has given a value.
    pub(super) fn without_value(&self, text: &str) -> Option<&str> {
        let names = |name: &&String| {
            text.contains(&format!("${{{name}}}")) || replace_word(text, name, "") != text
        };
        self.without.iter().find(names).map(String::as_str)
    }

    /// Replaces the variables that are known and leaves others to whoever needs a shell.
    pub(super) fn expand_known(&self, text: &str) -> String {
        let mut expanded = text.to_owned();
        for (name, value) in self.set.iter().rev() {
            // A value with spaces would be several words here and one in a shell, or the reverse.
            if !value.contains(char::is_whitespace) {
                expanded = expanded.replace(&format!("${{{name}}}"), value);
                expanded = replace_word(&expanded, name, value);
            }
        }
        expanded
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['$', '\\']) {
            expanded.push_str(&rest[..at]);
            let escaped = rest[at..].starts_with('\\');
            rest = &rest[at + 1..];
            if escaped {
                // `\$` is a dollar sign; any other backslash stays for the quotes to interpret.
                match rest.strip_prefix('$') {
                    Some(after) => {
                        expanded.push('$');
                        rest = after;
                    }
                    None => expanded.push('\\'),
                }
                continue;
            }
            let (inner, after) = match rest.strip_prefix('{') {
                Some(braced) => braced
                    .split_once('}')
                    .ok_or_else(|| format!("`{text}` has a ${{ without }}"))?,
                None => {
                    let end = rest
                        .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
                        .unwrap_or(rest.len());
                    rest.split_at(end)
                }
            };
            if inner.is_empty() {
                expanded.push('$');
            } else {
                expanded.push_str(&self.value(inner));
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn value(&self, inner: &str) -> String {
        let get = |name: &str| {
            self.set
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        if let Some((name, default)) = inner.split_once(":-") {
            return get(name).unwrap_or_else(|| default.to_owned());
        }
        if let Some((name, other)) = inner.split_once(":+") {
            return get(name).map(|_| other.to_owned()).unwrap_or_default();
        }
        get(inner).unwrap_or_default()
    }
}

/// Replaces `$NAME` where the name ends there.
fn replace_word(text: &str, name: &str, value: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let variable = format!("${name}");
    while let Some(at) = rest.find(&variable) {
        let after = &rest[at + variable.len()..];
        let ends = !after.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric());
        replaced.push_str(&rest[..at]);
        replaced.push_str(if ends { value } else { &variable });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_join_and_comments_go() {
        let text = "# syntax\nFROM python:3\nRUN pip install \\\n  # why\n  flask \\\n\n  rich\ncmd [\"a\"]";
        let found: Vec<_> = instructions(text)
            .into_iter()
            .map(|i| (i.line, i.name, i.rest))
            .collect();
        let expected = [
            (2, "FROM", "python:3"),
            (3, "RUN", "pip install flask rich"),
            (8, "CMD", "[\"a\"]"),
        ];
        assert_eq!(
            found,
            expected.map(|(line, name, rest)| (line, name.to_owned(), rest.to_owned()))
        );
    }

    #[test]
    fn typos_get_the_likely_meaning() {
        let error = |text: &str| {
            let first = instructions(text).into_iter().next();
            first.and_then(|i| i.check().err()).unwrap_or_default()
        };
        assert!(error("COPY. /app").contains("did you mean `COPY . /app`?"));
        assert!(error("WORKDIRR /app").contains("did you mean WORKDIR?"));
        assert!(error("FORM python").contains("did you mean FROM?"));
        assert_eq!(error("XYZZY 1"), "`XYZZY` is no Dockerfile instruction");
        assert_eq!(error("COPY . /app"), "");
    }

    #[test]
    fn variables_and_pairs() {
        let mut variables = Variables::default();
        variables.set("A", "x".into());
        let expand = |text: &str| variables.expand(text).unwrap_or_default();
        assert_eq!(expand("$A/${A}b/${B:-d}/${A:+y}/\\$A$"), "x/xb/d/y/$A$");
        assert!(variables.expand("${A").is_err());
        let joined = |text: &str| pairs(text).map(|pairs| format!("{pairs:?}"));
        assert_eq!(
            joined("A=1 B=\"2 3\" C=4\\ 5"),
            Ok(r#"[("A", "1"), ("B", "2 3"), ("C", "4 5")]"#.into())
        );
        assert_eq!(joined("A one two"), Ok(r#"[("A", "one two")]"#.into()));
        assert!(pairs("A").is_err() && pairs("A=1 B").is_err() && pairs("A=\"1").is_err());
    }
}
