//! The private folder where what is derived from a package is kept: native code and unpacked layers.
//!
//! Native code is only ever read from here: deserialising a forged component would run arbitrary code
//! on the host. So the folder must belong to us and to nobody else, and names are digests.

mod bound;

pub(crate) use bound::InUse;
pub use bound::{Entry, EntryKind};

use crate::memory::{Hot, Initial};
use crate::scratch::{self, WorkFolder};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pywasm_format::{Digest, FILE_TIME};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// A folder that only the current user can enter.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    limit: u64,
}

/// Bytes that a cache may take unless said otherwise.
const LIMIT: u64 = 8 << 30;

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The folder belongs to somebody else or lets others in.
    #[error(
        "the cache folder `{path}` is not private ({found}); native code is only loaded from a folder \
         of your own: run `chmod 700` on it or choose another one"
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// Owner and mode as found.
        found: String,
    },
    /// The system refused a file operation.
    #[error("the cache folder: cannot {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl CacheError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl Cache {
    /// Opens the folder, creating it with mode 0700 where it is missing.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        create_private(root)?;
        for part in ["code", "layers"] {
            create_private(&root.join(part))?;
        }
        Ok(Self {
            root: root.to_owned(),
            limit: LIMIT,
        })
    }

    /// Keeps the cache below `bytes` (8 GiB unless said otherwise): whenever something new is put into it, what
    /// was not used for longest is removed. Layers of running instances stay.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// A private folder below the cache, for what else is kept per machine.
    pub fn folder(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.root.join(name);
        create_private(&path)?;
        Ok(path)
    }

    /// The folder of all that is only there as long as its process runs.
    pub(crate) fn running(&self) -> Result<PathBuf, CacheError> {
        self.folder("running")
    }

    /// A folder for work on the way to something that is kept. What killed processes left of theirs is removed.
    pub fn work_folder(&self) -> Result<WorkFolder, CacheError> {
        let all = self.running()?;
        WorkFolder::create(&all).map_err(CacheError::io("make a folder in", &all))
    }

    /// Removes what killed processes left behind. Returns how many bytes it was.
    pub fn sweep(&self) -> Result<u64, CacheError> {
        let all = self.running()?;
        let before = bound::size_of(&all);
        scratch::sweep(&all).map_err(CacheError::io("look into", &all))?;
        Ok(before.saturating_sub(bound::size_of(&all)))
    }

    /// The native code of the component or module with this digest, compiled from `wasm` if it is not
    /// here yet.
    pub(crate) fn code<C: Code, E: From<CacheError> + From<wasmtime::Error>>(
        &self,
        engine: &Engine,
        digest: &Digest,
        wasm: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<C, E> {
        let path = self.code_path(&code_name::<C>(engine, digest));
        if path.exists() {
            // A file of another wasmtime or cut short by a full disk is compiled anew, not an error.
            if let Ok(code) = load_native::<C>(engine, &path) {
                if let Ok(file) = File::open(&path) {
                    bound::mark(&file);
                }
                return Ok(code);
            }
        }
        let native = C::compile(engine, &wasm()?)?;
        write_atomically(&path, |mut file| {
            let failed = CacheError::io("write", &path);
            file.write_all(&native).map_err(failed).map_err(E::from)
        })?;
        // If there is too much in the cache, another process may have removed it again.
        let code = load_native(engine, &path).or_else(|_| take_native(engine, &native))?;
        self.trim(self.limit)?;
        Ok(code)
    }

    fn code_path(&self, name: &str) -> PathBuf {
        self.root.join(EntryKind::Code.folder()).join(name)
    }

    /// The memory of the state with this digest, if it is here.
    pub(crate) fn kept_memory(&self, digest: &Digest) -> Option<Initial> {
        let file = File::open(self.memory_path(digest)).ok()?;
        bound::mark(&file);
        Initial::of_file(file).ok()
    }

    fn memory_path(&self, digest: &Digest) -> PathBuf {
        self.code_path(&format!("{}.memory", digest.hex()))
    }

    /// The memory of the state with this digest, in the form in which it is mapped.
    pub(crate) fn memory<E: From<CacheError> + From<wasmtime::Error>>(
        &self,
        digest: &Digest,
        state: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Initial, E> {
        if let Some(memory) = self.kept_memory(digest) {
            return Ok(memory);
        }
        let (state, path) = (state()?, self.memory_path(digest));
        // What is written is used, and not opened anew: if there is too much, this or another process may remove it again.
        let file = write_atomically(&path, |file| Initial::write(&state, file).map_err(E::from))?;
        self.trim(self.limit)?;
        Ok(Initial::of_file(file).map_err(CacheError::io("look at", &path))?)
    }

    /// What is known of the pages that a start changes of the memory with this digest, which has so many bytes. Where that cannot be
    /// kept, starts take longer.
    pub(crate) fn pages(&self, digest: &Digest, bytes: usize) -> Hot {
        let path = self.code_path(&format!("{}.pages", digest.hex()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        match options.open(path) {
            Ok(file) => Hot::kept_in(file, bytes),
            Err(_) => Hot::none(),
        }
    }

    /// The folder that holds the unpacked layer with this digest, filled by `fill` if it is not here
    /// yet. Several processes may fill it at once; one of them wins.
    pub(crate) fn layer<E: From<CacheError>>(
        &self,
        digest: &Digest,
        fill: impl FnOnce(&Dir, &Path) -> Result<(), E>,
    ) -> Result<InUse, E> {
        let layers = self.root.join("layers");
        let path = layers.join(digest.hex());
        let held = || bound::hold(&path).map_err(CacheError::io("lock", &path));
        if let Some(layer) = held()? {
            return Ok(layer);
        }
        let partial = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(&layers)
            .map_err(CacheError::io("create a folder in", &layers))?;
        let dir = Dir::open_ambient_dir(partial.path(), ambient_authority())
            .map_err(CacheError::io("open", partial.path()))?;
        fill(&dir, partial.path())?;
        date_folders(partial.path()).map_err(CacheError::io("finish", partial.path()))?;
        bound::size_of_layer(partial.path());
        match fs::rename(partial.path(), &path) {
            Ok(()) => drop(partial.keep()),
            Err(_) if path.is_dir() => {} // another process was faster; ours is removed on drop
            Err(source) => return Err(CacheError::io("finish", &path)(source).into()),
        }
        let gone = || CacheError::io("keep", &path)(io::ErrorKind::NotFound.into());
        let layer = held()?.ok_or_else(gone)?;
        self.trim(self.limit)?;
        Ok(layer)
    }
}

/// Gives the folders in `folder` the time that they have in a snapshot: Python lists those anew that have changed since.
fn date_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            date_folders(&entry.path())?;
            File::open(entry.path())?.set_modified(SystemTime::UNIX_EPOCH + FILE_TIME)?;
        }
    }
    Ok(())
}

