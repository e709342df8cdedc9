//! `pywasm serve`: a WSGI or ASGI app in workers behind the HTTP front.

use super::run::{Asked, Needs, Role, refuse_unmet};
use super::serve_target::Target;
use crate::denials::{Log, News};
use crate::environment::Environment;
use crate::given_file;
use crate::printer;
use crate::serve_args::{Isolate, ServeArgs};
use crate::workers::control::Boss;
use crate::workers::{self, Face, Interrupts, Plan, WorkerId};
use crate::{seal, template};
use anyhow::Context;
use pywasm::net::SharedPorts;
use pywasm::policy::{Policy, PortMap, Unmet};
use pywasm::{AppConfig, Command, Modules};
use pywasm_front::{
    Front, GATEWAY_FOLDER, GUEST_PORT, Interface, LOADED_AHEAD, Life, Limits, Records, Running,
    START, Settings, Static, Tls,
};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

pub fn serve(args: ServeArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let ServeArgs {
        wsgi,
        asgi,
        bind,
        tls_cert,
        tls_key,
        statics,
        gzip,
        admin,
        access_log,
        isolate,
        warm,
        concurrency,
        max_connections,
        max_body,
        max_message,
        request_timeout,
        template,
        mut run,
    } = args;
    anyhow::ensure!(
        warm.is_empty() || isolate == Isolate::Request,
        "--warm is for the memory that instances begin with, so it needs --isolate request; what a package's snapshot \
         is to have imported is for `pywasm pack --warm`"
    );
    if template.is_some() {
        run.with_parent = template;
    }
    let count = run.workers.unwrap_or(NonZeroU16::MIN);
    let asked = Asked::of(run, environment)?;
    let policy = asked.policy(environment)?;
    if asked.needs == Needs::MustBeMet {
        refuse_unmet(&policy, asked.package.config(), |need| {
            // The front is what is reached from outside.
            !matches!(need, Unmet::Port(_))
        })?;
    }
    let target = match (wsgi, asgi) {
        (Some(app), _) => Target::new(Interface::Wsgi, app),
        (None, Some(app)) => Target::new(Interface::Asgi, app),
        (None, None) => Target::of_package(asked.package.config())?,
    };
    let life = match isolate {
        Isolate::Worker => Life::Worker,
        Isolate::Request => Life::Request,
    };
    let concurrency = concurrency.map_or_else(
        || at_once(target.interface, life),
        |number| usize::from(number.get()),
    );
    let own = policy.clone().publish(front_port()?);
    if let Role::Worker(id) = asked.role {
        let command = |config: &AppConfig| {
            let args = ["-c", START, &target.app, &id.to_string(), life.name()];
            Ok(Command::python(args, config.working_dir.clone()))
        };
        let gateway = Modules {
            folder: GATEWAY_FOLDER.parse()?,
            files: &target.interface.gateway(),
        };
        if template.is_some() {
            // It takes no requests, and others have the ports.
            let policy = policy.published_at(SharedPorts::bind(&Policy::none())?);
            let policy = template::policy(&policy, &target.app, &warm);
            return asked.write_template(LOADED_AHEAD, &policy, environment, &gateway, command);
        }
        let (boss, sockets) = Boss::of_stdin(own.ports().len())?;
        let ports = SharedPorts::adopt(&own, sockets)?;
        let policy = own.published_at(ports);
        return match life {
            Life::Worker => asked.run(&policy, Some(boss), environment, Some(&gateway), command),
            Life::Request => {
                asked.run_many(&policy, boss, environment, &gateway, concurrency, command)
            }
        };
    }
    // Nobody else may connect to the workers, so the folder is private.
    let folder = tempfile::tempdir().context("cannot make a folder for the workers' socket")?;
    let socket = folder.path().join("workers");
    let listener = UnixListener::bind(&socket).context("cannot make the workers' socket")?;
    let plan = Plan {
        verb: "serve",
        count,
        granted: seal::needed(&policy, &asked.grants, environment)?,
        arguments: environment.arguments.clone(),
        packing: asked.packing,
        ports: SharedPorts::bind(&policy)?.and(front_port()?, listener.into())?,
        stop_timeout: asked.grants.stop_timeout(),
        time_limit: asked.grants.timeout.map(|span| span.0),
        interrupts: Interrupts::EndWorkers,
    };
    let defaults = Limits::default();
    let limits = Limits {
        connections: max_connections
            .map_or(defaults.connections, |number| usize::from(number.get())),
        body: max_body.map_or(defaults.body, |size| size.0),
        message: max_message.map_or(defaults.message, |size| {
            usize::try_from(size.0).unwrap_or(usize::MAX)
        }),
        answer: request_timeout.map_or(defaults.answer, |span| span.0),
        ..defaults
    };
    let statics = statics
        .iter()
        .map(|folder| Static::new(&folder.prefix, &folder.folder));
    let front = Front::new(Settings {
        workers: socket,
        at_once: usize::from(count.get()) * concurrency,
        interface: target.interface,
        life,
        limits,
        records: access_log.as_deref().map(records).transpose()?,
        statics: statics.collect::<Result<_, _>>()?,
        gzip,
        tls: match (tls_cert, tls_key) {
            (Some(certificate), Some(key)) => Some(tls(&certificate, &key)?),
            _ => None,
        },
    });
    let scheme = match front.is_encrypted() {
        true => "https",
        false => "http",
    };
    let log = Log::begin(environment);
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = reactor.block_on(async {
        let listener = listen(bind)?;
        let address = listener.local_addr()?;
        if let Some(admin) = admin {
            let listener = listen(admin)?;
            printer::note(&format!(
                "health and metrics are at http://{}",
                listener.local_addr()?
            ));
            front.administer(listener);
        }
        let mut served = Served {
            running: Some(front.serve(listener)),
            front,
            log,
            url: format!("{scheme}://{address}"),
            told: Cell::new(false),
        };
        workers::run(plan, &mut served).await
    })?;
    Ok(ExitCode::from(code))
}

