//! A package index on loopback.

use super::wheel::TestWheel;
use pywasm_format::Digest;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Serves pages, metadata and files until it is dropped.
pub struct Index {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    routes: BTreeMap<String, Answer>,
    requests: Vec<Request>,
    /// `Basic …` that every request must bring.
    credentials: Option<String>,
    ranges: bool,
    stopped: bool,
}

#[derive(Clone, Default)]
struct Answer {
    body: Vec<u8>,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    /// Answers to give before the right one.
    failures: Vec<u16>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// A file on an index page.
#[derive(Clone)]
pub struct Offer {
    pub file: String,
    pub bytes: Vec<u8>,
    /// What the page says of it; `None` says nothing.
    pub sha256: Option<String>,
    pub metadata: Metadata,
    pub requires_python: Option<&'static str>,
    pub yanked: Option<&'static str>,
    pub uploaded: Option<&'static str>,
}

#[derive(Clone)]
pub enum Metadata {
    None,
    Right(Vec<u8>),
    Wrong(Vec<u8>),
}

impl Offer {
    pub fn of(wheel: &TestWheel) -> Self {
        let bytes = wheel.bytes();
        Self {
            sha256: Some(Digest::of(&bytes).hex()),
            file: wheel.file.clone(),
            metadata: Metadata::Right(wheel.metadata().into_bytes()),
            bytes,
            requires_python: None,
            yanked: None,
            uploaded: wheel.uploaded,
        }
    }

    /// A file that nobody will look into.
    pub fn opaque(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            bytes: b"opaque".to_vec(),
            sha256: Some(Digest::of(b"opaque").hex()),
            metadata: Metadata::None,
            requires_python: None,
            yanked: None,
            uploaded: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    Json,
    Html,
}

impl Index {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Mutex::new(Shared {
            ranges: true,
            ..Shared::default()
        }));
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.lock().expect("sound").stopped {
                    break;
                }
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(stream, &served));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    pub fn url_with(&self, credentials: &str) -> String {
        format!("http://{credentials}@{}/simple/", self.address)
    }

    /// Puts up the page of `name` and the files on it.
    pub fn publish(&self, name: &str, form: Form, offers: &[Offer]) {
        self.publish_with_files_at(name, form, offers, self);
    }

    /// The same, with the files on another server.
    pub fn publish_with_files_at(&self, name: &str, form: Form, offers: &[Offer], files: &Self) {
        for offer in offers {
            files.route(
                &format!("/files/{}", offer.file),
                offer.bytes.clone(),
                "application/octet-stream",
            );
            if let Metadata::Right(bytes) | Metadata::Wrong(bytes) = &offer.metadata {
                files.route(
                    &format!("/files/{}.metadata", offer.file),
                    bytes.clone(),
                    "text/plain",
                );
            }
        }
        let base = format!("http://{}/files/", files.address);
        let (page, kind) = match form {
            Form::Json => (
                json_page(&base, offers),
                "application/vnd.pypi.simple.v1+json",
            ),
            Form::Html => (html_page(&base, offers), "text/html; charset=UTF-8"),
        };
        self.route(&format!("/simple/{name}/"), page.into_bytes(), kind);
    }

    /// Publishes a wheel under its own name.
    pub fn publish_wheels(&self, wheels: &[TestWheel]) {
        let mut by_name: BTreeMap<&str, Vec<Offer>> = BTreeMap::new();
        for wheel in wheels {
            by_name
                .entry(&wheel.name)
                .or_default()
                .push(Offer::of(wheel));
        }
        for (name, offers) in by_name {
            self.publish(name, Form::Json, &offers);
        }
    }

    pub fn route(&self, path: &str, body: Vec<u8>, content_type: &'static str) {
        let answer = Answer {
            body,
            content_type,
            ..Answer::default()
        };
        self.lock().routes.insert(path.to_owned(), answer);
    }

    pub fn header(&self, path: &str, name: &'static str, value: &str) {
        if let Some(answer) = self.lock().routes.get_mut(path) {
            answer.headers.push((name, value.to_owned()));
        }
    }

    /// Lets a path answer with these statuses first.
    pub fn fail(&self, path: &str, statuses: &[u16]) {
        if let Some(answer) = self.lock().routes.get_mut(path) {
            answer.failures = statuses.to_vec();
        }
    }

    pub fn require(&self, authorization: &str) {
        self.lock().credentials = Some(authorization.to_owned());
    }

    pub fn without_ranges(&self) {
        self.lock().ranges = false;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests()
            .into_iter()
            .map(|request| request.path)
            .collect()
    }

    pub fn stop(&self) {
        self.lock().stopped = true;
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("sound")
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.stop();
    }
}

