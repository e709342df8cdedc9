//! Hostile bytes of any kind: nothing panics, nothing is written outside, and what opens is what was packed.
//!
//! A bounded number of cases with every test run; `PROPTEST_CASES=1000000 cargo test -p pywasm-format --release
//! --test fuzz` for longer.

mod support;

use proptest::prelude::*;
use pywasm_format::{Digest, Package, ReadLimits, UnpackLimits, unpack};
use std::fs;
use std::sync::OnceLock;
use support::{config, layers, read_all, write};

/// A change to a byte string.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    /// One part over another one: whole records in wrong places.
    Copy(usize, usize, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = 0usize..1 << 20;
    let edit = prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => (at.clone(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, new)| Edit::Insert(at, new)),
        1 => (at.clone(), 1usize..600).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (at.clone(), at, 1usize..600).prop_map(|(from, to, count)| Edit::Copy(from, to, count)),
    ];
    prop::collection::vec(edit, 1..6)
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let length = bytes.len().max(1);
        match edit {
            Edit::Set(at, byte) => {
                if let Some(old) = bytes.get_mut(at % length) {
                    *old = *byte;
                }
            }
            Edit::Insert(at, new) => {
                let at = at % length;
                bytes.splice(
                    at.min(bytes.len())..at.min(bytes.len()),
                    new.iter().copied(),
                );
            }
            Edit::Remove(at, count) => {
                let start = (at % length).min(bytes.len());
                let end = (start + count).min(bytes.len());
                bytes.drain(start..end);
            }
            Edit::Copy(from, to, count) => {
                let from = (from % length).min(bytes.len());
                let part = bytes[from..(from + count).min(bytes.len())].to_vec();
                let to = to % length;
                for (old, new) in bytes.iter_mut().skip(to).zip(part) {
                    *old = new;
                }
            }
        }
    }
    bytes
}

fn good_package() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::read(write(folder.path())).expect("readable")
    })
}

proptest! {
    #[test]
    fn a_changed_package_is_refused_or_the_same(edits in edits()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("changed.pkg");
        fs::write(&path, edited(good_package().to_vec(), &edits)).expect("room");
        let Ok(package) = Package::open(&path, &ReadLimits::default()) else {
            return Ok(());
        };
        // Names are not covered by a digest; all that runs is.
        prop_assert_eq!(package.config(), &config());
        for (layer, built) in package.layers().iter().zip(layers()) {
            let tar = package.open_layer(layer).ok().and_then(|reader| read_all(reader).ok());
            if let Some(tar) = tar {
                prop_assert_eq!(Digest::of(&tar), built.diff_id);
            }
        }
    }

    #[test]
    fn a_changed_layer_writes_nothing_outside(edits in edits()) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("inside")).expect("a folder");
        fs::write(folder.path().join("outside"), "untouched").expect("a file");
        let tar = zstd::decode_all(&layers()[1].bytes[..]).expect("a good layer");
        let tar = edited(tar, &edits);
        let inside = cap_std::fs::Dir::open_ambient_dir(
            folder.path().join("inside"),
            cap_std::ambient_authority(),
        );
        let _ = unpack(&tar[..], &inside.expect("a folder"), &UnpackLimits::default());
        let beside: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        prop_assert_eq!(beside.len(), 2);
        let outside = fs::read_to_string(folder.path().join("outside")).expect("text");
        prop_assert_eq!(outside, "untouched");
    }

    #[test]
    fn bytes_of_any_kind_are_no_package(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("any.pkg");
        fs::write(&path, bytes).expect("room");
        prop_assert!(Package::open(&path, &ReadLimits::default()).is_err());
    }
}
