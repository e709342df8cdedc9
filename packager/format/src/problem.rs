//! What is wrong with a document or an archive, in words that need no knowledge of the libraries that read them.

use serde_json::error::Category;
use std::io::{self, ErrorKind};

/// Why `bytes` are not the JSON that was expected.
pub fn json_problem(bytes: &[u8], error: &serde_json::Error) -> String {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    match (first, error.classify()) {
        (None, _) => "it is empty".to_owned(),
        (Some(b'<'), _) => "it is a web page or XML".to_owned(),
        // It may quote the document, whose lines are not ours.
        (_, Category::Data) => error.to_string().replace(char::is_control, " "),
        (_, Category::Eof) => "it is JSON that is cut short".to_owned(),
        (_, Category::Syntax | Category::Io) => {
            format!(
                "it is no JSON (line {}, column {})",
                error.line(),
                error.column()
            )
        }
    }
}

/// Why a tar archive, which may be compressed, cannot be read to its end.
pub fn archive_problem(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::Other
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::UnexpectedEof => {
            "it is cut short, damaged or not the archive that its name says".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn json_that_is_none() {
        for (text, problem) in [
            ("", "it is empty"),
            ("\n<!DOCTYPE html>", "it is a web page or XML"),
            ("[", "it is JSON that is cut short"),
            ("junk", "it is no JSON (line 1, column 1)"),
            (
                "{}",
                "invalid type: map, expected a sequence at line 1 column 0",
            ),
        ] {
            let error = serde_json::from_str::<Vec<u8>>(text).expect_err(text);
            assert_eq!(json_problem(text.as_bytes(), &error), problem);
        }
    }

    #[test]
    fn what_is_quoted_begins_no_line_of_its_own() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let text = r#"{"a\nb": 1}"#;
        let error = serde_json::from_str::<Nothing>(text).expect_err(text);
        let problem = json_problem(text.as_bytes(), &error);
        assert!(problem.contains("`a b`"), "{problem}");
    }

    #[test]
    fn archives_that_are_none() {
        let problem = |bytes: &[u8]| {
            let mut archive = tar::Archive::new(bytes);
            let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
                io::copy(&mut entry?.take(1 << 20), &mut io::sink())
            };
            let error = archive
                .entries()
                .expect("not read yet")
                .find_map(|entry| read(entry).err());
            archive_problem(&error.expect("an error"))
        };
        for bytes in [&[b'x'; 1024][..], &[b'x'; 100]] {
            assert!(problem(bytes).starts_with("it is cut short"));
        }
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(archive_problem(&denied), denied.to_string());
    }
}
