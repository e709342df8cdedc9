//! A package made ready to run: layers unpacked, interpreter compiled.

use crate::bytecode::{self, Bytecode};
use crate::cache::{Cache, CacheError, InUse};
use crate::command::Command;
use crate::engine::{Progress, Runtime, Shared};
use crate::engine_error::EngineError;
use crate::events::EventSink;
use crate::host::Host;
use crate::image::{Content, image};
use crate::instance::{Instance, Prepared, StartError, Task};
use crate::memory::{Initial, MOST_INITIALS};
use crate::modules::Modules;
use crate::names::{self, Names};
use crate::policy::{Access, Policy};
use crate::scratch::Preopen;
use crate::snapshot::Surroundings;
use crate::stdio::Stdio;
use cap_std::fs::Dir;
use pywasm_format::{
    AppConfig, Digest, GuestPath, Layer, LayerKind, Package, ReadError, SnapshotRecord,
    UnpackError, UnpackLimits, escaped, unpack,
};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use thiserror::Error;
use wasmtime::Module;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::p2::bindings::CommandPre;

/// The interpreter's file in a runtime layer.
const COMPONENT: &str = "python.wasm";

/// The memory it starts with, beside it and in a snapshot's layer.
const STATE: &str = "state.wasm";

/// What a snapshot is good for, in its layer.
const RECORD: &str = "snapshot.json";

/// Where programs look for time zones, as on any Linux.
const ZONES: &str = "/usr/share/zoneinfo";

/// Where the standard library has them.
const ZONES_IN_STDLIB: &str = "tzdata/zoneinfo";

/// More than any environment that a system lets a program have.
const RECORD_BYTES: u64 = 4 << 20;

/// A compiled package. Cheap to clone, can be started any number of times.
#[derive(Clone)]
pub struct App {
    pub(crate) runtime: Runtime,
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    /// The interpreter as it comes.
    pub(crate) interpreter: Arc<Program>,
    /// The same, started and with modules imported.
    pub(crate) snapshot: Option<Arc<Started>>,
    /// What the first process of each instance begins with, whatever it is to run.
    pub(crate) template: Option<Program>,
    /// What a snapshot of this app is made from.
    pub(crate) made_from: Vec<Digest>,
    /// Layers that every instance sees, read-only.
    pub(crate) shared: Vec<Preopen>,
    /// What instances find at `/`, the app's own files among it.
    pub(crate) image: Arc<InUse>,
    pub(crate) config: AppConfig,
    /// Keeps the layers in the cache.
    pub(crate) layers: Arc<[InUse]>,
}

/// An interpreter that begins with the memory of a snapshot.
pub(crate) struct Started {
    program: Arc<Program>,
    pub(crate) record: SnapshotRecord,
}

/// An interpreter and the memory that it begins with. They are linked at the first start: an app has two such
/// programs, and most runs need one.
pub(crate) struct Program {
    component: Component,
    names: Arc<Names>,
    state: Option<State>,
    linked: OnceLock<CommandPre<Host>>,
}

/// The memory that an interpreter begins with: an empty one to link, and what lies in it.
pub(crate) struct State {
    module: Module,
    /// To be there as long as the module.
    _initial: Arc<Initial>,
}

impl State {
    /// One that the engine of `shared` knows, with a module made by `compile`.
    pub(crate) fn new(
        shared: &Shared,
        initial: Arc<Initial>,
        compile: impl FnOnce(Vec<u8>) -> Result<Module, LoadError>,
    ) -> Result<Self, LoadError> {
        let module = shared.memories.adopt(&initial);
        Ok(Self {
            module: compile(module.ok_or(LoadError::TooMany)?)?,
            _initial: initial,
        })
    }
}

impl Program {
    /// `state` is the memory of an interpreter that has none of its own.
    pub(crate) fn new(component: Component, names: Names, state: Option<State>) -> Self {
        Self {
            component,
            names: Arc::new(names),
            state,
            linked: OnceLock::new(),
        }
    }

