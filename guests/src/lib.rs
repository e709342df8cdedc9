//! The built guest: CPython as a WebAssembly component, and its standard library.
//!
//! `guests/cpython` is the recipe; what it built lies in `guests/artifacts`, checked in, so that
//! building pywasm needs no C toolchain. [`layers`] hands the two out in the form in which packages
//! carry them: tar archives compressed with zstd, named by digest.

mod manifest;

pub use manifest::{Artifact, Input, Manifest, NativePackage};

use serde::Deserialize;
use std::sync::LazyLock;

/// The version of the Python inside.
pub const PYTHON_VERSION: &str = "3.14.7";

/// The record of the build, in JSON: what [`manifest`] reads.
pub const RECORD: &str = include_str!("../artifacts/guest.json");

/// Which of the interpreters. Each has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// CPython, with hardly any native packages.
    Slim,
    /// CPython with the extension modules built in that apps for the web are most often made with ([`Manifest::natives`]).
    Web,
    /// CPython with those of most programs too.
    Full,
    /// CPython with those for numbers too.
    Scientific,
    /// CPython with those for tables and plots too.
    Data,
    /// CPython with those for scientific computing and machine learning too, which are all of them.
    Analysis,
}

impl Base {
    /// All of them, from the smallest.
    pub const ALL: [Self; 6] = [
        Self::Slim,
        Self::Web,
        Self::Full,
        Self::Scientific,
        Self::Data,
        Self::Analysis,
    ];
}

/// Which part of the guest a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The interpreter below `usr/local/lib/pywasm`: its code, `python.wasm`, and the memory it starts
    /// with, `state.wasm`.
    Runtime,
    /// The standard library below `usr/local/lib/python3.14`.
    Stdlib,
}

/// One part of the guest as a compressed tar archive.
#[derive(Debug, Clone)]
pub struct GuestLayer {
    /// Which part.
    pub part: Part,
    /// The guest's folder that holds everything in it.
    pub mount: &'static str,
    /// The archive: tar compressed with zstd.
    pub tar_zst: &'static [u8],
    /// SHA-256 of `tar_zst`, lower-case hexadecimal.
    pub sha256: &'static str,
    /// SHA-256 of the uncompressed tar, lower-case hexadecimal.
    pub diff_sha256: &'static str,
    /// Size of the uncompressed tar in bytes.
    pub diff_size: u64,
}

/// The interpreter asked for and the standard library, in this order.
pub fn layers(base: Base) -> [GuestLayer; 2] {
    let layer = |part, mount, artifact: &'static Artifact, tar_zst| GuestLayer {
        part,
        mount,
        tar_zst,
        sha256: &artifact.sha256,
        diff_sha256: &artifact.unpacked_sha256,
        diff_size: artifact.unpacked_size,
    };
    let artifact = |name| {
        manifest()
            .artifact(name)
            .expect("the manifest lists its artefacts")
    };
    let (name, runtime): (_, &[u8]) = match base {
        Base::Slim => (
            "runtime.tar.zst",
            include_bytes!("../artifacts/runtime.tar.zst"),
        ),
        Base::Web => (
            "runtime-web.tar.zst",
            include_bytes!("../artifacts/runtime-web.tar.zst"),
        ),
        Base::Full => (
            "runtime-full.tar.zst",
            include_bytes!("../artifacts/runtime-full.tar.zst"),
        ),
        Base::Scientific => (
            "runtime-scientific.tar.zst",
            include_bytes!("../artifacts/runtime-scientific.tar.zst"),
        ),
        Base::Data => (
            "runtime-data.tar.zst",
            include_bytes!("../artifacts/runtime-data.tar.zst"),
        ),
        Base::Analysis => (
            "runtime-analysis.tar.zst",
            include_bytes!("../artifacts/runtime-analysis.tar.zst"),
        ),
    };
    [
        layer(
            Part::Runtime,
            "/usr/local/lib/pywasm",
            artifact(name),
            runtime,
        ),
        layer(
            Part::Stdlib,
            "/usr/local/lib/python3.14",
            artifact("stdlib.tar.zst"),
            include_bytes!("../artifacts/stdlib.tar.zst"),
        ),
    ]
}

/// Digests, inputs and licences of the guest, as the recipe recorded them.
pub fn manifest() -> &'static Manifest {
    static MANIFEST: LazyLock<Manifest> =
        LazyLock::new(|| serde_json::from_str(RECORD).expect("the recipe wrote the manifest"));
    &MANIFEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::io::Read;

    fn sha256(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    #[test]
    fn the_artefacts_are_the_recorded_ones() {
        let manifest = manifest();
        assert_eq!(manifest.python, PYTHON_VERSION);
        for layer in Base::ALL.map(layers).concat() {
            assert_eq!(sha256(layer.tar_zst), layer.sha256, "{:?}", layer.part);
            let mut tar = Vec::new();
            let decoder = zstd::Decoder::new(layer.tar_zst);
            decoder.expect("zstd").read_to_end(&mut tar).expect("zstd");
            assert_eq!(sha256(&tar), layer.diff_sha256, "{:?}", layer.part);
            assert_eq!(tar.len() as u64, layer.diff_size);
        }
    }

    /// A change of the recipe or of an input without a new build would leave the record untrue.
    #[test]
    fn the_recipe_is_the_recorded_one() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = manifest();
        assert!(!manifest.recipe.is_empty());
        for (path, recorded) in &manifest.recipe {
            let bytes = std::fs::read(folder.join(path)).expect(path);
            assert_eq!(
                &sha256(&bytes),
                recorded,
                "{path} changed: run guests/cpython/build.py"
            );
        }
        let natives = std::fs::read_dir(folder.join("cpython/natives")).expect("the recipes");
        let natives = natives.map(|entry| entry.expect("a recipe").path());
        let natives = natives.filter(|path| path.is_file());
        let pins: String = [folder.join("cpython/inputs.toml")]
            .into_iter()
            .chain(natives)
            .map(|file| std::fs::read_to_string(file).expect("the pins"))
            .collect();
        for input in &manifest.inputs {
            assert!(pins.contains(&input.sha256), "{} is pinned", input.name);
        }
    }
}
