//! A registry on loopback that does what a test tells it to, and a package to send there.
#![allow(dead_code, reason = "every test file uses a part of it")]

mod server;

pub use server::{Fault, PASSWORD, Registry};

use pywasm_format::write::{BuiltLayer, FileMode, ImageBlobs, LayerWriter, PackageSpec};
use pywasm_format::{
    AppConfig, BaseOrigin, Blob, Digest, ImageName, LayerKind, Package, ReadLimits,
};
use pywasm_http::{Connection, Proxies};
use pywasm_registry::{Client, Event, Login, Progress, Purpose, RegistryHost, Secret, Transport};
use pywasm_store::{Reference, Store};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Nobody watches.
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: &str, _: &Blob, _: Event) {}
}

/// A store of its own.
pub struct Machine {
    folder: TempDir,
    pub store: Store,
}

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        Self { folder, store }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps a package that says `text`.
    pub fn keep(&self, name: &ImageName, text: &str) -> Package {
        with_spec(text, |spec| self.store.put(spec, name).expect("kept"));
        self.package(name)
    }

    pub fn package(&self, name: &ImageName) -> Package {
        let reference = Reference::Name(name.clone());
        let limits = ReadLimits::default();
        self.store.package(&reference, &limits).expect("kept")
    }

    /// All that has a name is whole, byte by byte.
    pub fn is_sound(&self) {
        self.store.verify().expect("a sound store");
    }
}

/// Hands the package that says `text` to somebody who writes it.
fn with_spec<T>(text: &str, write: impl FnOnce(&PackageSpec<'_>) -> T) -> T {
    let base = BaseOrigin {
        name: "a base".to_owned(),
        record: Digest::of(b"a record"),
    };
    write(&PackageSpec {
        name: None,
        base: Some(&base),
        config: &AppConfig::new("3.14.7", "/app".parse().expect("a path")),
        layers: &layers(text),
    })
}

fn layer(kind: LayerKind, mount: &str, file: &str, content: &[u8]) -> BuiltLayer {
    let mut writer = LayerWriter::new(kind, mount.parse().expect("a path")).expect("a layer");
    writer
        .file(file, FileMode::Plain, content.len() as u64, content)
        .expect("a file");
    writer.finish().expect("a layer")
}

/// A runtime of 300 kB that cannot be compressed, another for each text, and an app.
fn layers(text: &str) -> Vec<BuiltLayer> {
    let mut state = text.bytes().map(u64::from).sum::<u64>();
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[7]
    })
    .take(300_000)
    .collect();
    vec![
        layer(
            LayerKind::Runtime,
            "/usr/local/lib/pywasm",
            "python.wasm",
            &noise,
        ),
        layer(LayerKind::Stdlib, "/usr/local/lib/python3.14", "os.py", b""),
        layer(LayerKind::App, "/app", "app.py", text.as_bytes()),
    ]
}

/// The package as a registry has it: manifest and blobs.
pub fn pieces(text: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    with_spec(text, |spec| {
        let blobs = ImageBlobs::of(spec).expect("a package");
        let layers = spec.layers.iter().map(|layer| layer.bytes.to_vec());
        let all = std::iter::once(blobs.config).chain(layers).collect();
        (blobs.manifest, all)
    })
}

pub fn password() -> Option<Login> {
    Some(Login::Password {
        user: "me".to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
    })
}

/// A client that loses its patience soon.
pub fn client(registry: &Registry, login: Option<Login>, purpose: Purpose) -> Client {
    let connection = Connection {
        certificates: None,
        proxies: Proxies::default(),
        timeout: Duration::from_millis(1500),
    };
    let host: RegistryHost = registry.host().parse().expect("a host");
    Client::new(host, login, purpose, &connection, Transport::Usual, 2).expect("a client")
}
