//! What the tests share: a small good package, and the tools to make it bad.
#![allow(dead_code, reason = "every test file uses a part of it")]

use pywasm_format::write::{BuiltLayer, FileMode, LayerWriter, PackageSpec, write_package};
use pywasm_format::{AppConfig, Digest, LayerKind, Package, ReadLimits};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

pub fn layer(kind: LayerKind, mount: &str, files: &[(&str, &[u8])]) -> BuiltLayer {
    let mut writer = LayerWriter::new(kind, mount.parse().expect("a path")).expect("a layer");
    for (path, content) in files {
        writer
            .file(path, FileMode::Plain, content.len() as u64, *content)
            .expect("a file");
    }
    writer.finish().expect("a layer")
}

pub fn layers() -> Vec<BuiltLayer> {
    static LAYERS: OnceLock<Vec<BuiltLayer>> = OnceLock::new();
    LAYERS.get_or_init(build_layers).clone()
}

fn build_layers() -> Vec<BuiltLayer> {
    vec![
        layer(
            LayerKind::Runtime,
            "/usr/local/lib/pywasm",
            &[("python.wasm", b"wasm")],
        ),
        layer(
            LayerKind::Stdlib,
            "/usr/local/lib/python3.14",
            &[("os.py", b""), ("re/a.py", b"x")],
        ),
        layer(LayerKind::App, "/app", &[("app.py", b"print(1)\n")]),
    ]
}

pub fn config() -> AppConfig {
    let mut config = AppConfig::new("3.14.7", "/app".parse().expect("a path"));
    config.entrypoint = vec!["python".into(), "app.py".into()];
    config.env = vec![("A".into(), "1=2".into())];
    config.exposed_ports = vec!["5000".parse().expect("a port")];
    config.scripts = [("x".to_owned(), "m:f".parse().expect("an entry point"))].into();
    config.labels = [("k".to_owned(), "v".to_owned())].into();
    config
}

/// Writes the good package into `folder`.
pub fn write(folder: &Path) -> PathBuf {
    let path = folder.join("good.pkg");
    let spec = PackageSpec {
        name: Some("good:1"),
        base: None,
        config: &config(),
        layers: &layers(),
    };
    write_package(&path, &spec).expect("written");
    path
}

/// An image layout in pieces, to be changed and put together again with correct digests.
pub struct Layout {
    pub oci_layout: Value,
    pub index: Value,
    pub manifest: Value,
    pub config: Value,
    /// The compressed layers.
    pub layers: Vec<Vec<u8>>,
}

impl Layout {
    pub fn good() -> Self {
        let built = layers();
        let kinds_and_mounts = built.iter().map(|layer| (layer.kind, layer.mount.clone()));
        Self {
            oci_layout: json!({"imageLayoutVersion": "1.0.0"}),
            index: json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": null, "size": null}]}),
            manifest: json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": null, "size": null},
                "layers": kinds_and_mounts.map(|(kind, mount)| json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": null, "size": null,
                    "annotations": {"pywasm.layer.kind": kind.name(), "pywasm.layer.mount": mount.as_str()}
                })).collect::<Vec<_>>()}),
            config: json!({"architecture": "wasm", "os": "wasi", "config": {"WorkingDir": "/app"},
                "rootfs": {"type": "layers", "diff_ids": built.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>()},
                "pywasm": {"format": 1, "python": "3.14.7"}}),
            layers: built
                .into_iter()
                .map(|layer| layer.bytes.into_owned())
                .collect(),
        }
    }

    /// The entries of the zip file: digests and sizes that are still `null` are filled in.
    pub fn entries(mut self) -> Vec<(String, Vec<u8>)> {
        let mut entries = Vec::new();
        for (number, bytes) in self.layers.iter().enumerate() {
            entries.push(describe(
                &mut self.manifest["layers"][number],
                bytes.clone(),
            ));
        }
        entries.push(describe(
            &mut self.manifest["config"],
            bytes_of(&self.config),
        ));
        let mut none = Value::Null;
        let image = self.index["manifests"].get_mut(0).unwrap_or(&mut none);
        entries.push(describe(image, bytes_of(&self.manifest)));
        entries.push(("index.json".to_owned(), bytes_of(&self.index)));
        entries.push(("oci-layout".to_owned(), bytes_of(&self.oci_layout)));
        entries
    }

    pub fn open(self) -> Result<Package, String> {
        open_bytes(&Zip::of(&self.entries()).bytes())
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

fn describe(descriptor: &mut Value, bytes: Vec<u8>) -> (String, Vec<u8>) {
    let digest = Digest::of(&bytes);
    if descriptor["digest"].is_null() {
        descriptor["digest"] = json!(digest.to_string());
    }
    if descriptor["size"].is_null() {
        descriptor["size"] = json!(bytes.len());
    }
    (format!("blobs/sha256/{}", digest.hex()), bytes)
}

/// A zip file, record by record.
pub struct Zip {
    pub records: Vec<Record>,
    pub comment: Vec<u8>,
    /// Bytes between the last entry and the directory.
    pub gap: Vec<u8>,
    pub count: Option<u16>,
}

#[derive(Clone)]
pub struct Record {
    pub local: Header,
    pub central: Header,
    pub content: Vec<u8>,
    pub central_extra: Vec<u8>,
    /// Where the directory says the entry is, in place of where it is.
    pub offset: Option<u32>,
}

#[derive(Clone)]
pub struct Header {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u32,
    pub size: u32,
    pub name: Vec<u8>,
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [20, self.flags, self.method, 0, 0x21] {
            bytes.extend(field.to_le_bytes());
        }
        for field in [self.crc, self.packed, self.size] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes
    }
}

impl Zip {
    pub fn of(entries: &[(String, Vec<u8>)]) -> Self {
        let record = |(name, content): &(String, Vec<u8>)| {
            let header = Header {
                flags: 0,
                method: 0,
                crc: crc32fast::hash(content),
                packed: content.len() as u32,
                size: content.len() as u32,
                name: name.clone().into_bytes(),
            };
            Record {
                local: header.clone(),
                central: header,
                content: content.clone(),
                central_extra: Vec::new(),
                offset: None,
            }
        };
        Self {
            records: entries.iter().map(record).collect(),
            comment: Vec::new(),
            gap: Vec::new(),
            count: None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directory = Vec::new();
        for record in &self.records {
            let offset = record.offset.unwrap_or(bytes.len() as u32);
            bytes.extend(b"PK\x03\x04");
            bytes.extend(record.local.bytes());
            bytes.extend([0; 2]);
            bytes.extend(&record.local.name);
            bytes.extend(&record.content);
            directory.extend(b"PK\x01\x02\x14\x03");
            directory.extend(record.central.bytes());
            directory.extend((record.central_extra.len() as u16).to_le_bytes());
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(&record.central.name);
            directory.extend(&record.central_extra);
        }
        bytes.extend(&self.gap);
        let offset = bytes.len() as u32;
        bytes.extend(&directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        let count = self.count.unwrap_or(self.records.len() as u16);
        bytes.extend(count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend((directory.len() as u32).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend(&self.comment);
        bytes
    }
}

pub fn open_bytes(bytes: &[u8]) -> Result<Package, String> {
    open_with(bytes, &ReadLimits::default())
}

pub fn open_with(bytes: &[u8], limits: &ReadLimits) -> Result<Package, String> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("x.pkg");
    std::fs::write(&path, bytes).expect("written");
    Package::open(&path, limits).map_err(|error| {
        error
            .to_string()
            .replace(&format!("package {}: ", path.display()), "")
    })
}

pub fn read_all(mut reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
