//! The command line of the verbs about signatures.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Files to write: NAME.key to sign with, NAME.pub for all others
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The key to sign with, as `pywasm key` or OpenSSL makes it (ECDSA on P-256, PKCS #8)
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Name, digest or package file
    #[arg(value_name = "NAME[:TAG]|DIGEST|FILE")]
    pub package: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Public key that is trusted; more than one: by any of them
    #[arg(long, required = true, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Name, digest or package file
    #[arg(value_name = "NAME[:TAG]|DIGEST|FILE")]
    pub package: PathBuf,
}
