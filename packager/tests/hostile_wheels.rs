//! Wheels that attack whoever installs them. Each is refused with what is wrong with it; the control beside
//! them, made by the same tools, is packed.

mod support;

use pywasm_packager::{IndexFlags, PackSettings, Plan, PlanError, Project, Silent};
use std::io::{Cursor, Write};
use std::path::Path;
use support::index::{Form, Index, Metadata, Offer};
use support::wheel::wheel;
use support::{NoBuilds, bare_machine, base};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Plans a package of what the index offers as `a`.
fn plan(index: &Index, folder: &Path) -> Result<Plan, PlanError> {
    let settings = PackSettings {
        index: IndexFlags {
            index_url: Some(index.url()),
            ..IndexFlags::default()
        },
        machine: bare_machine(folder),
        ..PackSettings::default()
    };
    Project::requirements_only(&["a".to_owned()], &[]).plan(&settings, &base(), &NoBuilds, &Silent)
}

/// Packs `a 1.0` as the wheel with these bytes, whose digest the index promises.
fn pack(bytes: Vec<u8>) -> Result<(), String> {
    let index = Index::start();
    let offer = Offer {
        sha256: Some(pywasm_format::Digest::of(&bytes).hex()),
        bytes,
        metadata: Metadata::Right(b"Name: a\nVersion: 1.0\n".to_vec()),
        ..Offer::of(&wheel("a", "1.0"))
    };
    index.publish("a", Form::Json, &[offer]);
    let folder = TempDir::new().expect("a folder");
    let plan = plan(&index, folder.path()).map_err(|error| error.to_string())?;
    let built = plan.build(&base(), &Silent);
    let report = built.and_then(|built| built.write(&folder.path().join("out.pkg")));
    report.map(drop).map_err(|error| error.to_string())
}

fn refused(what: &str, bytes: Vec<u8>, part: &str) {
    match pack(bytes) {
        Ok(()) => panic!("{what}: it was packed"),
        Err(error) => assert!(error.contains(part), "{what}: {error}"),
    }
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

fn with_files(files: &[(&str, &[u8])]) -> Vec<u8> {
    hostile(|zip| {
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default())
                .expect("an entry");
            zip.write_all(content).expect("written");
        }
    })
}

fn named(name: &str) -> Vec<u8> {
    with_files(&[(name, b"x")])
}

/// Replaces bytes of the same length everywhere.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    for at in places(&bytes, from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

fn places(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(part.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == part);
    found.map(|(at, _)| at).collect()
}

/// Writes into the last local header, the last central one, or both: where the field is in each.
fn header(
    mut bytes: Vec<u8>,
    local: Option<usize>,
    central: Option<usize>,
    field: &[u8],
) -> Vec<u8> {
    for (signature, at) in [(b"PK\x03\x04", local), (b"PK\x01\x02", central)] {
        if let (Some(at), Some(start)) = (at, places(&bytes, signature).last()) {
            bytes[start + at..start + at + field.len()].copy_from_slice(field);
        }
    }
    bytes
}

#[test]
fn the_control_is_packed() {
    assert_eq!(pack(named("a/x..py")), Ok(()));
    let deep = format!("a/{}", "d/".repeat(50) + "x.py");
    assert_eq!(pack(named(&deep)), Ok(()));
    assert_eq!(
        pack(with_files(&[
            ("a/x.py", b""),
            ("a/x", b""),
            ("a/xx/y", b"")
        ])),
        Ok(())
    );
}

#[test]
fn names_stay_inside_and_mean_one_file() {
    let outside = "would lie outside of site-packages";
    for (what, name) in [
        ("above", "../evil.py"),
        ("above, deep", "a/../../evil.py"),
        ("above at the end", "a/.."),
        ("absolute", "/etc/evil"),
        ("absolute twice", "//etc/evil"),
        ("purelib above", "a-1.0.data/purelib/../x"),
        ("scripts above", "a-1.0.data/scripts/../../../bin/x"),
        ("backslash", "a\\..\\evil.py"),
        ("a drive", "C:\\evil.py"),
        ("empty part", "a//x"),
        ("this folder", "a/./x"),
        ("nothing but this folder", "."),
        ("NUL", "a/x\0.py"),
    ] {
        refused(what, named(name), outside);
    }
    refused(
        "twice",
        patched(
            with_files(&[("a/one.py", b""), ("a/two.py", b"")]),
            b"a/two.py",
            b"a/one.py",
        ),
        "holds the same file name twice",
    );
    refused(
        "twice by scheme",
        named("a-1.0.data/purelib/a-1.0.dist-info/METADATA"),
        "holds the same file name twice",
    );
    refused(
        "a file that is a folder",
        with_files(&[("a/x", b""), ("a/x/y.py", b"")]),
        "`a/x` is a file and a folder",
    );
    refused(
        "a long name",
        named(&"a".repeat(2000)),
        "has a name of over 900 bytes",
    );
    refused(
        "a deep name",
        named(&("a/".repeat(600) + "x")),
        "has a name of over 900 bytes",
    );
}

#[test]
fn entries_are_plain_files() {
    let plain = SimpleFileOptions::default();
    for (what, target) in [("a link out", "/etc/passwd"), ("a link inside", "x.py")] {
        let link = hostile(|zip| zip.add_symlink("a/link", target, plain).expect("an entry"));
        refused(what, link, "is a link");
    }
    let unusual = "is encrypted or compressed in an unusual way";
    let method = |number: u8| header(named("a/strange"), Some(8), Some(10), &[number]);
    for number in [1, 9, 12, 14, 93, 95, 98, 99] {
        refused(&format!("method {number}"), method(number), unusual);
    }
    refused(
        "encrypted",
        header(named("a/x"), Some(6), Some(8), &[1, 0]),
        unusual,
    );
}

