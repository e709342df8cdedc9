//! A package made ready to run: layers unpacked, interpreter compiled.

use crate::cache::{CacheError, InUse};
use crate::command::Command;
use crate::engine::{Progress, Runtime};
use crate::events::EventSink;
use crate::host::Host;
use crate::instance::{Instance, Prepared, StartError, Task};
use crate::policy::{Access, Limits, Policy};
use crate::scratch::Preopen;
use crate::snapshot::Surroundings;
use crate::stdio::Stdio;
use cap_std::fs::Dir;
use pywasm_format::{
    AppConfig, Digest, GuestPath, Layer, LayerKind, Package, ReadError, SnapshotRecord,
    UnpackError, UnpackLimits, unpack,
};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use wasmtime::Module;
use wasmtime::component::Component;
use wasmtime_wasi::p2::bindings::CommandPre;

/// The interpreter's file in a runtime layer.
const COMPONENT: &str = "python.wasm";

/// The memory it starts with, beside it and in a snapshot's layer.
const STATE: &str = "state.wasm";

/// What a snapshot is good for, in its layer.
const RECORD: &str = "snapshot.json";

/// More than any environment that a system lets a program have.
const RECORD_BYTES: u64 = 4 << 20;

/// For compiling a layer to bytecode, which a hostile interpreter may do otherwise than expected.
const BYTECODE: Limits = Limits {
    wall: Some(Duration::from_secs(600)),
    disk: 8 << 30,
    ..Limits::DEFAULT
};

/// A compiled package. Cheap to clone, can be started any number of times.
#[derive(Clone)]
pub struct App {
    pub(crate) runtime: Runtime,
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    /// The interpreter as it comes.
    pub(crate) interpreter: CommandPre<Host>,
    /// The same, started and with modules imported.
    pub(crate) snapshot: Option<Arc<Started>>,
    /// What a snapshot of this app is made from.
    pub(crate) made_from: Vec<Digest>,
    /// Layers that every instance sees, read-only.
    pub(crate) shared: Vec<Preopen>,
    /// The app's own files and where each instance gets its copy of them.
    pub(crate) app: Option<(PathBuf, GuestPath)>,
    pub(crate) config: AppConfig,
    /// Keeps the layers in the cache.
    pub(crate) layers: Arc<[InUse]>,
}

/// An interpreter that begins with the memory of a snapshot.
pub(crate) struct Started {
    program: CommandPre<Host>,
    record: SnapshotRecord,
}

impl Parts {
    /// What a start with this command and environment begins from.
    pub(crate) fn program(&self, command: &Command, env: &[(String, String)]) -> &CommandPre<Host> {
        match &self.snapshot {
            Some(started)
                if command.from_snapshot && started.record.fits(command.options(), env) =>
            {
                &started.program
            }
            _ => &self.interpreter,
        }
    }

    /// What a snapshot may see: neither the app nor an older snapshot.
    pub(crate) fn without_app(&self) -> Self {
        Self {
            interpreter: self.interpreter.clone(),
            snapshot: None,
            made_from: self.made_from.clone(),
            shared: self.shared.clone(),
            app: None,
            config: self.config.clone(),
            layers: Arc::clone(&self.layers),
        }
    }
}

/// Why a package cannot be made ready.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The package's bytes are wrong.
    #[error(transparent)]
    Package(#[from] ReadError),
    /// A layer cannot be unpacked.
    #[error("layer {digest} cannot be unpacked")]
    Unpack {
        /// The layer.
        digest: Digest,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// A package must hold an interpreter.
    #[error("the package holds no interpreter (no layer with `{COMPONENT}`); pack it again")]
    NoInterpreter,
    /// The snapshot does not belong to this package.
    #[error("the package's snapshot cannot be used: {0}; pack it again")]
    Snapshot(String),
    /// The guest inside this binary is damaged: a bug of the build.
    #[error("the Python inside this build of pywasm is damaged; build pywasm again")]
    BadGuest,
    /// The cache folder failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The interpreter is not one that this version can run.
    #[error("the package's interpreter cannot be used: {0:#}")]
    Interpreter(wasmtime::Error),
}

impl From<wasmtime::Error> for LoadError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Interpreter(error)
    }
}

/// The layers of an app, wherever their bytes come from.
pub(crate) struct LayerSet<'a>(Vec<Source<'a>>);

