//! What a snapshot says about itself: which starts it is good for.

use crate::{Digest, GuestPath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How variables begin that Python itself, or the C below it, reads when it starts.
const READ_BY_PYTHON: [&str; 4] = ["PYTHON", "LC_", "LANG", "TZ"];

/// Given by the host to every start and read anew at each.
const HOSTS_OWN: [&str; 1] = ["PYWASM_MAX_THREADS"];

/// The record beside the memory of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRecord {
    /// The layers that it was made from, by the digest of their uncompressed tar: it is of no use with others.
    pub made_from: Vec<Digest>,
    /// The interpreter's own options, such as `-u`.
    pub options: Vec<String>,
    /// The working folder that it was made in: some modules look at it when they are imported.
    #[serde(default = "GuestPath::root")]
    pub folder: GuestPath,
    /// The environment that it was made in.
    pub env: BTreeMap<String, String>,
    /// The variables that were read meanwhile.
    pub read: Variables,
    /// The modules that were imported, in order: what the app needs from its start to its first answers.
    #[serde(default)]
    pub modules: Vec<String>,
}

/// Which variables of the environment went into a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variables {
    /// These, beside those that Python itself reads.
    Some(BTreeSet<String>),
    /// Something went through all of them.
    All,
}

impl SnapshotRecord {
    /// Would a start with these options, in this folder and this environment, come to the same memory?
    pub fn fits(&self, options: &[String], folder: &GuestPath, env: &[(String, String)]) -> bool {
        let env: BTreeMap<&str, &str> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let names = self
            .env
            .keys()
            .map(String::as_str)
            .chain(env.keys().copied());
        let same = |name: &str| self.env.get(name).map(String::as_str) == env.get(name).copied();
        self.options == options
            && self.folder == *folder
            && names.filter(|name| self.matters(name)).all(same)
    }

    fn matters(&self, name: &str) -> bool {
        let read = match &self.read {
            Variables::Some(names) => names.contains(name),
            Variables::All => !HOSTS_OWN.contains(&name),
        };
        read || READ_BY_PYTHON.iter().any(|start| name.starts_with(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
        env.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn only_what_was_read_matters() {
        let record = SnapshotRecord {
            made_from: Vec::new(),
            options: vec!["-u".to_owned()],
            folder: GuestPath::root(),
            env: pairs(&[("HOME", "/root"), ("DEBUG", "1")])
                .into_iter()
                .collect(),
            read: Variables::Some(["DEBUG".to_owned(), "UNSET".to_owned()].into()),
            modules: Vec::new(),
        };
        let options = ["-u".to_owned()];
        let fits = |env: &[(&str, &str)]| record.fits(&options, &GuestPath::root(), &pairs(env));
        assert!(fits(&[("DEBUG", "1")]));
        assert!(fits(&[("DEBUG", "1"), ("HOME", "/x"), ("NEW", "1")]));
        assert!(!fits(&[]) && !fits(&[("DEBUG", "0")]));
        assert!(!fits(&[("DEBUG", "1"), ("UNSET", "now set")]));
        assert!(!fits(&[("DEBUG", "1"), ("PYTHONHASHSEED", "0")]));
        let root = GuestPath::root();
        let debug = pairs(&[("DEBUG", "1")]);
        assert!(!record.fits(&[], &root, &debug));
        assert!(!record.fits(&options, &"/app".parse().expect("a path"), &debug));
        let all = SnapshotRecord {
            read: Variables::All,
            ..record.clone()
        };
        let same = [
            ("HOME", "/root"),
            ("DEBUG", "1"),
            ("PYWASM_MAX_THREADS", "9"),
        ];
        assert!(all.fits(&options, &root, &pairs(&same)));
        assert!(!all.fits(&options, &root, &pairs(&[("HOME", "/x"), ("DEBUG", "1")])));
    }
}