#[test]
fn sizes_are_true_and_bounded() {
    let huge = [0xe8, 3, 0, 0];
    refused(
        "both headers lie",
        header(named("a/huge"), Some(22), Some(24), &huge),
        "`a/huge` has other than its 1000 bytes",
    );
    refused(
        "one header lies",
        header(named("a/huge"), None, Some(24), &huge),
        "has another size in its own header",
    );
    refused(
        "it claims too little",
        header(
            with_files(&[("a/x", &[b'x'; 999])]),
            Some(22),
            Some(24),
            &[9, 0, 0, 0],
        ),
        "`a/x` cannot be read: File is larger than its declared",
    );
    refused(
        "a checksum that is wrong",
        header(named("a/x"), Some(14), Some(16), &[1, 2, 3, 4]),
        "hecksum",
    );
    let claims = header(named("a/x"), Some(22), Some(24), &[0xff, 0xff, 0xff, 0xfe]);
    refused("it claims 4 GiB", claims, "`a/x` has other than its");
    let bomb = hostile(|zip| {
        let best = SimpleFileOptions::default().compression_level(Some(9));
        zip.start_file("a-1.0.dist-info/entry_points.txt", best)
            .expect("an entry");
        let piece = vec![b' '; 1 << 20];
        for _ in 0..20 {
            zip.write_all(&piece).expect("written");
        }
    });
    refused(
        "metadata that is a bomb",
        bomb,
        "exceeds the limit of 16777216 bytes of metadata",
    );
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let many = hostile(|zip| {
        for number in 0..100_001 {
            zip.start_file(format!("a/{number}"), stored)
                .expect("an entry");
        }
    });
    refused(
        "a hundred thousand files",
        many,
        "exceeds the limit of 100000 files",
    );
}

#[test]
fn every_reader_sees_the_same() {
    let depends = "so that what it holds depends on who reads it";
    let good = named("a/x.py");
    let before = [b"#!/bin/sh\n".as_slice(), &good].concat();
    refused("something before", before, depends);
    let behind = [good.as_slice(), b"more"].concat();
    refused("something behind", behind, depends);
    refused(
        "two archives, one behind the other",
        [good.clone(), named("a/y.py")].concat(),
        depends,
    );
    refused(
        "another name in the entry's own header",
        {
            let mut bytes = good.clone();
            let first = places(&bytes, b"a/x.py")[0];
            bytes[first + 2] = b'y';
            bytes
        },
        "has another name in its own header",
    );
    let overlap = {
        let bytes = with_files(&[("a/x.py", b"x"), ("a/y.py", b"y")]);
        // The last entry's header is said to be where the one before begins, with its name.
        let locals = places(&bytes, b"PK\x03\x04");
        let bytes = patched(bytes, b"a/y.py", b"a/x.py");
        let at = u32::try_from(locals[1]).expect("small").to_le_bytes();
        header(bytes, None, Some(42), &at)
    };
    refused("two entries for one content", overlap, depends);
    let reaching = header(named("a/x.py"), Some(18), Some(20), &[200, 0, 0, 0]);
    refused(
        "an entry that reaches into the directory",
        reaching,
        "reaches into what comes next",
    );
    refused(
        "half",
        good[..good.len() / 2].to_vec(),
        "not a sound zip file",
    );
    refused(
        "without its end",
        good[..good.len() - 1].to_vec(),
        "not a sound zip file",
    );
    refused("no zip", b"PK not really".to_vec(), "not a sound zip file");
    refused("empty", Vec::new(), "not a sound zip file");
    let mut comment = good.clone();
    let end = comment.len() - 2;
    comment[end] = 9;
    refused(
        "a comment that is not there",
        comment,
        "not a sound zip file",
    );
}

#[test]
fn it_is_the_wheel_that_was_promised() {
    let other = patched(named("a/x"), b"a-1.0.dist-info", b"b-1.0.dist-info");
    refused(
        "another package",
        other,
        "has no .dist-info folder for a 1.0",
    );
    let version = patched(named("a/x"), b"a-1.0.dist-info", b"a-2.0.dist-info");
    refused(
        "another version",
        version,
        "has no .dist-info folder for a 1.0",
    );
    let nothing = ZipWriter::new(Cursor::new(Vec::new()))
        .finish()
        .expect("a zip");
    refused(
        "nothing in it",
        nothing.into_inner(),
        "has no .dist-info folder for a 1.0",
    );
    // The index promises one digest and sends something else.
    let index = Index::start();
    let offer = Offer {
        sha256: Some(pywasm_format::Digest::of(b"promised").hex()),
        metadata: Metadata::Right(b"Name: a\nVersion: 1.0\n".to_vec()),
        ..Offer::of(&wheel("a", "1.0"))
    };
    index.publish("a", Form::Json, &[offer]);
    let folder = TempDir::new().expect("a folder");
    let plan = plan(&index, folder.path()).expect("a plan");
    let error = plan
        .build(&base(), &Silent)
        .map(drop)
        .expect_err("another content");
    assert!(error.to_string().contains("it is not used"), "{error}");
}
