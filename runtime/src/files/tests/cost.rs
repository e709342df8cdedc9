//! What the guard costs, side by side with wasmtime's own functions behind it.

use super::*;
use std::time::{Duration, Instant};

/// Batches per figure, and calls of each.
const BATCHES: usize = 41;
const CALLS: u32 = 2_000;

fn batch(mut call: impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    started.elapsed()
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// `cargo test --workspace --release --lib -- --ignored --nocapture what_the_guard_costs`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "a measurement prints")]
fn what_the_guard_costs() {
    let mut guest = Guest::new(1 << 30, 100);
    let (read, none) = (DescriptorFlags::READ, OpenFlags::empty());
    let follow = PathFlags::SYMLINK_FOLLOW;
    let write = read | DescriptorFlags::WRITE;
    let file = futures_now(guest.open(PRIVATE, "file", none, write)).expect("it is there");
    let again = || Resource::<Descriptor>::new_borrow(file.rep());
    let mut figures = [const { [const { Vec::new() }; 2] }; 3];
    for _ in 0..BATCHES {
        let [open, stat, written] = &mut figures;
        open[0].push(batch(|| {
            let fd = guest.fd(PRIVATE);
            let mut view = guest.view();
            let mut stock = view.stock();
            let opened = stock.open_at(fd, follow, "file".to_owned(), none, read);
            let opened = futures_now(opened).expect("it is there");
            HostDescriptor::drop(&mut stock, opened).expect("a handle");
        }));
        open[1].push(batch(|| {
            let fd = guest.fd(PRIVATE);
            let mut view = guest.view();
            let opened = view.open_at(fd, follow, "file".to_owned(), none, read);
            let opened = futures_now(opened).expect("it is there");
            HostDescriptor::drop(&mut view, opened).expect("a handle");
        }));
        stat[0].push(batch(|| {
            let fd = guest.fd(PRIVATE);
            let mut view = guest.view();
            let mut stock = view.stock();
            futures_now(stock.stat_at(fd, follow, "file".to_owned())).expect("it is there");
        }));
        stat[1].push(batch(|| {
            let fd = guest.fd(PRIVATE);
            let mut view = guest.view();
            futures_now(view.stat_at(fd, follow, "file".to_owned())).expect("it is there");
        }));
        written[0].push(batch(|| {
            let mut view = guest.view();
            let mut stock = view.stock();
            futures_now(stock.write(again(), vec![1; 512], 0)).expect("room");
        }));
        written[1].push(batch(|| {
            let mut view = guest.view();
            futures_now(view.write(again(), vec![1; 512], 0)).expect("room");
        }));
    }
    println!(
        "{:<16}{:>10}{:>10}{:>8}",
        "ns per call", "stock", "guarded", "ratio"
    );
    for (name, [stock, guarded]) in ["open and close", "stat", "write"].into_iter().zip(figures) {
        let (stock, guarded) = (median(stock), median(guarded));
        println!(
            "{name:<16}{stock:>10.0}{guarded:>10.0}{:>8.2}",
            guarded / stock
        );
    }
}
