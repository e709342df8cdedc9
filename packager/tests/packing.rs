//! From resolved wheels to a package: what is in it, and which wheels are refused.

mod support;

use pywasm_format::LayerKind;
use pywasm_packager::{IndexFlags, PackReport, PackSettings, Project, Silent};
use std::io::{Cursor, Write};
use std::path::Path;
use support::index::{Form, Index, Metadata, Offer};
use support::wheel::{TestWheel, tagged, wheel};
use support::{NoBuilds, bare_machine, base, files_of, open};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const SITE: &str = "usr/local/lib/python3.14/site-packages";

fn settings(index: &Index, cache: &Path) -> PackSettings {
    PackSettings {
        index: IndexFlags {
            index_url: Some(index.url()),
            ..IndexFlags::default()
        },
        machine: bare_machine(cache),
        ..PackSettings::default()
    }
}

fn pack(index: &Index, requirements: &str, folder: &Path) -> Result<PackReport, String> {
    let lines: Vec<String> = requirements.lines().map(str::to_owned).collect();
    let settings = settings(index, folder);
    let plan = Project::requirements_only(&lines, &[])
        .plan(&settings, &base(), &NoBuilds, &Silent)
        .map_err(|error| error.to_string())?;
    plan.build(&base(), &Silent)
        .and_then(|built| built.write(&folder.join("out.pkg")))
        .map_err(|error| error.to_string())
}

fn offer(index: &Index, wheel: &TestWheel) {
    index.publish(&wheel.name, Form::Html, &[Offer::of(wheel)]);
}

#[test]
fn wheels_become_site_packages() {
    let index = Index::start();
    let wheel = wheel("my-tool", "1.0")
        .file("my_tool-1.0.data/purelib/extra.py", b"extra")
        .file("my_tool-1.0.data/platlib/deep/other.py", b"other")
        .file("my_tool-1.0.data/headers/x.h", b"")
        .file("my_tool-1.0.data/scripts/old", b"#!python")
        .file("my_tool-1.0.data/data/share/x", b"")
        .file(
            "my_tool-1.0.dist-info/entry_points.txt",
            b"[console_scripts]\ntool = my_tool:main\n",
        )
        .file("my_tool-1.0.dist-info/INSTALLER", b"somebody\n");
    offer(&index, &wheel);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "my-tool", folder.path()).expect("packed");
    let package = open(&report.path);
    let files = files_of(&package, LayerKind::Dependencies);
    let names: Vec<_> = files
        .keys()
        .map(|path| path.strip_prefix(SITE).unwrap_or(path))
        .collect();
    assert_eq!(
        names,
        [
            "/deep/other.py",
            "/extra.py",
            "/my_tool-1.0.dist-info/INSTALLER",
            "/my_tool-1.0.dist-info/METADATA",
            "/my_tool-1.0.dist-info/RECORD",
            "/my_tool-1.0.dist-info/WHEEL",
            "/my_tool-1.0.dist-info/entry_points.txt",
            "/my_tool/__init__.py",
        ]
    );
    assert_eq!(
        files[&format!("{SITE}/my_tool-1.0.dist-info/INSTALLER")],
        b"pywasm\n"
    );
    let config = package.config();
    assert_eq!(config.scripts["tool"].to_string(), "my_tool:main");
    assert_eq!(config.packages[0].name, "my-tool");
    assert_eq!(
        Some(config.packages[0].digest.hex()),
        Offer::of(&wheel).sha256
    );
    assert_eq!(report.notes.len(), 1);
    let note = report.notes[0].to_string();
    assert!(
        note.contains("my_tool-1.0.data/scripts/old, my_tool-1.0.data/data/share/x"),
        "{note}"
    );
    let kinds: Vec<_> = report.layers.iter().map(|layer| layer.kind).collect();
    assert_eq!(
        kinds,
        [
            LayerKind::Runtime,
            LayerKind::Stdlib,
            LayerKind::Dependencies
        ]
    );
}

