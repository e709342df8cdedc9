//! `pull` and `push`.

use crate::client::Client;
use crate::{At, Event, Progress, RegistryError, RemoteName, blobs, manifests, signatures};
use pywasm_format::{Blob, ImageName, Listing, Package, ReadLimits, RemoteDocument, check_config};
use pywasm_signature::Signatures;
use pywasm_store::{Image, Store};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blobs at a time: enough to fill a line, few enough not to be a flood.
const AT_ONCE: usize = 3;
/// How often a package is fetched again because somebody removed a part of it meanwhile.
const ROUNDS: usize = 3;

/// Fetches a package and its signatures, and gives it its name in the store. Whatever goes wrong, a name
/// stands for a whole package.
pub fn pull(
    client: &Client,
    name: &RemoteName,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Image, RegistryError> {
    let repository = name.repository();
    let (manifest, listing) = manifest(client, name, &repository)?;
    let local = name.local()?;
    let mut rounds = 0;
    loop {
        fetch_all(client, name, &repository, &listing, store, progress)?;
        match store.admit(&manifest, &local) {
            Ok(image) => {
                let found = signatures::fetch(client, name, image.digest)?;
                store.attach(image.digest, &found)?;
                return Ok(image);
            }
            Err(_) if rounds < ROUNDS && !all_held(store, &listing) => rounds += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The manifest of the package; through a list of images where the name stands for one.
fn manifest(
    client: &Client,
    name: &RemoteName,
    repository: &str,
) -> Result<(Vec<u8>, Listing), RegistryError> {
    let shown = name.to_string();
    let bytes = manifests::get(client, repository, name.at())?;
    match RemoteDocument::parse(&shown, &bytes)? {
        RemoteDocument::Manifest(listing) => Ok((bytes, listing)),
        RemoteDocument::Index(blob) => {
            let bytes = manifests::get(client, repository, &At::Digest(blob.digest))?;
            match RemoteDocument::parse(&shown, &bytes)? {
                RemoteDocument::Manifest(listing) => Ok((bytes, listing)),
                RemoteDocument::Index(_) => Err(RegistryError::malformed(
                    &client.url(repository)?,
                    "the manifest of a package",
                    "it is a list in a list",
                )),
            }
        }
    }
}

fn fetch_all(
    client: &Client,
    name: &RemoteName,
    repository: &str,
    listing: &Listing,
    store: &Store,
    progress: &dyn Progress,
) -> Result<(), RegistryError> {
    let limits = ReadLimits::default();
    // The config first: it tells before the large parts come whether they are of any use.
    let config = &listing.config;
    within(client, config, limits.json)?;
    fetch_one(client, repository, "config", config, store, progress)?;
    check_config(&name.to_string(), &store.small(config)?)?;
    for (_, layer) in &listing.layers {
        within(client, layer, limits.layer)?;
    }
    each(&listing.layers, |(kind, layer)| {
        fetch_one(
            client,
            repository,
            &kind.to_string(),
            layer,
            store,
            progress,
        )
    })
}

fn fetch_one(
    client: &Client,
    repository: &str,
    what: &str,
    blob: &Blob,
    store: &Store,
    progress: &dyn Progress,
) -> Result<(), RegistryError> {
    let Some(incoming) = store.incoming(*blob)? else {
        progress.event(what, blob, Event::Present);
        return Ok(());
    };
    blobs::fetch(client, repository, blob, incoming, |bytes| {
        progress.event(what, blob, Event::At(bytes));
    })?;
    progress.event(what, blob, Event::Done);
    Ok(())
}

fn within(client: &Client, blob: &Blob, limit: u64) -> Result<(), RegistryError> {
    match blob.size <= limit {
        true => Ok(()),
        false => Err(RegistryError::TooLarge {
            host: client.host().to_string(),
            digest: blob.digest,
            size: blob.size,
            limit,
        }),
    }
}

fn all_held(store: &Store, listing: &Listing) -> bool {
    let layers = listing.layers.iter().map(|(_, layer)| layer);
    layers
        .chain([&listing.config])
        .all(|blob| store.holds(&blob.digest))
}

/// Sends a package and lets its name stand for it on the registry. The name changes last, so whoever
/// reads it meanwhile gets the old package or the new one.
pub fn push(
    client: &Client,
    package: &Package,
    attached: &Signatures,
    name: &ImageName,
    progress: &dyn Progress,
) -> Result<RemoteName, RegistryError> {
    let remote = RemoteName::try_from(name.clone())?;
    let repository = remote.repository();
    let [manifest, config, layers @ ..] = &package.blobs()[..] else {
        unreachable!("a package has a manifest and a config");
    };
    let mut parts: Vec<(String, Blob)> = vec![("config".to_owned(), *config)];
    let kinds = package
        .layers()
        .iter()
        .map(|layer| layer.kind().to_string());
    parts.extend(kinds.zip(layers.iter().copied()));
    each(&parts, |(what, blob)| {
        if blobs::exists(client, &repository, blob)? {
            progress.event(what, blob, Event::Present);
            return Ok(());
        }
        let open = || Ok(package.open_blob(*blob)?);
        blobs::send(client, &repository, blob, open, |bytes| {
            progress.event(what, blob, Event::At(bytes));
        })?;
        progress.event(what, blob, Event::Done);
        Ok(())
    })?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut package.open_blob(*manifest)?, &mut bytes).map_err(
        |reason| RegistryError::Read {
            digest: manifest.digest,
            reason,
        },
    )?;
    // Signatures first: whoever demands them finds them as soon as the name is there.
    if !attached.is_empty() {
        signatures::send(client, &remote, package.digest(), attached)?;
    }
    manifests::put(client, &repository, &remote.at().reference(), &bytes)?;
    Ok(remote)
}

/// Does `work` for each of the items, some at a time. The first error ends it all.
fn each<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), RegistryError> + Sync,
) -> Result<(), RegistryError> {
    let next = Mutex::new(items.iter());
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = item else { return };
                    if let Err(error) = work(item) {
                        stop.store(true, Ordering::Relaxed);
                        failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
