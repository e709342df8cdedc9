//! What the tests share: stand-ins for the guest's layers, and a look into packages.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod index;
pub mod person;
pub mod wheel;

use pywasm_format::write::{BuiltLayer, FileMode, LayerWriter};
use pywasm_format::{Digest, LayerKind, Package, ReadLimits};
use pywasm_packager::{
    Base, BaseLayers, BuildEnd, BuildSandbox, Machine, NativePackage, SandboxMount,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// For tests that build nothing; `tests/it` builds with the real sandbox.
pub struct NoBuilds;

impl BuildSandbox for NoBuilds {
    fn run(&self, _: &Path, _: &[SandboxMount]) -> Result<BuildEnd, String> {
        Err("nothing is built in this test".to_owned())
    }
}

/// Layers as small as they can be, in place of the guest's.
pub fn base() -> BaseLayers {
    BaseLayers {
        python: "3.14.7".to_owned(),
        runtimes: Base::ALL.map(|base| {
            layer(
                LayerKind::Runtime,
                "/usr/local/lib/pywasm",
                &format!("{base}.wasm"),
            )
        }),
        natives: [
            ("markupsafe", "3.0.4", Base::Web, false),
            ("numpy", "2.5.5", Base::Scientific, false),
            ("psycopg", "3.3.9", Base::Full, true),
            ("pydantic-core", "2.50.5", Base::Web, false),
        ]
        .map(|(name, version, base, completes)| NativePackage {
            name: name.parse().expect("a name"),
            version: version.parse().expect("a version"),
            releases: format!("=={version}").parse().expect("a specifier"),
            base,
            completes,
        })
        .to_vec(),
        stdlib: layer(LayerKind::Stdlib, "/usr/local/lib/python3.14", "os.py"),
        record: Digest::of(b"how they were built"),
    }
}

fn layer(kind: LayerKind, mount: &str, file: &str) -> BuiltLayer {
    let mount = mount.parse().expect("a path");
    let mut writer = LayerWriter::new(kind, mount).expect("a layer");
    writer
        .file(file, FileMode::Plain, 4, &b"here"[..])
        .expect("a file");
    writer.finish().expect("a layer")
}

/// This machine as the command line would describe it.
pub fn machine_of_this_process(cache_dir: &Path) -> Machine {
    Machine {
        env: std::env::vars().collect(),
        home: std::env::var_os("HOME").map(Into::into),
        cache_dir: cache_dir.to_owned(),
    }
}

/// A machine with nothing configured.
pub fn bare_machine(cache_dir: &Path) -> Machine {
    Machine {
        env: BTreeMap::from([("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned())]),
        home: None,
        cache_dir: cache_dir.to_owned(),
    }
}

pub fn open(path: &Path) -> Package {
    Package::open(path, &ReadLimits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The files of a layer by their path.
pub fn files_of(package: &Package, kind: LayerKind) -> BTreeMap<String, Vec<u8>> {
    let layer = package.layer(kind).expect("the layer");
    let mut archive = tar::Archive::new(package.open_layer(layer).expect("readable"));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("readable");
            files.insert(path, content);
        }
    }
    files
}
