//! The store.

use crate::error::StoreError;
use crate::incoming::{self, Incoming};
use crate::names::{self, Named};
use crate::reference::Reference;
use pywasm_format::write::{ImageBlobs, PackageSpec};
use pywasm_format::{Blob, Digest, ImageName, Package, ReadLimits};
use pywasm_signature::Signatures;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a package is to be called that comes from a file, which can be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'a> {
    /// As the person says, whatever the name stood for.
    Given(&'a ImageName),
    /// As it says of itself: never in another one's place, and never as if it came from a registry.
    Recorded,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The package under its name.
    pub image: Image,
    /// What the name stood for, if it was another package.
    pub before: Option<Digest>,
}

/// A package in the store, under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name.
    pub name: ImageName,
    /// The package's digest.
    pub digest: Digest,
    /// When it was given this name.
    pub since: SystemTime,
    /// What its blobs take, those shared with others included, in bytes.
    pub size: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What the store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Names.
    pub names: usize,
    /// Different packages that have a name.
    pub packages: usize,
    /// All blobs, in bytes.
    pub bytes: u64,
    /// Those that no name needs, in bytes.
    pub reclaimable: u64,
}

/// The packages of one person on one machine.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Held while writing or removing; given back when dropped, and by the kernel when the process dies.
struct Guard(#[expect(dead_code, reason = "its drop is what it is for")] File);

impl Store {
    /// The store in a folder, made where it is not there.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self {
            root: root.to_owned(),
        };
        for folder in [
            store.blobs(),
            store.names(),
            store.partial(),
            store.signatures(),
        ] {
            fs::create_dir_all(&folder).map_err(|reason| StoreError::write(&folder, reason))?;
        }
        Ok(store)
    }

    /// Puts a package in and gives it a name. Layers that are there are not written again.
    pub fn put(&self, spec: &PackageSpec<'_>, name: &ImageName) -> Result<Image, StoreError> {
        let _guard = self.shared()?;
        let ImageBlobs {
            digest,
            manifest,
            config,
            layers,
        } = ImageBlobs::of(spec)?;
        for layer in layers {
            self.put_blob(layer.digest, &layer.bytes)?;
        }
        self.put_blob(Digest::of(&config), &config)?;
        self.put_blob(digest, &manifest)?;
        names::write(&self.names(), name, digest)?;
        self.image(name)
    }

    /// Copies a package from its file at `path` and gives it a name. Every byte is verified on the way.
    pub fn load(
        &self,
        path: &Path,
        package: &Package,
        naming: Naming<'_>,
    ) -> Result<Loaded, StoreError> {
        let (name, before) = self.name_for(path, package.digest(), package.name(), naming)?;
        let _guard = self.shared()?;
        let mut blobs = package.blobs();
        // The manifest stands first and must come last: it needs the others.
        blobs.reverse();
        for blob in blobs {
            let mut bytes = Vec::new();
            package
                .open_blob(blob)?
                .read_to_end(&mut bytes)
                .map_err(|reason| StoreError::Io {
                    path: PathBuf::from(blob.digest.to_string()),
                    what: "read",
                    reason,
                })?;
            self.put_blob(blob.digest, &bytes)?;
        }
        names::write(&self.names(), &name, package.digest())?;
        let image = self.image(&name)?;
        Ok(Loaded { image, before })
    }

    /// The name for the package `digest` in the file at `path`, and what else it stands for now.
    pub(crate) fn name_for(
        &self,
        path: &Path,
        digest: Digest,
        recorded: Option<&str>,
        naming: Naming<'_>,
    ) -> Result<(ImageName, Option<Digest>), StoreError> {
        let path = path.to_owned();
        let name = match (naming, recorded) {
            (Naming::Given(name), _) => name.clone(),
            (Naming::Recorded, None) => return Err(StoreError::Unnamed { path }),
            (Naming::Recorded, Some(recorded)) => match recorded.parse() {
                Ok(name) => name,
                Err(reason) => return Err(StoreError::Misnamed { path, reason }),
            },
        };
        let now = names::read(&names::path(&self.names(), &name))?.map(|named| named.digest);
        let before = now.filter(|before| *before != digest);
        match (naming, before) {
            (Naming::Recorded, Some(digest)) => Err(StoreError::Taken { path, name, digest }),
            (Naming::Recorded, None) if now.is_none() && name.registry().is_some() => {
                Err(StoreError::FromRegistry { path, name })
            }
            _ => Ok((name, before)),
        }
    }

    /// Is this blob here, whole?
    pub fn holds(&self, digest: &Digest) -> bool {
        self.blob(digest).is_file()
    }

    /// The bytes of a small blob, such as a manifest, where it is here.
    pub fn small(&self, blob: &Blob) -> Result<Vec<u8>, StoreError> {
        let path = self.blob(&blob.digest);
        fs::read(&path).map_err(|reason| StoreError::read(&path, reason))
    }

    /// Begins to take in a blob in pieces; `None` if it is here. No lock is held meanwhile: it may take
    /// hours. So a blob that has come may be removed again by others before a name needs it, which
    /// [`Self::admit`] tells.
    pub fn incoming(&self, blob: Blob) -> Result<Option<Incoming>, StoreError> {
        let place = self.blob(&blob.digest);
        match place.is_file() {
            true => Ok(None),
            false => Incoming::open(self.partial().join(blob.digest.hex()), place, blob),
        }
    }

    /// Gives a name to the package whose config and layers have come, and whose manifest is this.
    pub fn admit(&self, manifest: &[u8], name: &ImageName) -> Result<Image, StoreError> {
        let _guard = self.shared()?;
        let digest = Digest::of(manifest);
        self.put_blob(digest, manifest)?;
        self.opened(digest)?;
        names::write(&self.names(), name, digest)?;
        self.image(name)
    }

    /// The signatures that are kept with a package. They have not been compared with any key.
    pub fn signatures_of(&self, digest: Digest) -> Result<Signatures, StoreError> {
        let path = self.signature(digest);
        match fs::read(&path) {
            Ok(bytes) => Signatures::parse(&bytes).map_err(|error| StoreError::Name {
                path,
                reason: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Signatures::default()),
            Err(reason) => Err(StoreError::read(&path, reason)),
        }
    }

    /// Keeps signatures with a package, beside those that are there.
    pub fn attach(&self, digest: Digest, signatures: &Signatures) -> Result<(), StoreError> {
        let _guard = self.alone()?;
        let path = self.signature(digest);
        let before = self.signatures_of(digest)?;
        let mut all = before.clone();
        for signature in signatures.iter() {
            all.add(signature.clone())
                .map_err(|error| StoreError::write(&path, io::Error::other(error.to_string())))?;
        }
        match all == before {
            true => Ok(()),
            false => names::replace(&path, &all.to_bytes())
                .map_err(|reason| StoreError::write(&path, reason)),
        }
    }

    /// Gives the package that `reference` means one more name.
    pub fn tag(&self, reference: &Reference, name: &ImageName) -> Result<Image, StoreError> {
        let _guard = self.shared()?;
        let digest = self.digest_of(reference)?;
        names::write(&self.names(), name, digest)?;
        self.image(name)
    }

    /// Takes names away: the one given, or all of a digest. What no name needs then goes too.
    pub fn remove(&self, reference: &Reference) -> Result<(Vec<ImageName>, Freed), StoreError> {
        let _guard = self.alone()?;
        let gone: Vec<ImageName> = match reference {
            Reference::Name(name) => {
                self.named(name)?;
                vec![name.clone()]
            }
            Reference::Digest(_) | Reference::Pinned(..) => {
                let digest = self.digest_of(reference)?;
                let named = names::all(&self.names())?.into_iter();
                named
                    .filter(|named| named.digest == digest)
                    .map(|named| named.name)
                    .collect()
            }
        };
        for name in &gone {
            let path = names::path(&self.names(), name);
            fs::remove_file(&path).map_err(|reason| StoreError::write(&path, reason))?;
        }
        Ok((gone, self.collect()?))
    }

    /// Removes everything that no name needs, what killed processes left behind, and what has come of
    /// packages whose transfer was cut off.
    pub fn prune(&self) -> Result<Freed, StoreError> {
        let _guard = self.alone()?;
        let mut freed = self.collect()?;
        for size in incoming::discard(&self.partial())? {
            freed.blobs += 1;
            freed.bytes += size;
        }
        Ok(freed)
    }

    /// All names, sorted.
    pub fn images(&self) -> Result<Vec<Image>, StoreError> {
        names::all(&self.names())?
            .into_iter()
            .map(|named| self.sized(named))
            .collect()
    }

    /// Opens the package that `reference` means.
    pub fn package(
        &self,
        reference: &Reference,
        limits: &ReadLimits,
    ) -> Result<Package, StoreError> {
        let digest = self.digest_of(reference)?;
        let name = match reference {
            Reference::Name(name) => Some(name.to_string()),
            Reference::Digest(_) | Reference::Pinned(..) => None,
        };
        Ok(Package::open_blobs(&self.root, digest, name, limits)?)
    }

    /// Is there a package of that name?
    pub fn contains(&self, reference: &Reference) -> Result<bool, StoreError> {
        match self.digest_of(reference) {
            Ok(_) => Ok(true),
            Err(StoreError::Unknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the store takes.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let _guard = self.shared()?;
        let named = names::all(&self.names())?;
        let needed = self.needed(&named)?;
        let mut usage = Usage {
            names: named.len(),
            packages: named
                .iter()
                .map(|named| named.digest)
                .collect::<BTreeSet<_>>()
                .len(),
            ..Usage::default()
        };
        for (path, size) in self.files()? {
            usage.bytes += size;
            if !needed.contains(&path) {
                usage.reclaimable += size;
            }
        }
        let partial = incoming::size(&self.partial())?;
        usage.bytes += partial;
        usage.reclaimable += partial;
        Ok(usage)
    }

    /// Reads every blob that a name needs and compares its digest.
    pub fn verify(&self) -> Result<(), StoreError> {
        let _guard = self.shared()?;
        for named in names::all(&self.names())? {
            self.opened(named.digest)?.verify()?;
        }
        Ok(())
    }

    fn opened(&self, digest: Digest) -> Result<Package, StoreError> {
        let limits = ReadLimits::default();
        Ok(Package::open_blobs(&self.root, digest, None, &limits)?)
    }

    fn put_blob(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob(&digest);
        // A rename is the last thing that happens to a blob: what has its name is whole.
        match path.is_file() {
            true => Ok(()),
            false => {
                names::replace(&path, bytes).map_err(|reason| StoreError::write(&path, reason))
            }
        }
    }

    /// Removes the blobs that no name needs. Call with the lock held alone.
    fn collect(&self) -> Result<Freed, StoreError> {
        let named = names::all(&self.names())?;
        let needed = self.needed(&named)?;
        let mut freed = Freed::default();
        // Signatures are part of nothing and go first: they are about a package that may go next.
        let signed: BTreeSet<PathBuf> = named
            .iter()
            .map(|named| self.signature(named.digest))
            .collect();
        let folder = self.signatures();
        for entry in fs::read_dir(&folder).map_err(|reason| StoreError::read(&folder, reason))? {
            let path = entry
                .map_err(|reason| StoreError::read(&folder, reason))?
                .path();
            if !signed.contains(&path) {
                fs::remove_file(&path).map_err(|reason| StoreError::write(&path, reason))?;
            }
        }
        for (path, size) in self.files()? {
            if !needed.contains(&path) {
                fs::remove_file(&path).map_err(|reason| StoreError::write(&path, reason))?;
                freed.blobs += 1;
                freed.bytes += size;
            }
        }
        Ok(freed)
    }

    /// The files of all blobs that names need. A package that cannot be opened is an error: on doubt
    /// nothing is removed.
    fn needed(&self, named: &[Named]) -> Result<BTreeSet<PathBuf>, StoreError> {
        let digests: BTreeSet<Digest> = named.iter().map(|named| named.digest).collect();
        let mut needed = BTreeSet::new();
        for digest in digests {
            let blobs = self.opened(digest)?.blobs();
            needed.extend(blobs.iter().map(|blob| self.blob(&blob.digest)));
        }
        Ok(needed)
    }

    /// All files among the blobs, half-written ones included, with their sizes.
    fn files(&self) -> Result<BTreeMap<PathBuf, u64>, StoreError> {
        let folder = self.blobs();
        let read = |reason| StoreError::read(&folder, reason);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            files.insert(entry.path(), entry.metadata().map_err(read)?.len());
        }
        Ok(files)
    }

    fn digest_of(&self, reference: &Reference) -> Result<Digest, StoreError> {
        match reference {
            Reference::Name(name) => Ok(self.named(name)?.digest),
            Reference::Pinned(name, digest) => {
                let named = names::all(&self.names())?;
                match named.iter().any(|named| named.digest == *digest) {
                    true => Ok(*digest),
                    false => Err(StoreError::Unknown(format!(
                        "{}@{digest}",
                        name.repository()
                    ))),
                }
            }
            Reference::Digest(digits) => {
                let named = names::all(&self.names())?;
                let found: BTreeSet<Digest> = named
                    .iter()
                    .map(|named| named.digest)
                    .filter(|digest| digest.hex().starts_with(digits))
                    .collect();
                match found.into_iter().collect::<Vec<_>>()[..] {
                    [] => Err(StoreError::Unknown(format!("sha256:{digits}"))),
                    [digest] => Ok(digest),
                    _ => Err(StoreError::Ambiguous(digits.clone())),
                }
            }
        }
    }

    fn named(&self, name: &ImageName) -> Result<Named, StoreError> {
        names::read(&names::path(&self.names(), name))?
            .ok_or_else(|| StoreError::Unknown(name.to_string()))
    }

    fn image(&self, name: &ImageName) -> Result<Image, StoreError> {
        self.sized(self.named(name)?)
    }

    fn sized(&self, named: Named) -> Result<Image, StoreError> {
        let Named {
            name,
            digest,
            since,
        } = named;
        let size = self
            .opened(digest)?
            .blobs()
            .iter()
            .map(|blob| blob.size)
            .sum();
        Ok(Image {
            name,
            digest,
            since,
            size,
        })
    }

    fn shared(&self) -> Result<Guard, StoreError> {
        self.lock(File::lock_shared)
    }

    fn alone(&self) -> Result<Guard, StoreError> {
        self.lock(File::lock)
    }

    fn lock(&self, take: impl Fn(&File) -> io::Result<()>) -> Result<Guard, StoreError> {
        let path = self.root.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        file.and_then(|file| take(&file).map(|()| Guard(file)))
            .map_err(|reason| StoreError::write(&path, reason))
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn signatures(&self) -> PathBuf {
        self.root.join("signatures")
    }

    fn signature(&self, digest: Digest) -> PathBuf {
        self.signatures().join(format!("{}.json", digest.hex()))
    }

    fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }

    fn names(&self) -> PathBuf {
        self.root.join("names")
    }
}
