//! Which crate may depend on which: docs/ARCHITECTURE.md, held by `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

#[test]
fn crates_depend_only_downwards() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let found: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .filter_map(|package| {
            let dependencies = package["dependencies"].as_array()?.iter();
            let names = dependencies
                .filter_map(|d| d["name"].as_str())
                .filter(|n| ours.contains(n));
            Some((package["name"].as_str()?, names.collect()))
        })
        .collect();
    let allowed: BTreeMap<&str, BTreeSet<&str>> = [
        ("pywasm-format", vec![]),
        ("pywasm-front", vec![]),
        ("pywasm-guest", vec![]),
        ("pywasm-http", vec![]),
        ("pywasm-packager", vec!["pywasm-format", "pywasm-http"]),
        (
            "pywasm-registry",
            vec![
                "pywasm-format",
                "pywasm-http",
                "pywasm-signature",
                "pywasm-store",
            ],
        ),
        ("pywasm-signature", vec!["pywasm-format"]),
        ("pywasm-store", vec!["pywasm-format", "pywasm-signature"]),
        ("pywasm-state", vec![]),
        (
            "pywasm",
            vec!["pywasm-format", "pywasm-guest", "pywasm-state"],
        ),
        (
            "pywasm-cli",
            vec![
                "pywasm",
                "pywasm-format",
                "pywasm-front",
                "pywasm-guest",
                "pywasm-http",
                "pywasm-packager",
                "pywasm-registry",
                "pywasm-signature",
                "pywasm-store",
            ],
        ),
    ]
    .into_iter()
    .map(|(name, names)| (name, names.into_iter().collect()))
    .collect();
    assert_eq!(found, allowed);
}
