//! The files of a wheel as they will lie in site-packages. Entries are named here and read later,
//! straight from the wheel into the layer.

use super::change::Change;
use super::metadata::{console_scripts, dist_info};
use super::{WheelName, native, replacement, sound};
use pywasm_format::EntryPoint;
use pywasm_format::write::FileMode;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use thiserror::Error;
use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// An opened wheel.
pub(crate) struct Wheel {
    archive: ZipArchive<BufReader<File>>,
    /// By their path below site-packages.
    pub(crate) files: BTreeMap<String, WheelFile>,
    pub(crate) scripts: Vec<(String, EntryPoint)>,
    /// Native modules that were left out, whether the interpreter has them or not.
    pub(crate) native_left_out: Vec<String>,
    /// Files of ours that take their place.
    pub(crate) replaced_by: Vec<&'static str>,
    /// What was changed in one of its files.
    change: Option<&'static Change>,
    /// Files for places outside site-packages, left out.
    pub(crate) elsewhere: Vec<String>,
}

/// One file of a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelFile {
    pub(crate) content: WheelContent,
    pub(crate) size: u64,
    pub(crate) mode: FileMode,
}

/// Where a file's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WheelContent {
    /// The number of its entry in the archive.
    Entry(usize),
    /// Written by the installer.
    Bytes(Vec<u8>),
}

/// May the wheel hold native code?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Native {
    /// It is a pure wheel.
    None,
    /// It has optional native modules, which are left out.
    LeaveOut,
    /// Its native modules are those that the interpreter has built in; the wheel's are left out.
    BuiltIn,
}

/// Why a wheel is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WheelError {
    /// Not a zip file, or a damaged one.
    #[error("it is not a sound zip file: {0}")]
    Zip(#[from] ZipError),
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Absolute, with `..` or other parts that have no place in a path.
    #[error("its entry `{0}` would lie outside of site-packages")]
    Path(String),
    /// A link or a device.
    #[error("its entry `{0}` is a link; wheels hold plain files only")]
    Link(String),
    /// The same name twice.
    #[error("it holds the same file name twice, so that what it holds depends on who reads it")]
    Duplicate,
    /// Other readers see other content.
    #[error("{0}, so that what it holds depends on who reads it")]
    Ambiguous(String),
    /// A file where another entry needs a folder.
    #[error("its entry `{0}` is a file and a folder")]
    FileAndFolder(String),
    /// A name that is too long, or that no file of a package can have.
    #[error("its entry `{0}…` has a name of over {LONGEST_NAME} bytes")]
    LongName(String),
    /// Encrypted, or compressed in a way that installers do not know.
    #[error("its entry `{0}` is encrypted or compressed in an unusual way")]
    Method(String),
    /// More than any package needs.
    #[error("it exceeds the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// For the guest, with native code.
    #[error(
        "its `{0}` is native code for the guest, which loads none at run time: a recipe has to build it into the \
         interpreter (docs/packaging.md, \"Built in\"), and the wheel brings the Python files"
    )]
    NotLinked(String),
    /// No `.dist-info` folder of the wheel's name.
    #[error("it has no .dist-info folder for {0}")]
    NoDistInfo(String),
}

const MOST_ENTRIES: usize = 100_000;
const MOST_BYTES: u64 = 4 << 30;
/// With the folder of site-packages before it, what a layer can hold.
const LONGEST_NAME: usize = 900;
const LARGEST_TEXT: u64 = 16 << 20;

/// Who installed the files, as the standard wants it told.
const INSTALLER: &[u8] = b"pywasm\n";

impl Wheel {
    /// Lists what of a wheel goes into site-packages.
    pub(crate) fn open(file: File, name: &WheelName, native: Native) -> Result<Self, WheelError> {
        let raw = file.try_clone()?;
        let archive = ZipArchive::new(BufReader::new(file))?;
        if archive.len() > MOST_ENTRIES {
            return Err(WheelError::Limit {
                what: "files",
                limit: MOST_ENTRIES as u64,
            });
        }
        if archive.has_duplicate_names() {
            return Err(WheelError::Duplicate);
        }
        sound::check(&archive, &raw)?;
        let names = archive.file_names().filter_map(Result::ok);
        let dist_info = dist_info(names, name)
            .ok_or_else(|| WheelError::NoDistInfo(format!("{} {}", name.name, name.version)))?;
        let mut wheel = Self {
            archive,
            files: BTreeMap::new(),
            scripts: Vec::new(),
            native_left_out: Vec::new(),
            replaced_by: Vec::new(),
            change: None,
            elsewhere: Vec::new(),
        };
        wheel.list(dist_info.trim_end_matches(".dist-info"), native)?;
        let module = wheel.files.keys().find(|path| native::is_native(path));
        if let Some(module) = module.filter(|_| name.is_guests()) {
            return Err(WheelError::NotLinked(module.clone()));
        }
        if native == Native::LeaveOut {
            wheel.replace(name);
        }
        wheel.change(name)?;
        wheel.complete(&dist_info)?;
        wheel.check_folders()?;
        Ok(wheel)
    }

