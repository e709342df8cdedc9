//! The client: pages, metadata and wheels, from the cache where it can be.

use super::cache::{Cache, StoredPage, unreadable};
use super::http::{Answer, Connection, Http};
use super::links::{self, LinkPlace};
use super::ranged::RangedFile;
use super::{IndexError, MetadataFile, RemoteFile, html, json};
use crate::wheel;
use crate::{Event, Progress};
use pep508_rs::PackageName;
use pywasm_format::{Digest, EntryPoint, Hasher};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;
use url::Url;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
const LARGEST_PAGE: u64 = 128 << 20;
const LARGEST_METADATA: u64 = 16 << 20;
const LARGEST_WHEEL: u64 = 4 << 30;

/// Where to look and how.
#[derive(Debug)]
pub(crate) struct Places {
    /// Indexes in order: the first that knows a package is the only one asked for it, so that
    /// nobody can slip in another file under its name elsewhere.
    pub(crate) indexes: Vec<Url>,
    /// Places whose files count beside those of the indexes.
    pub(crate) links: Vec<LinkPlace>,
    /// Use only what is in the cache.
    pub(crate) offline: bool,
}

pub(crate) struct Client<'a> {
    places: &'a Places,
    http: Http,
    cache: Cache,
    linked: OnceLock<Vec<RemoteFile>>,
    progress: &'a dyn Progress,
}

