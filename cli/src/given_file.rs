//! Files that a person names on the command line.

use anyhow::anyhow;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Keys, certificates, policies and lists of variables are not longer.
const LONGEST: u64 = 8 << 20;

/// Reads the file that was given as `what`, such as `--tls-cert`.
pub fn bytes(what: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map_err(|reason| unreadable(what, path, &reason))?;
    Ok(bytes)
}

/// The same where it is text.
pub fn text(what: &str, path: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(bytes(what, path)?);
    text.map_err(|_| {
        anyhow!(
            "{what}: `{}` is not UTF-8 text; give another file, or save it as UTF-8",
            path.display()
        )
    })
}

fn unreadable(what: &str, path: &Path, reason: &io::Error) -> anyhow::Error {
    let path = path.display();
    match reason.kind() {
        ErrorKind::NotFound => anyhow!("{what}: there is no file `{path}`; correct the path"),
        ErrorKind::PermissionDenied => {
            anyhow!("{what}: you may not read `{path}`; change who may, or give another file")
        }
        ErrorKind::IsADirectory => anyhow!("{what}: `{path}` is a folder; give a file"),
        _ => anyhow!("{what}: `{path}` cannot be read: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_with_its_flag() {
        let folder = tempfile::tempdir().expect("a folder");
        let latin = folder.path().join("latin");
        std::fs::write(&latin, b"A=\xe4").expect("written");
        for (path, part) in [
            (folder.path().join("none"), "there is no file"),
            (folder.path().to_owned(), "is a folder"),
            (latin, "is not UTF-8 text"),
        ] {
            let error = text("--env-file", &path).expect_err(part).to_string();
            assert!(error.starts_with("--env-file: "), "{error}");
            assert!(error.contains(part), "{error}");
        }
    }
}
