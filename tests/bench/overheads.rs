//! What protection costs, side by side in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli --bench overheads`
//!
//! Figures are medians; read the ratios, not the milliseconds.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs per figure.
const RUNS: usize = 15;

struct Variant {
    name: &'static str,
    flags: &'static [&'static str],
    /// Grants beside these flags, as many as written here of each kind.
    grants: usize,
    code: &'static str,
}

const COMPUTE: &str = "
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
fib(27)";

const WRITE: &str = "
import os
for _ in range(20):
    with open(os.environ['WHERE'] + '/x', 'wb') as file:
        for _ in range(200): file.write(bytes(65536)); file.flush()";

/// To the address that the first argument names, which is beyond the guest's own network.
const CONNECT: &str = "
import socket, sys
host, port = sys.argv[1].rsplit(':', 1)
for _ in range(500): socket.create_connection((host, int(port))).close()";

/// Two processors do the work of one in a bit more than half the time, if processes are of use.
const ONE_PROCESS: &str = "list(map(sum, [range(8_000_000)] * 8))";
const TWO_PROCESSES: &str = "
import multiprocessing
with multiprocessing.Pool(2) as pool: pool.map(sum, [range(8_000_000)] * 8, chunksize=1)";

const fn variant(
    name: &'static str,
    flags: &'static [&'static str],
    code: &'static str,
) -> Variant {
    granted(name, 0, flags, code)
}

const fn granted(
    name: &'static str,
    grants: usize,
    flags: &'static [&'static str],
    code: &'static str,
) -> Variant {
    Variant {
        name,
        flags,
        grants,
        code,
    }
}

/// Each table is read against its first line.
const TABLES: [(&str, &[Variant]); 5] = [
    (
        "start and end",
        &[
            variant("no second wall", &["--wall", "off"], "pass"),
            variant("second wall", &["--wall", "auto"], "pass"),
            granted("100 grants of each kind", 100, &["--wall", "auto"], "pass"),
        ],
    ),
    (
        "computing",
        &[
            variant("no checks", &[], COMPUTE),
            variant("second wall off", &["--wall", "off"], COMPUTE),
            variant("epochs (--cpu-time)", &["--cpu-time", "1000s"], COMPUTE),
            variant("fuel (--fuel)", &["--fuel", "1000000000000000"], COMPUTE),
        ],
    ),
    (
        "500 connections beyond the sandbox",
        &[
            variant("one rule", &[], CONNECT),
            granted("100 rules before it", 100, &[], CONNECT),
            granted("1,000 rules before it", 1000, &[], CONNECT),
        ],
    ),
    (
        "writing 262 MB",
        &[
            variant("a mount, not counted", &["--env", "WHERE=/mount"], WRITE),
            variant("private files, counted", &["--env", "WHERE=/tmp"], WRITE),
        ],
    ),
    (
        "eight long sums",
        &[
            variant("one process", &[], ONE_PROCESS),
            variant("multiprocessing.Pool(2)", &[], TWO_PROCESSES),
        ],
    ),
];

fn main() {
    let outside = outside();
    let mount = std::env::temp_dir().join(format!("pywasm-overheads-{}", std::process::id()));
    std::fs::create_dir_all(&mount).expect("a folder");
    let volume = format!("{}:/mount", mount.display());
    for (table, variants) in TABLES {
        let mut times = vec![Vec::new(); variants.len()];
        // The first round compiles what this machine has not seen.
        for round in 0..=RUNS {
            for (variant, times) in variants.iter().zip(&mut times) {
                let mut command = Command::new(env!("CARGO_BIN_EXE_pywasm"));
                command
                    .args(["python", "--volume", &volume])
                    .args(variant.flags)
                    .args((0..variant.grants).flat_map(grants))
                    .args(["--allow-net", &outside, "-c", variant.code, &outside])
                    .stdout(Stdio::null());
                let started = Instant::now();
                assert!(
                    command.status().expect("it starts").success(),
                    "{}",
                    variant.name
                );
                let elapsed = started.elapsed();
                if round > 0 {
                    times.push(elapsed.as_secs_f64() * 1e3);
                }
            }
        }
        println!("{table}");
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for (variant, median) in variants.iter().zip(&medians) {
            let ratio = median / medians[0];
            println!("  {:<26}{median:>10.1} ms   {ratio:.2}", variant.name);
        }
    }
    std::fs::remove_dir_all(&mount).expect("our folder");
}

/// Of each kind one that has nothing to do with what is measured.
fn grants(number: usize) -> [String; 4] {
    let (high, low) = (number / 250, number % 250);
    [
        "--allow-net".to_owned(),
        format!("198.51.{high}.{low}:443"),
        "--env".to_owned(),
        format!("NAME_{number}=value"),
    ]
}

/// A listener on an address of this machine that is not its loopback, to the end of this process.
fn outside() -> String {
    let probe = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Chooses an interface, sends nothing.
    probe.connect("192.0.2.1:9").expect("a network interface");
    let own = probe.local_addr().expect("connected").ip();
    let listener = TcpListener::bind(SocketAddr::new(own, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || while listener.accept().is_ok() {});
    address.to_string()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
