//! From resolved wheels to a package: what is in it, and which wheels are refused.

mod support;

use pywasm_format::LayerKind;
use pywasm_packager::{IndexFlags, PackReport, PackSettings, Project, Silent};
use std::path::Path;
use support::index::{Form, Index, Metadata, Offer};
use support::wheel::{TestWheel, tagged, wheel};
use support::{NoBuilds, bare_machine, base, files_of, open};
use tempfile::TempDir;

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
fn a_native_part_without_a_fall_back_has_a_module_of_ours_in_its_place() {
    let index = Index::start();
    let native = "watchfiles/_rust_notify.abi3.so";
    let wheel =
        tagged("watchfiles", "1.3", "cp310-abi3-manylinux2014_x86_64").file(native, b"\x7fELF");
    offer(&index, &wheel);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "watchfiles", folder.path()).expect("packed");
    let files = files_of(&open(&report.path), LayerKind::Dependencies);
    let text = |path: &str| String::from_utf8_lossy(&files[&format!("{SITE}/{path}")]).into_owned();
    let own = "watchfiles/_rust_notify.py";
    assert!(text(own).contains("class RustNotify"));
    let record = text("watchfiles-1.3.dist-info/RECORD");
    assert!(
        record.contains(&format!("\n{own},,\n")) && !record.contains(native),
        "{record}"
    );
    let note = report.notes[0].to_string();
    assert!(
        note.contains(&format!("({native})")) && note.contains(&format!("({own})")),
        "{note}"
    );
}

/// Such packages ask `sys.platform` and know no `wasi`, whether they are pure or not.
#[test]
fn a_package_that_refuses_platforms_it_does_not_know_takes_this_one() {
    let refusing = |name: &str, tags: &str| {
        let mut wheel = tagged(name, "7.2", tags);
        let text = "import sys\nif sys.platform == 'linux':\n    x = 1\nelse:\n    raise NotImplementedError(f'{sys.platform}?')\nx = 2\n";
        wheel.files[0].1 = text.into();
        wheel
    };
    let native = "psutil/_psutil_linux.abi3.so";
    let wheels = [
        refusing("psutil", "cp36-abi3-manylinux2014_x86_64").file(native, b"\x7fELF"),
        refusing("readchar", "py3-none-any"),
        // Another that refuses: nobody has seen to it that it runs.
        refusing("other", "py3-none-any"),
    ];
    let index = Index::start();
    index.publish_wheels(&wheels);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "psutil\nreadchar\nother", folder.path()).expect("packed");
    let files = files_of(&open(&report.path), LayerKind::Dependencies);
    let text = |path: &str| String::from_utf8_lossy(&files[&format!("{SITE}/{path}")]).into_owned();
    let begin = "import sys\nif sys.platform == 'linux':\n    x = 1\nelse:\n";
    assert_eq!(
        text("psutil/__init__.py"),
        format!("{begin}    from . import _pswasi as _psplatform\nx = 2\n")
    );
    assert!(text("psutil/_pswasi.py").contains("def virtual_memory"));
    assert_eq!(
        text("readchar/__init__.py"),
        format!(
            "{begin}    from . import _posix_key as key\n    from ._posix_read import readchar, readkey\nx = 2\n"
        )
    );
    assert!(text("other/__init__.py").contains("NotImplementedError"));
    for name in ["psutil", "readchar"] {
        let record = text(&format!("{name}-7.2.dist-info/RECORD"));
        let lines: Vec<_> = record
            .lines()
            .filter(|line| line.starts_with(&format!("{name}/__init__.py")))
            .collect();
        assert_eq!(lines, [format!("{name}/__init__.py,,")]);
    }
    let notes: Vec<_> = report.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.contains(
            &"readchar 7.2 refuses platforms that it does not know, and pywasm's is added in readchar/__init__.py"
                .to_owned()
        ),
        "{notes:?}"
    );
}

