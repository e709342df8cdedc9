//! Known advisories of what the sandbox relies on: the lock file stays above them.

use std::path::Path;

/// A crate, the first safe version of the line in use, and the advisory. Looked through on 2026-11-28.
const LEAST: [(&str, [u64; 3], &str); 6] = [
    ("wasmtime", [48, 0, 4], "RUSTSEC-2026-0327"),
    ("wasmtime-wasi", [48, 0, 4], "RUSTSEC-2026-0322"),
    ("tar", [0, 4, 45], "RUSTSEC-2026-0068"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0104"),
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("tokio", [1, 44, 2], "RUSTSEC-2025-0023"),
];

#[test]
fn nothing_in_use_has_a_known_advisory() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).expect("the lock file");
    let lock: toml::Table = lock.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    for (name, least, advisory) in LEAST {
        let versions: Vec<_> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .map(|package| package["version"].as_str().expect("a version"))
            .collect();
        assert!(!versions.is_empty(), "{name} is not used any more");
        for text in versions {
            let found: Vec<u64> = text.split('.').flat_map(str::parse).collect();
            assert!(found[..] >= least[..], "{name} {text}: {advisory}");
        }
    }
}
