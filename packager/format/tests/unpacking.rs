//! Unpacking layers: what a hostile tar archive may try, each with the entry that is allowed beside it.

mod support;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt};
use pywasm_format::{LayerKind, UnpackError, UnpackLimits, Unpacked, unpack};
use support::{layer, read_all};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

struct Target {
    folder: TempDir,
    dir: Dir,
}

fn target() -> Target {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("layer")).expect("a folder");
    let dir =
        Dir::open_ambient_dir(folder.path().join("layer"), ambient_authority()).expect("a handle");
    Target { folder, dir }
}

fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

/// A tar archive of raw entries.
fn tar(entries: &[(Header, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, content) in entries {
        builder.append(header, *content).expect("written");
    }
    builder.into_inner().expect("written")
}

fn file<'c>(name: &str, content: &'c [u8]) -> (Header, &'c [u8]) {
    (
        header(EntryType::Regular, name.as_bytes(), content.len() as u64),
        content,
    )
}

fn folder(name: &str) -> (Header, &'static [u8]) {
    (header(EntryType::Directory, name.as_bytes(), 0), b"")
}

fn link(kind: EntryType, name: &str, to: &str) -> (Header, &'static [u8]) {
    let mut header = header(kind, name.as_bytes(), 0);
    header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
    header.set_cksum();
    (header, b"")
}

fn run(bytes: &[u8]) -> Result<Unpacked, UnpackError> {
    unpack(bytes, &target().dir, &UnpackLimits::default())
}

#[test]
fn plain_files_and_folders_arrive() {
    let target = target();
    let mut executable = file("app/run", b"#!x");
    executable.0.set_mode(0o6755);
    executable.0.set_uid(1);
    executable.0.set_cksum();
    let bytes = tar(&[
        folder("app/"),
        file("app/a.py", b"a"),
        executable,
        file("deep/er/b", b"bb"),
    ]);
    let done = unpack(bytes.as_slice(), &target.dir, &UnpackLimits::default()).expect("unpacked");
    assert_eq!(
        done,
        Unpacked {
            files: 3,
            directories: 3,
            bytes: 6
        }
    );
    assert_eq!(target.dir.read("deep/er/b").expect("there"), b"bb");
    let mode = |path: &str| target.dir.metadata(path).expect("there").mode() & 0o7777;
    assert_eq!(mode("app/a.py") & 0o111, 0);
    assert_eq!(
        mode("app/run") & 0o7111,
        0o111,
        "executable, but nobody else's powers"
    );
}

#[test]
fn our_own_layers_arrive() {
    let long = format!("{}/{}.py", "p".repeat(120), "q".repeat(120));
    let built = layer(LayerKind::App, "/srv/app", &[("a.py", b"1"), (&long, b"2")]);
    let bytes = zstd::decode_all(built.bytes.as_ref()).expect("a frame");
    let target = target();
    unpack(bytes.as_slice(), &target.dir, &UnpackLimits::default()).expect("unpacked");
    assert_eq!(
        target.dir.read(format!("srv/app/{long}")).expect("there"),
        b"2"
    );
}

#[test]
fn paths_stay_inside() {
    assert!(run(&tar(&[file("a/..b/c..", b"")])).is_ok(), "the control");
    for name in [
        "../x",
        "a/../../x",
        "/etc/x",
        "a//x",
        "./x",
        "a/./x",
        "..",
        ".",
        "a/..",
        "//x",
        "a/",
        "",
    ] {
        let result = run(&tar(&[file(name, b"x")]));
        assert!(
            matches!(result, Err(UnpackError::Path(_))),
            "file {name:?}: {result:?}"
        );
    }
    for name in ["../x/", "/x/", "a//", "./", ".."] {
        let result = run(&tar(&[folder(name)]));
        assert!(
            matches!(result, Err(UnpackError::Path(_))),
            "folder {name:?}: {result:?}"
        );
    }
    let wild = (header(EntryType::Regular, b"a\xff", 0), b"".as_slice());
    assert!(matches!(run(&tar(&[wild])), Err(UnpackError::Path(_))));
    // The prefix of a ustar header is part of the path too.
    let mut prefixed = Header::new_ustar();
    prefixed.as_ustar_mut().expect("ustar").prefix[..2].copy_from_slice(b"..");
    prefixed.as_old_mut().name[..1].copy_from_slice(b"x");
    prefixed.set_size(0);
    prefixed.set_mode(0o644);
    prefixed.set_cksum();
    assert!(matches!(
        run(&tar(&[(prefixed, b"")])),
        Err(UnpackError::Path(_))
    ));
}

