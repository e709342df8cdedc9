//! `pywasm key`, `sign` and `verify`: who made a package.

use super::target::{self, Place};
use crate::environment::Environment;
use crate::given_file;
use crate::printer;
use crate::signature_args::{KeyArgs, SignArgs, VerifyArgs};
use anyhow::{Context, anyhow, ensure};
use pywasm::Package;
use pywasm_signature::{Claim, Signature, Signatures, SigningKey, VerifyingKey};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn key(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let (private, public) = (
        with_suffix(&args.name, "key"),
        with_suffix(&args.name, "pub"),
    );
    ensure!(
        public.symlink_metadata().is_err(),
        "{} is there already; take another name, or remove it if nobody needs that key",
        public.display()
    );
    let pem = SigningKey::generate()?;
    let others = SigningKey::from_pem(&pem)?.verifying_key().to_pem();
    // Readable by its owner only from the first moment on, and never over another key.
    for (path, mode, text) in [(&private, 0o600, &pem), (&public, 0o666, &others)] {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    printer::note(&format!(
        "{} is secret and not encrypted: keep it where only you can read it",
        private.display()
    ));
    printer::result(&format!("{}\n{}", private.display(), public.display()));
    Ok(ExitCode::SUCCESS)
}

pub fn sign(args: &SignArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let SignArgs { key, package: at } = args;
    let pem = given_file::text("--key", key)?;
    let key = SigningKey::from_pem(&pem)
        .with_context(|| format!("cannot sign with {}", key.display()))?;
    let package = target::package(at, environment)?;
    package.verify()?;
    let place = target::place(at);
    let repository = match &place {
        Place::Named(reference) => reference.repository().map(str::to_owned),
        Place::File => package.name().map(str::to_owned),
    };
    let signature = Signature::sign(&key, &repository.unwrap_or_default(), package.digest())?;
    let mut signatures = Signatures::default();
    if place == Place::File {
        signatures = beside(at)?;
    }
    signatures.add(signature)?;
    match place {
        Place::Named(_) => environment.store()?.attach(package.digest(), &signatures)?,
        Place::File => {
            let path = signature_file(at);
            std::fs::write(&path, signatures.to_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    printer::result(&format!("signed {}", package.digest()));
    Ok(ExitCode::SUCCESS)
}

pub fn verify(args: &VerifyArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let VerifyArgs { key, package: at } = args;
    let package = target::package(at, environment)?;
    package.verify()?;
    let Claim { repository } = signed(&package, at, ("--key", key), environment)?;
    printer::result(&match repository.is_empty() {
        true => format!("{} is signed", package.digest()),
        false => format!("{} is signed as {repository}", package.digest()),
    });
    Ok(ExitCode::SUCCESS)
}

/// The package at `at` is signed by one of these keys, which were given after `flag`, or it is an error.
pub fn signed(
    package: &Package,
    at: &Path,
    (flag, keys): (&str, &[PathBuf]),
    environment: &Environment,
) -> anyhow::Result<Claim> {
    let keys = keys.iter().map(|path| {
        VerifyingKey::from_pem(&given_file::text(flag, path)?)
            .with_context(|| format!("{} is no key to verify with", path.display()))
    });
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let signatures = match target::place(at) {
        Place::Named(_) => environment.store()?.signatures_of(package.digest())?,
        Place::File => beside(at)?,
    };
    signatures
        .verify(&keys, package.digest())
        .map_err(|mismatch| anyhow!("{mismatch}"))
        .with_context(|| format!("{} is not trusted", at.display()))
}

/// The signatures of a package file lie beside it.
fn beside(file: &Path) -> anyhow::Result<Signatures> {
    let path = signature_file(file);
    if !path.exists() {
        return Ok(Signatures::default());
    }
    let bytes = given_file::bytes("the signatures of the package", &path)?;
    Signatures::parse(&bytes).with_context(|| {
        format!(
            "{} is damaged; remove it, and sign the package again",
            path.display()
        )
    })
}

fn signature_file(package: &Path) -> PathBuf {
    with_suffix(package, "sig")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