#[test]
fn a_package_that_looks_for_its_native_parts_is_told_to_do_without() {
    let index = Index::start();
    let native = "gevent/libev/corecext.cpython-314-x86_64-linux-gnu.so";
    let wheel = tagged("gevent", "26.9.0", "cp314-cp314-manylinux_2_28_x86_64")
        .file(native, b"\x7fELF")
        .file(
            "gevent/subprocess.py",
            b"fork = monkey.get_original('os', 'fork')\n",
        )
        .file("gevent/_compat.py", b"PURE_PYTHON = False\n");
    offer(&index, &wheel);
    let folder = TempDir::new().expect("a folder");
    let report = pack(&index, "gevent", folder.path()).expect("packed");
    let files = files_of(&open(&report.path), LayerKind::Dependencies);
    let text = |path: &str| String::from_utf8_lossy(&files[&format!("{SITE}/{path}")]).into_owned();
    assert!(text("gevent/libev/corecext.py").contains("class loop"));
    assert!(!text("gevent/subprocess.py").contains("'fork'"));
    let compat = text("gevent/_compat.py");
    assert!(
        compat.starts_with("PURE_PYTHON = False\n") && compat.contains("\nPURE_PYTHON = GLOBAL"),
        "{compat}"
    );
    let record = text("gevent-26.9.0.dist-info/RECORD");
    for changed in [
        "gevent/_compat.py",
        "gevent/subprocess.py",
        "gevent/libev/corecext.py",
    ] {
        let lines: Vec<&str> = record
            .lines()
            .filter(|line| line.starts_with(changed))
            .collect();
        assert_eq!(lines, [format!("{changed},,")], "{record}");
    }
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
    let cached = folder.path().join("index-v3/wheels");
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
    let package = open(&report.path);
    let runtime = package
        .layer(LayerKind::Runtime)
        .expect("a runtime")
        .digest();
    let part = pywasm_packager::BasePart {
        name: "openssl".to_owned(),
        version: "3.5.7".to_owned(),
        sha256: "00".to_owned(),
        licence: "Apache-2.0".to_owned(),
    };
    let parts = pywasm_packager::BaseParts {
        of_runtime: [(runtime, vec![part])].into(),
    };
    let unknown = pywasm_packager::cyclonedx(&package, &Default::default()).expect("a bill");
    assert!(unknown["components"][0]["components"].is_null());
    let bill = pywasm_packager::cyclonedx(&package, &parts).expect("a bill");
    assert_eq!(bill["components"][0]["components"][0]["name"], "openssl");
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

#[test]
fn what_the_same_requirements_were_made_into_is_taken_again() {
    let index = Index::start();
    let tool = |version| {
        wheel("tool", version).file(
            &format!("tool-{version}.dist-info/entry_points.txt"),
            b"[console_scripts]\ntool = tool:main\n",
        )
    };
    let offered = [tool("1.0"), tool("2.0")];
    index.publish("tool", Form::Html, &offered.each_ref().map(Offer::of));
    let folder = TempDir::new().expect("a folder");
    let settings = PackSettings {
        keep: Some(folder.path().to_owned()),
        ..settings(&index, folder.path())
    };
    let built = |requirement: &str| {
        let before = index.requests().len();
        let built = Project::requirements_only(&[requirement.to_owned()], &[])
            .plan(&settings, &base(), &NoBuilds, &Silent)
            .expect("a plan")
            .build(&base(), &Silent)
            .expect("built");
        let config = built.config();
        let (packages, scripts) = (config.packages.clone(), config.scripts.clone());
        assert!(!scripts.is_empty());
        let asked = index.requests().len() > before;
        (asked, built.layers(), packages, scripts)
    };
    let (asked, layers, packages, scripts) = built("tool==1.0");
    assert!(asked);
    assert_eq!(built("tool==1.0"), (false, layers, packages, scripts));
    let (_, _, packages, _) = built("tool==2.0");
    assert_eq!(packages[0].version, "2.0");
}
