//! The file calls as a hostile guest makes them: raw paths and handles, without a C library that tidies
//! them up.

mod cost;
mod image;
mod streams;

use super::*;
use crate::events::{Denial, Event, EventSink};
use crate::policy::Access;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, Host, HostDescriptor, HostDirectoryEntryStream, NewTimestamp,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

type Fd = Resource<Descriptor>;

/// `/ro`, `/rw`, a private folder and an image of a guest, and `outside` beside them on the host.
struct Guest {
    folder: TempDir,
    wasi: WasiCtx,
    table: ResourceTable,
    guard: Guard,
    events: Arc<Mutex<Vec<Event>>>,
    handles: Vec<u32>,
}

const RO: usize = 0;
const RW: usize = 1;
const PRIVATE: usize = 2;
const IMAGE: usize = 3;

impl Guest {
    fn new(disk: u64, files: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true);
        let mut places = Vec::new();
        for (name, access, kind) in [
            ("ro", Access::ReadOnly, PlaceKind::Mount),
            ("rw", Access::ReadWrite, PlaceKind::Mount),
            ("private", Access::ReadWrite, PlaceKind::Private),
            ("image", Access::ReadWrite, PlaceKind::Image),
        ] {
            let host = folder.path().join(name);
            fs::create_dir_all(host.join("folder")).expect("a folder");
            fs::write(host.join("file"), "old").expect("a file");
            fs::write(host.join("folder/inner"), "old").expect("a file");
            let perms = match kind {
                PlaceKind::Private | PlaceKind::Mount if access == Access::ReadWrite => {
                    FsPerms::ReadWrite
                }
                _ => FsPerms::ReadOnly,
            };
            let guest = format!("/{name}");
            wasi.preopened_dir(&host, &guest, perms).expect("a folder");
            let guest = guest.parse().expect("a path");
            places.push(Place {
                guest,
                access,
                kind,
            });
        }
        fs::create_dir(folder.path().join("outside")).expect("a folder");
        fs::write(folder.path().join("outside/secret"), "secret").expect("a file");
        for (link, target) in [
            ("up", "../outside"),
            ("up-file", "../outside/secret"),
            ("etc", "/etc"),
            ("loop", "loop"),
            ("far", "folder/../../outside"),
        ] {
            let at = folder.path().join("rw").join(link);
            std::os::unix::fs::symlink(target, at).expect("a link");
        }
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let sink = EventSink::new(move |event| heard.lock().expect("a lock").push(event.clone()));
        let counted = ["private", "own"].map(|name| folder.path().join(name));
        let quota = Quota::new(disk, counted.to_vec());
        let quota = Arc::new(Mutex::new(quota));
        let root = Root::new(folder.path().join("image"), folder.path().join("own"));
        let root = Arc::new(root);
        let mut guest = Self {
            guard: Guard::new(places, root, files, quota, sink),
            wasi: wasi.build(),
            table: ResourceTable::new(),
            folder,
            events,
            handles: Vec::new(),
        };
        let folders = preopens::Host::get_directories(&mut guest.view()).expect("folders");
        guest.handles = folders.iter().map(|(fd, _)| fd.rep()).collect();
        guest
    }

    fn view(&mut self) -> FilesView<'_> {
        FilesView {
            ctx: self.wasi.filesystem(),
            table: &mut self.table,
            guard: &mut self.guard,
        }
    }

    fn fd(&self, place: usize) -> Fd {
        Resource::new_borrow(self.handles[place])
    }

    fn host(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// What the guest is answered.
    fn answer<T>(&mut self, result: FsResult<T>) -> Result<T, ErrorCode> {
        result.map_err(|error| self.view().convert_error_code(error).expect("no trap"))
    }

    async fn open(
        &mut self,
        place: usize,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Fd, ErrorCode> {
        let fd = self.fd(place);
        let follow = PathFlags::SYMLINK_FOLLOW;
        let opened = self
            .view()
            .open_at(fd, follow, path.to_owned(), open, flags)
            .await;
        self.answer(opened)
    }

    fn denials(&self) -> Vec<Denial> {
        let mut events = self.events.lock().expect("a lock");
        events
            .drain(..)
            .map(|event| match event {
                Event::Denied(denial) => denial,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// By the handle of `/` alone, for reading alone, and at the place of the file that is there.
#[tokio::test]
async fn the_host_answers_for_some_files() {
    let mut guest = Guest::new(1 << 20, 100);
    let tells = |path: &str| (path == "file").then(|| "told".to_owned());
    let guard = std::mem::replace(&mut guest.guard, Guest::new(1 << 20, 100).guard);
    guest.guard = guard.telling(Box::new(tells));
    guest.guard.opened_top(guest.handles[RW]);
    let (none, read) = (OpenFlags::empty(), DescriptorFlags::READ);
    for (place, told) in [(RW, true), (RO, false)] {
        let fd = guest
            .open(place, "file", none, read)
            .await
            .expect("it is there");
        let rep = fd.rep();
        let (bytes, _) = guest.view().read(fd, 3, 1).await.expect("read");
        assert_eq!(bytes, if told { b"old" } else { &b"ld"[..] });
        let closed = Fd::new_own(rep);
        HostDescriptor::drop(&mut guest.view(), closed).expect("closed");
        assert!(guest.guard.told(rep, 0).is_none());
    }
    let both = read | DescriptorFlags::WRITE;
    let fd = guest.open(RW, "file", none, both).await.expect("ours");
    assert!(guest.guard.told(fd.rep(), 0).is_none());
    fs::remove_file(guest.host("rw/file")).expect("ours");
    let gone = guest.open(RW, "file", none, read).await;
    assert_eq!(gone.map(drop), Err(ErrorCode::NoEntry));
    guest.guard.uniform = Some(Default::default());
    fs::write(guest.host("rw/file"), "old").expect("ours");
    let hidden = guest.open(RW, "file", none, read).await;
    assert_eq!(hidden.map(drop), Err(ErrorCode::NoEntry));
}

/// Everything that can be done with a path below a folder. `fresh` is a name that is free.
const OPERATIONS: [&str; 14] = [
    "open",
    "open-no-follow",
    "create",
    "truncate",
    "stat",
    "mkdir",
    "rmdir",
    "unlink",
    "readlink",
    "symlink",
    "rename-from",
    "rename-to",
    "link-from",
    "link-to",
];

async fn operate(
    guest: &mut Guest,
    place: usize,
    operation: &str,
    path: &str,
) -> Result<(), ErrorCode> {
    let fd = guest.fd(place);
    let rw = guest.fd(RW);
    let (none, follow) = (PathFlags::empty(), PathFlags::SYMLINK_FOLLOW);
    let path = path.to_owned();
    let read = DescriptorFlags::READ;
    let write = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let (given, fresh) = ("file".to_owned(), "fresh".to_owned());
    let mut view = guest.view();
    let result = match operation {
        "open" => view
            .open_at(fd, follow, path, OpenFlags::empty(), read)
            .await
            .map(drop),
        "open-no-follow" => view
            .open_at(fd, none, path, OpenFlags::empty(), read)
            .await
            .map(drop),
        "create" => view
            .open_at(fd, follow, path, OpenFlags::CREATE, write)
            .await
            .map(drop),
        "truncate" => view
            .open_at(fd, follow, path, OpenFlags::TRUNCATE, write)
            .await
            .map(drop),
        "stat" => view.stat_at(fd, follow, path).await.map(drop),
        "mkdir" => view.create_directory_at(fd, path).await,
        "rmdir" => view.remove_directory_at(fd, path).await,
        "unlink" => view.unlink_file_at(fd, path).await,
        "readlink" => view.readlink_at(fd, path).await.map(drop),
        "symlink" => view.symlink_at(fd, "file".to_owned(), path).await,
        "rename-from" => view.rename_at(fd, path, rw, fresh).await,
        "rename-to" => view.rename_at(rw, given, fd, path).await,
        "link-from" => view.link_at(fd, none, path, rw, fresh).await,
        "link-to" => view.link_at(rw, none, given, fd, path).await,
        other => panic!("{other}"),
    };
    guest.answer(result)
}

/// The content of the host outside the writable mount.
fn host_state(guest: &Guest) -> String {
    let mut all = String::new();
    for name in ["ro", "outside"] {
        let mut left = vec![guest.host(name)];
        while let Some(path) = left.pop() {
            all += &format!("{} ", path.display());
            if path.is_dir() {
                let mut below: Vec<_> = fs::read_dir(&path)
                    .expect("a folder")
                    .map(|entry| entry.expect("an entry").path())
                    .collect();
                below.sort();
                left.extend(below);
            } else {
                all += &fs::read_to_string(&path).expect("text");
            }
        }
    }
    all
}

#[tokio::test]
async fn no_path_leads_out_whatever_is_done_with_it() {
    let mut cases = 0;
    for operation in OPERATIONS {
        // The control: the same thing with an innocent path of the kind that it is for.
        let mut guest = Guest::new(1 << 20, 100);
        let innocent = match operation {
            "mkdir" | "symlink" | "create" | "rename-to" | "link-to" => "folder/new",
            "rmdir" => {
                fs::create_dir(guest.host("rw/empty")).expect("a folder");
                "empty"
            }
            "readlink" => "up",
            _ => "folder/inner",
        };
        let control = operate(&mut guest, RW, operation, innocent).await;
        assert_eq!(control, Ok(()), "{operation}: the control");
        for path in [
            "..",
            "../outside",
            "../outside/secret",
            "../outside/new",
            "folder/../../outside/secret",
            "./.././outside/secret",
            "folder/./../..//outside/secret",
            "/etc/passwd",
            "//etc/passwd",
            "/",
            "up/secret",
            "up/new",
            "up/../outside/secret",
            "far/secret",
            "etc/passwd",
            "loop/secret",
            "up/.",
            "up/..",
        ] {
            let mut guest = Guest::new(1 << 20, 100);
            let before = host_state(&guest);
            let outcome = operate(&mut guest, RW, operation, path).await;
            assert!(outcome.is_err(), "{operation} {path}: {outcome:?}");
            assert_eq!(host_state(&guest), before, "{operation} {path}");
            cases += 1;
        }
    }
    assert!(cases > 200, "{cases}");
}

#[tokio::test]
async fn a_read_only_mount_is_refused_by_the_guard_and_told() {
    let mutating = [
        "create",
        "truncate",
        "mkdir",
        "rmdir",
        "unlink",
        "symlink",
        "rename-from",
        "rename-to",
        "link-from",
        "link-to",
    ];
    for operation in mutating {
        let path = match operation {
            "create" | "mkdir" | "symlink" | "rename-to" | "link-to" => "new",
            "rmdir" => "folder",
            _ => "file",
        };
        let mut guest = Guest::new(1 << 20, 100);
        let before = host_state(&guest);
        let outcome = operate(&mut guest, RO, operation, path).await;
        assert_eq!(outcome, Err(ErrorCode::ReadOnly), "{operation}");
        assert_eq!(host_state(&guest), before, "{operation}");
        let mount = "/ro".parse().expect("a path");
        assert_eq!(guest.denials(), [Denial::Write { mount }], "{operation}");
    }
}

#[tokio::test]
async fn a_handle_of_a_read_only_mount_stays_one() {
    let mut guest = Guest::new(1 << 20, 100);
    let read = DescriptorFlags::READ;
    let file = guest
        .open(RO, "file", OpenFlags::empty(), read)
        .await
        .expect("it is there");
    let rep = file.rep();
    let again = || Resource::<Descriptor>::new_borrow(rep);
    let now = NewTimestamp::Now;
    let written = guest
        .view()
        .write(again(), b"x".to_vec(), 0)
        .await
        .map(drop);
    assert_eq!(guest.answer(written), Err(ErrorCode::ReadOnly));
    let cut = guest.view().set_size(again(), 0).await;
    assert_eq!(guest.answer(cut), Err(ErrorCode::ReadOnly));
    let times = guest.view().set_times(again(), now, now).await;
    assert_eq!(guest.answer(times), Err(ErrorCode::ReadOnly));
    let stream = guest.view().write_via_stream(again(), 0).map(drop);
    assert_eq!(guest.answer(stream), Err(ErrorCode::ReadOnly));
    let stream = guest.view().append_via_stream(again()).map(drop);
    assert_eq!(guest.answer(stream), Err(ErrorCode::ReadOnly));
    // A folder opened below it, too.
    let folder = guest
        .open(RO, "folder", OpenFlags::DIRECTORY, read)
        .await
        .expect("it is there");
    let made = guest
        .view()
        .create_directory_at(folder, "new".to_owned())
        .await;
    assert_eq!(guest.answer(made), Err(ErrorCode::ReadOnly));
    assert_eq!(
        fs::read_to_string(guest.host("ro/file")).expect("text"),
        "old"
    );
    // The control: the same calls where they are granted.
    let write = read | DescriptorFlags::WRITE;
    let file = guest
        .open(RW, "file", OpenFlags::empty(), write)
        .await
        .expect("it is there");
    let written = guest.view().write(file, b"new".to_vec(), 0).await;
    assert_eq!(guest.answer(written), Ok(3));
}

#[tokio::test]
async fn creating_what_a_read_only_mount_has_is_opening_it() {
    let mut guest = Guest::new(1 << 20, 100);
    let read = DescriptorFlags::READ;
    let opened = guest.open(RO, "new", OpenFlags::CREATE, read).await;
    assert!(opened.is_err());
    assert_eq!(guest.denials().len(), 1);
}

#[tokio::test]
async fn private_files_are_counted_however_they_are_written() {
    let mut guest = Guest::new(100_000, 100);
    let write = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = guest
        .open(PRIVATE, "new", OpenFlags::CREATE, write)
        .await
        .expect("room");
    let rep = file.rep();
    let again = || Resource::<Descriptor>::new_borrow(rep);
    let written = guest.view().write(again(), vec![1; 50_000], 0).await;
    assert_eq!(guest.answer(written), Ok(50_000));
    let written = guest.view().write(again(), vec![1; 90_000], 0).await;
    assert_eq!(guest.answer(written), Err(ErrorCode::InsufficientSpace));
    assert_eq!(guest.denials(), [Denial::Limit(crate::Limit::Disk)]);
    // By a stream that outlives its descriptor and its name.
    let stream = guest.view().write_via_stream(again(), 50_000);
    let stream = guest.answer(stream).expect("it is open");
    let gone = guest.fd(PRIVATE);
    let removed = guest.view().unlink_file_at(gone, "new".to_owned()).await;
    guest.answer(removed).expect("it is there");
    HostDescriptor::drop(&mut guest.view(), Resource::new_own(rep)).expect("a handle");
    let stream = guest.table.get_mut(&stream).expect("a handle");
    let refused = stream
        .blocking_write_and_flush(vec![1; 60_000].into())
        .await;
    assert!(refused.is_err(), "the removed file still counts");
    stream
        .blocking_write_and_flush(vec![1; 1000].into())
        .await
        .expect("room");
    // The host's folders are not counted.
    let file = guest
        .open(RW, "big", OpenFlags::CREATE, write)
        .await
        .expect("no limit");
    let written = guest.view().write(file, vec![1; 500_000], 0).await;
    assert_eq!(guest.answer(written), Ok(500_000));
}

#[tokio::test]
async fn names_and_handles_run_out() {
    let mut guest = Guest::new(20 * Quota::ENTRY, 5);
    let mut made = 0;
    loop {
        let fd = guest.fd(PRIVATE);
        let result = guest
            .view()
            .create_directory_at(fd, format!("d{made}"))
            .await;
        match guest.answer(result) {
            Ok(()) => made += 1,
            Err(code) => break assert_eq!(code, ErrorCode::InsufficientSpace),
        }
    }
    assert!((5..20).contains(&made), "{made}");
    let read = DescriptorFlags::READ;
    let mut open = Vec::new();
    let code = loop {
        match guest.open(RW, "file", OpenFlags::empty(), read).await {
            Ok(fd) => open.push(fd),
            Err(code) => break code,
        }
    };
    assert_eq!((open.len(), code), (5, ErrorCode::InsufficientMemory));
    let one = open.pop().expect("five");
    HostDescriptor::drop(&mut guest.view(), one).expect("a handle");
    guest
        .open(RW, "file", OpenFlags::empty(), read)
        .await
        .expect("room again");
}

/// Handles that were never given out end the guest, or are refused: they never reach anything.
#[tokio::test]
async fn invented_handles_reach_nothing() {
    let mut guest = Guest::new(1 << 20, 100);
    for rep in [4, 77, u32::MAX] {
        let invented = || Resource::<Descriptor>::new_borrow(rep);
        let follow = PathFlags::SYMLINK_FOLLOW;
        assert!(
            guest
                .view()
                .stat_at(invented(), follow, "file".to_owned())
                .await
                .is_err()
        );
        assert!(
            guest
                .view()
                .unlink_file_at(invented(), "file".to_owned())
                .await
                .is_err()
        );
        assert!(guest.view().write(invented(), vec![1], 0).await.is_err());
        assert!(HostDescriptor::drop(&mut guest.view(), Resource::new_own(rep)).is_err());
    }
}

/// Ends the other thread also where this one panics.
struct SetAtEnd<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// File calls never wait here: one poll is all of it.
fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a file call waits"),
    }
}

/// What the guest tries in the folder that is swapped, each in its turn.
const RACERS: [&str; 6] = ["read", "stat", "create", "unlink", "mkdir", "rmdir"];

impl Guest {
    /// Whether it worked; never on what is outside.
    async fn race_once(&mut self, operation: &str) -> bool {
        let (new, folder) = ("swap/new".to_owned(), "swap/folder".to_owned());
        let rw = self.fd(RW);
        match operation {
            "read" => {
                let (none, read) = (OpenFlags::empty(), DescriptorFlags::READ);
                let Ok(fd) = self.open(RW, "swap/secret", none, read).await else {
                    return false;
                };
                let rep = fd.rep();
                let (content, _) = self.view().read(fd, 10, 0).await.expect("it is open");
                assert_eq!(content, b"own", "never what is outside");
                HostDescriptor::drop(&mut self.view(), Resource::new_own(rep)).expect("a handle");
                true
            }
            "stat" => {
                let path = "swap/secret".to_owned();
                let follow = PathFlags::SYMLINK_FOLLOW;
                let stat = self.view().stat_at(rw, follow, path).await;
                stat.is_ok_and(|stat| {
                    assert_eq!(stat.size, 3, "never that of what is outside");
                    true
                })
            }
            "create" => {
                let (create, write) = (OpenFlags::CREATE, DescriptorFlags::WRITE);
                let opened = self.open(RW, &new, create, write).await;
                opened.is_ok_and(|fd| {
                    let own = Resource::new_own(fd.rep());
                    HostDescriptor::drop(&mut self.view(), own).is_ok()
                })
            }
            "unlink" => self.view().unlink_file_at(rw, new).await.is_ok(),
            "mkdir" => self.view().create_directory_at(rw, folder).await.is_ok(),
            "rmdir" => self.view().remove_directory_at(rw, folder).await.is_ok(),
            other => panic!("{other}"),
        }
    }
}

/// Somebody who can change the mount swaps a folder for a link to the outside while the guest walks
/// through it: so many times with each operation.
fn race(attempts: u32) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut guest = Guest::new(1 << 20, 100);
    fs::create_dir(guest.host("rw/real")).expect("a folder");
    fs::write(guest.host("rw/real/secret"), "own").expect("a file");
    std::os::unix::fs::symlink("../outside", guest.host("rw/false")).expect("a link");
    fs::create_dir(guest.host("rw/swap")).expect("a folder");
    fs::write(guest.host("rw/swap/secret"), "own").expect("a file");
    // What an operation would find there if it got there.
    fs::write(guest.host("outside/new"), "new").expect("a file");
    let before = host_state(&guest);
    let done = AtomicBool::new(false);
    let rw = guest.host("rw");
    let (done, rw) = (&done, &rw);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !done.load(Ordering::Relaxed) {
                // At one stroke, so that there is always something there.
                let exchange = RenameFlags::EXCHANGE;
                renameat_with(CWD, rw.join("swap"), CWD, rw.join("false"), exchange)
                    .expect("both are there");
            }
        });
        let _end = SetAtEnd(done);
        // On a busy machine the other thread may not get its turn for a while.
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let (mut worked, mut refused) = ([0; RACERS.len()], [0; RACERS.len()]);
        let missing = |counts: &[u32]| counts.contains(&0);
        let mut made = 0;
        while made < attempts || missing(&worked) || missing(&refused) {
            assert!(
                made < attempts || std::time::Instant::now() < patience,
                "both are met: {worked:?}, {refused:?}"
            );
            made += 1;
            for (number, operation) in RACERS.iter().enumerate() {
                match futures_now(guest.race_once(operation)) {
                    true => worked[number] += 1,
                    false => refused[number] += 1,
                }
            }
        }
    });
    assert_eq!(host_state(&guest), before, "nothing outside is changed");
}

#[test]
fn a_swapped_folder_never_leads_out() {
    race(1_000);
}

/// `cargo test --workspace --release --lib -- --ignored races`
#[test]
#[ignore = "takes minutes"]
fn races_a_million_times() {
    race(1_000_000);
}
