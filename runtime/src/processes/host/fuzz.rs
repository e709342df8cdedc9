//! Calls about processes in any order and with any handles, as a hostile guest makes them: nothing panics, nothing is
//! waited for, and all that was taken is given back.

use super::*;
use crate::Stdio;
use crate::ctests::Suite;
use crate::host::Host;
use crate::processes::family::{Family, PIPES};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi_io::streams::StreamError;
use wit::{Host as _, HostSemaphore};

#[derive(Debug, Clone)]
enum Call {
    Pipe,
    /// The program, and what is behind which descriptor.
    Spawn(usize, Vec<(u32, Lend)>),
    Reap(u32),
    Subscribe(u32),
    Kill(u32, u8),
    Killed(u8),
    Inherited,
    Open(usize, u8, u32),
    Take(usize),
    Give(usize),
    Unlink(usize),
    Read(usize),
    Write(usize, usize),
    DropReader(usize),
    DropWriter(usize),
    DropSemaphore(usize),
}

/// What is lent, by its place among what the guest holds, or by a number that it makes up.
#[derive(Debug, Clone)]
enum Lend {
    Standard(u8),
    Reader(usize),
    Writer(usize),
    Both(usize, usize),
    Folder(usize),
    Device(String),
    Invented(u32),
}

/// Some of them can be started.
const PROGRAMS: [&[&str]; 5] = [
    &["python3", "list"],
    &["/usr/local/bin/python", "no such case"],
    &["/bin/sh", "-c", "true"],
    &[],
    &["\0"],
];

const NAMES: [&str; 4] = ["", "/a", "/b", "\u{fffd}\0"];

fn lend() -> impl Strategy<Value = Lend> {
    let which = 0usize..4;
    prop_oneof![
        any::<u8>().prop_map(Lend::Standard),
        which.clone().prop_map(Lend::Reader),
        which.clone().prop_map(Lend::Writer),
        (which.clone(), which.clone()).prop_map(|(reader, writer)| Lend::Both(reader, writer)),
        which.prop_map(Lend::Folder),
        "\\PC{0,8}".prop_map(Lend::Device),
        (0u32..40).prop_map(Lend::Invented),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let which = 0usize..4;
    let process = prop_oneof![9 => 0u32..12, 1 => any::<u32>()];
    let signal = prop_oneof![Just(0), Just(9), Just(15), any::<u8>()];
    let lent = prop::collection::vec((0u32..6, lend()), 0..4);
    prop_oneof![
        3 => Just(Call::Pipe),
        3 => (0..PROGRAMS.len(), lent).prop_map(|(program, lent)| Call::Spawn(program, lent)),
        3 => process.clone().prop_map(Call::Reap),
        1 => process.clone().prop_map(Call::Subscribe),
        2 => (process, signal.clone()).prop_map(|(process, signal)| Call::Kill(process, signal)),
        1 => signal.prop_map(Call::Killed),
        1 => Just(Call::Inherited),
        2 => (0..NAMES.len(), 0u8..3, any::<u32>()).prop_map(|(n, how, v)| Call::Open(n, how, v)),
        1 => which.clone().prop_map(Call::Take),
        1 => which.clone().prop_map(Call::Give),
        1 => (0..NAMES.len()).prop_map(Call::Unlink),
        2 => which.clone().prop_map(Call::Read),
        2 => (which.clone(), 0usize..100_000).prop_map(|(w, n)| Call::Write(w, n)),
        1 => which.clone().prop_map(Call::DropReader),
        1 => which.clone().prop_map(Call::DropWriter),
        1 => which.prop_map(Call::DropSemaphore),
    ]
}

/// What a guest holds: the numbers of its handles.
#[derive(Default)]
struct Held {
    readers: Vec<u32>,
    writers: Vec<u32>,
    semaphores: Vec<u32>,
    folders: Vec<u32>,
}

fn pick(all: &[u32], which: usize) -> u32 {
    // A handle that was never given out, where there is none.
    match all.len() {
        0 => 1000,
        count => all[which % count],
    }
}

fn remove(all: &mut Vec<u32>, which: usize) -> Option<u32> {
    (!all.is_empty()).then(|| all.swap_remove(which % all.len()))
}

fn view(host: &mut Host) -> ProcessesView<'_> {
    ProcessesView {
        process: &mut host.process,
        files: &mut host.files,
        table: &mut host.table,
    }
}