#[test]
fn nothing_but_files_and_folders() {
    for (entry, kind) in [
        (link(EntryType::Symlink, "a", "b"), "symbolic link"),
        (
            link(EntryType::Symlink, "a", "/etc/passwd"),
            "symbolic link",
        ),
        (link(EntryType::Link, "a", "b"), "hard link"),
        (link(EntryType::Char, "a", ""), "device"),
        (link(EntryType::Block, "a", ""), "device"),
        (link(EntryType::Fifo, "a", ""), "named pipe"),
        (
            (header(EntryType::XHeader, b"a", 0), b"".as_slice()),
            "type 'x'",
        ),
        (
            (header(EntryType::XGlobalHeader, b"a", 0), b"".as_slice()),
            "type 'g'",
        ),
        (
            (header(EntryType::GNULongLink, b"a", 0), b"".as_slice()),
            "type 'K'",
        ),
        (
            (header(EntryType::GNUSparse, b"a", 0), b"".as_slice()),
            "type 'S'",
        ),
        (
            (header(EntryType::Continuous, b"a", 0), b"".as_slice()),
            "type '7'",
        ),
    ] {
        let result = run(&tar(&[entry]));
        let Err(UnpackError::Kind { kind: found, .. }) = &result else {
            panic!("{kind}: {result:?}")
        };
        assert!(found.contains(kind), "{found}");
    }
}

#[test]
fn a_link_that_is_there_already_is_not_followed() {
    let target = target();
    let outside = target.folder.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::os::unix::fs::symlink(&outside, target.folder.path().join("layer/a")).expect("a link");
    for entry in [file("a/x", b"x"), file("a", b"x"), folder("a")] {
        let result = unpack(
            tar(&[entry]).as_slice(),
            &target.dir,
            &UnpackLimits::default(),
        );
        assert!(result.is_err(), "{result:?}");
    }
    assert_eq!(outside.read_dir().expect("readable").count(), 0);
}

#[test]
fn nothing_is_there_twice() {
    assert!(
        run(&tar(&[folder("a"), file("a/b", b"")])).is_ok(),
        "the control"
    );
    for entries in [
        [file("a", b"1"), file("a", b"2")],
        [file("a", b"1"), folder("a")],
        [folder("a"), file("a", b"1")],
        [file("a", b"1"), file("a/b", b"2")],
        [folder("a"), folder("a/")],
        [file("a/b", b"1"), folder("a")],
    ] {
        let result = run(&tar(&entries));
        assert!(
            matches!(result, Err(UnpackError::Duplicate(_))),
            "{result:?}"
        );
    }
}

