//! The registry: the part of the protocol that matters, and faults on demand.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pywasm_format::Digest;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of the person called `me`.
pub const PASSWORD: &str = "correct horse";

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another status, with this body.
    Status(u16, &'static str),
    /// The right answer, but only so many bytes of its body.
    Cut(usize),
    /// The right answer, then silence after so many bytes of its body.
    Stall(usize),
    /// No answer at all, though the request was done.
    Forget,
    /// The connection closes before the request is read.
    Close,
    /// Half of the body is taken in, then the connection closes.
    TakeHalf,
    /// Something that is not HTTP.
    Garbage,
    /// One bit of the body is another.
    Flip,
    /// Bytes more than there are.
    Longer(usize),
    /// An endless body.
    Endless,
    /// A redirection.
    Redirect(String),
    /// The whole, though a part was asked for.
    IgnoreRange,
    /// Another part than asked for.
    OtherRange,
    /// A header that says another digest.
    OtherDigest,
    /// This body in place of the right one.
    Instead(Vec<u8>),
    /// `Location` names another server.
    LocationElsewhere(String),
    /// The upload is not known any more.
    Lose,
    /// A challenge of this text.
    Challenge(String),
}

/// When it goes wrong: the first `times` requests with this method and part of the path.
#[derive(Clone, Debug)]
pub struct Rule {
    pub method: &'static str,
    pub part: &'static str,
    pub times: usize,
    pub fault: Fault,
}

/// What a server was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By `name/tag` and `name/digest`.
    manifests: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// How many uploads there were: the next one's name.
    opened: usize,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    /// The token that every request must bring, and who gives it.
    token: Option<String>,
    stopped: bool,
}

/// Serves until it is dropped.
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if lock(&shared).stopped {
                    break;
                }
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that goes away is part of the game.
                    let _ = serve(stream, &shared, address);
                });
            }
        });
        Self { address, state }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Puts a package there.
    pub fn hold(&self, name: &str, tag: &str, manifest: &[u8], blobs: &[Vec<u8>]) {
        let mut state = lock(&self.state);
        for blob in blobs {
            let digest = Digest::of(blob).to_string();
            state.blobs.insert(digest, blob.clone());
        }
        self.name(&mut state, name, tag, manifest);
    }

    fn name(&self, state: &mut State, name: &str, tag: &str, manifest: &[u8]) {
        for reference in [tag.to_owned(), Digest::of(manifest).to_string()] {
            let key = format!("{name}/{reference}");
            state.manifests.insert(key, manifest.to_vec());
        }
    }

    /// Only the manifest.
    pub fn hold_manifest(&self, name: &str, tag: &str, manifest: &[u8]) {
        self.name(&mut lock(&self.state), name, tag, manifest);
    }

    pub fn manifest(&self, name: &str, tag: &str) -> Option<Vec<u8>> {
        lock(&self.state)
            .manifests
            .get(&format!("{name}/{tag}"))
            .cloned()
    }

    /// Are all blobs what their digests say?
    pub fn is_sound(&self) -> bool {
        lock(&self.state)
            .blobs
            .iter()
            .all(|(digest, bytes)| Digest::of(bytes).to_string() == *digest)
    }

    pub fn rule(&self, method: &'static str, part: &'static str, times: usize, fault: Fault) {
        lock(&self.state).rules.push(Rule {
            method,
            part,
            times,
            fault,
        });
    }

    /// From now on nobody is served without the token that is given for the right password.
    pub fn demand_token(&self) {
        lock(&self.state).token = Some("tok.en".to_owned());
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    seen: Seen,
    body: Vec<u8>,
}

