//! Many instances of one Flask app in one process: what each costs in memory and time, with a snapshot and without; and what a
//! thousand, one after the other, leave behind. First how long it takes to make an instance, before any code of it runs, of
//! snapshots of several sizes.
//!
//! `cargo bench -p pywasm-cli --bench instances`
//!
//! Needs a package index. Memory is what the process alone has (private pages), divided by the number of instances,
//! each of which has imported Flask and listens. Read the ratios, not the figures: machines differ and are shared.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use pywasm::policy::Policy;
use pywasm::{
    App, Cache, Command, Event, EventSink, Instance, Interruption, Package, ReadLimits, Runtime,
    Stdio, default_env,
};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Instances at the same time.
const INSTANCES: usize = 200;

/// Instances one after the other.
const SEQUENCE: usize = 1000;

/// Instances for the time that making one takes.
const MADE: usize = 200;

fn main() {
    let work = support::work_folder();
    let cache = Cache::open(&work.join("instances-cache")).expect("a cache");
    let runtime = Runtime::new(cache, Interruption::Checked, |_| {}).expect("an engine");
    let load = |name| {
        let package = support::package(&work, name);
        let package = Package::open(&package, &ReadLimits::default()).expect("a package");
        runtime.load(&package).expect("it loads")
    };

    println!(
        "{:<24}{:>14}{:>14}",
        "made from a snapshot of", "median, µs", "90 %, µs"
    );
    for name in ["flask", "fastapi", "numpy"] {
        let app = load(name);
        let mut took: Vec<f64> = (0..=MADE).map(|_| time_to_make(&app)).skip(1).collect();
        took.sort_by(f64::total_cmp);
        println!(
            "{name:<24}{:>14.1}{:>14.1}",
            took[MADE / 2],
            took[MADE * 9 / 10]
        );
    }
    let app = load("flask");
    println!("{:<24}{:>14}{:>14}", "", "MiB each", "ms each");
    let with = measure(&app, true);
    let without = measure(&app, false);
    for (name, figure) in [("with a snapshot", with), ("without", without)] {
        println!(
            "{name:<24}{:>14.2}{:>14.2}",
            figure.mebibytes, figure.milliseconds
        );
    }
    println!(
        "{:<24}{:>14.2}{:>14.2}",
        "with/without",
        with.mebibytes / without.mebibytes,
        with.milliseconds / without.milliseconds
    );
    let running = work.join("instances-cache/running");
    // The first ones take memory that later ones take again.
    (0..100).for_each(|_| stop(start(&app, true)));
    let (before, memory) = (Held::at_rest(&running), private_bytes());
    (0..SEQUENCE).for_each(|_| stop(start(&app, true)));
    assert_eq!(Held::at_rest(&running), before, "nothing is left behind");
    let grown = (private_bytes() - memory) / f64::from(1 << 10);
    println!(
        "{SEQUENCE} one after the other left no file, thread or descriptor, and {grown:.0} KiB of memory"
    );
}

/// What this process holds of the system's, counted.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    files: usize,
}

impl Held {
    /// When the last instance's thread is gone, which ends just after the instance.
    fn at_rest(files: &Path) -> Self {
        std::thread::sleep(Duration::from_secs(1));
        Self::now(files)
    }

    fn now(files: &Path) -> Self {
        let count = |folder: &Path| std::fs::read_dir(folder).expect("a folder").count();
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        Self {
            descriptors: count(Path::new("/proc/self/fd")),
            threads: count(Path::new("/proc/self/task")),
            // Parts of the heap come and go.
            mappings: maps.lines().filter(|line| line.contains('/')).count(),
            files: count(files),
        }
    }
}

#[derive(Clone, Copy)]
struct Figure {
    mebibytes: f64,
    milliseconds: f64,
}

/// Starts all instances one after the other, each until it listens, then stops them.
fn measure(app: &App, from_snapshot: bool) -> Figure {
    // The first one pays for what all share.
    stop(start(app, from_snapshot));
    let before = private_bytes();
    let started = Instant::now();
    let running: Vec<Instance> = (0..INSTANCES).map(|_| start(app, from_snapshot)).collect();
    let time = started.elapsed();
    let taken = private_bytes() - before;
    running.into_iter().for_each(stop);
    Figure {
        mebibytes: taken / INSTANCES as f64 / f64::from(1 << 20),
        milliseconds: time.as_secs_f64() * 1e3 / INSTANCES as f64,
    }
}

/// Microseconds from when all that an instance may use is there until its first code runs.
fn time_to_make(app: &App) -> f64 {
    let (instance, took) = start_until(app, true, |event| match event {
        Event::Instantiated { took } => Some(*took),
        _ => None,
    });
    stop(instance);
    took.as_secs_f64() * 1e6
}

/// Starts the app and waits until it listens.
fn start(app: &App, from_snapshot: bool) -> Instance {
    let listens = |event: &Event| matches!(event, Event::Unpublished { .. }).then_some(());
    start_until(app, from_snapshot, listens).0
}

/// Starts the app and waits for what `wanted` finds in an event.
fn start_until<T: Send + 'static>(
    app: &App,
    from_snapshot: bool,
    wanted: impl Fn(&Event) -> Option<T> + Send + Sync + 'static,
) -> (Instance, T) {
    let config = app.config();
    let mut command =
        Command::program(&config.command_line(), config, &[]).expect("the package's program");
    if !from_snapshot {
        command = command.without_snapshot();
    }
    let (tell, told) = channel();
    let events = EventSink::new(move |event| {
        if let Some(found) = wanted(event) {
            let _ = tell.send(found);
        }
    });
    let policy = Policy::none().envs(default_env(config));
    let instance = app
        .start(command, &policy, Stdio::none(), events)
        .expect("it starts");
    let found = told.recv().expect("the app tells");
    (instance, found)
}

fn stop(instance: Instance) {
    instance.stopper().stop();
    instance.wait_blocking();
}

/// Memory of this process that it shares with nobody.
fn private_bytes() -> f64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum::<f64>()
        * 1024.0
}
