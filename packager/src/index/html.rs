//! Index pages and link lists in HTML (PEP 503): every `<a href>` names a file.

use super::{MetadataFile, RemoteFile};
use pywasm_format::Digest;
use std::collections::BTreeMap;
use url::Url;

/// The files a page links to; addresses are relative to `base` or the page's own `<base>`.
pub(super) fn parse(text: &str, base: &Url) -> Vec<RemoteFile> {
    let mut base = base.clone();
    let mut files = Vec::new();
    for (name, attributes) in Tags(text) {
        let href = attributes.get("href");
        match (name.as_str(), href) {
            ("base", Some(href)) => base = base.join(href).unwrap_or(base),
            ("a", Some(href)) => {
                // A broken address is one file less, as in a browser.
                if let Ok(url) = base.join(href.trim()) {
                    files.extend(file(url, &attributes));
                }
            }
            _ => {}
        }
    }
    files
}

fn file(mut url: Url, attributes: &BTreeMap<String, String>) -> Option<RemoteFile> {
    let sha256 = url
        .fragment()
        .and_then(|fragment| {
            fragment
                .split('&')
                .find_map(|part| part.strip_prefix("sha256="))
        })
        .and_then(digest);
    url.set_fragment(None);
    let last = url.path_segments()?.next_back()?;
    let filename = percent_decoded(last).filter(|name| !name.is_empty())?;
    let metadata = attributes
        .get("data-core-metadata")
        .or_else(|| attributes.get("data-dist-info-metadata"));
    Some(RemoteFile {
        filename,
        sha256,
        requires_python: attributes
            .get("data-requires-python")
            .filter(|text| !text.is_empty())
            .cloned(),
        yanked: attributes.get("data-yanked").cloned(),
        metadata: match metadata.map(String::as_str) {
            None | Some("false") => MetadataFile::Absent,
            Some(value) => value
                .strip_prefix("sha256=")
                .and_then(digest)
                .map_or(MetadataFile::Unhashed, MetadataFile::Hashed),
        },
        size: None,
        uploaded: None,
        url,
    })
}

fn digest(digits: &str) -> Option<Digest> {
    Digest::from_hex(&digits.to_ascii_lowercase()).ok()
}

fn percent_decoded(text: &str) -> Option<String> {
    let decoded = super::auth::decode(text);
    // Names of wheels and archives need no other signs; a path would be an attack.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+!~ ".contains(c);
    decoded.chars().all(plain).then_some(decoded)
}

/// Iterates over the start tags of a page: name in lower case, attributes with entities resolved.
struct Tags<'a>(&'a str);

impl Iterator for Tags<'_> {
    type Item = (String, BTreeMap<String, String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let behind = &self.0[self.0.find('<')? + 1..];
            if let Some(comment) = behind.strip_prefix("!--") {
                self.0 = comment.split_once("-->").map_or("", |(_, rest)| rest);
                continue;
            }
            let end = behind
                .find(|c: char| c.is_whitespace() || c == '>' || c == '/')
                .unwrap_or(behind.len());
            let name = behind[..end].to_ascii_lowercase();
            self.0 = &behind[end..];
            if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let attributes = self.attributes();
                return Some((name, attributes));
            }
        }
    }
}

impl Tags<'_> {
    fn attributes(&mut self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::new();
        loop {
            let rest = self
                .0
                .trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() || rest.starts_with('>') {
                self.0 = rest;
                return attributes;
            }
            let end = rest
                .find(|c: char| c.is_whitespace() || c == '=' || c == '>')
                .unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase();
            let behind = rest[end..].trim_start();
            let (value, behind) = match behind.strip_prefix('=') {
                None => ("", &rest[end..]),
                Some(value) => attribute_value(value.trim_start()),
            };
            // `=` with no name before it would not move on.
            self.0 = match name.is_empty() && behind.len() == self.0.len() {
                true => &behind[1..],
                false => behind,
            };
            attributes.entry(name).or_insert_with(|| unescape(value));
        }
    }
}

fn attribute_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = text
        .find(|c: char| c.is_whitespace() || c == '>')
        .unwrap_or(text.len());
    text.split_at(end)
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let entity = rest[at + 1..]
            .split_once(';')
            .filter(|(name, _)| name.len() <= 8);
        match entity.and_then(|(name, behind)| Some((character(name)?, behind))) {
            Some((character, behind)) => {
                plain.push(character);
                rest = behind;
            }
            None => {
                plain.push('&');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_as_servers_write_it() {
        let zeros = "0".repeat(64);
        let page = format!(
            "<!DOCTYPE html><html><head><base href='/files/'></head><!-- <a href=\"no.whl\"> -->\
             <A HREF=\"x-1-py3-none-any.whl#sha256={zeros}\" data-requires-python=\"&gt;=3.8,&lt;4\" data-core-metadata=sha256={zeros}>x</A>\
             <a href='https://other.example/y-1.tar.gz' data-yanked='broken &amp; old'>y</a>\
             <a data-yanked href=z-1-py3-none-any.whl data-dist-info-metadata=\"true\">z</a><a name=top>no link</a>\
             <a href=\"../a%2Fb.whl\">path</a><a href=\"",
        );
        let base = "https://index.example/simple/x/"
            .parse()
            .expect("an address");
        let files = parse(&page, &base);
        let shown: Vec<_> = files
            .iter()
            .map(|file| {
                (
                    file.filename.as_str(),
                    file.url.as_str(),
                    file.requires_python.as_deref(),
                    file.yanked.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (
                    "x-1-py3-none-any.whl",
                    "https://index.example/files/x-1-py3-none-any.whl",
                    Some(">=3.8,<4"),
                    None
                ),
                (
                    "y-1.tar.gz",
                    "https://other.example/y-1.tar.gz",
                    None,
                    Some("broken & old")
                ),
                (
                    "z-1-py3-none-any.whl",
                    "https://index.example/files/z-1-py3-none-any.whl",
                    None,
                    Some("")
                ),
            ]
        );
        assert!(files[0].sha256.is_some());
        assert!(matches!(files[0].metadata, MetadataFile::Hashed(_)));
        assert_eq!(files[1].metadata, MetadataFile::Absent);
        assert_eq!(files[2].metadata, MetadataFile::Unhashed);
    }

    #[test]
    fn broken_pages_end() {
        let base = "https://index.example/".parse().expect("an address");
        for page in [
            "<a =",
            "<a ==",
            "<a = =>",
            "<",
            "<!--",
            "<a href",
            "<a href=",
            "<a href='x",
            "</",
            "<a/=/=>",
            "&",
            "<a b c d",
        ] {
            parse(page, &base);
        }
        assert_eq!(unescape("&#65;&#x42;&nope;&"), "AB&nope;&");
    }

    proptest::proptest! {
        #[test]
        fn pages_of_any_kind(text in r#"(<(a|A|base|!--|/a|b)?[ a-z=\-"'&;#0-9./%:<>]{0,40}>?){0,8}|.*"#) {
            let base = "https://index.example/simple/x/".parse().expect("a URL");
            let _ = super::parse(&text, &base);
        }
    }
}
