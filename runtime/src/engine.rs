//! The wasmtime engine and what every instance of this process shares.

use crate::app::{App, LayerSet, LoadError};
use crate::cache::Cache;
use crate::engine_error::EngineError;
use crate::exit::Limit;
use crate::host::{Host, link};
use crate::loaded::Loaded;
use crate::memory::{Creator, GUARD, Life, Memories, RESERVED};
use crate::modules::Modules;
use crate::policy::Limits;
use crate::scratch::Nest;
use pywasm_format::{AppConfig, GuestPath, Package};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine};

/// How guest code that never calls the host can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Compiled-in checks: a time limit and [`Stop`](crate::Stop) work on any guest code, which costs
    /// CPU-bound code about a quarter of its speed (measured: 20 to 28 %). For hosts that run guests
    /// beside other work.
    Checked,
    /// As `Checked`, and instructions are counted, so that [`Limits::fuel`](crate::policy::Limits::fuel)
    /// works.
    Metered,
    /// No checks: the host owns the process and ends it from outside when a guest does not stop. What
    /// the `pywasm` command does.
    ProcessExit,
}

impl Interruption {
    pub(crate) fn has_epochs(self) -> bool {
        matches!(self, Self::Checked | Self::Metered)
    }

    /// The cheapest kind that can keep these limits, in a process that the host may end.
    pub fn for_limits(limits: &Limits) -> Self {
        match limits {
            Limits { fuel: Some(_), .. } => Self::Metered,
            Limits { cpus: Some(_), .. } => Self::Checked,
            Limits {
                cpu_time: Some(_), ..
            } => Self::Checked,
            _ => Self::ProcessExit,
        }
    }

    /// The first of these limits that cannot be kept.
    pub(crate) fn lacks(self, limits: &Limits) -> Option<Limit> {
        [
            (limits.fuel.is_some() && self != Self::Metered, Limit::Fuel),
            (
                limits.cpu_time.is_some() && !self.has_epochs(),
                Limit::CpuTime,
            ),
            (limits.cpus.is_some() && !self.has_epochs(), Limit::Cpus),
        ]
        .into_iter()
        .find_map(|(lacks, limit)| lacks.then_some(limit))
    }
}

/// How code is compiled and run, in memories of these.
fn config(interruption: Interruption, memories: &Arc<Memories>) -> Config {
    let mut config = Config::new();
    config
        .with_host_memory(Arc::new(Creator(Arc::clone(memories))))
        // They know what they begin as.
        .memory_init_cow(false)
        .memory_reservation(RESERVED)
        .memory_guard_size(GUARD)
        .wasm_component_model_threading(true)
        // Exceptions are what native packages in C++ throw. Their objects lie in a heap of their own, which counts as the guest's memory:
        // it has a page before the first of them, as one may be thrown because there is no more. Nothing else lies there.
        .wasm_exceptions(true)
        .gc_heap_initial_size(1 << 16)
        .wasm_gc(false)
        .wasm_function_references(false)
        .async_stack_size(STACK)
        .max_wasm_stack(WASM_STACK)
        // Where a table is filled as it is used, an instance is made in less than a tenth of the time, but each call
        // through it looks first: 4 % of a program's time. Who makes many instances takes engines with epochs.
        .table_lazy_init(interruption.has_epochs())
        // What a crash tells comes from it, see `Crash`.
        .coredump_on_trap(true)
        // Nobody reads it: backtraces follow frame pointers.
        .native_unwind_info(false)
        .epoch_interruption(interruption.has_epochs())
        .consume_fuel(interruption == Interruption::Metered);
    config
}

/// Compiles and runs packages. One per process is enough; it is cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
    /// Whether apps' own files are compiled to bytecode when they are unpacked.
    pub(crate) compiles_apps: bool,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Host>,
    pub(crate) cache: Cache,
    /// Where instances have their private folders.
    pub(crate) nest: Nest,
    pub(crate) interruption: Interruption,
    pub(crate) memories: Arc<Memories>,
    pub(crate) loaded: Loaded,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