/// A wheel on this machine whose digest was compared.
#[derive(Debug)]
pub(crate) struct FetchedWheel {
    pub(crate) file: File,
    pub(crate) digest: Digest,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        places: &'a Places,
        connection: &Connection,
        cache_dir: &Path,
        progress: &'a dyn Progress,
    ) -> Result<Self, IndexError> {
        Ok(Self {
            places,
            http: Http::new(connection)?,
            cache: Cache::new(cache_dir),
            linked: OnceLock::new(),
            progress,
        })
    }

    /// All files offered for a package; `None` if nobody knows it.
    pub(crate) fn files(&self, name: &PackageName) -> Result<Option<Vec<RemoteFile>>, IndexError> {
        let mut files = None;
        for index in &self.places.indexes {
            files = self.index_page(index, name)?;
            if files.is_some() {
                break;
            }
        }
        let linked = self.linked()?.iter().filter(|file| {
            wheel::WheelName::parse(&file.filename).is_some_and(|wheel| wheel.name == *name)
                || wheel::version_of_sdist(&file.filename, name).is_some()
        });
        for file in linked {
            files.get_or_insert_default().push(file.clone());
        }
        Ok(files)
    }

    /// Where packages are looked for, for messages.
    pub(crate) fn places(&self) -> String {
        let indexes = self.places.indexes.iter().map(Url::to_string);
        let links = self.places.links.iter().map(|place| match place {
            LinkPlace::Local(path) => path.display().to_string(),
            LinkPlace::Page(url) => url.to_string(),
        });
        indexes.chain(links).collect::<Vec<_>>().join(", ")
    }

    fn index_page(
        &self,
        index: &Url,
        name: &PackageName,
    ) -> Result<Option<Vec<RemoteFile>>, IndexError> {
        let url = page_url(index, name);
        let stored = self.cache.page(&url);
        if self.places.offline {
            return match stored.and_then(|page| page.files()) {
                Some(files) => Ok(Some(files)),
                None => Err(IndexError::Offline {
                    what: format!("the index page of {name}"),
                }),
            };
        }
        if let Some(files) = stored
            .as_ref()
            .filter(|page| page.is_fresh())
            .and_then(StoredPage::files)
        {
            return Ok(Some(files));
        }
        let mut headers = vec![("accept", ACCEPT)];
        if let Some(etag) = stored.as_ref().and_then(StoredPage::etag) {
            headers.push(("if-none-match", etag));
        }
        match self.http.get(&url, &headers)? {
            Answer::NotFound => Ok(None),
            Answer::Found(mut response) => {
                let files = parse_page(&url, &mut response)?;
                self.keep_page(&url, &files, &response)?;
                Ok(Some(files))
            }
            Answer::NotModified(response) => {
                let etag = header(&response, "etag").map(str::to_owned);
                let page = stored.map(|page| page.confirmed(etag, max_age(&response)));
                match page.and_then(|page| Some((page.files()?, page))) {
                    Some((files, page)) => {
                        self.cache.put_page(&url, &page)?;
                        Ok(Some(files))
                    }
                    // Damaged here, and unchanged there: asked for without the condition.
                    None => match self.http.get(&url, &[("accept", ACCEPT)])? {
                        Answer::Found(mut response) => parse_page(&url, &mut response).map(Some),
                        Answer::NotFound | Answer::NotModified(_) => Ok(None),
                    },
                }
            }
        }
    }

    fn keep_page(
        &self,
        url: &Url,
        files: &[RemoteFile],
        response: &Response<Body>,
    ) -> Result<(), IndexError> {
        let etag = header(response, "etag").map(str::to_owned);
        let page = StoredPage::new(files, etag, max_age(response));
        self.cache.put_page(url, &page)
    }

    fn linked(&self) -> Result<&[RemoteFile], IndexError> {
        if let Some(files) = self.linked.get() {
            return Ok(files);
        }
        let mut files = Vec::new();
        for place in &self.places.links {
            match place {
                LinkPlace::Local(path) => files.extend(links::local(path)?),
                LinkPlace::Page(url) if self.places.offline => {
                    files.extend(
                        self.cache
                            .page(url)
                            .and_then(|page| page.files())
                            .unwrap_or_default(),
                    );
                }
                LinkPlace::Page(url) => match self.http.get(url, &[("accept", "text/html")])? {
                    Answer::Found(mut response) => {
                        let found = parse_page(url, &mut response)?;
                        self.keep_page(url, &found, &response)?;
                        files.extend(found);
                    }
                    Answer::NotFound | Answer::NotModified(_) => {
                        return Err(IndexError::Status {
                            url: url.to_string(),
                            status: 404,
                        });
                    }
                },
            }
        }
        Ok(self.linked.get_or_init(|| files))
    }

    /// The metadata of a wheel, fetching as little as its server allows.
    pub(crate) fn metadata(&self, file: &RemoteFile) -> Result<Vec<u8>, IndexError> {
        // What a server shows of a file under a digest counts for that server's file only: nobody may
        // have his metadata taken for somebody else's by naming the other's digest.
        let key = file
            .sha256
            .map(|digest| Digest::of(format!("{digest} {}", file.url).as_bytes()));
        if let Some(known) = key.and_then(|key| self.cache.metadata(&key)) {
            return Ok(known);
        }
        let bytes = match self.separate_metadata(file)? {
            Some(bytes) => bytes,
            None => self.metadata_of_wheel(file)?,
        };
        if let Some(key) = &key {
            self.cache.put_metadata(key, &bytes)?;
        }
        Ok(bytes)
    }

    fn separate_metadata(&self, file: &RemoteFile) -> Result<Option<Vec<u8>>, IndexError> {
        if file.metadata == MetadataFile::Absent
            || self.places.offline
            || file.url.scheme() == "file"
        {
            return Ok(None);
        }
        let mut url = file.url.clone();
        url.set_path(&format!("{}.metadata", file.url.path()));
        // Promised and not there: some mirrors copy the promise but not the file.
        let Answer::Found(mut response) = self.http.get(&url, &[])? else {
            return Ok(None);
        };
        let bytes = body(&url, &mut response, LARGEST_METADATA)?;
        match file.metadata {
            MetadataFile::Hashed(expected) if Digest::of(&bytes) != expected => {
                Err(IndexError::Hash {
                    file: format!("{}.metadata", file.filename),
                    promised_by: "the index",
                    expected,
                    found: Digest::of(&bytes),
                })
            }
            _ => Ok(Some(bytes)),
        }
    }

    fn metadata_of_wheel(&self, file: &RemoteFile) -> Result<Vec<u8>, IndexError> {
        let missing = || malformed(file, "it has no METADATA");
        self.dist_info(file, "METADATA")?.ok_or_else(missing)
    }

    /// The console scripts of a wheel, fetching as little as its server allows.
    pub(crate) fn scripts(
        &self,
        file: &RemoteFile,
    ) -> Result<Vec<(String, EntryPoint)>, IndexError> {
        let text = self
            .dist_info(file, "entry_points.txt")?
            .unwrap_or_default();
        Ok(wheel::console_scripts(&String::from_utf8_lossy(&text)))
    }

    /// A small file of a wheel's `.dist-info` folder, if it is there.
    fn dist_info(&self, file: &RemoteFile, what: &str) -> Result<Option<Vec<u8>>, IndexError> {
        let cached = file
            .sha256
            .is_some_and(|digest| self.cache.wheel(&digest).is_file());
        let remote = matches!(file.url.scheme(), "http" | "https");
        if remote && !cached && !self.places.offline {
            let ranged = RangedFile::open(&self.http, &file.url);
            if let Some(read) =
                ranged.and_then(|ranged| wheel::read_dist_info(ranged, &file.filename, what).ok())
            {
                return Ok(read);
            }
        }
        let fetched = self.wheel(file, &[])?;
        wheel::read_dist_info(fetched.file, &file.filename, what)
            .map_err(|error| malformed(file, &error.to_string()))
    }

    /// A wheel, its digest compared with the index's and, where there are any, the `allowed` ones.
    pub(crate) fn wheel(
        &self,
        file: &RemoteFile,
        allowed: &[Digest],
    ) -> Result<FetchedWheel, IndexError> {
        let wheel = match (&file.sha256, file.url.scheme()) {
            (_, "file") => self.local_wheel(file)?,
            (Some(digest), _) => match self.cached_wheel(digest)? {
                Some(wheel) => wheel,
                None => self.download(file)?,
            },
            (None, _) => self.download(file)?,
        };
        let wrong = |promised_by, expected| IndexError::Hash {
            file: file.filename.clone(),
            promised_by,
            expected,
            found: wheel.digest,
        };
        match (file.sha256, allowed) {
            (Some(expected), _) if expected != wheel.digest => Err(wrong("the index", expected)),
            (_, [first, ..]) if !allowed.contains(&wheel.digest) => Err(wrong("--hash", *first)),
            _ => {
                self.progress.event(Event::Ready {
                    file: &file.filename,
                });
                Ok(wheel)
            }
        }
    }

    fn local_wheel(&self, file: &RemoteFile) -> Result<FetchedWheel, IndexError> {
        let path = file.url.to_file_path().unwrap_or_default();
        File::open(&path)
            .and_then(hashed)
            .map_err(|reason| unreadable(&path, reason))
    }

    /// The cache's copy, if it is there and still what its name says.
    fn cached_wheel(&self, digest: &Digest) -> Result<Option<FetchedWheel>, IndexError> {
        let path = self.cache.wheel(digest);
        match File::open(&path).and_then(hashed) {
            Ok(wheel) => Ok(Some(wheel).filter(|wheel| wheel.digest == *digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(reason) => Err(unreadable(&path, reason)),
        }
    }

    fn download(&self, file: &RemoteFile) -> Result<FetchedWheel, IndexError> {
        if self.places.offline {
            return Err(IndexError::Offline {
                what: file.filename.clone(),
            });
        }
        self.progress.event(Event::Fetching {
            file: &file.filename,
            size: file.size,
        });
        let url = &file.url;
        let answer = self.http.get(url, &[("accept-encoding", "identity")])?;
        let Answer::Found(mut response) = answer else {
            return Err(IndexError::Status {
                url: url.to_string(),
                status: 404,
            });
        };
        let mut target = self.cache.new_wheel()?;
        let mut source = response.body_mut().as_reader().take(LARGEST_WHEEL + 1);
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 128 * 1024];
        let mut total = 0;
        loop {
            let read = source
                .read(&mut buffer)
                .map_err(|error| interrupted(url, &error))?;
            if read == 0 {
                break;
            }
            total += read as u64;
            hasher.update(&buffer[..read]);
            let path = target.path().to_owned();
            target
                .write_all(&buffer[..read])
                .map_err(|reason| super::cache::unwritable(&path, reason))?;
            self.progress.event(Event::Fetched {
                file: &file.filename,
                bytes: read as u64,
            });
        }
        if total > LARGEST_WHEEL {
            return Err(IndexError::TooLarge {
                url: url.to_string(),
                limit: LARGEST_WHEEL,
            });
        }
        let digest = hasher.finish();
        let path = self.cache.keep_wheel(target, &digest)?;
        File::open(&path)
            .map(|file| FetchedWheel { file, digest })
            .map_err(|reason| unreadable(&path, reason))
    }
}

