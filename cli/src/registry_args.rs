//! The command line of the verbs about registries.

use clap::{Args, ValueEnum};
use pywasm_format::ImageName;
use pywasm_registry::{RegistryHost, RemoteName, Transport};

// How registries are reached.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Speak HTTP without TLS, also to other machines than this one
    #[arg(long)]
    pub plain_http: bool,
    /// Speak TLS, also to this machine
    #[arg(long, conflicts_with = "plain_http")]
    pub tls: bool,
}

impl ServerArgs {
    pub fn transport(&self) -> Transport {
        match (self.plain_http, self.tls) {
            (true, _) => Transport::PlainHttp,
            (_, true) => Transport::Tls,
            _ => Transport::Usual,
        }
    }
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// The package, on a registry
    #[arg(value_name = "HOST/NAME[:TAG][@DIGEST]")]
    pub name: RemoteName,
    /// Print nothing but its name and errors
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// The kept package, by a name that says where it goes
    #[arg(value_name = "HOST/NAME[:TAG]")]
    pub name: ImageName,
    /// Print nothing but its digest and errors
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The registry
    #[arg(value_name = "HOST[:PORT]")]
    pub host: RegistryHost,
    /// Who you are there
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Read the password, or a token in its place, from standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Refused: what stands on a command line can be read by everybody on the machine
    #[arg(short, long, value_name = "PASSWORD", hide = true)]
    pub password: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The registry
    #[arg(value_name = "HOST[:PORT]")]
    pub host: RegistryHost,
}

/// When `run` asks a registry for the package that a name means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PullArg {
    /// If no package is kept by that name.
    #[default]
    Missing,
    /// Each time, for the newest that the name stands for.
    Always,
    /// Not at all.
    Never,
}
