//! What protection costs, side by side in one run, interleaved:
//!
//! `cargo bench -p pywasm-cli --bench overheads`
//!
//! Figures are medians; read the ratios, not the milliseconds.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Runs per figure.
const RUNS: usize = 15;

struct Variant {
    name: &'static str,
    flags: &'static [&'static str],
    code: &'static str,
    /// What runs beside it.
    beside: Option<&'static str>,
}

const COMPUTE: &str = "
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
fib(27)";

const WRITE: &str = "
import os
for _ in range(20):
    with open(os.environ['WHERE'] + '/x', 'wb') as file:
        for _ in range(200): file.write(bytes(65536)); file.flush()";

const fn variant(
    name: &'static str,
    flags: &'static [&'static str],
    code: &'static str,
) -> Variant {
    Variant {
        name,
        flags,
        code,
        beside: None,
    }
}

const fn beside(name: &'static str, neighbour: &'static str) -> Variant {
    Variant {
        name,
        flags: &[],
        code: COMPUTE,
        beside: Some(neighbour),
    }
}

/// Each table is read against its first line.
const TABLES: [(&str, &[Variant]); 4] = [
    (
        "start and end",
        &[
            variant("no second wall", &["--wall", "off"], "pass"),
            variant("second wall", &["--wall", "auto"], "pass"),
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
        "computing beside a hostile one",
        &[
            variant("alone", &[], COMPUTE),
            beside("a loop", "while True: pass"),
            beside("an output flood", "while True: print('x' * 60000)"),
            beside(
                "a memory flood",
                "x = []\nwhile True:\n try: x.append(bytearray(1 << 20))\n except MemoryError: x = []",
            ),
        ],
    ),
    (
        "writing 262 MB",
        &[
            variant("a mount, not counted", &["--env", "WHERE=/mount"], WRITE),
            variant("private files, counted", &["--env", "WHERE=/tmp"], WRITE),
        ],
    ),
];

fn main() {
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
                    .args(["-c", variant.code])
                    .stdout(Stdio::null());
                let neighbour = variant.beside.map(Neighbour::start);
                let started = Instant::now();
                assert!(
                    command.status().expect("it starts").success(),
                    "{}",
                    variant.name
                );
                let elapsed = started.elapsed();
                drop(neighbour);
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

struct Neighbour(Child);

impl Neighbour {
    fn start(code: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_pywasm"))
            .args(["python", "-c", code])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Self(child)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // SIGTERM, so that it cleans up after itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