#[test]
fn long_names_are_read_and_bounded() {
    let long = |name: &[u8]| -> Vec<u8> { [name, b"\0"].concat() };
    let entry = |content: &'static [u8]| {
        (
            header(
                EntryType::GNULongName,
                b"././@LongLink",
                content.len() as u64,
            ),
            content,
        )
    };
    let name: &'static [u8] =
        Box::leak(long(&[b"n".repeat(200), b"/x".to_vec()].concat()).into_boxed_slice());
    assert_eq!(
        run(&tar(&[entry(name), file("short", b"1")]))
            .expect("the control")
            .files,
        1
    );
    let escape: &'static [u8] = b"../../x\0";
    assert!(matches!(
        run(&tar(&[entry(escape), file("a", b"")])),
        Err(UnpackError::Path(_))
    ));
    let endless: &'static [u8] = Box::leak(vec![b'n'; 5000].into_boxed_slice());
    assert!(matches!(
        run(&tar(&[entry(endless), file("a", b"")])),
        Err(UnpackError::Limit { .. })
    ));
    assert!(
        matches!(run(&tar(&[entry(name)])), Err(UnpackError::Path(_))),
        "nothing follows"
    );
    assert!(matches!(
        run(&tar(&[entry(name), entry(name), file("a", b"")])),
        Err(UnpackError::Kind { .. })
    ));
}

#[test]
fn limits_hold() {
    let limits = |change: fn(&mut UnpackLimits)| {
        let mut limits = UnpackLimits {
            total: 10,
            file: 8,
            entries: 3,
            path: 8,
        };
        change(&mut limits);
        limits
    };
    let bytes = tar(&[file("a", &[0; 8]), file("b/c", &[0; 2])]);
    let run = |limits: UnpackLimits, bytes: &[u8]| match unpack(bytes, &target().dir, &limits) {
        Ok(_) => "ok",
        Err(UnpackError::Limit { what, .. }) => what,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(run(limits(|_| {}), &bytes), "ok", "the control");
    assert_eq!(run(limits(|l| l.total = 9), &bytes), "bytes in all");
    assert_eq!(run(limits(|l| l.file = 7), &bytes), "bytes in a file");
    assert_eq!(run(limits(|l| l.entries = 1), &bytes), "entries");
    assert_eq!(run(limits(|l| l.path = 2), &bytes), "bytes in a path");
    // A size that no archive can hold is refused before anything is written.
    let huge = (
        header(EntryType::Regular, b"a", u64::MAX >> 1),
        b"".as_slice(),
    );
    assert_eq!(run(limits(|_| {}), &tar(&[huge])), "bytes in a file");
    let stuffed = (
        header(EntryType::Directory, b"a", 512),
        [0_u8; 512].as_slice(),
    );
    assert_eq!(
        run(limits(|_| {}), &tar(&[stuffed])),
        "bytes in a folder's entry"
    );
}

#[test]
fn the_end_is_where_it_must_be() {
    let good = tar(&[file("a", b"1")]);
    assert!(run(&good).is_ok(), "the control");
    let end = good.len() - 1024;
    for (bytes, what) in [
        (good[..end].to_vec(), "no closing blocks"),
        (good[..end + 512].to_vec(), "one closing block"),
        (
            [good.clone(), vec![0; 512]].concat(),
            "three closing blocks",
        ),
        (
            [good.clone(), tar(&[file("b", b"2")])].concat(),
            "a second archive",
        ),
        (
            [&good[..end + 512], &good].concat(),
            "entries between the closing blocks",
        ),
    ] {
        assert!(matches!(run(&bytes), Err(UnpackError::End)), "{what}");
    }
    for length in [1, 511, 513, end - 1] {
        assert!(run(&good[..length]).is_err(), "cut at {length}");
    }
    let mut broken = good.clone();
    broken[0] ^= 1;
    assert!(
        matches!(run(&broken), Err(UnpackError::Read(_))),
        "the header's checksum"
    );
}

#[test]
fn a_reader_that_finds_a_forgery_at_the_end_is_heard() {
    struct Forged<'a>(&'a [u8]);
    impl std::io::Read for Forged<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("forged")),
                read => Ok(read),
            }
        }
    }
    let bytes = tar(&[file("a", b"1")]);
    let result = unpack(Forged(&bytes), &target().dir, &UnpackLimits::default());
    assert!(matches!(result, Err(UnpackError::Read(_))), "{result:?}");
    assert!(read_all(bytes.as_slice()).is_ok());
}