/// Work that the first use of a package on a machine brings, told so that nobody waits unaware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The interpreter is being compiled to native code; it takes seconds, once per machine.
    Compiling,
    /// A layer is being unpacked into the cache.
    Unpacking,
    /// Python files of the requirements are being compiled to bytecode.
    CompilingBytecode,
    /// All of it is done.
    Ready,
}

/// How often [`Interruption::Checked`] looks whether a guest must stop.
const EPOCH: Duration = Duration::from_millis(10);

/// Stack of one guest thread on the host: virtual memory, committed as it is used. A level of recursion
/// takes about twice as much here as on the guest's own stack, whose end Python watches to raise
/// `RecursionError`: this one must never be the first to end.
const STACK: usize = 104 << 20;
const WASM_STACK: usize = 96 << 20;

impl Runtime {
    /// Creates the engine. `progress` hears of long work.
    pub fn new(
        cache: Cache,
        interruption: Interruption,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        let life = match interruption {
            Interruption::ProcessExit => Life::Process,
            Interruption::Checked | Interruption::Metered => Life::Instance,
        };
        let nest = Nest::Common(cache.running()?);
        Self::with(cache, nest, interruption, life, Arc::new(progress))
    }

    /// The same for a process that starts one instance after the other: their private folders lie in one of this process, so
    /// that a process which [`Prepared::confine_process`](crate::Prepared::confine_process) has confined can start further
    /// ones; and those that begin with a [template](crate::App::with_template) take the memories of those that have ended, set
    /// back.
    pub fn for_many(
        cache: Cache,
        interruption: Interruption,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        let nest = Nest::own(&cache.running()?)?;
        Self::with(cache, nest, interruption, Life::Request, Arc::new(progress))
    }