fn create_private(path: &Path) -> Result<(), CacheError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(CacheError::io("create", path))?;
    let found = fs::metadata(path).map_err(CacheError::io("look at", path))?;
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me || found.mode() & 0o022 != 0 {
        return Err(CacheError::NotPrivate {
            path: path.to_owned(),
            found: format!(
                "owner {}, mode {:03o}; you are {me}",
                found.uid(),
                found.mode() & 0o777
            ),
        });
    }
    Ok(())
}

/// What the cache keeps as native code: a component or a module.
pub(crate) trait Code: Sized {
    /// Tells the two apart in the cache where they come from the same layer.
    const KIND: &'static str;

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>>;

    /// # Safety
    ///
    /// The file must be the work of [`Code::compile`]: what is in it runs.
    #[expect(unsafe_code, reason = "see the module's head")]
    unsafe fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Self>;

    /// # Safety
    ///
    /// As for [`Code::load`].
    #[expect(unsafe_code, reason = "see the module's head")]
    unsafe fn take(engine: &Engine, native: &[u8]) -> wasmtime::Result<Self>;
}

#[expect(unsafe_code, reason = "see the module's head")]
impl Code for Component {
    const KIND: &'static str = "component";

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_component(wasm)
    }

    unsafe fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::deserialize_file(engine, path) }
    }

    unsafe fn take(engine: &Engine, native: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::deserialize(engine, native) }
    }
}

#[expect(unsafe_code, reason = "see the module's head")]
impl Code for Module {
    const KIND: &'static str = "module";

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_module(wasm)
    }

    unsafe fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::deserialize_file(engine, path) }
    }

    unsafe fn take(engine: &Engine, native: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::deserialize(engine, native) }
    }
}

/// Component or module, compiler version and every engine setting that changes the code.
fn code_name<C: Code>(engine: &Engine, digest: &Digest) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let key = format!("{} {digest} {:016x}", C::KIND, settings.finish());
    format!("{}.cwasm", hex::encode(Sha256::digest(key)))
}

#[expect(unsafe_code, reason = "here alone native code is loaded")]
fn load_native<C: Code>(engine: &Engine, path: &Path) -> wasmtime::Result<C> {
    // SAFETY: the file lies in a folder that only we can write to (checked in `Cache::open`) and was
    // written by `Code::compile` of the same wasmtime.
    unsafe { C::load(engine, path) }
}

/// What has just been compiled, without the cache.
#[expect(unsafe_code, reason = "here alone native code is loaded")]
fn take_native<C: Code>(engine: &Engine, native: &[u8]) -> wasmtime::Result<C> {
    // SAFETY: the caller has it from `Code::compile`.
    unsafe { C::take(engine, native) }
}

/// Gives the file that is there then.
fn write_atomically<E: From<CacheError>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<File, E> {
    let folder = path.parent().unwrap_or(path);
    let failed = || CacheError::io("write", path);
    let file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    write(file.as_file())?;
    file.as_file().sync_data().map_err(failed())?;
    Ok(file.persist(path).map_err(|e| failed()(e.error))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("cache");
        Cache::open(&root).expect("a private folder is fine");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).expect("chmod");
        assert!(matches!(
            Cache::open(&root),
            Err(CacheError::NotPrivate { .. })
        ));
    }
}
