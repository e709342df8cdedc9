//! Files of the host that are served without asking the app.

use crate::answer::Answer;
use crate::connection::Broken;
use bytes::{Bytes, BytesMut};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LAST_MODIFIED,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::spawn_blocking;

/// How much of a file is read at once; shorter files are answered in one piece.
const READ: usize = 64 << 10;

/// Of a folder, this file is meant.
const INDEX: &str = "index.html";

/// The one hidden name that is meant to be seen.
const WELL_KNOWN: &str = ".well-known";

/// A folder whose files are served below a path. What is not there is the app's to answer.
///
/// Nothing outside of the folder is reached, by links neither, and nothing whose name begins with a dot.
#[derive(Debug, Clone)]
pub struct Static {
    /// Without a slash at the end.
    prefix: String,
    folder: Arc<Dir>,
}

/// Why files cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StaticError {
    /// The path of requests is none.
    #[error("`{0}` is not a path of requests: it must begin with /")]
    Prefix(String),
    /// There is no such folder, or it may not be read.
    #[error("cannot serve the files of `{path}`: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Static {
    /// The files of `folder` at requests for paths below `prefix`.
    pub fn new(prefix: &str, folder: &Path) -> Result<Self, StaticError> {
        if !prefix.starts_with('/') {
            return Err(StaticError::Prefix(prefix.to_owned()));
        }
        let opened = Dir::open_ambient_dir(folder, ambient_authority());
        let opened = opened.map_err(|source| StaticError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            prefix: prefix.trim_end_matches('/').to_owned(),
            folder: Arc::new(opened),
        })
    }

    /// None where it is for the app to answer.
    pub(crate) async fn answer(&self, request: &Request<Incoming>) -> Option<Response<Answer>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = self.path(request.uri().path())?;
        let folder = Arc::clone(&self.folder);
        let found = spawn_blocking(move || Found::open(&folder, path)).await;
        let found = found.ok()??;
        Some(found.response(request).await)
    }

    /// The file that a path of a request means, relative to the folder.
    fn path(&self, asked: &str) -> Option<PathBuf> {
        let rest = asked.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let rest = percent_decode_str(rest).decode_utf8().ok()?;
        let mut path = PathBuf::new();
        for name in rest.split('/').filter(|name| !name.is_empty()) {
            let hidden = name.starts_with('.') && name != WELL_KNOWN;
            if hidden || name.contains(['\0', '\\']) {
                return None;
            }
            path.push(name);
        }
        if rest.is_empty() || rest.ends_with('/') {
            path.push(INDEX);
        }
        Some(path)
    }
}

/// An open file.
struct Found {
    path: PathBuf,
    file: File,
    length: u64,
    modified: SystemTime,
}

impl Found {
    fn open(folder: &Dir, path: PathBuf) -> Option<Self> {
        // Not waiting for the other end of a pipe.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nonblocking);
        let file = folder.open_with(&path, &options).ok()?.into_std();
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self {
            path,
            file,
            length: metadata.len(),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
        })
    }

    /// Another content has another one.
    fn tag(&self) -> String {
        let since = self.modified.duration_since(UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_nanos());
        format!("\"{since:x}-{:x}\"", self.length)
    }

    async fn response(self, request: &Request<Incoming>) -> Response<Answer> {
        let mut headers = HeaderMap::new();
        let tag = self.tag();
        let known = is_known(request.headers(), &tag);
        let mut put = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(ETAG, &tag);
        put(LAST_MODIFIED, &httpdate::fmt_http_date(self.modified));
        let (status, body) = match known {
            true => (StatusCode::NOT_MODIFIED, Answer::Whole(None)),
            false => {
                let kind = mime_guess::from_path(&self.path).first_or_octet_stream();
                let charset = match kind.type_().as_str() {
                    "text" => "; charset=utf-8",
                    _ => "",
                };
                put(CONTENT_TYPE, &format!("{}{charset}", kind.essence_str()));
                put(X_CONTENT_TYPE_OPTIONS, "nosniff");
                put(CONTENT_LENGTH, &self.length.to_string());
                match *request.method() == Method::HEAD {
                    true => (StatusCode::OK, Answer::Whole(None)),
                    false => (StatusCode::OK, self.body().await),
                }
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    async fn body(self) -> Answer {
        let (length, mut file) = (self.length, tokio::fs::File::from_std(self.file));
        if length <= READ as u64 {
            let mut all = Vec::new();
            let read = (&mut file).take(length).read_to_end(&mut all).await;
            if read.is_ok() && all.len() as u64 == length {
                return Answer::text(all);
            }
        }
        let (tell, parts) = channel(1);
        tokio::spawn(send(file, length, tell));
        Answer::Parts(parts)
    }
}

/// Sends `length` bytes of a file, as many as were promised.
async fn send(mut file: tokio::fs::File, length: u64, tell: Sender<Result<Bytes, Broken>>) {
    let mut left = length;
    while left > 0 {
        let mut part = BytesMut::with_capacity(READ);
        let part = match (&mut file).take(left).read_buf(&mut part).await {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => {
                left -= count as u64;
                Ok(part.freeze())
            }
            Err(error) => Err(error.into()),
        };
        let last = part.is_err();
        if tell.send(part).await.is_err() || last {
            return;
        }
    }
}

/// Does the client have it already?
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let all = request.get_all(IF_NONE_MATCH);
    all.iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder_and_hide_what_is_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Static::new("/assets/", folder.path()).expect("a folder");
        let of = |asked: &str| files.path(asked).map(|path| path.display().to_string());
        assert_eq!(of("/assets/a/b.css").as_deref(), Some("a/b.css"));
        assert_eq!(of("/assets//a%20b").as_deref(), Some("a b"));
        assert_eq!(of("/assets/").as_deref(), Some("index.html"));
        assert_eq!(
            of("/assets/.well-known/x").as_deref(),
            Some(".well-known/x")
        );
        for none in [
            "/other",
            "/assetsx/a",
            "/assets/../a",
            "/assets/%2e%2e/a",
            "/assets/..%2fa",
            "/assets/.git/config",
            "/assets/a%00b",
            "/assets/%ff",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn links_lead_nowhere_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("secret");
        let inside = folder.path().join("public");
        std::fs::create_dir(&inside).expect("a folder");
        std::fs::write(&secret, "s").expect("a file");
        std::fs::write(inside.join("a"), "a").expect("a file");
        std::os::unix::fs::symlink("a", inside.join("near")).expect("a link");
        std::os::unix::fs::symlink("../secret", inside.join("up")).expect("a link");
        std::os::unix::fs::symlink(&secret, inside.join("away")).expect("a link");
        let files = Static::new("/", &inside).expect("a folder");
        let is_found = |name: &str| Found::open(&files.folder, name.into()).is_some();
        assert!(is_found("a") && is_found("near"), "the control");
        assert!(!is_found("up") && !is_found("away") && !is_found("."));
    }
}