    fn with(
        cache: Cache,
        nest: Nest,
        interruption: Interruption,
        life: Life,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Self, EngineError> {
        let memories = Memories::new(life);
        let engine = Engine::new(&config(interruption, &memories))?;
        let mut linker = Linker::new(&engine);
        link(&mut linker)?;
        if interruption.has_epochs() {
            tick(engine.weak());
        }
        let shared = Shared {
            engine,
            linker,
            cache,
            nest,
            interruption,
            memories,
            loaded: Loaded::default(),
            progress,
        };
        Ok(Self {
            shared: Arc::new(shared),
            compiles_apps: true,
        })
    }

    /// The same for apps that are edited between starts, and each time packed anew: their own files are compiled to bytecode by each start
    /// that imports them, and not all of them once when they are unpacked.
    pub fn for_edited_apps(self) -> Self {
        Self {
            compiles_apps: false,
            ..self
        }
    }

    /// Removes the private files of the instances that this process has made, for one that ends next. What this does not
    /// remove, later starts do.
    pub fn remove_files(&self) {
        if let Nest::Own { folder, .. } = &self.shared.nest {
            let _ = crate::files::remove_folder(folder);
        }
    }

    /// Makes a package ready to run: unpacks and compiles what this machine has not seen before.
    ///
    /// Blocks until that is done, for seconds where much is new: async code calls it through `tokio::task::spawn_blocking`.
    ///
    /// An engine has at most 1024 memories for instances to begin with: one for each interpreter, each snapshot and each template that
    /// apps have. It has them for as long as one of those apps is there, and once for all that are loaded from the same layers. After
    /// that it fails with [`LoadError::TooMany`].
    pub fn load(&self, package: &Package) -> Result<App, LoadError> {
        let layers = LayerSet::of_package(package);
        App::load(self.clone(), &layers, package.config().clone(), None)
    }

    /// The same with modules of the host's own. Blocks as [`Runtime::load`] does.
    pub fn load_with(&self, package: &Package, modules: &Modules<'_>) -> Result<App, LoadError> {
        let layers = LayerSet::of_package(package);
        let config = package.config().clone();
        App::load(self.clone(), &layers, config, Some(modules))
    }

    /// The bare interpreter, without any package. Blocks as [`Runtime::load`] does.
    pub fn interpreter(&self) -> Result<App, LoadError> {
        let config = AppConfig::new(pywasm_guest::PYTHON_VERSION, GuestPath::root());
        App::load(self.clone(), &LayerSet::of_builtin()?, config, None)
    }
}

impl Shared {
    pub(crate) fn progress(&self, progress: Progress) {
        (self.progress)(progress);
    }
}

/// Advances the epoch until the engine is gone.
fn tick(engine: wasmtime::EngineWeak) {
    std::thread::spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventSink;
    use crate::host::MemoryLimiter;
    use wasm_encoder::{
        BlockType, Catch, CodeSection, ExportKind, ExportSection, Function, FunctionSection,
        Module, TagKind, TagSection, TagType, TypeSection, ValType,
    };
    use wasmtime::{Instance, Store};

    /// `hold(n)` throws and catches n + 1 exceptions, each in a call of its own, and lets go of none before all are caught.
    fn holds_exceptions() -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], []);
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut tags = TagSection::new();
        let (kind, func_type_idx) = (TagKind::Exception, 1);
        tags.tag(TagType {
            kind,
            func_type_idx,
        });
        let mut exports = ExportSection::new();
        exports.export("hold", ExportKind::Func, 0);
        let mut hold = Function::new([(1, ValType::EXNREF)]);
        hold.instructions()
            .block(BlockType::Result(ValType::EXNREF))
            .try_table(BlockType::Empty, [Catch::AllRef { label: 0 }])
            .throw(0)
            .end()
            .unreachable()
            .end()
            .local_set(1)
            .local_get(0)
            .if_(BlockType::Empty)
            .local_get(0)
            .i32_const(1)
            .i32_sub()
            .call(0)
            .end()
            .local_get(1)
            .ref_is_null()
            .drop()
            .end();
        let mut code = CodeSection::new();
        code.function(&hold);
        let mut module = Module::new();
        module
            .section(&types)
            .section(&functions)
            .section(&tags)
            .section(&exports)
            .section(&code);
        module.finish()
    }

    #[test]
    fn exceptions_that_are_held_count_as_memory_of_the_guest() {
        let config = config(Interruption::Checked, &Memories::new(Life::Instance));
        let engine = Engine::new(&config).expect("an engine");
        let module = wasmtime::Module::new(&engine, holds_exceptions()).expect("a module");
        let hold = |limit| {
            let limiter = MemoryLimiter::new(limit, EventSink::silent());
            let mut store = Store::new(&engine, limiter);
            store.limiter(|limiter| limiter);
            store.set_epoch_deadline(u64::MAX / 2);
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let hold = instance.get_typed_func::<u32, ()>(&mut store, "hold");
            let ended = hold.expect("its function").call(&mut store, 50_000);
            (ended.is_ok(), store.data().refused())
        };
        // Where guests run is stack enough; a test's thread has little.
        let held = |limit| {
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(STACK);
                let thread = thread.spawn_scoped(scope, || hold(limit));
                thread.expect("a thread").join().expect("it ends")
            })
        };
        assert_eq!(held(64 << 20), (true, false));
        assert_eq!(held(256 << 10), (false, true));
    }

    #[test]
    fn nothing_but_exceptions_lies_in_a_collected_heap() {
        let mut types = TypeSection::new();
        types.ty().struct_([]);
        let mut module = Module::new();
        module.section(&types);
        let config = config(Interruption::Checked, &Memories::new(Life::Instance));
        let engine = Engine::new(&config).expect("an engine");
        let error = wasmtime::Module::new(&engine, module.finish()).expect_err("it is refused");
        assert!(format!("{error:?}").contains("gc"), "{error:?}");
    }
}