struct Source<'a> {
    kind: LayerKind,
    digest: Digest,
    diff_id: Digest,
    mount: GuestPath,
    open: Box<dyn Fn() -> Result<Box<dyn Read + 'a>, LoadError> + 'a>,
}

impl<'a> LayerSet<'a> {
    pub(crate) fn of_package(package: &'a Package) -> Self {
        let source = |layer: &'a Layer| Source {
            kind: layer.kind(),
            digest: layer.digest(),
            diff_id: layer.diff_id(),
            mount: layer.mount().clone(),
            open: Box::new(move || Ok(Box::new(package.open_layer(layer)?) as Box<dyn Read>)),
        };
        Self(package.layers().iter().map(source).collect())
    }
}

impl LayerSet<'static> {
    /// The interpreter and standard library that this build of pywasm brings along.
    pub(crate) fn of_builtin() -> Result<Self, LoadError> {
        let source = |layer: pywasm_guest::GuestLayer| {
            Ok(Source {
                kind: match layer.part {
                    pywasm_guest::Part::Runtime => LayerKind::Runtime,
                    pywasm_guest::Part::Stdlib => LayerKind::Stdlib,
                },
                digest: Digest::from_hex(&layer.sha256).map_err(|_| LoadError::BadGuest)?,
                diff_id: Digest::from_hex(&layer.diff_sha256).map_err(|_| LoadError::BadGuest)?,
                mount: layer.mount.parse().map_err(|_| LoadError::BadGuest)?,
                open: Box::new(move || {
                    let tar = zstd::Decoder::new(layer.tar_zst).map_err(|_| LoadError::BadGuest)?;
                    Ok(Box::new(tar) as Box<dyn Read>)
                }),
            })
        };
        Ok(Self(
            pywasm_guest::layers(pywasm_guest::Base::Slim)
                .into_iter()
                .map(source)
                .collect::<Result<_, LoadError>>()?,
        ))
    }
}

impl App {
    pub(crate) fn load(
        runtime: Runtime,
        layers: &LayerSet<'_>,
        config: AppConfig,
    ) -> Result<Self, LoadError> {
        let mut loading = Loading {
            runtime,
            shared: Vec::new(),
            made_from: Vec::new(),
            code: None,
            snapshot: None,
            app: None,
            layers: Vec::new(),
        };
        for source in &layers.0 {
            loading.add(source)?;
        }
        loading.runtime.shared.progress(Progress::Ready);
        Ok(Self {
            parts: Arc::new(Parts {
                interpreter: loading.code.ok_or(LoadError::NoInterpreter)?.interpreter,
                snapshot: loading.snapshot.map(Arc::new),
                made_from: loading.made_from,
                shared: loading.shared,
                app: loading.app,
                config,
                layers: loading.layers.into(),
            }),
            runtime: loading.runtime,
        })
    }

    /// What the package says about itself.
    pub fn config(&self) -> &AppConfig {
        &self.parts.config
    }

    /// Starts an instance that may do what `policy` grants. `events` hears of denials and of ports
    /// that begin to listen.
    pub fn start(
        &self,
        command: Command,
        policy: &Policy,
        stdio: Stdio,
        events: EventSink,
    ) -> Result<Instance, StartError> {
        self.prepare(command, policy, stdio, events)?.start()
    }

    /// Acquires all that an instance needs, and runs none of it yet.
    pub fn prepare(
        &self,
        command: Command,
        policy: &Policy,
        stdio: Stdio,
        events: EventSink,
    ) -> Result<Prepared, StartError> {
        let parts = Arc::clone(&self.parts);
        let host = Surroundings::Host;
        Task::prepare(&self.runtime, parts, command, policy, stdio, events, host).map(Prepared)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    match std::fs::read(path) {
        Ok(wasm) => Ok(wasm),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(LoadError::NoInterpreter),
        Err(e) => Err(CacheError::io("read", path)(e).into()),
    }
}

/// An app whose first layers are there already.
struct Loading {
    runtime: Runtime,
    shared: Vec<Preopen>,
    made_from: Vec<Digest>,
    code: Option<Code>,
    snapshot: Option<Started>,
    app: Option<(PathBuf, GuestPath)>,
    layers: Vec<InUse>,
}

/// The compiled interpreter, alone and with the memory it comes with.
struct Code {
    component: Component,
    interpreter: CommandPre<Host>,
}

impl Loading {
    fn add(&mut self, source: &Source<'_>) -> Result<(), LoadError> {
        let cache = self.runtime.shared.cache.clone();
        let unpacked = cache.layer(&source.digest, |dir, path| self.fill(source, dir, path))?;
        let folder = unpacked.path.join(source.mount.relative());
        self.layers.push(unpacked);
        if source.kind < LayerKind::Snapshot {
            self.made_from.push(source.diff_id);
        }
        match source.kind {
            LayerKind::Runtime => self.code = Some(self.compile(&source.digest, &folder)?),
            LayerKind::Stdlib | LayerKind::Dependencies => self.shared.push(Preopen::layer(
                folder,
                source.mount.clone(),
                Access::ReadOnly,
            )),
            LayerKind::Snapshot => self.snapshot = Some(self.started(&source.digest, &folder)?),
            LayerKind::App => self.app = Some((folder, source.mount.clone())),
        }
        Ok(())
    }