/// The private port of the workers. It stands for a socket that has no address of the host's network.
fn front_port() -> anyhow::Result<PortMap> {
    let guest = NonZeroU16::new(GUEST_PORT).context("the front's port is 0")?;
    Ok(PortMap::new((Ipv4Addr::LOCALHOST, 0).into(), guest))
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listening = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // Connections of a former run may linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().with_context(|| {
        format!("cannot listen at {address}; give another address with --bind or --admin")
    })
}

/// How many requests one worker serves at the same time unless somebody says so.
fn at_once(interface: Interface, life: Life) -> usize {
    match (interface, life) {
        (Interface::Wsgi, _) | (_, Life::Request) => 8,
        (Interface::Asgi, Life::Worker) => 1000,
    }
}

fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Tls> {
    let tls = Tls::new(
        &given_file::bytes("--tls-cert", certificate)?,
        &given_file::bytes("--tls-key", key)?,
    );
    tls.with_context(|| {
        format!(
            "cannot serve with the certificate `{}` and the key `{}`",
            certificate.display(),
            key.display()
        )
    })
}

/// Writes each record as a line of JSON.
fn records(path: &Path) -> anyhow::Result<Records> {
    let file: Box<dyn Write + Send> = match path == Path::new("-") {
        true => Box::new(io::stdout()),
        false => {
            let file = File::options().append(true).create(true).open(path);
            Box::new(file.with_context(|| format!("cannot write to `{}`", path.display()))?)
        }
    };
    let file = Mutex::new(file);
    Ok(Records::new(move |record| {
        let Ok(mut line) = serde_json::to_vec(record) else {
            return;
        };
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the service.
        let _ = file.write_all(&line);
    }))
}

/// Workers as the front and the person see them.
struct Served {
    front: Front,
    running: Option<Running>,
    log: Log,
    url: String,
    told: Cell<bool>,
}

impl Face for Served {
    fn hear(&self, news: &News) {
        match news {
            News::Listening { port, .. } if *port == GUEST_PORT => {}
            _ => self.log.hear(news),
        }
    }

    fn ready(&self, count: usize) {
        self.front.set_workers(count);
        if count > 0 && !self.told.replace(true) {
            printer::note(&format!("serving at {}", self.url));
        }
    }

    fn forget(&self, worker: WorkerId) {
        self.front.forget(pywasm_front::WorkerId(worker));
    }

    fn failed(&self) {
        self.front.metrics().worker_ended();
    }

    async fn drain(&mut self) {
        if let Some(running) = self.running.take() {
            running.end().await;
        }
    }
}