fn hashed(mut file: File) -> io::Result<FetchedWheel> {
    let mut hasher = Hasher::default();
    io::copy(&mut file, &mut hasher)?;
    file.rewind()?;
    Ok(FetchedWheel {
        file,
        digest: hasher.finish(),
    })
}

fn malformed(file: &RemoteFile, reason: &str) -> IndexError {
    IndexError::Malformed {
        url: file.url.to_string(),
        expected: "a wheel",
        reason: reason.to_owned(),
    }
}

fn page_url(index: &Url, name: &PackageName) -> Url {
    let mut url = index.clone();
    let path = format!("{}/{name}/", index.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

fn parse_page(url: &Url, response: &mut Response<Body>) -> Result<Vec<RemoteFile>, IndexError> {
    let content_type = header(response, "content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let bytes = body(url, response, LARGEST_PAGE)?;
    let malformed = |expected, reason| IndexError::Malformed {
        url: url.to_string(),
        expected,
        reason,
    };
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => {
            json::parse(&bytes, url).map_err(|reason| malformed("an index page", reason))
        }
        "text/html" | "application/vnd.pypi.simple.v1+html" | "application/xhtml+xml" => {
            Ok(html::parse(&String::from_utf8_lossy(&bytes), url))
        }
        other => Err(malformed(
            "an index page",
            format!("its type is `{other}`; is the index address right?"),
        )),
    }
}

fn body(url: &Url, response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>, IndexError> {
    let mut bytes = Vec::new();
    response
        .body_mut()
        .as_reader()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| interrupted(url, &error))?;
    match bytes.len() as u64 > limit {
        true => Err(IndexError::TooLarge {
            url: url.to_string(),
            limit,
        }),
        false => Ok(bytes),
    }
}

fn interrupted(url: &Url, error: &io::Error) -> IndexError {
    IndexError::Connection {
        url: url.to_string(),
        reason: format!("the answer broke off: {error}"),
        hint: "; try again",
    }
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

fn max_age(response: &Response<Body>) -> Duration {
    let seconds = header(response, "cache-control")
        .unwrap_or_default()
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