    /// The same interpreter, which begins with another memory.
    fn with_state(&self, state: State) -> Self {
        Self {
            component: self.component.clone(),
            names: Arc::clone(&self.names),
            state: Some(state),
            linked: OnceLock::new(),
        }
    }

    /// How its functions are called.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Ready to be started.
    pub(crate) fn linked(&self, linker: &Linker<Host>) -> wasmtime::Result<&CommandPre<Host>> {
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        let mut linker = linker.clone();
        if let Some(state) = &self.state {
            linker.root().module(pywasm_state::IMPORT, &state.module)?;
        }
        let linked = CommandPre::new(linker.instantiate_pre(&self.component)?)?;
        Ok(self.linked.get_or_init(|| linked))
    }
}

impl Parts {
    /// What a start with this command and environment begins from.
    pub(crate) fn program(&self, command: &Command, env: &[(String, String)]) -> &Program {
        match &self.snapshot {
            Some(started)
                if command.from_snapshot
                    && started.record.fits(command.options(), &command.cwd, env) =>
            {
                &started.program
            }
            _ => &self.interpreter,
        }
    }

    /// The same app, whose instances begin with `memory`.
    pub(crate) fn with_template(&self, memory: State) -> Self {
        Self {
            snapshot: self.snapshot.clone(),
            template: Some(self.interpreter.with_state(memory)),
            ..self.without_snapshot()
        }
    }

    /// The same app, whose instances begin with Python as it comes.
    pub(crate) fn without_snapshot(&self) -> Self {
        Self {
            interpreter: Arc::clone(&self.interpreter),
            snapshot: None,
            template: None,
            made_from: self.made_from.clone(),
            shared: self.shared.clone(),
            image: Arc::clone(&self.image),
            config: self.config.clone(),
            layers: Arc::clone(&self.layers),
        }
    }

    /// What a snapshot may see: neither the app nor an older snapshot.
    pub(crate) fn without_app(&self, cache: &Cache) -> Result<Self, CacheError> {
        Ok(Self {
            image: bare_image(cache, &self.shared, &self.config.working_dir)?,
            ..self.without_snapshot()
        })
    }
}

/// Why a package cannot be made ready.
#[derive(Debug, Error)]
#[non_exhaustive]
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
    #[error("the package's snapshot cannot be used: {}; pack it again", escaped(.0))]
    Snapshot(String),
    /// The guest inside this binary is damaged: a bug of the build.
    #[error("the Python inside this build of pywasm is damaged; build pywasm again")]
    BadGuest,
    /// The engine has all the memories to begin with that it can have, see [`Runtime::load`].
    #[error(
        "this engine has as many packages and templates loaded as it can have at a time ({MOST_INITIALS}); drop apps that are not \
         started any more, or load it with another `Runtime`"
    )]
    TooMany,
    /// The cache folder failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The interpreter is not one that this version can run.
    #[error("the package's interpreter cannot be used: {0}")]
    Interpreter(EngineError),
}

