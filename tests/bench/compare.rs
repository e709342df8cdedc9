//! pywasm and native CPython side by side, in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli`
//!
//! Needs a `python3` with `venv` and a package index (Flask and FastAPI are installed on both sides). With
//! `PYWASM_BENCH_IMAGE=NAME` a container image that holds Flask and the app at /app is measured too,
//! under podman or docker, whichever is installed. Figures are medians; read the ratios, not the
//! milliseconds: machines differ and are shared. The first run of a package is that of one which was copied to a
//! machine that has run another before.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::http::load;
use support::{
    Server, app, done, median, milliseconds, native_python, package, pywasm, run_at, work_folder,
};

/// Starts per figure.
const STARTS: usize = 15;
/// First runs of a package, each with a cache of its own.
const FIRST_RUNS: usize = 5;
/// Load time per figure.
const LOAD: Duration = Duration::from_secs(3);

struct Contender {
    name: &'static str,
    print: Box<dyn Fn() -> Command>,
    serve: Box<dyn Fn(u16) -> Command>,
    /// FastAPI under uvicorn; not in the container.
    fastapi: Option<Box<dyn Fn(u16) -> Command>>,
}

fn main() {
    let work = work_folder();
    let flask = package(&work, "flask");
    let first = first_responses(&work, &flask);
    let mut contenders = vec![
        packaged(&work, flask.clone()),
        native(&work),
        without_snapshot(&flask),
    ];
    contenders.extend(container());

    let mut print = vec![Vec::new(); contenders.len()];
    let mut response = vec![Vec::new(); contenders.len()];
    let mut fastapi = vec![Vec::new(); contenders.len()];
    let mut memory = vec![Vec::new(); contenders.len()];
    for _ in 0..STARTS {
        for (index, contender) in contenders.iter().enumerate() {
            print[index].push(time_to_exit((contender.print)()));
            let server = Server::start(&contender.serve);
            response[index].push(server.first_response());
            memory[index].push(server.peak_memory());
            if let Some(serve) = &contender.fastapi {
                fastapi[index].push(Server::start(serve).first_response());
            }
        }
    }
    let mut sequential = vec![Vec::new(); contenders.len()];
    let mut concurrent = vec![Vec::new(); contenders.len()];
    for _ in 0..3 {
        for (index, contender) in contenders.iter().enumerate() {
            let server = Server::start(&contender.serve);
            server.first_response();
            sequential[index].push(load(server.address, 1, LOAD).rate);
            concurrent[index].push(load(server.address, 8, LOAD).rate);
        }
    }

    let names: Vec<&str> = contenders.iter().map(|c| c.name).collect();
    println!(
        "{:<36}{}",
        "",
        names.iter().fold(String::new(), |mut row, name| {
            let _ = write!(row, "{name:>13}");
            row
        })
    );
    row("start to print(1), ms", print);
    let natively = response[1].clone();
    row("start to first Flask response, ms", response);
    row("the same, first run, ms", vec![first, natively]);
    fastapi.retain(|figures| !figures.is_empty());
    row("start to first FastAPI response, ms", fastapi);
    row("Flask requests/s, 1 client", sequential);
    row("Flask requests/s, 8 clients", concurrent);
    row("peak memory while serving, MiB", memory);
}

/// One line: medians, and how the first contender compares with the second.
fn row(what: &str, figures: Vec<Vec<f64>>) {
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let mut line = format!("{what:<36}");
    for median in &medians {
        let _ = write!(line, "{median:>13.1}");
    }
    println!("{line}   pywasm/native {:.2}", medians[0] / medians[1]);
}

/// Milliseconds from the start to the first response, where only another package has been run before.
fn first_responses(work: &Path, package: &Path) -> Vec<f64> {
    let other = work.join("other");
    std::fs::create_dir_all(&other).expect("a folder");
    std::fs::write(other.join("main.py"), "print('hello')").expect("an app");
    let used = work.join("used-cache");
    done(
        pywasm()
            .arg("run")
            .arg(&other)
            .env("PYWASM_CACHE", &used)
            .stdout(Stdio::null()),
    );
    let first_response = || {
        let cache = tempfile::tempdir_in(work).expect("a folder");
        done(
            Command::new("cp")
                .args(["-r", "--no-target-directory"])
                .args([&used, cache.path()]),
        );
        let serve = |port| {
            let mut command = run_at(port, 5000, &[], package);
            command.env("PYWASM_CACHE", cache.path());
            command
        };
        Server::start(serve).first_response()
    };
    (0..FIRST_RUNS).map(|_| first_response()).collect()
}

fn packaged(work: &Path, flask: PathBuf) -> Contender {
    let fastapi = package(work, "fastapi");
    for (name, package) in [("flask", &flask), ("fastapi", &fastapi)] {
        // The first run on a machine compiles; that is not what is measured here.
        done(
            pywasm()
                .args(["run", "--entrypoint", "python"])
                .arg(package)
                .args(["-c", &format!("import {name}")]),
        );
    }
    Contender {
        name: "pywasm",
        print: Box::new(move || {
            let mut command = pywasm();
            command.args(["python", "-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| run_at(port, 5000, &[], &flask)),
        fastapi: Some(Box::new(move |port| run_at(port, 8000, &[], &fastapi))),
    }
}

/// Starts Python from nothing but the interpreter's own state.
fn without_snapshot(package: &Path) -> Contender {
    let (print, serve) = (package.to_owned(), package.to_owned());
    Contender {
        name: "no snapshot",
        print: Box::new(move || {
            let mut command = pywasm();
            command
                .args(["run", "--no-snapshot", "--entrypoint", "python"])
                .arg(&print)
                .args(["-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| run_at(port, 5000, &["--no-snapshot"], &serve)),
        fastapi: None,
    }
}

fn native(work: &Path) -> Contender {
    let python = native_python(work, "compare-venv", &["flask", "fastapi", "uvicorn"]);
    let print = python.clone();
    let uvicorn = python.clone();
    Contender {
        name: "native",
        print: Box::new(move || {
            let mut command = Command::new(&print);
            command.args(["-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = Command::new(&python);
            let code = format!("from app import app; app.run(host='127.0.0.1', port={port})");
            command.args(["-c", &code]).current_dir(app("flask"));
            command
        }),
        fastapi: Some(Box::new(move |port| {
            let mut command = Command::new(&uvicorn);
            command
                .args(["-m", "uvicorn", "app:app", "--port", &port.to_string()])
                .current_dir(app("fastapi"));
            command
        })),
    }
}

fn container() -> Option<Contender> {
    let image = std::env::var("PYWASM_BENCH_IMAGE").ok()?;
    let engine = ["podman", "docker"].into_iter().find(|engine| {
        Command::new(engine)
            .arg("info")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })?;
    let (print_image, serve_image) = (image.clone(), image);
    Some(Contender {
        name: engine,
        print: Box::new(move || {
            let mut command = Command::new(engine);
            command.args(["run", "--rm", &print_image, "python", "-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = Command::new(engine);
            command.args([
                "run",
                "--rm",
                "-p",
                &format!("127.0.0.1:{port}:5000"),
                &serve_image,
            ]);
            command
        }),
        fastapi: None,
    })
}

fn time_to_exit(mut command: Command) -> f64 {
    let started = Instant::now();
    done(command.stdout(Stdio::null()));
    milliseconds(started)
}
