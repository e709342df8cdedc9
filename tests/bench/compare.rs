//! pywasm and native CPython side by side, in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli`
//!
//! Needs a `python3` with `venv` and a package index (Flask is installed on both sides). With
//! `PYWASM_BENCH_IMAGE=NAME` a container image that holds Flask and the app at /app is measured too,
//! under podman or docker, whichever is installed. Figures are medians; read the ratios, not the
//! milliseconds: machines differ and are shared.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::http::load;
use support::{
    Server, app, done, median, milliseconds, native_python, package, pywasm, work_folder,
};

/// Starts per figure.
const STARTS: usize = 15;
/// Load time per figure.
const LOAD: Duration = Duration::from_secs(3);

struct Contender {
    name: &'static str,
    print: Box<dyn Fn() -> Command>,
    serve: Box<dyn Fn(u16) -> Command>,
}

fn main() {
    let work = work_folder();
    let mut contenders = vec![packaged(&work), native(&work)];
    contenders.extend(container());

    let mut print = vec![Vec::new(); contenders.len()];
    let mut response = vec![Vec::new(); contenders.len()];
    let mut memory = vec![Vec::new(); contenders.len()];
    for _ in 0..STARTS {
        for (index, contender) in contenders.iter().enumerate() {
            print[index].push(time_to_exit((contender.print)()));
            let server = Server::start(&contender.serve);
            response[index].push(server.first_response());
            memory[index].push(server.peak_memory());
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
        "{:<34}{}",
        "",
        names.iter().fold(String::new(), |mut row, name| {
            let _ = write!(row, "{name:>12}");
            row
        })
    );
    row("start to print(1), ms", print);
    row("start to first Flask response, ms", response);
    row("Flask requests/s, 1 client", sequential);
    row("Flask requests/s, 8 clients", concurrent);
    row("peak memory while serving, MiB", memory);
}

/// One line: medians, and how the first contender compares with the second.
fn row(what: &str, figures: Vec<Vec<f64>>) {
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let mut line = format!("{what:<34}");
    for median in &medians {
        let _ = write!(line, "{median:>12.1}");
    }
    println!("{line}   pywasm/native {:.2}", medians[0] / medians[1]);
}

fn packaged(work: &Path) -> Contender {
    let package = package(work, "flask");
    // The first run on a machine compiles; that is not what is measured here.
    done(
        pywasm()
            .args(["run", "--entrypoint", "python"])
            .arg(&package)
            .args(["-c", "import flask"]),
    );
    Contender {
        name: "pywasm",
        print: Box::new(move || {
            let mut command = pywasm();
            command.args(["python", "-c", "print(1)"]);
            command
        }),
        serve: Box::new(move |port| {
            let mut command = pywasm();
            command
                .args(["run", "-p", &format!("{port}:5000")])
                .arg(&package);
            command
        }),
    }
}

fn native(work: &Path) -> Contender {
    let python = native_python(work, "venv", &["flask"]);
    let print = python.clone();
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
    })
}

fn time_to_exit(mut command: Command) -> f64 {
    let started = Instant::now();
    done(command.stdout(Stdio::null()));
    milliseconds(started)
}
