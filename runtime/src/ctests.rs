//! Runs the C tests of the guest's thread library and libc replacements, case by case, in instances like
//! any other: `guests/cpython/{threads,libc}/tests`, built by the guest's recipe.

use crate::app::{Parts, Program, bare_image};
use crate::events::EventSink;
use crate::instance::Task;
use crate::names::Names;
use crate::policy::{Limits, Policy};
use crate::snapshot::Surroundings;
use crate::{Cache, Command, Exit, Interruption, Runtime, Stdio};
use pywasm_format::{AppConfig, Digest, GuestPath};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime::component::Component;
use wasmtime_wasi::cli::AsyncStdinStream;

const CTESTS: &[u8] = include_bytes!("../../guests/artifacts/ctests.wasm.zst");

/// A case that hangs ends here: not an assertion on speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A component that lists and runs test cases.
pub(crate) struct Suite {
    runtime: Runtime,
    parts: Arc<Parts>,
    _cache: tempfile::TempDir,
}

impl Suite {
    pub(crate) fn load() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path()).expect("a cache");
        let runtime = Runtime::new(cache, Interruption::Checked, |_| {}).expect("an engine");
        let shared = &runtime.shared;
        let wasm = || zstd::decode_all(CTESTS).map_err(wasmtime::Error::from);
        let component = shared
            .cache
            .code::<Component, Failed>(&shared.engine, &Digest::of(CTESTS), || Ok(wasm()?))
            .expect("it compiles");
        let parts = Parts {
            interpreter: Arc::new(Program::new(component, Names::of(Path::new("")), None)),
            snapshot: None,
            template: None,
            made_from: Vec::new(),
            shared: Vec::new(),
            image: bare_image(&shared.cache, &[], &GuestPath::root()).expect("a folder"),
            config: AppConfig::new("", GuestPath::root()),
            layers: Arc::default(),
        };
        Self {
            runtime,
            parts: Arc::new(parts),
            _cache: folder,
        }
    }

    pub(crate) fn prepare(&self, case: &str, stdio: Stdio) -> Task {
        let limits = Limits {
            wall: Some(PATIENCE),
            ..Limits::default()
        };
        let mut command = Command::python([case], GuestPath::root());
        command.argv[0] = "ctests".to_owned();
        Task::prepare(
            &self.runtime,
            Arc::clone(&self.parts),
            command,
            &Policy::none().limits(limits),
            stdio,
            EventSink::silent(),
            Surroundings::Host,
        )
        .expect("it starts")
    }

    fn run(&self, case: &str, late_input: bool) -> (Exit, String) {
        let (mut stdio, output) = Stdio::captured("", 1 << 20);
        if late_input {
            stdio.stdin = Box::new(AsyncStdinStream::new(Late::default()));
        }
        let exit = self.prepare(case, stdio).run();
        (exit, output.stdout() + &output.stderr())
    }
}

/// Standard input that says nothing for a while, then one line, then ends.
#[derive(Default)]
struct Late {
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    said: bool,
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let pause = || Box::pin(tokio::time::sleep(Duration::from_millis(300)));
        ready!(self.pause.get_or_insert_with(pause).as_mut().poll(context));
        if !std::mem::replace(&mut self.said, true) {
            buffer.put_slice(b"late\n");
        }
        Poll::Ready(Ok(()))
    }
}

/// Either of the errors that loading can bring.
#[derive(Debug)]
struct Failed;

impl From<crate::CacheError> for Failed {
    fn from(error: crate::CacheError) -> Self {
        panic!("{error}")
    }
}

impl From<wasmtime::Error> for Failed {
    fn from(error: wasmtime::Error) -> Self {
        panic!("{error:?}")
    }
}

#[test]
fn every_case_of_the_guests_c_tests_passes() {
    let suite = Suite::load();
    let (exit, list) = suite.run("list", false);
    assert_eq!(exit, Exit::Code(0), "{list}");
    assert!(list.lines().count() > 30, "{list}");
    let mut failed = String::new();
    for line in list.lines() {
        let [case, expected, needs] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a case: {line}")
        };
        let (exit, output) = suite.run(case, needs == "stdin");
        let as_expected = match (expected, &exit) {
            ("ok", Exit::Code(0)) => output.ends_with("ok\n"),
            ("abort", Exit::Trap(_)) => true,
            (code, Exit::Code(found)) => code == format!("exit {found}"),
            _ => false,
        };
        if !as_expected {
            failed += &format!("{case}: expected {expected}, {exit}\n{output}\n");
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
