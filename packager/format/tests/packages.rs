//! Packages: written, read back, and refused where anything is not as it should be.

mod support;

use pywasm_format::write::{FileMode, LayerWriter, PackageSpec, WriteError, write_package};
use pywasm_format::{Digest, LayerKind, Package, ReadLimits};
use serde_json::json;
use std::io::Read;
use support::{Layout, Zip, config, layers, open_bytes, open_with, read_all, write};
use tempfile::TempDir;

#[test]
fn what_is_written_is_read_back() {
    let folder = TempDir::new().expect("a folder");
    let path = write(folder.path());
    let package = Package::open(&path, &ReadLimits::default()).expect("a good package");
    assert_eq!(package.name(), Some("good:1"));
    assert_eq!(*package.config(), config());
    let kinds: Vec<_> = package.layers().iter().map(|layer| layer.kind()).collect();
    assert_eq!(
        kinds,
        [LayerKind::Runtime, LayerKind::Stdlib, LayerKind::App]
    );
    for (layer, built) in package.layers().iter().zip(layers()) {
        assert_eq!(
            (layer.digest(), layer.diff_id()),
            (built.digest, built.diff_id)
        );
        let tar = read_all(package.open_layer(layer).expect("readable")).expect("verified");
        assert_eq!(Digest::of(&tar), built.diff_id);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_anywhere() {
    let (one, other) = (
        TempDir::new().expect("a folder"),
        TempDir::new().expect("a folder"),
    );
    let first = std::fs::read(write(one.path())).expect("readable");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = std::fs::read(write(other.path())).expect("readable");
    assert_eq!(first, second);
}

#[test]
fn other_readers_see_the_same_file_with_aligned_blobs() {
    let folder = TempDir::new().expect("a folder");
    let bytes = std::fs::read(write(folder.path())).expect("readable");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("a zip file");
    assert_eq!(zip.len(), 4 + layers().len());
    for number in 0..zip.len() {
        let mut file = zip.by_index(number).expect("an entry");
        let name = file.name().expect("a name").into_owned();
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("a good checksum");
        assert_eq!(
            file.data_start().map(|start| start % 4096),
            Some(0),
            "{name}"
        );
        if let Some(digits) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(Digest::of(&content).hex(), digits);
        }
    }
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("x.pkg");
    std::fs::write(&path, "old").expect("written");
    let mut wrong = layers();
    wrong.swap(0, 1);
    let mut bad_env = config();
    bad_env.env = vec![("A=B".into(), "1".into())];
    let config = config();
    for spec in [
        PackageSpec {
            name: None,
            base: None,
            config: &config,
            layers: &wrong,
        },
        PackageSpec {
            name: None,
            base: None,
            config: &bad_env,
            layers: &layers(),
        },
    ] {
        assert!(write_package(&path, &spec).is_err());
    }
    let nowhere = folder.path().join("no/such/folder/x.pkg");
    let spec = PackageSpec {
        name: None,
        base: None,
        config: &config,
        layers: &layers(),
    };
    assert!(matches!(
        write_package(&nowhere, &spec),
        Err(WriteError::Io { .. })
    ));
    assert_eq!(std::fs::read(&path).expect("readable"), b"old");
    let left: Vec<_> = folder.path().read_dir().expect("readable").collect();
    assert_eq!(left.len(), 1, "nothing is left beside it");
}

#[test]
fn layers_refuse_what_would_make_them_ambiguous() {
    let writer =
        || LayerWriter::new(LayerKind::App, "/app".parse().expect("a path")).expect("a layer");
    let add = |path: &str| {
        writer()
            .file(path, FileMode::Plain, 1, &b"x"[..])
            .map_err(|error| error.to_string())
    };
    assert_eq!(add("a/b"), Ok(()));
    for path in ["../a", "/a", "a/../b", "a//b", "./a", "", "a/", "a\0b"] {
        assert!(add(path).is_err(), "{path:?}");
    }
    for (first, second) in [("b", "a"), ("a", "a"), ("a.b", "a/b"), ("a/c", "a/b")] {
        let mut writer = writer();
        writer
            .file(first, FileMode::Plain, 0, std::io::empty())
            .expect("good");
        assert!(
            writer
                .file(second, FileMode::Plain, 0, std::io::empty())
                .is_err(),
            "{first} {second}"
        );
    }
    for size in [0, 2] {
        let error = writer()
            .file("a", FileMode::Plain, size, &b"x"[..])
            .expect_err("changed");
        assert!(error.to_string().contains("has other than its"), "{error}");
    }
}

/// What makes a good thing bad.
type Change<T> = Box<dyn FnOnce(&mut T)>;

/// Opens the good layout after a change to its zip file.
fn zip_error(change: impl FnOnce(&mut Zip)) -> String {
    let mut zip = Zip::of(&Layout::good().entries());
    change(&mut zip);
    open_bytes(&zip.bytes()).err().unwrap_or_default()
}

#[test]
fn the_zip_file_has_one_form() {
    assert_eq!(zip_error(|_| {}), "", "the control");
    let cases: [(&str, Change<Zip>); 17] = [
        (
            "does not end with a zip directory",
            Box::new(|zip| zip.comment = b"hello".to_vec()),
        ),
        (
            "described differently",
            Box::new(|zip| zip.records[0].local.name[20] ^= 1),
        ),
        (
            "described differently",
            Box::new(|zip| zip.records[0].local.size += 1),
        ),
        (
            "described differently",
            Box::new(|zip| zip.records[0].local.crc ^= 1),
        ),
        (
            "described differently",
            Box::new(|zip| zip.records[0].local.flags = 8),
        ),
        (
            "not plainly stored",
            Box::new(|zip| zip.records[0].central.flags = 1),
        ),
        (
            "not plainly stored",
            Box::new(|zip| zip.records[0].central.method = 8),
        ),
        (
            "not plainly stored",
            Box::new(|zip| zip.records[0].central.packed -= 1),
        ),
        (
            "not plainly stored",
            Box::new(|zip| zip.records[0].central_extra = vec![1, 0, 0, 0]),
        ),
        (
            "no place in an OCI image layout",
            Box::new(|zip| zip.records[0].central.name = b"../x".to_vec()),
        ),
        (
            "no place in an OCI image layout",
            Box::new(|zip| zip.records[0].central.name = b"blobs/sha256/AB".to_vec()),
        ),
        (
            "does not begin where",
            Box::new(|zip| zip.records[1].offset = Some(0)),
        ),
        (
            "does not begin where",
            Box::new(|zip| {
                let first = &zip.records[0];
                let second = first.content.len() + first.local.name.len() + 30;
                zip.records[0].offset = Some(second as u32);
                zip.records[1].offset = Some(0);
            }),
        ),
        (
            "not where its last record says",
            Box::new(|zip| zip.gap = vec![0; 8]),
        ),
        (
            "not where its last record says",
            Box::new(|zip| zip.count = Some(3)),
        ),
        ("over the limit of 64", Box::new(|zip| zip.count = Some(65))),
        (
            "is there twice",
            Box::new(|zip| {
                let copy = zip.records[0].clone();
                zip.records.push(copy);
            }),
        ),
    ];
    for (number, (expected, change)) in cases.into_iter().enumerate() {
        let error = zip_error(change);
        assert!(error.contains(expected), "case {number}: {error}");
    }
}

#[test]
fn bytes_around_and_missing_bytes() {
    let good = Zip::of(&Layout::good().entries()).bytes();
    assert!(open_bytes(&good).is_ok(), "the control");
    let appended = [good.as_slice(), b"x"].concat();
    let prepended = [b"x".as_slice(), &good].concat();
    for (bytes, expected) in [
        (appended.as_slice(), "does not end with a zip directory"),
        (&prepended, "not where its last record says"),
        (&good[..good.len() - 1], "does not end with a zip directory"),
        (&good[1..], "not where its last record says"),
        (b"", "does not end with a zip directory"),
        (
            b"#!/usr/bin/env python3\nprint('a script')\n",
            "does not end with a zip directory",
        ),
    ] {
        let error = open_bytes(bytes).err().unwrap_or_default();
        assert!(error.contains(expected), "{error}");
    }
    // Cut at every place: an error each time, never a panic.
    for length in (0..good.len()).step_by(7) {
        assert!(open_bytes(&good[..length]).is_err(), "{length}");
    }
    // Every third byte changed: an error, or the change is noticed when the layers are read.
    for at in (0..good.len()).step_by(3) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        if let Ok(package) = open_bytes(&bytes) {
            for layer in package.layers() {
                let _ = package.open_layer(layer).map(read_all);
            }
        }
    }
}