    /// The content of one of the files.
    pub(crate) fn read<'w>(
        &'w mut self,
        content: &'w WheelContent,
    ) -> Result<Box<dyn Read + 'w>, WheelError> {
        Ok(match content {
            WheelContent::Entry(number) => Box::new(self.archive.by_index(*number)?),
            WheelContent::Bytes(bytes) => Box::new(bytes.as_slice()),
        })
    }

    fn list(&mut self, stem: &str, native: Native) -> Result<(), WheelError> {
        let data = format!("{stem}.data/");
        let mut total = 0_u64;
        for number in 0..self.archive.len() {
            let entry = self.archive.by_index_data(number)?;
            let name = entry.name()?.into_owned();
            check(&entry, &name)?;
            if entry.is_dir() {
                continue;
            }
            total = total.saturating_add(entry.size());
            if total > MOST_BYTES {
                return Err(WheelError::Limit {
                    what: "bytes",
                    limit: MOST_BYTES,
                });
            }
            let path = match name.strip_prefix(&data).map(|path| path.split_once('/')) {
                None => name.as_str(),
                Some(Some(("purelib" | "platlib", path))) => path,
                // Scripts, headers and data files belong beside the interpreter, where a layer of
                // dependencies has no place; headers are of no use here at all.
                Some(Some(("headers", _))) => continue,
                Some(_) => {
                    self.elsewhere.push(name);
                    continue;
                }
            };
            if native != Native::None && native::is_native(path) {
                self.native_left_out.push(path.to_owned());
                continue;
            }
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let file = WheelFile {
                content: WheelContent::Entry(number),
                size: entry.size(),
                mode: match executable {
                    true => FileMode::Executable,
                    false => FileMode::Plain,
                },
            };
            if self.files.insert(path.to_owned(), file).is_some() {
                return Err(WheelError::Duplicate);
            }
        }
        Ok(())
    }

    /// Puts our own modules in the place of native ones that were left out.
    fn replace(&mut self, name: &WheelName) {
        for (path, text) in replacement::replaced(&name.name) {
            self.write((*path).to_owned(), text.as_bytes().to_vec());
            self.replaced_by.push(path);
        }
    }

    /// Changes the file in which the package looks for what the sandbox does not have, if it has one.
    fn change(&mut self, name: &WheelName) -> Result<(), WheelError> {
        let Some(change) = Change::of(&name.name) else {
            return Ok(());
        };
        let changed = self
            .text(change.file)?
            .and_then(|text| change.made_in(&text));
        if let Some(text) = changed {
            self.write(change.file.to_owned(), text.into_bytes());
            self.change = Some(change);
        }
        Ok(())
    }

    /// What was changed in one of its files, for the person.
    pub(crate) fn changed(&self) -> Option<String> {
        self.change.map(Change::told)
    }

    /// What an installer does beside copying: entry points, `INSTALLER`, and a `RECORD` of what is
    /// really there.
    fn complete(&mut self, dist_info: &str) -> Result<(), WheelError> {
        if let Some(text) = self.text(&format!("{dist_info}/entry_points.txt"))? {
            self.scripts = console_scripts(&text);
        }
        let installer = format!("{dist_info}/INSTALLER");
        let record = format!("{dist_info}/RECORD");
        if let Some(text) = self.text(&record)? {
            let own: Vec<&str> = [installer.as_str()]
                .into_iter()
                .chain(self.replaced_by.iter().copied())
                .chain(self.change.map(|change| change.file))
                .collect();
            let gone = |line: &str| {
                let left_out = self.native_left_out.iter().map(String::as_str);
                left_out.chain(own.iter().copied()).any(|path| {
                    line.strip_prefix(path)
                        .is_some_and(|rest| rest.starts_with(','))
                })
            };
            let kept = text.lines().filter(|line| !gone(line)).map(str::to_owned);
            let lines: Vec<_> = kept
                .chain(own.iter().map(|path| format!("{path},,")))
                .collect();
            let record_text = lines.join("\n") + "\n";
            self.write(record, record_text.into_bytes());
        }
        self.write(installer, INSTALLER.to_vec());
        Ok(())
    }

    /// No file lies where a folder is needed.
    fn check_folders(&self) -> Result<(), WheelError> {
        for path in self.files.keys() {
            for (end, _) in path.match_indices('/') {
                if self.files.contains_key(&path[..end]) {
                    return Err(WheelError::FileAndFolder(path[..end].to_owned()));
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, WheelError> {
        let Some(WheelFile {
            content: WheelContent::Entry(number),
            ..
        }) = self.files.get(path)
        else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.archive
            .by_index(*number)?
            .take(LARGEST_TEXT + 1)
            .read_to_end(&mut bytes)?;
        match bytes.len() as u64 > LARGEST_TEXT {
            true => Err(WheelError::Limit {
                what: "bytes of metadata",
                limit: LARGEST_TEXT,
            }),
            false => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    fn write(&mut self, path: String, bytes: Vec<u8>) {
        let file = WheelFile {
            size: bytes.len() as u64,
            content: WheelContent::Bytes(bytes),
            mode: FileMode::Plain,
        };
        self.files.insert(path, file);
    }
}

fn check(entry: &ZipFileEntry<'_>, name: &str) -> Result<(), WheelError> {
    let path = name.strip_suffix('/').unwrap_or(name);
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    if !path.split('/').all(plain) || name.contains(['\\', '\0']) {
        return Err(WheelError::Path(name.to_owned()));
    }
    if name.len() > LONGEST_NAME {
        return Err(WheelError::LongName(name.chars().take(40).collect()));
    }
    if entry.is_symlink() {
        return Err(WheelError::Link(name.to_owned()));
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated if !entry.encrypted() => Ok(()),
        _ => Err(WheelError::Method(name.to_owned())),
    }
}