    fn fill(&self, source: &Source<'_>, dir: &Dir, path: &Path) -> Result<(), LoadError> {
        let shared = &self.runtime.shared;
        shared.progress(Progress::Unpacking);
        unpack((source.open)()?, dir, &UnpackLimits::default()).map_err(|error| {
            LoadError::Unpack {
                digest: source.digest,
                source: error,
            }
        })?;
        if source.kind == LayerKind::Dependencies {
            shared.progress(Progress::CompilingBytecode);
            self.compile_bytecode(&path.join(source.mount.relative()), &source.mount);
        }
        Ok(())
    }

    /// The interpreter of a runtime layer.
    fn compile(&self, digest: &Digest, folder: &Path) -> Result<Code, LoadError> {
        let shared = &self.runtime.shared;
        let component: Component = shared.cache.code(&shared.engine, digest, || {
            shared.progress(Progress::Compiling);
            read(&folder.join(COMPONENT))
        })?;
        Ok(Code {
            interpreter: self.with_state(&component, digest, folder)?,
            component,
        })
    }

    /// The interpreter that begins with a snapshot.
    fn started(&self, digest: &Digest, folder: &Path) -> Result<Started, LoadError> {
        let wrong = |what: &str| LoadError::Snapshot(what.to_owned());
        let code = self.code.as_ref().ok_or(LoadError::NoInterpreter)?;
        let record = std::fs::File::open(folder.join(RECORD))
            .map_err(|e| wrong(&format!("its record: {e}")))?
            .take(RECORD_BYTES);
        let record: SnapshotRecord = serde_json::from_reader(std::io::BufReader::new(record))
            .map_err(|e| wrong(&format!("its record: {e}")))?;
        if record.made_from != self.made_from {
            return Err(wrong("it was made from other layers"));
        }
        Ok(Started {
            program: self.with_state(&code.component, digest, folder)?,
            record,
        })
    }

    /// The interpreter that begins with the state in `folder`.
    fn with_state(
        &self,
        component: &Component,
        digest: &Digest,
        folder: &Path,
    ) -> Result<CommandPre<Host>, LoadError> {
        let shared = &self.runtime.shared;
        let state: Module = shared
            .cache
            .code(&shared.engine, digest, || read(&folder.join(STATE)))?;
        let mut linker = shared.linker.clone();
        linker.root().module(pywasm_state::IMPORT, &state)?;
        Ok(CommandPre::new(linker.instantiate_pre(component)?)?)
    }

    /// Lets the guest's own Python compile an unpacked layer, so that imports need not do it at every
    /// start: the layer is read-only later. Files that do not compile are the app's business, at
    /// import; so a failure here is none.
    fn compile_bytecode(&self, folder: &Path, at: &GuestPath) {
        let Some(code) = &self.code else {
            return;
        };
        let args = [
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            at.as_str(),
        ];
        let parts = Parts {
            interpreter: code.interpreter.clone(),
            snapshot: None,
            made_from: Vec::new(),
            shared: self
                .shared
                .iter()
                .cloned()
                .chain([Preopen::private(
                    folder.to_owned(),
                    at.clone(),
                    Access::ReadWrite,
                )])
                .collect(),
            app: None,
            config: AppConfig::new(pywasm_guest::PYTHON_VERSION, GuestPath::root()),
            layers: Arc::default(),
        };
        let command = Command::python(args, GuestPath::root());
        let nobody = EventSink::silent();
        let task = Task::prepare(
            &self.runtime,
            Arc::new(parts),
            command,
            &Policy::none().limits(BYTECODE),
            Stdio::none(),
            nobody,
            Surroundings::Host,
        );
        if let Ok(task) = task {
            task.run();
        }
    }
}