fn json_page(base: &str, offers: &[Offer]) -> String {
    let files: Vec<_> = offers
        .iter()
        .map(|offer| {
            let mut hashes = serde_json::json!({});
            if let Some(sha256) = &offer.sha256 {
                hashes["sha256"] = serde_json::json!(sha256);
            }
            let mut file = serde_json::json!({
                "filename": offer.file, "url": format!("{base}{}", offer.file), "hashes": hashes,
                "size": offer.bytes.len(), "requires-python": offer.requires_python,
            });
            if let Some(day) = offer.uploaded {
                file["upload-time"] = serde_json::json!(format!("{day}T12:00:00.000000Z"));
            }
            if let Some(reason) = offer.yanked {
                file["yanked"] = serde_json::json!(reason);
            }
            match &offer.metadata {
                Metadata::None => {}
                Metadata::Right(bytes) => {
                    file["core-metadata"] = serde_json::json!({"sha256": Digest::of(bytes).hex()});
                }
                Metadata::Wrong(_) => {
                    file["core-metadata"] =
                        serde_json::json!({"sha256": Digest::of(b"other").hex()});
                }
            }
            file
        })
        .collect();
    serde_json::json!({"meta": {"api-version": "1.1"}, "name": "x", "files": files}).to_string()
}

fn html_page(base: &str, offers: &[Offer]) -> String {
    let mut page = "<!DOCTYPE html><html><body>".to_owned();
    for offer in offers {
        let fragment = offer
            .sha256
            .as_ref()
            .map(|sha256| format!("#sha256={sha256}"))
            .unwrap_or_default();
        let python = offer.requires_python.map(|text| {
            format!(
                " data-requires-python=\"{}\"",
                text.replace('>', "&gt;").replace('<', "&lt;")
            )
        });
        let yanked = offer.yanked.map(|text| format!(" data-yanked=\"{text}\""));
        let metadata = match &offer.metadata {
            Metadata::None => String::new(),
            Metadata::Right(bytes) => {
                format!(" data-core-metadata=\"sha256={}\"", Digest::of(bytes).hex())
            }
            Metadata::Wrong(_) => format!(
                " data-core-metadata=\"sha256={}\"",
                Digest::of(b"other").hex()
            ),
        };
        let (python, yanked) = (python.unwrap_or_default(), yanked.unwrap_or_default());
        page.push_str(&format!(
            "<a href=\"{base}{0}{fragment}\"{python}{yanked}{metadata}>{0}</a><br>\n",
            offer.file
        ));
    }
    page + "</body></html>"
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader) {
        let none_match = request.1;
        let request = request.0;
        let response = {
            let mut shared = shared.lock().expect("sound");
            if shared.stopped {
                return;
            }
            shared.requests.push(request.clone());
            respond(&mut shared, &request, none_match.as_deref())
        };
        if stream.write_all(&response).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<(Request, Option<String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut request = Request {
        path,
        range: None,
        authorization: None,
    };
    let mut none_match = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            return Some((request, none_match));
        };
        let value = Some(value.trim().to_owned());
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value,
            "authorization" => request.authorization = value,
            "if-none-match" => none_match = value,
            _ => {}
        }
    }
}

fn respond(shared: &mut Shared, request: &Request, none_match: Option<&str>) -> Vec<u8> {
    if shared.credentials.is_some() && shared.credentials != request.authorization {
        return message(401, "text/plain", &[], b"who are you?");
    }
    let ranges = shared.ranges;
    let Some(answer) = shared.routes.get_mut(&request.path) else {
        return message(404, "text/plain", &[], b"not here");
    };
    if !answer.failures.is_empty() {
        let status = answer.failures.remove(0);
        return message(
            status,
            "text/plain",
            &[("retry-after", "0".to_owned())],
            b"not now",
        );
    }
    let etag = answer
        .headers
        .iter()
        .find(|(name, _)| *name == "etag")
        .map(|(_, value)| value.as_str());
    if etag.is_some() && etag == none_match {
        return message(304, answer.content_type, &answer.headers, b"");
    }
    match request
        .range
        .as_deref()
        .filter(|_| ranges)
        .and_then(|range| slice(range, answer.body.len()))
    {
        Some((start, end)) => {
            let range = format!("bytes {start}-{}/{}", end - 1, answer.body.len());
            let headers = [("content-range", range)];
            message(206, answer.content_type, &headers, &answer.body[start..end])
        }
        None => message(200, answer.content_type, &answer.headers, &answer.body),
    }
}

fn slice(range: &str, size: usize) -> Option<(usize, usize)> {
    let range = range.strip_prefix("bytes=")?;
    match range.split_once('-')? {
        ("", last) => Some((size.saturating_sub(last.parse().ok()?), size)),
        (first, "") => Some((first.parse().ok()?, size)),
        (first, last) => Some((
            first.parse().ok()?,
            (last.parse::<usize>().ok()? + 1).min(size),
        )),
    }
}

fn message(status: u16, content_type: &str, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n");
    if status != 304 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut message = (head + "\r\n").into_bytes();
    message.extend(body);
    message
}