/// Opens the good layout after a change to its documents.
fn layout_error(change: impl FnOnce(&mut Layout)) -> String {
    let mut layout = Layout::good();
    change(&mut layout);
    layout.open().err().unwrap_or_default()
}

#[test]
fn the_documents_are_checked() {
    assert_eq!(layout_error(|_| {}), "", "the control");
    let zeros = format!("sha256:{}", "0".repeat(64));
    let known = format!("sha256:{}", Digest::of(&layers()[0].bytes).hex());
    let big = "x".repeat(5 << 20);
    let cases: Vec<(&str, Change<Layout>)> = vec![
        (
            "image layout version `2.0.0`",
            Box::new(|l| l.oci_layout = json!({"imageLayoutVersion": "2.0.0"})),
        ),
        (
            "`index.json` is not the JSON expected",
            Box::new(|l| l.index = json!({"manifests": [{}]})),
        ),
        (
            "holds 0 images",
            Box::new(|l| l.index["manifests"] = json!([])),
        ),
        (
            "holds 2 images",
            Box::new(|l| {
                let image = json!({"mediaType": "x", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
                if let Some(images) = l.index["manifests"].as_array_mut() {
                    images.push(image)
                }
            }),
        ),
        (
            "manifest of media type",
            Box::new(|l| l.index["manifests"][0]["mediaType"] = json!("x")),
        ),
        (
            "config of media type",
            Box::new(|l| l.manifest["config"]["mediaType"] = json!("x")),
        ),
        (
            "layer of media type",
            Box::new(|l| {
                l.manifest["layers"][1]["mediaType"] =
                    json!("application/vnd.oci.image.layer.v1.tar")
            }),
        ),
        ("is missing", {
            let zeros = zeros.clone();
            Box::new(move |l| l.manifest["config"]["digest"] = json!(zeros))
        }),
        ("is missing", {
            let zeros = zeros.clone();
            Box::new(move |l| l.manifest["layers"][0]["digest"] = json!(zeros))
        }),
        (
            "not the size",
            Box::new(|l| l.manifest["config"]["size"] = json!(1)),
        ),
        (
            "not the size",
            Box::new(|l| l.manifest["layers"][0]["size"] = json!(1)),
        ),
        (
            "is not a digest",
            Box::new(|l| l.manifest["config"]["digest"] = json!("sha512:00")),
        ),
        (
            "image for another runner",
            Box::new(|l| l.config["os"] = json!("linux")),
        ),
        (
            "no `pywasm` part",
            Box::new(|l| {
                l.config.as_object_mut().map(|c| c.remove("pywasm"));
            }),
        ),
        (
            "package format 2, this pywasm reads format 1",
            Box::new(|l| l.config["pywasm"] = json!({"format": 2, "anything": true})),
        ),
        (
            "unknown field `more`",
            Box::new(|l| l.config["pywasm"]["more"] = json!(1)),
        ),
        (
            "unknown file system type",
            Box::new(|l| l.config["rootfs"]["type"] = json!("x")),
        ),
        (
            "environment entry `A`",
            Box::new(|l| l.config["config"]["Env"] = json!(["A"])),
        ),
        (
            "environment entry `=1`",
            Box::new(|l| l.config["config"]["Env"] = json!(["=1"])),
        ),
        (
            "environment entry `A=2`",
            Box::new(|l| l.config["config"]["Env"] = json!(["A=1", "A=2"])),
        ),
        (
            "environment entry",
            Box::new(|l| l.config["config"]["Env"] = json!(["A=\u{0}"])),
        ),
        (
            "not a port",
            Box::new(|l| l.config["config"]["ExposedPorts"] = json!({"x/tcp": {}})),
        ),
        (
            "not absolute",
            Box::new(|l| l.config["config"]["WorkingDir"] = json!("app")),
        ),
        (
            "not allowed",
            Box::new(|l| l.config["config"]["WorkingDir"] = json!("/a/../b")),
        ),
        (
            "not an entry point",
            Box::new(|l| l.config["pywasm"]["scripts"] = json!({"x": "os:system('x')"})),
        ),
        (
            "3 layers but 2 diff ids",
            Box::new(|l| {
                l.config["rootfs"]["diff_ids"].as_array_mut().map(Vec::pop);
            }),
        ),
        (
            "lacks a kind and mount",
            Box::new(|l| l.manifest["layers"][0]["annotations"] = json!({})),
        ),
        (
            "lacks a kind and mount",
            Box::new(|l| {
                l.manifest["layers"][0]["annotations"]["pywasm.layer.kind"] = json!("theme")
            }),
        ),
        (
            "lacks a kind and mount",
            Box::new(|l| {
                l.manifest["layers"][0]["annotations"]["pywasm.layer.mount"] = json!("../x")
            }),
        ),
        (
            "mounted at `/`",
            Box::new(|l| l.manifest["layers"][2]["annotations"]["pywasm.layer.mount"] = json!("/")),
        ),
        (
            "two layers are mounted at /app",
            Box::new(|l| {
                l.manifest["layers"][1]["annotations"]["pywasm.layer.mount"] = json!("/app")
            }),
        ),
        (
            "in this order",
            Box::new(|l| {
                l.manifest["layers"][0]["annotations"]["pywasm.layer.kind"] = json!("app")
            }),
        ),
        (
            "in this order",
            Box::new(|l| {
                l.manifest["layers"][1]["annotations"]["pywasm.layer.kind"] = json!("runtime")
            }),
        ),
        (
            "over the limit of 4194304",
            Box::new(move |l| l.config["author"] = json!(big)),
        ),
        // A layer under the config's name and the other way round.
        (
            "not the size",
            Box::new(move |l| l.manifest["config"]["digest"] = json!(known)),
        ),
    ];
    for (number, (expected, change)) in cases.into_iter().enumerate() {
        let error = layout_error(change);
        assert!(
            error.contains(expected),
            "case {number}, {expected}: {error}"
        );
    }
}

#[test]
fn what_others_may_add_is_read_over() {
    let mut layout = Layout::good();
    layout.config["created"] = json!("2020-01-01T00:00:00Z");
    layout.config["config"]["User"] = json!("nobody");
    layout.config["config"]["Entrypoint"] = json!(null);
    layout.manifest["annotations"] = json!({"x": "y"});
    let mut entries = layout.entries();
    entries.insert(
        0,
        (
            format!("blobs/sha256/{}", Digest::of(b"more").hex()),
            b"more".to_vec(),
        ),
    );
    assert!(open_bytes(&Zip::of(&entries).bytes()).is_ok());
}

#[test]
fn documents_are_verified_before_they_are_parsed() {
    let mut entries = Layout::good().entries();
    let config = entries
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(b"{\"architecture"));
    let (_, bytes) = config.expect("the config");
    let last = bytes.len() - 1;
    bytes[last] = b' ';
    let error = open_bytes(&Zip::of(&entries).bytes())
        .err()
        .unwrap_or_default();
    assert!(
        error.contains("has other content than its name says"),
        "{error}"
    );
}

/// Replaces the app layer's bytes and reads it.
fn layer_error(bytes: Vec<u8>, limits: &ReadLimits) -> Result<Vec<u8>, String> {
    let mut layout = Layout::good();
    layout.layers[2] = bytes;
    let package = open_with(&Zip::of(&layout.entries()).bytes(), limits)?;
    let reader = package
        .open_layer(&package.layers()[2])
        .map_err(|error| error.to_string())?;
    read_all(reader)
}

#[test]
fn layers_are_verified_while_they_are_read() {
    let limits = ReadLimits::default();
    let good = layers()[2].bytes.to_vec();
    assert!(layer_error(good.clone(), &limits).is_ok(), "the control");
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("compressed");
    for (bytes, expected) in [
        (frame(b"another tar"), "content of layer"),
        (
            [good.clone(), b"x".to_vec()].concat(),
            "bytes follow the compressed data",
        ),
        (
            [good.clone(), frame(b"")].concat(),
            "bytes follow the compressed data",
        ),
        (good[..good.len() - 1].to_vec(), "incomplete frame"),
        (b"no zstd at all".to_vec(), "Unknown frame descriptor"),
        (Vec::new(), "incomplete frame"),
    ] {
        let error = layer_error(bytes, &limits).expect_err("refused");
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_layer_whose_bytes_changed_is_never_read_to_its_end() {
    let layout = Layout::good();
    let good = layout.layers[2].clone();
    let entries = layout.entries();
    for at in 0..good.len() {
        let mut entries = entries.clone();
        let (_, bytes) = entries
            .iter_mut()
            .find(|(_, bytes)| *bytes == good)
            .expect("the layer");
        bytes[at] ^= 1;
        let package = open_bytes(&Zip::of(&entries).bytes()).expect("documents are good");
        let read = package
            .open_layer(&package.layers()[2])
            .map_err(|error| error.to_string())
            .and_then(read_all);
        assert!(read.is_err(), "byte {at}");
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    let bomb = zstd::encode_all(zeros.as_slice(), 19).expect("compressed");
    assert!(bomb.len() < 64 << 10);
    let limits = ReadLimits {
        layer: 1 << 20,
        ..ReadLimits::default()
    };
    let error = layer_error(bomb, &limits).expect_err("refused");
    assert!(error.contains("is larger than allowed"), "{error}");
    // A frame that asks for a window of 128 MiB.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(27).expect("a window");
    encoder.include_contentsize(false).expect("set");
    std::io::copy(&mut zeros.as_slice(), &mut encoder).expect("compressed");
    let error = layer_error(
        encoder.finish().expect("compressed"),
        &ReadLimits::default(),
    )
    .expect_err("refused");
    assert!(error.contains("requires too much memory"), "{error}");
}
