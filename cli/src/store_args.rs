//! The command line of the verbs about packages that are kept.

use crate::args::ReportFormat;
use crate::units::ByteSize;
use crate::volume_name::VolumeName;
use clap::{Args, Subcommand};
use pywasm_format::ImageName;
use pywasm_store::Reference;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Print digests only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to say it
    #[arg(long, value_name = "text|json", default_value = "text")]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RmiArgs {
    /// Names, or digests for all names of a package
    #[arg(required = true, value_name = "NAME[:TAG]|DIGEST")]
    pub references: Vec<Reference>,
    /// Say nothing about names that are not there
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct TagArgs {
    /// The package
    #[arg(value_name = "NAME[:TAG]|DIGEST")]
    pub source: Reference,
    /// Its further name
    #[arg(value_name = "NEW[:TAG]")]
    pub name: ImageName,
}

#[derive(Debug, Args)]
pub struct SaveArgs {
    /// The package
    #[arg(value_name = "NAME[:TAG]|DIGEST")]
    pub reference: Reference,
    /// File to write: FILE.tar is an OCI archive for other tools, any other name a package file
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// File to read: FILE.tar is an OCI archive, any other name a package file
    #[arg(short, long, value_name = "FILE")]
    pub input: PathBuf,
    /// Name to give it [default: the one recorded in it]
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub tag: Option<ImageName>,
}

#[derive(Debug, Args)]
pub struct PackageArg {
    /// Name, digest or package file
    #[arg(value_name = "NAME[:TAG]|DIGEST|FILE")]
    pub package: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// List what is in the cache, what was used last first
    Ls,
    /// Remove what is not in use, or only what was not used for longest
    Prune(CachePruneArgs),
}

#[derive(Debug, Args)]
pub struct CachePruneArgs {
    /// Leave this much of what was used last, such as 2g
    #[arg(long, value_name = "SIZE")]
    pub keep: Option<ByteSize>,
}

#[derive(Debug, Subcommand)]
pub enum SystemVerb {
    /// Show what the kept packages and the caches take
    Df,
    /// Remove what no package needs
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Remove the caches too: they are filled again when they are needed
    #[arg(short, long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum VolumeVerb {
    /// List the volumes
    Ls(VolumeLsArgs),
    /// Remove volumes with all that is in them
    Rm(VolumeRmArgs),
}

#[derive(Debug, Args)]
pub struct VolumeLsArgs {
    /// Print names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct VolumeRmArgs {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<VolumeName>,
    /// Say nothing about volumes that are not there
    #[arg(short, long)]
    pub force: bool,
}