/// Reads a request; `None` where a fault says that it is not to be read.
fn request(
    stream: &TcpStream,
    state: &Mutex<State>,
) -> std::io::Result<Option<(Request, Option<Fault>)>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut seen = Seen {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        authorization: None,
        range: None,
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "authorization" => seen.authorization = Some(value),
            "range" => seen.range = Some(value),
            _ => {}
        }
    }
    let fault = {
        let mut state = lock(state);
        state.seen.push(seen.clone());
        let rule = state.rules.iter_mut().find(|rule| {
            rule.times > 0 && rule.method == seen.method && seen.path.contains(rule.part)
        });
        rule.map(|rule| {
            rule.times -= 1;
            rule.fault.clone()
        })
    };
    if matches!(fault, Some(Fault::Close)) {
        return Ok(None);
    }
    if matches!(fault, Some(Fault::TakeHalf)) {
        length /= 2;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((Request { seen, body }, fault)))
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, address: SocketAddr) -> std::io::Result<()> {
    let Some((request, fault)) = request(&stream, state)? else {
        return Ok(());
    };
    let mut answer = match &fault {
        Some(Fault::Status(status, body)) => Answer::new(*status).body(body.as_bytes()),
        Some(Fault::Redirect(to)) => Answer::new(307).header("location", to),
        Some(Fault::Challenge(text)) => Answer::new(401).header("www-authenticate", text),
        Some(Fault::Lose) => Answer::new(404),
        _ => answer(&request, &fault, &mut lock(state), address),
    };
    let is_head = request.seen.method == "HEAD";
    let mut sent = answer.body.len();
    let stalls = matches!(fault, Some(Fault::Stall(_)));
    match fault {
        Some(Fault::Forget | Fault::TakeHalf) => return Ok(()),
        Some(Fault::Garbage) => return stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"),
        Some(Fault::Flip) => answer
            .body
            .first_mut()
            .into_iter()
            .for_each(|byte| *byte ^= 1),
        Some(Fault::Longer(more)) => {
            answer.body.extend(std::iter::repeat_n(b'x', more));
            sent = answer.body.len();
        }
        Some(Fault::Instead(body)) => {
            sent = body.len();
            answer.body = body;
        }
        Some(Fault::LocationElsewhere(to)) => answer.headers = vec![("location", to)],
        Some(Fault::OtherDigest) => {
            answer
                .headers
                .retain(|(name, _)| *name != "docker-content-digest");
            answer
                .headers
                .push(("docker-content-digest", Digest::of(b"x").to_string()));
        }
        Some(Fault::Cut(at) | Fault::Stall(at)) => sent = at.min(sent),
        Some(Fault::Endless) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            let noise = [b'['; 1 << 16];
            // Until the client has had enough.
            while stream.write_all(&noise).is_ok() {}
            return Ok(());
        }
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
    head += &format!("content-length: {}\r\n", answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if !is_head {
        stream.write_all(&answer.body[..sent])?;
    }
    if stalls {
        std::thread::sleep(Duration::from_secs(3));
    }
    Ok(())
}

fn answer(
    request: &Request,
    fault: &Option<Fault>,
    state: &mut State,
    address: SocketAddr,
) -> Answer {
    let Seen {
        method,
        path,
        authorization,
        range,
    } = &request.seen;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/token" {
        let right = format!("Basic {}", STANDARD.encode(format!("me:{}", PASSWORD)));
        return match (&state.token, authorization) {
            (Some(token), Some(given)) if *given == right => {
                Answer::new(200).body(format!("{{\"token\": \"{token}\"}}").as_bytes())
            }
            _ => Answer::new(401).body(br#"{"details": "incorrect username or password"}"#),
        };
    }
    if let Some(token) = &state.token
        && *authorization != Some(format!("Bearer {token}"))
    {
        let realm = format!("Bearer realm=\"http://{address}/token\",service=\"test\"");
        return Answer::new(401).header("www-authenticate", realm);
    }
    if path == "/v2/" {
        return Answer::new(200);
    }
    let path = path.trim_start_matches("/v2/");
    if let Some((name, reference)) = path.split_once("/manifests/") {
        let key = format!("{name}/{reference}");
        if method == "PUT" {
            let digest = Digest::of(&request.body).to_string();
            state.manifests.insert(key, request.body.clone());
            state
                .manifests
                .insert(format!("{name}/{digest}"), request.body.clone());
            return Answer::new(201).header("docker-content-digest", digest);
        }
        return match state.manifests.get(&key) {
            Some(bytes) => Answer::new(200)
                .header("docker-content-digest", Digest::of(bytes))
                .body(bytes),
            None => Answer::new(404).body(br#"{"errors": [{"message": "manifest unknown"}]}"#),
        };
    }
    if let Some((_, id)) = path.split_once("/blobs/uploads/") {
        return upload(request, method, id, query, state);
    }
    let digest = path.rsplit('/').next().unwrap_or_default();
    let Some(bytes) = state.blobs.get(digest) else {
        return Answer::new(404);
    };
    let from: usize = range
        .as_ref()
        .and_then(|range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .ok()
        })
        .unwrap_or_default();
    match from {
        0 => Answer::new(200).body(bytes),
        _ if matches!(fault, Some(Fault::IgnoreRange)) => Answer::new(200).body(bytes),
        from => {
            let said = match fault {
                Some(Fault::OtherRange) => 1,
                _ => from,
            };
            let range = format!("bytes {said}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::new(206)
                .header("content-range", range)
                .body(&bytes[said..])
        }
    }
}

fn upload(request: &Request, method: &str, id: &str, query: &str, state: &mut State) -> Answer {
    let place = |id: &str| format!("/v2/upload/blobs/uploads/{id}?state=x");
    if method == "POST" {
        state.opened += 1;
        let id = state.opened.to_string();
        state.uploads.insert(id.clone(), Vec::new());
        return Answer::new(202).header("location", place(&id));
    }
    let Some(bytes) = state.uploads.get_mut(id) else {
        return Answer::new(404);
    };
    match method {
        "PATCH" => {
            bytes.extend(&request.body);
            Answer::new(202).header("location", place(id))
        }
        "GET" => Answer::new(204)
            .header("location", place(id))
            .header("range", format!("0-{}", bytes.len().saturating_sub(1))),
        _ => {
            let bytes = state.uploads.remove(id).unwrap_or_default();
            let digest = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("digest="))
                .unwrap_or_default()
                .replace("%3A", ":");
            if Digest::of(&bytes).to_string() != digest {
                return Answer::new(400).body(br#"{"errors": [{"code": "DIGEST_INVALID"}]}"#);
            }
            state.blobs.insert(digest, bytes);
            Answer::new(201)
        }
    }
}
