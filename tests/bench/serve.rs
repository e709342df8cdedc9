//! Requests a second of hello-world apps, served in several ways, in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli --bench serve` (`-- --write` for the table and the plot in docs/speed.md, `-- NAME` for
//! those whose name holds it, `-- --million` for a million requests through the front, none of which may fail)
//!
//! Needs a `python3` with `venv` and a package index. Clients keep their connection as long as the server does.
//! Servers, apps and clients share the machine's processors. Figures are medians; read the ratios.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::http::{Load, load, load_of};
use support::report::{Plot, is_to_be_written, write};
use support::{Server, app, median, native_python, package, pywasm, run_at, work_folder};

const ROUNDS: usize = 5;
const LOAD: Duration = Duration::from_secs(2);
const CLIENTS: [usize; 3] = [1, 8, 64];

struct Contender {
    name: &'static str,
    serve: Box<dyn Fn(u16) -> Command>,
}

fn main() {
    if std::env::args().any(|word| word == "--million") {
        return million(&work_folder());
    }
    let mut contenders = contenders(&work_folder());
    if let Some(name) = std::env::args().skip(1).find(|word| !word.starts_with('-')) {
        contenders.retain(|contender| contender.name.contains(&name));
    }
    let mut figures = vec![[const { Vec::new() }; CLIENTS.len()]; contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let server = Server::start(&contender.serve);
            server.first_response();
            // Further workers start when the first one is there.
            std::thread::sleep(Duration::from_secs(1));
            for (clients, figures) in CLIENTS.into_iter().zip(figures) {
                figures.push(load(server.address, clients, LOAD));
            }
        }
    }
    let mut table = "| requests/s, medians (p99 in ms) | 1 client | 8 clients | 64 clients |\n|---|---|---|---|\n".to_owned();
    let mut series = Vec::new();
    for (contender, figures) in contenders.iter().zip(figures) {
        let of =
            |figures: &[Load], which: fn(&Load) -> f64| median(figures.iter().map(which).collect());
        let _ = write!(table, "| {} |", contender.name);
        for figures in &figures {
            let (rate, p99) = (of(figures, |load| load.rate), of(figures, |load| load.p99));
            let _ = write!(table, " {rate:.0} ({p99:.1}) |");
        }
        table.push('\n');
        let rates = figures.iter().map(|figures| of(figures, |load| load.rate));
        series.push((contender.name, rates.collect()));
    }
    println!("{table}");
    if is_to_be_written() {
        let groups = CLIENTS.map(|clients| match clients {
            1 => "1 client".to_owned(),
            more => format!("{more} clients"),
        });
        let plot = Plot {
            title: "Requests a second, hello world",
            groups: &groups,
            series,
        };
        write("serve", &table, &plot);
    }
}

/// Many requests, every one of which must be answered as it should be.
fn million(work: &Path) {
    let server = Server::start(front(&package(work, "flask"), WSGI));
    server.first_response();
    let Load { rate, median, p99 } = load_of(server.address, 64, 1_000_000);
    println!(
        "1,000,000 requests by 64 clients, all answered: {rate:.0} a second; half within {median:.1} ms, 99 % within {p99:.1} ms"
    );
}

const WSGI: &[&str] = &["--wsgi", "app:app"];

/// `pywasm serve` with these flags.
fn front(package: &Path, flags: &'static [&'static str]) -> Box<dyn Fn(u16) -> Command> {
    let package = package.to_owned();
    Box::new(move |port: u16| {
        let mut command = pywasm();
        command
            .args(["serve", "--bind", &format!("127.0.0.1:{port}")])
            .args(flags)
            .arg(&package);
        command
    })
}

fn contenders(work: &Path) -> Vec<Contender> {
    let flask = package(work, "flask");
    let starlette = package(work, "starlette");
    let packages = [
        "flask",
        "granian",
        "gunicorn",
        "httptools",
        "starlette",
        "uvicorn",
    ];
    let python = native_python(work, "venv-servers", &packages);
    let mut all = Vec::new();
    let mut add = |name, serve: Box<dyn Fn(u16) -> Command>| all.push(Contender { name, serve });
    let native = |name: &'static str, module: &'static str, flags: &'static [&'static str]| {
        let python = python.clone();
        Box::new(move |port: u16| {
            let mut command = Command::new(&python);
            command.args(["-m", module]).args(flags).arg("app:app");
            match module {
                "gunicorn" => command.args(["-b", &format!("127.0.0.1:{port}")]),
                _ => command.args(["--port", &port.to_string()]),
            };
            command.current_dir(app(name));
            command
        })
    };
    add("Flask: pywasm serve, 1 worker", front(&flask, WSGI));
    add(
        "Flask: native gunicorn sync, 1 worker",
        native("flask", "gunicorn", &["-w1"]),
    );
    add(
        "Flask: native granian, 1 worker",
        native("flask", "granian", &["--interface", "wsgi", "--no-ws"]),
    );
    let two = &["--wsgi", "app:app", "--workers", "2"];
    add("Flask: pywasm serve, 2 workers", front(&flask, two));
    add(
        "Flask: native gunicorn sync, 2 workers",
        native("flask", "gunicorn", &["-w2"]),
    );
    add(
        "Starlette: pywasm serve, 1 worker",
        front(&starlette, &["--asgi", "app:app"]),
    );
    // With the parser that `pip install uvicorn` brings, and with the native one of `uvicorn[standard]`.
    let quiet = &["--no-access-log", "--loop", "asyncio", "--http", "h11"];
    add(
        "Starlette: native uvicorn, 1 worker",
        native("starlette", "uvicorn", quiet),
    );
    let quiet = &[
        "--no-access-log",
        "--loop",
        "asyncio",
        "--http",
        "httptools",
    ];
    add(
        "Starlette: native uvicorn with httptools",
        native("starlette", "uvicorn", quiet),
    );
    add(
        "Starlette: native granian, 1 worker",
        native("starlette", "granian", &["--interface", "asgi", "--no-ws"]),
    );
    let once = &["--wsgi", "app:app", "--isolate", "request"];
    add("Flask: pywasm serve --isolate request", front(&flask, once));
    let own = flask.clone();
    add(
        "Flask: pywasm run, its own server",
        Box::new(move |port| run_at(port, 5000, &[], &own)),
    );
    let own = python.clone();
    add(
        "Flask: native, its own server",
        Box::new(move |port| {
            let code = format!("from app import app; app.run(host='127.0.0.1', port={port})");
            let mut command = Command::new(&own);
            command.args(["-c", &code]).current_dir(app("flask"));
            command
        }),
    );
    all
}
