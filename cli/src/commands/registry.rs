//! `pywasm pull` and `push`: packages from and to registries.

use super::pack::bytes;
use crate::environment::Environment;
use crate::printer::{self, Bars};
use crate::registry_args::{PullArgs, PushArgs, ServerArgs};
use pywasm::{Package, ReadLimits};
use pywasm_format::Blob;
use pywasm_registry::{Client, Event, Progress, Purpose, RegistryHost, RemoteName, pull, push};
use pywasm_store::{Image, Reference};
use std::path::Path;
use std::process::ExitCode;

/// How often a request is tried again.
const RETRIES: u32 = 5;

/// Whether transfers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Yes,
    No,
}

impl Shown {
    fn unless(quiet: bool) -> Self {
        match quiet {
            true => Self::No,
            false => Self::Yes,
        }
    }
}

pub fn pull_verb(args: PullArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PullArgs {
        name,
        quiet,
        server,
    } = args;
    let image = fetched(&name, &server, Shown::unless(quiet), environment)?;
    super::warm::warm(Path::new(&image.name.to_string()), environment);
    printer::result(&format!("{}  {}", image.name, image.digest));
    Ok(ExitCode::SUCCESS)
}

/// Fetches a package and keeps it by its name.
pub fn fetched(
    name: &RemoteName,
    server: &ServerArgs,
    shown: Shown,
    environment: &Environment,
) -> anyhow::Result<Image> {
    let client = client(name.host(), Purpose::Pull, server, environment)?;
    let transfer = Transfer::new("fetched", shown);
    Ok(pull(&client, name, &environment.store()?, &transfer)?)
}

pub fn push_verb(args: PushArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PushArgs {
        name,
        quiet,
        server,
    } = args;
    let remote = RemoteName::try_from(name.clone())?;
    let store = environment.store()?;
    let package: Package = store.package(&Reference::Name(name.clone()), &ReadLimits::default())?;
    let client = client(remote.host(), Purpose::Push, &server, environment)?;
    push(
        &client,
        &package,
        &store.signatures_of(package.digest())?,
        &name,
        &Transfer::new("sent", Shown::unless(quiet)),
    )?;
    printer::result(&format!("{name}  {}", package.digest()));
    Ok(ExitCode::SUCCESS)
}

fn client(
    host: &RegistryHost,
    purpose: Purpose,
    server: &ServerArgs,
    environment: &Environment,
) -> anyhow::Result<Client> {
    let login = environment.registry_credentials()?.get(host)?;
    Ok(Client::new(
        host.clone(),
        login,
        purpose,
        &environment.connection(),
        server.transport(),
        RETRIES,
    )?)
}

/// Shows each part: a bar on a terminal, a line in a log when it has come.
struct Transfer {
    verb: &'static str,
    bars: Option<Bars>,
}

impl Transfer {
    fn new(verb: &'static str, shown: Shown) -> Self {
        Self {
            verb,
            bars: (shown == Shown::Yes).then(Bars::new),
        }
    }
}

impl Progress for Transfer {
    fn event(&self, what: &str, blob: &Blob, event: Event) {
        let Some(bars) = &self.bars else { return };
        match event {
            Event::At(at) => bars.at(what, at, blob.size),
            Event::Present => bars.end(what, &format!("{what} is there already")),
            Event::Done => bars.end(
                what,
                &format!("{what} {} ({})", self.verb, bytes(blob.size)),
            ),
        }
    }
}