#[test]
fn optional_native_parts_are_left_out_and_recorded() {
    let index = Index::start();
    let speedups = "markupsafe/_speedups.cpython-314-x86_64-linux-gnu.so";
    let wheel =
        tagged("markupsafe", "3.0", "cp314-cp314-manylinux2014_x86_64").file(speedups, b"\x7fELF");
    offer(&index, &wheel);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "markupsafe", folder.path()).expect("packed");
    let package = open(&report.path);
    let files = files_of(&package, LayerKind::Dependencies);
    assert!(!files.keys().any(|path| path.ends_with(".so")));
    let record =
        String::from_utf8_lossy(&files[&format!("{SITE}/markupsafe-3.0.dist-info/RECORD")])
            .into_owned();
    assert!(
        !record.contains(speedups) && record.contains("markupsafe/__init__.py,"),
        "{record}"
    );
    assert!(
        record.ends_with("markupsafe-3.0.dist-info/INSTALLER,,\n"),
        "{record}"
    );
    assert_eq!(package.config().packages[0].native_left_out, [speedups]);
    assert!(report.notes[0].to_string().contains(speedups));
}

#[test]
fn two_packs_are_the_same_bytes() {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("a", "1.0").requires("b"),
        wheel("b", "1.0").file("b/data", &[7; 100_000]),
    ]);
    let (one, other) = (
        TempDir::new().expect("a folder"),
        TempDir::new().expect("a folder"),
    );
    let first = pack(&index, "a", one.path()).expect("packed");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = pack(&index, "a", other.path()).expect("packed");
    assert_eq!(first.digest, second.digest);
    let bytes = |report: &PackReport| std::fs::read(&report.path).expect("readable");
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn packs_at_the_same_time_share_a_cache() {
    let index = Index::start();
    index.publish_wheels(&[wheel("a", "1.0").requires("b"), wheel("b", "1.0")]);
    let cache = TempDir::new().expect("a folder");
    let digests: Vec<_> = std::thread::scope(|scope| {
        let packs: Vec<_> = (0..8)
            .map(|number| {
                let (index, cache) = (&index, cache.path());
                scope.spawn(move || {
                    let plan = Project::requirements_only(&["a".to_owned()], &[])
                        .plan(&settings(index, cache), &base(), &NoBuilds, &Silent)
                        .expect("resolved");
                    plan.build(&base(), &Silent)
                        .and_then(|built| built.write(&cache.join(format!("{number}.pkg"))))
                        .expect("packed")
                        .digest
                })
            })
            .collect();
        packs
            .into_iter()
            .map(|pack| pack.join().expect("no panic"))
            .collect()
    });
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn offline_packs_from_the_cache_and_mends_it() {
    let index = Index::start();
    offer(&index, &wheel("a", "1.0"));
    let folder = TempDir::new().expect("a folder");
    let first = pack(&index, "a", folder.path()).expect("packed");
    let cached = folder.path().join("index-v2/wheels");
    let wheel = cached
        .read_dir()
        .expect("readable")
        .next()
        .expect("a wheel")
        .expect("readable")
        .path();
    let fetches = || {
        index
            .paths()
            .iter()
            .filter(|path| path.ends_with(".whl"))
            .count()
    };
    let before = fetches();
    assert_eq!(
        pack(&index, "a", folder.path()).expect("packed").digest,
        first.digest
    );
    assert_eq!(fetches(), before, "it came from the cache");
    std::fs::write(&wheel, b"damaged").expect("written");
    assert_eq!(
        pack(&index, "a", folder.path()).expect("packed").digest,
        first.digest
    );
    assert_eq!(fetches(), before + 1, "a damaged copy is not used");
}

#[test]
fn credentials_are_not_carried_to_the_files_host() {
    let (index, files) = (Index::start(), Index::start());
    index.require("Basic bWU6cA==");
    let wheel = wheel("a", "1.0");
    index.publish_with_files_at("a", Form::Json, &[Offer::of(&wheel)], &files);
    let folder = TempDir::new().expect("a folder");
    let settings = PackSettings {
        index: IndexFlags {
            index_url: Some(index.url_with("me:p")),
            ..IndexFlags::default()
        },
        ..settings(&index, folder.path())
    };
    let plan = Project::requirements_only(&["a".to_owned()], &[])
        .plan(&settings, &base(), &NoBuilds, &Silent)
        .expect("resolved");
    plan.build(&base(), &Silent)
        .and_then(|built| built.write(&folder.path().join("x.pkg")))
        .expect("packed");
    assert!(
        index
            .requests()
            .iter()
            .all(|request| request.authorization.is_some())
    );
    assert!(!files.requests().is_empty());
    assert!(
        files
            .requests()
            .iter()
            .all(|request| request.authorization.is_none())
    );
}

#[test]
fn files_that_are_not_the_promised_ones() {
    let index = Index::start();
    let good = wheel("a", "1.0").requires("b");
    let folder = TempDir::new().expect("a folder");
    offer(&index, &wheel("b", "1.0"));
    let forged = Offer {
        bytes: wheel("b", "1.0").file("b/evil.py", b"").bytes(),
        ..Offer::of(&wheel("b", "1.0"))
    };
    offer(&index, &good);
    assert!(pack(&index, "a", folder.path()).is_ok(), "the control");
    let fresh = TempDir::new().expect("a folder");
    index.publish("b", Form::Json, &[forged]);
    let error = pack(&index, "a", fresh.path()).expect_err("refused");
    assert!(
        error.contains("a -> b: b-1.0-py3-none-any.whl is not the file that the index promises"),
        "{error}"
    );
    // An index without hashes and a requirement with one.
    let unhashed = Offer {
        sha256: None,
        metadata: Metadata::None,
        ..Offer::of(&wheel("b", "1.0"))
    };
    index.publish("c", Form::Html, &[]);
    index.publish("b", Form::Html, std::slice::from_ref(&unhashed));
    let zeros = "0".repeat(64);
    let error = pack(
        &index,
        &format!("b==1.0 --hash=sha256:{zeros}"),
        fresh.path(),
    )
    .expect_err("refused");
    assert!(
        error.contains("is not the file that --hash promises"),
        "{error}"
    );
    let right = Offer::of(&wheel("b", "1.0")).sha256.unwrap_or_default();
    assert!(
        pack(
            &index,
            &format!("b==1.0 --hash=sha256:{right}"),
            fresh.path()
        )
        .is_ok()
    );
}

#[test]
fn a_file_in_two_wheels_is_told() {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("a", "1.0")
            .file("tests/__init__.py", b"")
            .file("tests/x.py", b"a")
            .file("shared/__init__.py", b""),
        wheel("b", "1.0")
            .file("tests/__init__.py", b"")
            .file("tests/x.py", b"b"),
    ]);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "a\nb", folder.path()).expect("packed");
    let texts: Vec<_> = report.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "tests/x.py is in a-1.0-py3-none-any.whl and in b-1.0-py3-none-any.whl; the latter is used"
        ]
    );
    let files = files_of(&open(&report.path), LayerKind::Dependencies);
    assert_eq!(files[&format!("{SITE}/tests/x.py")], b"b");
}