impl From<wasmtime::Error> for LoadError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Interpreter(error.into())
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
                digest: Digest::from_hex(layer.sha256).map_err(|_| LoadError::BadGuest)?,
                diff_id: Digest::from_hex(layer.diff_sha256).map_err(|_| LoadError::BadGuest)?,
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
        modules: Option<&Modules<'_>>,
    ) -> Result<Self, LoadError> {
        let mut loading = Loading {
            runtime,
            shared: Vec::new(),
            made_from: Vec::new(),
            interpreter: None,
            snapshot: None,
            begun: None,
            image: None,
            layers: Vec::new(),
        };
        let snapshot = |source: &&Source<'_>| source.kind == LayerKind::Snapshot;
        if let Some(source) = layers.0.iter().find(snapshot) {
            loading.begin_ahead(&source.digest);
        }
        let (below, above): (Vec<_>, Vec<_>) = layers
            .0
            .iter()
            .partition(|source| source.kind < LayerKind::Snapshot);
        for source in below {
            loading.add(source, &config)?;
        }
        if let Some(modules) = modules {
            loading.add_modules(modules)?;
        }
        for source in above {
            loading.add(source, &config)?;
        }
        let image = match loading.image.take() {
            Some(image) => image,
            None => {
                let cache = &loading.runtime.shared.cache;
                bare_image(cache, &loading.shared, &config.working_dir)?
            }
        };
        loading.runtime.shared.progress(Progress::Ready);
        Ok(Self {
            parts: Arc::new(Parts {
                interpreter: loading.interpreter.ok_or(LoadError::NoInterpreter)?,
                snapshot: loading.snapshot.map(Arc::new),
                template: None,
                made_from: loading.made_from,
                shared: loading.shared,
                image,
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

impl App {
    /// The folder of the host that has what the package brings at `at`, to read alone: it is shared by all that run from it. Nothing, if
    /// the package has no folder there.
    pub fn image_folder(&self, at: &GuestPath) -> Option<PathBuf> {
        let folder = self.parts.image.path.join(at.relative());
        folder.is_dir().then_some(folder)
    }
}

/// The image of an instance without an app.
pub(crate) fn bare_image(
    cache: &Cache,
    shared: &[Preopen],
    folder: &GuestPath,
) -> Result<Arc<InUse>, CacheError> {
    image(cache, &places(shared, folder), None, |_, _| Ok(())).map(Arc::new)
}

/// Where there must be folders.
fn places<'a>(shared: &'a [Preopen], folder: &'a GuestPath) -> Vec<&'a GuestPath> {
    let over = shared.iter().map(|preopen| &preopen.place.guest);
    over.chain([folder]).collect()
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
    interpreter: Option<Arc<Program>>,
    snapshot: Option<Started>,
    /// The snapshot's memory, if that of the first instance has been begun already.
    begun: Option<Arc<Initial>>,
    image: Option<Arc<InUse>>,
    layers: Vec<InUse>,
}

impl Loading {
    fn add(&mut self, source: &Source<'_>, config: &AppConfig) -> Result<(), LoadError> {
        let cache = self.runtime.shared.cache.clone();
        if source.kind == LayerKind::App {
            let places = places(&self.shared, &config.working_dir);
            let fill = |dir: &Dir, path: &Path| self.fill(source, dir, path);
            let content = Content {
                app: source.digest,
                compiled: self.runtime.compiles_apps,
            };
            let image = image(&cache, &places, Some(&content), fill)?;
            self.image = Some(Arc::new(image));
            return Ok(());
        }
        let unpacked = cache.layer(&source.digest, |dir, path| self.fill(source, dir, path))?;
        let folder = unpacked.path.join(source.mount.relative());
        self.layers.push(unpacked);
        if source.kind < LayerKind::Snapshot {
            self.made_from.push(source.diff_id);
        }
        match source.kind {
            LayerKind::Runtime => {
                let loaded = &self.runtime.shared.loaded;
                let make = || self.compile(&source.digest, &folder);
                let interpreter = loaded.program(&source.digest, make)?;
                self.interpreter = Some(interpreter);
            }
            LayerKind::Stdlib => {
                let zones = folder.join(ZONES_IN_STDLIB);
                self.share(folder, source.mount.clone());
                // A layer holds no links, so this is a folder of the layer.
                if let (true, Ok(place)) = (zones.is_dir(), ZONES.parse()) {
                    self.share(zones, place);
                }
            }
            LayerKind::Dependencies => self.share(folder, source.mount.clone()),
            LayerKind::Snapshot => self.snapshot = Some(self.started(&source.digest, &folder)?),
            // Part of the image.
            LayerKind::App => {}
        }
        Ok(())
    }

    /// Not of the package, so a snapshot is none the worse for them.
    fn add_modules(&mut self, modules: &Modules<'_>) -> Result<(), LoadError> {
        let cache = self.runtime.shared.cache.clone();
        let digest = modules.digest(&self.made_from);
        let folder = cache.layer(&digest, |dir, path| {
            modules.write(dir, path)?;
            self.compile_bytecode(path, &modules.folder, Bytecode::Trusted);
            Ok::<_, LoadError>(())
        })?;
        self.share(folder.path.clone(), modules.folder.clone());
        self.layers.push(folder);
        Ok(())
    }

    /// Lets every instance see `folder` of a layer at `place`.
    fn share(&mut self, folder: PathBuf, place: GuestPath) {
        let layer = Preopen::layer(folder, place, Access::ReadOnly);
        self.shared.push(layer);
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
        let bytecode = match source.kind {
            LayerKind::Dependencies => Bytecode::Trusted,
            LayerKind::App if self.runtime.compiles_apps => Bytecode::Checked,
            _ => return Ok(()),
        };
        shared.progress(Progress::CompilingBytecode);
        self.compile_bytecode(&path.join(source.mount.relative()), &source.mount, bytecode);
        Ok(())
    }

    /// The interpreter of a runtime layer.
    fn compile(&self, digest: &Digest, folder: &Path) -> Result<Program, LoadError> {
        let shared = &self.runtime.shared;
        let file = folder.join(COMPONENT);
        let component: Component = shared.cache.code(&shared.engine, digest, || {
            shared.progress(Progress::Compiling);
            let mut component = read(&file)?;
            names::hide(&mut component);
            Ok::<_, LoadError>(component)
        })?;
        let state = self.state(Arc::new(self.initial(digest, folder)?))?;
        Ok(Program::new(component, Names::of(&file), Some(state)))
    }

    /// The interpreter that begins with a snapshot.
    fn started(&self, digest: &Digest, folder: &Path) -> Result<Started, LoadError> {
        let wrong = |what: &str| LoadError::Snapshot(what.to_owned());
        let interpreter = self.interpreter.as_ref().ok_or(LoadError::NoInterpreter)?;
        let record = std::fs::File::open(folder.join(RECORD))
            .map_err(|e| wrong(&format!("its record: {e}")))?
            .take(RECORD_BYTES);
        let record: SnapshotRecord = serde_json::from_reader(std::io::BufReader::new(record))
            .map_err(|e| wrong(&format!("its record: {e}")))?;
        if record.made_from != self.made_from {
            return Err(wrong("it was made from other layers"));
        }
        let make = || {
            let initial = match &self.begun {
                Some(begun) => Arc::clone(begun),
                None => self.known(digest, self.initial(digest, folder)?),
            };
            Ok(interpreter.with_state(self.state(initial)?))
        };
        let program = self.runtime.shared.loaded.program(digest, make)?;
        Ok(Started { program, record })
    }

    /// Begins the memory of the first instance while the code is being loaded, if this machine has the snapshot already.
    fn begin_ahead(&mut self, snapshot: &Digest) {
        let shared = &self.runtime.shared;
        if let Some(initial) = shared.cache.kept_memory(snapshot) {
            let initial = self.known(snapshot, initial);
            shared.memories.begin_ahead(&initial);
            self.begun = Some(initial);
        }
    }

    /// The memory of a snapshot, with what is known of its pages.
    fn known(&self, digest: &Digest, initial: Initial) -> Arc<Initial> {
        let pages = |bytes| self.runtime.shared.cache.pages(digest, bytes);
        Arc::new(initial.with_pages(pages))
    }

    /// The memory in `folder`, to which the layer `digest` is unpacked.
    fn initial(&self, digest: &Digest, folder: &Path) -> Result<Initial, LoadError> {
        let state = || read(&folder.join(STATE));
        self.runtime.shared.cache.memory(digest, state)
    }

    fn state(&self, initial: Arc<Initial>) -> Result<State, LoadError> {
        let shared = &self.runtime.shared;
        State::new(shared, initial, |module| {
            let digest = Digest::of(&module);
            shared.cache.code(&shared.engine, &digest, || Ok(module))
        })
    }

    fn compile_bytecode(&self, folder: &Path, at: &GuestPath, kind: Bytecode) {
        if let Some(interpreter) = &self.interpreter {
            bytecode::compile(&self.runtime, interpreter, &self.shared, folder, at, kind);
        }
    }
}
