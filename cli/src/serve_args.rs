//! The command line of `pywasm serve`.

use crate::args::RunArgs;
use crate::units::{ByteSize, Span, address, number, request_path};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The WSGI app: a module and an object in it, or `MODULE:FACTORY()` [default: that of the package's own command]
    #[arg(long, value_name = "MODULE:APP")]
    pub wsgi: Option<String>,
    /// The ASGI app, in the same way
    #[arg(long, value_name = "MODULE:APP", conflicts_with = "wsgi")]
    pub asgi: Option<String>,
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8000", value_parser = address)]
    pub bind: SocketAddr,
    /// Encrypt connections: the certificate in PEM format, with those that vouch for it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM format
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve the files of a folder of this machine below a path; the app answers what is not there
    #[arg(long = "static", value_name = "PATH=FOLDER", value_parser = parse_static)]
    pub statics: Vec<StaticArg>,
    /// Compress responses for clients that take it
    #[arg(long)]
    pub gzip: bool,
    /// Where to answer /health and /metrics (Prometheus); nowhere unless given
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub admin: Option<SocketAddr>,
    /// Write a line of JSON for each response to a file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
    /// How long an instance of the app lives: as long as its worker, or for one request, so that no request can leave
    /// anything behind for another
    #[arg(
        long,
        value_name = "worker|request",
        default_value = "worker",
        hide_possible_values = true
    )]
    pub isolate: Isolate,
    /// With --isolate request: have the app answer this path before instances begin with its memory, so that it is as fast
    /// as one that has run for a while; what it keeps of that, all requests find
    #[arg(long, value_name = "PATH", value_parser = request_path)]
    pub warm: Vec<String>,
    /// Requests that one worker serves at the same time [default: 8, with --asgi 1000]
    #[arg(long, value_name = "NUMBER", value_parser = number("requests", NonZeroU16::MIN..=NonZeroU16::MAX))]
    pub concurrency: Option<NonZeroU16>,
    /// Most connections of clients at once [default: 1024]
    #[arg(long, value_name = "NUMBER", value_parser = number("connections", NonZeroU16::MIN..=NonZeroU16::MAX))]
    pub max_connections: Option<NonZeroU16>,
    /// Most bytes of a request's body, such as 10m [default: 100m]
    #[arg(long, value_name = "SIZE")]
    pub max_body: Option<ByteSize>,
    /// Most bytes of a message of a WebSocket, either way [default: 1m]
    #[arg(long, value_name = "SIZE")]
    pub max_message: Option<ByteSize>,
    /// How long the app may take to begin its response [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub request_timeout: Option<Span>,
    /// Write the memory of an instance that has imported the app to standard input, a file, for the process with this
    /// number, which started this one and serves
    #[arg(long, hide = true, value_name = "PID")]
    pub template: Option<u32>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// How long an instance of the app lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolate {
    Worker,
    Request,
}

/// `--static PATH=FOLDER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticArg {
    pub prefix: String,
    pub folder: PathBuf,
}

fn parse_static(text: &str) -> Result<StaticArg, String> {
    match text.split_once('=') {
        Some((prefix, folder)) if prefix.starts_with('/') && !folder.is_empty() => Ok(StaticArg {
            prefix: prefix.to_owned(),
            folder: folder.into(),
        }),
        _ => Err("write a path of requests and a folder, such as /assets=./public".to_owned()),
    }
}