impl Held {
    fn lent(&self, lend: &Lend) -> wit::Lent {
        let reader = |which| Resource::new_borrow(pick(&self.readers, which));
        let writer = |which| Resource::new_borrow(pick(&self.writers, which));
        let file = |rep| wit::LentFile {
            file: Resource::new_borrow(rep),
            position: u64::MAX,
            append: true,
        };
        match lend {
            Lend::Standard(number) => wit::Lent::Standard(*number),
            Lend::Reader(which) => wit::Lent::Reader(reader(*which)),
            Lend::Writer(which) => wit::Lent::Writer(writer(*which)),
            Lend::Both(from, to) => wit::Lent::Both((reader(*from), writer(*to))),
            Lend::Folder(which) => wit::Lent::File(file(pick(&self.folders, *which))),
            Lend::Device(path) => wit::Lent::Device(path.clone()),
            Lend::Invented(rep) => wit::Lent::File(file(*rep)),
        }
    }

    /// An error is the end of a guest that made handles up; an answer of any kind is one.
    fn make(&mut self, host: &mut Host, call: &Call) -> wasmtime::Result<()> {
        let mut view = view(host);
        match call {
            Call::Pipe => {
                if let Ok((reader, writer)) = view.pipe()? {
                    self.readers.push(reader.rep());
                    self.writers.push(writer.rep());
                }
            }
            Call::Spawn(program, lent) => {
                let words = PROGRAMS[*program].iter().map(|word| (*word).to_owned());
                let descriptors = lent
                    .iter()
                    .map(|(number, lend)| wit::LentDescriptor {
                        number: *number,
                        source: self.lent(lend),
                    })
                    .collect();
                let _ = view.spawn(words.collect(), Vec::new(), "/".to_owned(), descriptors)?;
            }
            Call::Reap(child) => {
                let _ = view.reap(*child)?;
            }
            Call::Subscribe(child) => {
                let _ = wit::Host::subscribe(&mut view, *child)?;
            }
            Call::Kill(process, signal) => {
                let _ = view.kill(*process, *signal)?;
            }
            Call::Killed(signal) => view.killed(*signal)?,
            Call::Inherited => {
                let _ = view.inherited()?;
            }
            Call::Open(name, how, value) => {
                let creation = match how {
                    0 => wit::Creation::Existing,
                    1 => wit::Creation::New,
                    _ => wit::Creation::Either,
                };
                let opened = view.open_semaphore(NAMES[*name].to_owned(), creation, *value)?;
                self.semaphores.extend(opened.map(|one| one.rep()));
            }
            Call::Take(which) => {
                let one = Resource::new_borrow(pick(&self.semaphores, *which));
                HostSemaphore::take(&mut view, one)?;
            }
            Call::Give(which) => {
                view.give(Resource::new_borrow(pick(&self.semaphores, *which)))?;
            }
            Call::Unlink(name) => {
                let _ = view.unlink_semaphore(NAMES[*name].to_owned())?;
            }
            Call::Read(which) => {
                let stream = Resource::<DynInputStream>::new_borrow(pick(&self.readers, *which));
                let _: Result<_, StreamError> = host.table.get_mut(&stream)?.read(70_000);
            }
            Call::Write(which, size) => {
                let stream = Resource::<DynOutputStream>::new_borrow(pick(&self.writers, *which));
                let _ = host.table.get_mut(&stream)?.write(vec![1; *size].into());
            }
            Call::DropReader(which) => {
                if let Some(rep) = remove(&mut self.readers, *which) {
                    host.table
                        .delete(Resource::<DynInputStream>::new_own(rep))?;
                }
            }
            Call::DropWriter(which) => {
                if let Some(rep) = remove(&mut self.writers, *which) {
                    host.table
                        .delete(Resource::<DynOutputStream>::new_own(rep))?;
                }
            }
            Call::DropSemaphore(which) => {
                if let Some(rep) = remove(&mut self.semaphores, *which) {
                    HostSemaphore::drop(&mut view, Resource::new_own(rep))?;
                }
            }
        }
        Ok(())
    }
}

/// How long children that were told to end may take: not an assertion on speed.
const PATIENCE: Duration = Duration::from_secs(60);

fn suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(Suite::load)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        ..ProptestConfig::default()
    })]
    #[test]
    fn calls_in_any_order(calls in prop::collection::vec(call(), 1..60)) {
        let task = suite().prepare("list", Stdio::none());
        let family: Arc<Family> = Arc::clone(&task.first.family);
        let mut host = task.first.host;
        let folders = preopens::Host::get_directories(&mut crate::files::FilesView {
            ctx: host.wasi.filesystem(),
            table: &mut host.table,
            guard: &mut host.files,
        });
        let mut held = Held {
            folders: folders.expect("folders").iter().map(|(fd, _)| fd.rep()).collect(),
            ..Held::default()
        };
        for call in &calls {
            let _ = held.make(&mut host, call);
        }
        drop(host);
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        reactor.expect("an event loop").block_on(family.end(PATIENCE));
        let all: Vec<_> = std::iter::from_fn(|| family.pipe()).collect();
        prop_assert_eq!(all.len(), PIPES, "all that was taken is given back");
    }
}
