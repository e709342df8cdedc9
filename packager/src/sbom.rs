//! What a package is made of, as a CycloneDX document: every part with its version, digest and licence.

use crate::wheel::headers;
use pywasm_format::{Digest, LayerKind, Package, ReadError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read};
use thiserror::Error;

/// The licence of CPython and its standard library (SPDX).
const PYTHON_LICENCE: &str = "Python-2.0";
const LARGEST_METADATA: u64 = 16 << 20;
/// A licence "name" beyond this is the text of one.
const LONGEST_NAME: usize = 200;

/// What is known of the interpreters that packages are built on.
#[derive(Debug, Clone, Default)]
pub struct BaseParts {
    /// By the digest of the runtime layer: the parts linked into it.
    pub of_runtime: BTreeMap<Digest, Vec<BasePart>>,
}

/// A part of an interpreter, as its recipe records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePart {
    /// Its name, such as `openssl`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the archive it was built from, in hexadecimal.
    pub sha256: String,
    /// Its licence, an SPDX expression.
    pub licence: String,
}

/// Why there is no list.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SbomError {
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] ReadError),
    /// Its dependencies layer is no tar or not the promised one.
    #[error("the dependencies layer cannot be read: {0}")]
    Layer(#[from] io::Error),
}

/// The bill of materials of a package (CycloneDX 1.6). The same package gives the same text: there is no
/// time and no serial number in it. An interpreter that `base` does not know, because another pywasm brought
/// it, is listed as a whole.
pub fn cyclonedx(package: &Package, base: &BaseParts) -> Result<Value, SbomError> {
    let config = package.config();
    let licences = licences(package)?;
    let layers = package.layers().iter();
    let parts = |digest: &Digest| {
        let parts = base.of_runtime.get(digest).into_iter().flatten();
        parts.map(BasePart::component).collect::<Vec<_>>()
    };
    let platform = layers
        .filter(|layer| matches!(layer.kind(), LayerKind::Runtime | LayerKind::Stdlib))
        .map(|layer| {
            let mut component = json!({
                "type": "platform",
                "bom-ref": layer.digest().to_string(),
                "name": format!("cpython-{}", layer.kind()),
                "version": config.python,
                "purl": format!("pkg:generic/cpython@{}", config.python),
                "hashes": [{"alg": "SHA-256", "content": layer.digest().hex()}],
                "licenses": [{"license": {"id": PYTHON_LICENCE}}],
            });
            let parts = parts(&layer.digest());
            if !parts.is_empty() {
                component["components"] = json!(parts);
            }
            component
        });
    let packages = config.packages.iter().map(|package| {
        let purl = format!("pkg:pypi/{}@{}", package.name, package.version);
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": package.digest.hex()}],
            "properties": [{"name": "pywasm:file", "value": package.file}],
        });
        if let Some(licence) = licences.get(&package.name) {
            component["licenses"] = licence.clone();
        }
        component
    });
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": package.digest().to_string(),
                "name": package.name().unwrap_or("app"),
                "version": package.digest().to_string(),
            },
        },
        "components": platform.chain(packages).collect::<Vec<_>>(),
    }))
}

impl BasePart {
    fn component(&self) -> Value {
        let purl = format!("pkg:generic/{}@{}", self.name, self.version);
        json!({
            "type": "library",
            "bom-ref": format!("base:{purl}"),
            "name": self.name,
            "version": self.version,
            "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": self.sha256}],
            "licenses": [{"expression": self.licence}],
        })
    }
}

/// Licences by package, from the metadata in the dependencies layer.
fn licences(package: &Package) -> Result<BTreeMap<String, Value>, SbomError> {
    let mut found = BTreeMap::new();
    let Some(layer) = package.layer(LayerKind::Dependencies) else {
        return Ok(found);
    };
    let mut archive = tar::Archive::new(package.open_layer(layer)?);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !path.ends_with(".dist-info/METADATA") {
            continue;
        }
        let mut bytes = Vec::new();
        entry.take(LARGEST_METADATA).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        if let Some((name, licence)) = licence(&text) {
            found.insert(name, licence);
        }
    }
    Ok(found)
}

/// A package's normalised name and its licence, where the metadata tells one.
fn licence(metadata: &str) -> Option<(String, Value)> {
    let headers = headers(metadata);
    let all = |field: &str| -> Vec<&str> {
        headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(field))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty() && *value != "UNKNOWN")
            .collect()
    };
    let name: pep508_rs::PackageName = all("name").first()?.parse().ok()?;
    let classifiers: Vec<Value> = all("classifier")
        .iter()
        .filter_map(|value| value.strip_prefix("License :: "))
        .filter_map(|value| value.rsplit(" :: ").next())
        .filter(|value| *value != "OSI Approved")
        .map(|value| json!({"license": {"name": value}}))
        .collect();
    let licence = match (all("license-expression").first(), all("license").first()) {
        (Some(expression), _) => json!([{"expression": expression}]),
        (None, _) if !classifiers.is_empty() => json!(classifiers),
        (None, Some(name)) if name.len() <= LONGEST_NAME => json!([{"license": {"name": name}}]),
        _ => return None,
    };
    Some((name.to_string(), licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_told_as_precisely_as_the_metadata_does() {
        let licence = |text: &str| licence(text).map(|(_, licence)| licence.to_string());
        for (text, expected) in [
            (
                "Name: A\nLicense-Expression: BSD-3-Clause\nLicense: x\n",
                Some(r#"[{"expression":"BSD-3-Clause"}]"#),
            ),
            (
                "Name: A\nClassifier: License :: OSI Approved :: MIT License\nLicense: x\n",
                Some(r#"[{"license":{"name":"MIT License"}}]"#),
            ),
            (
                "Name: A\nLicense: ISC\n",
                Some(r#"[{"license":{"name":"ISC"}}]"#),
            ),
            ("Name: A\nLicense: UNKNOWN\n", None),
        ] {
            assert_eq!(licence(text).as_deref(), expected, "{text}");
        }
    }
}
