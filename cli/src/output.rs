//! Files that a person names to be written: what may be replaced is decided before the work begins, and in one place.

use anyhow::{Context, bail, ensure};
use pywasm_format::is_package_file;
use pywasm_format::write::{folder_of, replace_file};
use rustix::fs::{Access, access};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What a file is to hold. One that is there is only replaced if it holds the same, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A package file, or an OCI archive.
    Package,
    /// What the requirements lead to.
    Lock,
    /// A flame graph.
    Profile,
    /// What is left of an app after a crash.
    CoreDump,
}

/// What is looked at of a file to find out what it holds.
const HEAD: u64 = 4096;
/// Where a tar archive says that it is one, and how.
const TAR: (usize, &[u8]) = (257, b"ustar");
const WASM: &[u8] = b"\0asm";

impl Kind {
    /// What to call it.
    fn name(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Lock => "lock file",
            Self::Profile => "SVG image",
            Self::CoreDump => "core dump",
        }
    }

    /// The flag that names the file.
    fn flag(self) -> &'static str {
        match self {
            Self::Package | Self::Lock => "-o",
            Self::Profile => "--profile",
            Self::CoreDump => "--debug-wasm",
        }
    }

    /// A name for such a file.
    fn example(self) -> &'static str {
        match self {
            Self::Package => "app.pkg",
            Self::Lock => "pylock.toml",
            Self::Profile => "profile.svg",
            Self::CoreDump => "core.wasm",
        }
    }

    /// Does the file at `path` hold this?
    fn is_in(self, path: &Path) -> io::Result<bool> {
        let mut head = Vec::new();
        File::open(path)?.take(HEAD).read_to_end(&mut head)?;
        let text = String::from_utf8_lossy(&head);
        Ok(match self {
            Self::Package => {
                let (at, magic) = TAR;
                let is_archive = head.get(at..).is_some_and(|rest| rest.starts_with(magic));
                is_archive || is_package_file(path)?
            }
            Self::Lock => is_lock_name(path) || is_lock(&fs::read(path)?),
            Self::Profile => {
                let image = text.trim_start();
                image.starts_with("<svg") || image.starts_with("<?xml") && image.contains("<svg")
            }
            Self::CoreDump => head.starts_with(WASM),
        })
    }
}

/// `pylock.toml` or `pylock.NAME.toml`: a file of that name is a lock, also where a merge has left it broken.
fn is_lock_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let inner = name.and_then(|name| name.strip_prefix("pylock")?.strip_suffix("toml"));
    inner.is_some_and(|inner| inner.starts_with('.') && inner.ends_with('.'))
}

fn is_lock(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let table: Option<toml::Table> = text.parse().ok();
    table.is_some_and(|table| table.contains_key("lock-version"))
}

/// A file that may be written.
#[derive(Debug, Clone)]
pub struct Output {
    /// As it was given.
    given: PathBuf,
    /// Where it is, behind links.
    path: PathBuf,
}

impl Output {
    /// Refuses what must not be replaced, and a place where nothing can be written.
    pub fn new(given: &Path, kind: Kind) -> anyhow::Result<Self> {
        let shown = given.display();
        let (name, flag) = (kind.name(), kind.flag());
        ensure!(
            given != Path::new("-"),
            "`{flag} -`: a {name} is written beside its place and put there when it is whole, so it needs a file; give its \
             name, such as ./{name_of}",
            name_of = kind.example()
        );
        let path = behind_links(given, flag)?;
        check_folder(&path, given)?;
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at `{shown}`")),
            Ok(found) if found.is_dir() => bail!(
                "`{shown}` is a folder; name a file in it, such as `{flag} {}`",
                given.join(kind.example()).display()
            ),
            Ok(found) if !found.is_file() => {
                bail!(
                    "`{shown}` is no regular file, and it is not replaced by one: give another {flag}"
                )
            }
            Ok(found) => {
                let replaceable = found.len() == 0
                    || kind.is_in(&path).with_context(|| {
                        format!("cannot find out whether `{shown}` may be replaced")
                    })?;
                ensure!(
                    replaceable,
                    "`{shown}` is there and is no {name}: give another {flag}, or remove it first"
                );
            }
        }
        Ok(Self {
            given: given.to_owned(),
            path,
        })
    }

    /// The file, where links have been followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as the person calls it.
    pub fn shown(&self) -> impl std::fmt::Display {
        self.given.display()
    }

    /// Writes all of it, or leaves what was there.
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        replace_file(&self.path, |file| file.write_all(bytes))
            .with_context(|| format!("cannot write `{}`", self.shown()))
    }

    /// An empty file in its place, for what is only known when the process may open nothing any more.
    pub fn create(&self) -> anyhow::Result<File> {
        self.write(&[])?;
        File::options()
            .write(true)
            .open(&self.path)
            .with_context(|| format!("cannot write `{}`", self.shown()))
    }
}

/// What a symbolic link leads to: the link itself is never replaced.
fn behind_links(given: &Path, flag: &str) -> anyhow::Result<PathBuf> {
    match given.symlink_metadata() {
        Ok(found) if found.is_symlink() => given.canonicalize().with_context(|| {
            format!(
                "`{}` is a symbolic link that leads to no file: give another {flag}, or remove it first",
                given.display()
            )
        }),
        _ => Ok(given.to_owned()),
    }
}