/// A wheel with entries that no builder writes.
fn hostile(change: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default();
    zip.start_file("a-1.0.dist-info/METADATA", plain)
        .expect("an entry");
    zip.write_all(b"Name: a\nVersion: 1.0\n").expect("written");
    change(&mut zip);
    zip.finish().expect("a wheel").into_inner()
}

fn named(name: &'static str) -> Vec<u8> {
    hostile(move |zip| {
        zip.start_file(name, SimpleFileOptions::default())
            .expect("an entry");
        zip.write_all(b"x").expect("written");
    })
}

/// Replaces bytes of the same length everywhere.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn hostile_wheels_are_refused() {
    let pack_bytes = |bytes: Vec<u8>| {
        let index = Index::start();
        let metadata = Metadata::Right(b"Name: a\nVersion: 1.0\n".to_vec());
        let offer = Offer {
            sha256: Some(pywasm_format::Digest::of(&bytes).hex()),
            bytes,
            metadata,
            ..Offer::of(&wheel("a", "1.0"))
        };
        index.publish("a", Form::Json, &[offer]);
        pack(&index, "a", TempDir::new().expect("a folder").path()).map(|_| ())
    };
    assert_eq!(pack_bytes(named("a/x..py")), Ok(()), "the control");
    let plain = SimpleFileOptions::default();
    let link = hostile(|zip| {
        zip.add_symlink("a/link", "/etc/passwd", plain)
            .expect("an entry")
    });
    let lying = {
        // Both headers say 1,000 bytes where there is one.
        let bytes = named("a/huge");
        let at = |signature: &[u8]| {
            bytes
                .windows(4)
                .rposition(|window| window == signature)
                .expect("a header")
        };
        let (local, central) = (at(b"PK\x03\x04"), at(b"PK\x01\x02"));
        let mut bytes = bytes.clone();
        bytes[local + 22..local + 26].copy_from_slice(&[0xe8, 3, 0, 0]);
        bytes[central + 24..central + 28].copy_from_slice(&[0xe8, 3, 0, 0]);
        bytes
    };
    let twice = patched(
        hostile(|zip| {
            for name in ["a/one.py", "a/two.py"] {
                zip.start_file(name, plain).expect("an entry");
            }
        }),
        b"a/two.py",
        b"a/one.py",
    );
    let method = {
        let bytes = named("a/strange");
        let at = |signature: &[u8]| {
            bytes
                .windows(4)
                .rposition(|window| window == signature)
                .expect("a header")
        };
        let (local, central) = (at(b"PK\x03\x04"), at(b"PK\x01\x02"));
        let mut bytes = bytes.clone();
        bytes[local + 8] = 12;
        bytes[central + 10] = 12;
        bytes
    };
    let no_dist_info = patched(named("a/x"), b"a-1.0.dist-info", b"b-1.0.dist-info");
    for (what, bytes, part) in [
        (
            "above",
            named("../evil.py"),
            "would lie outside of site-packages",
        ),
        (
            "above, deep",
            named("a/../../evil.py"),
            "would lie outside of site-packages",
        ),
        (
            "absolute",
            named("/etc/evil"),
            "would lie outside of site-packages",
        ),
        (
            "data above",
            named("a-1.0.data/purelib/../x"),
            "would lie outside of site-packages",
        ),
        (
            "backslash",
            named("a\\..\\evil.py"),
            "would lie outside of site-packages",
        ),
        (
            "empty part",
            named("a//x"),
            "would lie outside of site-packages",
        ),
        ("link", link, "is a link"),
        ("twice", twice, "holds the same file name twice"),
        (
            "twice by scheme",
            named("a-1.0.data/purelib/a-1.0.dist-info/METADATA"),
            "holds the same file name twice",
        ),
        (
            "lying size",
            lying,
            "`a/huge` has other than its 1000 bytes",
        ),
        ("strange method", method, "compressed in an unusual way"),
        (
            "other name",
            no_dist_info,
            "has no .dist-info folder for a 1.0",
        ),
        ("no zip", b"PK not really".to_vec(), "not a sound zip file"),
        ("empty", Vec::new(), "not a sound zip file"),
    ] {
        let error = pack_bytes(bytes).expect_err(what);
        assert!(error.contains(part), "{what}: {error}");
    }
}

#[test]
fn the_bill_of_materials_names_every_part() {
    let index = Index::start();
    index.publish_wheels(&[wheel("a-b", "1.0").requires("c"), wheel("c", "2.0")]);
    let folder = TempDir::new().expect("a folder");
    let settings = settings(&index, folder.path());
    let report = Project::requirements_only(&["a-b".to_owned()], &[])
        .plan(&settings, &base(), &NoBuilds, &Silent)
        .expect("a plan")
        .build(&base(), &Silent)
        .and_then(|built| built.write(&folder.path().join("x.pkg")))
        .expect("packed");
    let bill = pywasm_packager::cyclonedx(&open(&report.path)).expect("a bill");
    let parts: Vec<_> = bill["components"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| part["purl"].as_str().expect("an address").to_owned())
        .collect();
    assert_eq!(
        parts,
        [
            "pkg:generic/cpython@3.14.7",
            "pkg:generic/cpython@3.14.7",
            "pkg:pypi/a-b@1.0",
            "pkg:pypi/c@2.0"
        ]
    );
    assert_eq!(
        bill["metadata"]["component"]["version"],
        report.digest.to_string()
    );
}