fn check_folder(path: &Path, given: &Path) -> anyhow::Result<()> {
    let shown = given.display();
    // `out/` and `..` name folders, whether they are there or not.
    let names_file =
        path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
    ensure!(
        names_file || path.is_dir(),
        "`{shown}` is the name of a folder that is not there; name a file"
    );
    let folder = folder_of(path);
    let named = folder.display();
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "cannot write `{shown}`: the folder `{named}` is not there; make it first, or write to another"
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot write `{shown}`")),
        Ok(found) if !found.is_dir() => {
            bail!("cannot write `{shown}`: `{named}` is no folder")
        }
        Ok(_) => {}
    }
    // A new file is made beside the old one and takes its place: it is the folder that is written to.
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(io::Error::from)
        .with_context(|| {
            format!("cannot write `{shown}`: the folder `{named}` may not be written to; write to another")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    struct Fixture(TempDir);

    impl Fixture {
        fn new() -> Self {
            Self(TempDir::new().expect("a folder"))
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, bytes).expect("a file");
            path
        }

        /// The error, without the folder's name.
        fn refusal(&self, name: &str, kind: Kind) -> String {
            let error = Output::new(&self.0.path().join(name), kind).expect_err(name);
            format!("{error:#}").replace(&format!("{}/", self.0.path().display()), "")
        }

        fn allows(&self, name: &str, kind: Kind) -> bool {
            Output::new(&self.0.path().join(name), kind).is_ok()
        }
    }

    #[test]
    fn only_what_is_of_the_same_kind_is_replaced() {
        let fixture = Fixture::new();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        fixture.file("a.tar", &tar);
        fixture.file("a.py", b"print(1)\n");
        fixture.file("empty", b"");
        fixture.file(
            "a.svg",
            b"<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n<svg></svg>",
        );
        fixture.file("core", b"\0asm\x01\0\0\0");
        fixture.file("locked.toml", b"lock-version = \"1.0\"\n");
        fixture.file("pylock.dev.toml", b"<<<<<<< HEAD\n");
        fixture.file("pyproject.toml", b"[project]\nname = \"x\"\n");
        for (name, kinds) in [
            ("a.tar", &[Kind::Package][..]),
            ("a.svg", &[Kind::Profile]),
            ("core", &[Kind::CoreDump]),
            ("locked.toml", &[Kind::Lock]),
            ("pylock.dev.toml", &[Kind::Lock]),
            ("a.py", &[]),
            ("pyproject.toml", &[]),
        ] {
            for kind in [Kind::Package, Kind::Lock, Kind::Profile, Kind::CoreDump] {
                assert_eq!(fixture.allows(name, kind), kinds.contains(&kind), "{name}");
                assert!(fixture.allows("empty", kind) && fixture.allows("new", kind));
            }
        }
        assert_eq!(
            fixture.refusal("a.py", Kind::Package),
            "`a.py` is there and is no package: give another -o, or remove it first"
        );
        assert_eq!(
            fixture.refusal("a.py", Kind::Profile),
            "`a.py` is there and is no SVG image: give another --profile, or remove it first"
        );
    }

    #[test]
    fn links_are_followed_and_what_is_no_file_stays() {
        let fixture = Fixture::new();
        let link = |to: &str, name: &str| {
            symlink(to, fixture.0.path().join(name)).expect("a link");
        };
        let target = fixture.file("target", b"");
        fixture.file("text", b"text");
        link("target", "link");
        link("text", "to-text");
        link("nowhere", "dangling");
        link("loop", "loop");
        mknodat(
            CWD,
            fixture.0.path().join("fifo"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("a FIFO");
        link("fifo", "to-fifo");
        let output = Output::new(&fixture.0.path().join("link"), Kind::Lock).expect("a file");
        output.write(b"new").expect("written");
        assert_eq!(fs::read(target).expect("a file"), b"new");
        assert!(fixture.0.path().join("link").is_symlink());
        for (name, reason) in [
            ("to-text", "`to-text` is there and is no package"),
            (
                "dangling",
                "`dangling` is a symbolic link that leads to no file",
            ),
            ("loop", "`loop` is a symbolic link that leads to no file"),
            ("fifo", "`fifo` is no regular file"),
            ("to-fifo", "`to-fifo` is no regular file"),
        ] {
            let refusal = fixture.refusal(name, Kind::Package);
            assert!(refusal.starts_with(reason), "{refusal}");
        }
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_told_before() {
        let fixture = Fixture::new();
        fixture.file("text", b"text");
        fs::create_dir(fixture.0.path().join("folder")).expect("a folder");
        for (name, reason) in [
            (
                "none/a.pkg",
                "cannot write `none/a.pkg`: the folder `none` is not there",
            ),
            (
                "text/a.pkg",
                "cannot write `text/a.pkg`: `text` is no folder",
            ),
            (
                "folder",
                "`folder` is a folder; name a file in it, such as `-o folder/app.pkg`",
            ),
            ("none/", "`none/` is the name of a folder that is not there"),
        ] {
            let refusal = fixture.refusal(name, Kind::Package);
            assert!(refusal.starts_with(reason), "{refusal}");
        }
        let refusal = Output::new(Path::new("-"), Kind::Package).expect_err("no file");
        assert!(
            refusal
                .to_string()
                .starts_with("`-o -`: a package is written beside")
        );
    }
}
