use super::*;
use wasmtime::{Config, Engine, Instance, Module, Store};

const PAGE: usize = 4096;

/// Not a single page of zeros, and no two alike.
fn template() -> Vec<u8> {
    let bytes = 0..3 * pywasm_state::WASM_PAGE;
    bytes.map(|at| (at / PAGE + at % 251 + 1) as u8).collect()
}

struct Engines {
    engine: Engine,
    all: Arc<Memories>,
    initial: Arc<Initial>,
    state: Module,
}

impl Engines {
    fn new(life: Life) -> Self {
        Self::with(Memories::new(life), Hot::none())
    }

    fn with(all: Arc<Memories>, hot: Hot) -> Self {
        Self::of(&template(), all, hot)
    }

    /// Those whose memories begin as `template`.
    fn of(template: &[u8], all: Arc<Memories>, hot: Hot) -> Self {
        let mut config = Config::new();
        config
            .with_host_memory(Arc::new(Creator(Arc::clone(&all))))
            .memory_init_cow(false);
        let engine = Engine::new(&config).expect("an engine");
        let file = tempfile::tempfile().expect("a file");
        Initial::write(&pywasm_state::encode(template), &file).expect("a state");
        let initial = Initial::of_file(file).expect("it is whole");
        let initial = Arc::new(initial.with_pages(|_| hot));
        let state = all.adopt(&initial).expect("a place");
        let state = Module::new(&engine, state).expect("a module");
        Self {
            engine,
            all,
            initial,
            state,
        }
    }

    /// Has `use_it` use the memory of a new instance, and ends it. Where it was.
    fn with_memory(
        &self,
        module: &Module,
        use_it: impl FnOnce(&mut Store<()>, wasmtime::Memory),
    ) -> usize {
        let mut store = Store::new(&self.engine, ());
        let instance = Instance::new(&mut store, module, &[]).expect("an instance");
        let memory = instance.get_memory(&mut store, pywasm_state::MEMORY);
        let memory = memory.expect("its memory");
        let at = memory.data_ptr(&store).addr();
        use_it(&mut store, memory);
        at
    }
}

#[test]
fn the_next_instance_finds_what_the_first_one_found() {
    let engines = Engines::new(Life::Request);
    let first = engines.with_memory(&engines.state, |store, memory| {
        assert!(memory.data(&store) == template());
        memory.grow(&mut *store, 5).expect("it grows");
        let behind = template().len();
        assert!(memory.data(&store)[behind..].iter().all(|byte| *byte == 0));
        let data = memory.data_mut(store);
        // The first and the last byte, two pages side by side, one alone.
        for at in [
            0,
            7 * PAGE + 9,
            8 * PAGE,
            20 * PAGE,
            behind - 1,
            behind,
            data.len() - 1,
        ] {
            data[at] = !data[at];
        }
        data[30 * PAGE..32 * PAGE].fill(0);
    });
    assert_eq!(lock(&engines.all.free).len(), 1);
    for _ in 0..3 {
        let next = engines.with_memory(&engines.state, |store, memory| {
            assert!(memory.data(&store) == template());
            memory.grow(&mut *store, 5).expect("it grows");
            let behind = template().len();
            assert!(memory.data(&store)[behind..].iter().all(|byte| *byte == 0));
            memory.data_mut(store).fill(7);
        });
        assert_eq!(next, first, "it is the same place");
    }
}

#[test]
fn those_who_live_at_the_same_time_have_one_each() {
    for (life, left) in [(Life::Request, 2), (Life::Instance, 0), (Life::Process, 0)] {
        let engines = Engines::new(life);
        engines.with_memory(&engines.state, |first, memory| {
            memory.data_mut(&mut *first).fill(1);
            engines.with_memory(&engines.state, |second, other| {
                assert!(other.data(&second) == template());
                other.data_mut(second).fill(2);
            });
            assert!(memory.data(&first).iter().all(|byte| *byte == 1));
        });
        assert_eq!(lock(&engines.all.free).len(), left);
    }
}

#[test]
fn other_memories_begin_empty_and_are_given_back() {
    let engines = Engines::new(Life::Request);
    let other = pywasm_state::encode(&[&[0; 2 * PAGE][..], b"text"].concat());
    let other = Module::new(&engines.engine, other).expect("a module");
    engines.with_memory(&other, |store, memory| {
        assert_eq!(&memory.data(&store)[2 * PAGE..][..5], b"text\0");
        assert!(
            memory.data(&store)[..2 * PAGE]
                .iter()
                .all(|byte| *byte == 0)
        );
    });
    assert!(lock(&engines.all.free).is_empty());
}

#[test]
fn nothing_is_used_again_where_the_kernel_does_not_tell_what_was_changed() {
    let all = Arc::new(Memories {
        initials: Mutex::default(),
        free: Mutex::default(),
        pagemap: None,
        ahead: Mutex::default(),
        life: Life::Request,
    });
    let engines = Engines::with(all, Hot::none());
    engines.with_memory(&engines.state, |store, memory| {
        memory.data_mut(store).fill(7)
    });
    assert!(lock(&engines.all.free).is_empty());
    engines.with_memory(&engines.state, |store, memory| {
        assert!(memory.data(&store) == template());
    });
}

#[test]
fn memories_begin_as_their_own_modules_say_and_places_are_used_again() {
    let engines = Engines::new(Life::Instance);
    let other = pywasm_state::encode(b"another");
    let adopt = || {
        let initial = Arc::new(Initial::of_state(&other).expect("a state"));
        let state = engines.all.adopt(&initial).expect("a place");
        (
            initial,
            Module::new(&engines.engine, state).expect("a module"),
        )
    };
    let (initial, state) = adopt();
    engines.with_memory(&state, |store, memory| {
        assert!(memory.data(&store).starts_with(b"another\0"));
    });
    engines.with_memory(&engines.state, |store, memory| {
        assert!(memory.data(&store) == template());
    });
    drop(initial);
    let (_initial, again) = adopt();
    engines.with_memory(&again, |store, memory| {
        assert!(memory.data(&store).starts_with(b"another\0"));
    });
    assert_eq!(lock(&engines.all.initials).len(), 2);
    assert_eq!(engines.initial.pages(), 3);
}

/// The ranges of a list in a file.
fn listed(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a list");
    text.lines().map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn pages_that_one_start_changes_are_asked_for_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pages");
    let begin = || {
        let mut options = std::fs::File::options();
        options.read(true).write(true).create(true);
        let file = options.open(&path).expect("a file");
        let hot = Hot::kept_in(file, template().len());
        Engines::with(Memories::new(Life::Process), hot)
    };
    let engines = begin();
    engines.with_memory(&engines.state, |store, memory| {
        memory.data_mut(store)[20 * PAGE] = 1;
    });
    let whole = [
        "pywasm pages 1 of a short start",
        &format!("{} {}", 20 * PAGE, 21 * PAGE),
        "end",
    ];
    assert_eq!(listed(&path), whole);
    let engines = begin();
    engines.all.begin_ahead(&engines.initial);
    let pagemap = Pagemap::open().expect("the kernel tells");
    engines.with_memory(&engines.state, |store, memory| {
        let start = memory.data_ptr(&store).addr();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        // Nobody has written to it here.
        let changed = || pagemap.changed(start..start + template().len());
        let asked = [(20 * PAGE, 21 * PAGE)];
        while changed()
            .expect("it tells")
            .iter()
            .map(|range| (range.start, range.end))
            .ne(asked)
        {
            assert!(std::time::Instant::now() < deadline, "it is not asked for");
            std::thread::yield_now();
        }
        assert!(memory.data(&store) == template());
    });
    assert_eq!(listed(&path), whole);
}

#[cfg(target_os = "linux")]
#[test]
fn a_memory_that_is_begun_ahead_is_as_any_other() {
    use std::io::Write;
    const HUGE: usize = filling::HUGE;
    // Three huge pages, of which most of the second is changed and some of the others, and a bit.
    let template: Vec<u8> = template().repeat(3 * HUGE / template().len() + 1);
    let parts = [
        4 * PAGE..6 * PAGE,
        HUGE - 2 * PAGE..2 * HUGE - 100 * PAGE,
        3 * HUGE..3 * HUGE + PAGE,
    ];
    let mut list = tempfile::tempfile().expect("a file");
    let lines = parts
        .iter()
        .map(|part| format!("{} {}\n", part.start, part.end));
    let lines: String = lines.collect();
    write!(list, "pywasm pages 1 of a long start\n{lines}end\n").expect("a list");
    let hot = Hot::kept_in(list, template.len());
    let engines = Engines::of(&template, Memories::new(Life::Process), hot);
    engines.all.begin_ahead(&engines.initial);
    let begun = {
        let free = lock(&engines.all.free);
        free.iter().map(Region::base).collect::<Vec<_>>()
    };
    let first = engines.with_memory(&engines.state, |store, memory| {
        engines.all.ready().expect("it can be read");
        assert!(memory.data(&store) == template);
        memory.data_mut(store).fill(1);
    });
    assert_eq!(begun, [first]);
    engines.with_memory(&engines.state, |store, memory| {
        assert!(memory.data(&store) == template);
    });
    // One that nobody takes does not stay.
    engines.all.begin_ahead(&engines.initial);
    assert_eq!(lock(&engines.all.free).len(), 1);
    engines.all.ready().expect("nothing is left to be read");
    assert!(lock(&engines.all.free).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_memory_that_cannot_be_read_is_not_ready() {
    let mut list = tempfile::tempfile().expect("a file");
    use std::io::Write;
    let whole = filling::HUGE;
    write!(list, "pywasm pages 1 of a long start\n0 {whole}\nend\n").expect("a list");
    let template = template().repeat(whole / template().len() + 1);
    let hot = Hot::kept_in(list, template.len());
    let engines = Engines::of(&template, Memories::new(Life::Process), hot);
    // Cut short under it.
    engines
        .initial
        .file()
        .set_len(whole as u64 - 1)
        .expect("it is ours");
    engines.all.begin_ahead(&engines.initial);
    engines.with_memory(&engines.state, |_, _| {
        if filling::huge_pages_are_given() {
            let error = engines.all.ready().expect_err("it is short");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    });
}

/// Loads a byte of an imported memory: at its argument, and `offset` further.
fn load(offset: u64) -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, EntityType, Function, FunctionSection, ImportSection, MemArg, Module,
        TypeSection, ValType,
    };
    let (mut types, mut imports, mut functions) = (
        TypeSection::new(),
        ImportSection::new(),
        FunctionSection::new(),
    );
    types.ty().function([ValType::I32], [ValType::I32]);
    let memory = EntityType::Memory(pywasm_state::memory_type(1));
    imports.import(pywasm_state::IMPORT, pywasm_state::MEMORY, memory);
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("load", ExportKind::Func, 0);
    let mut body = Function::new([]);
    let place = MemArg {
        offset,
        align: 0,
        memory_index: 0,
    };
    body.instructions().local_get(0).i32_load8_u(place).end();
    let mut code = CodeSection::new();
    code.function(&body);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&exports)
        .section(&code);
    module.finish()
}

#[test]
fn nothing_is_read_behind_a_memory_however_it_is_addressed() {
    let engines = Engines::new(Life::Instance);
    let size = template().len() as u64;
    for (offset, address, inside) in [
        (0, size - 1, true),
        (size - 1, 0, true),
        (0, size, false),
        (0, u64::from(u32::MAX), false),
        (size, 0, false),
        (u64::from(u32::MAX), 0, false),
        (u64::from(u32::MAX), u64::from(u32::MAX), false),
    ] {
        let module = Module::new(&engines.engine, load(offset)).expect("a module");
        engines.with_memory(&engines.state, |store, memory| {
            let instance = Instance::new(&mut *store, &module, &[memory.into()]);
            let instance = instance.expect("an instance");
            let load = instance.get_typed_func::<u32, u32>(&mut *store, "load");
            let load = load.expect("its function");
            let address = u32::try_from(address).expect("32 bits");
            match load.call(&mut *store, address) {
                Ok(byte) => {
                    assert!(inside, "{offset} {address}");
                    assert_eq!(byte, u32::from(template()[template().len() - 1]));
                }
                Err(error) => {
                    assert!(!inside, "{offset} {address}");
                    let trap = error.downcast_ref();
                    assert_eq!(trap, Some(&wasmtime::Trap::MemoryOutOfBounds));
                }
            }
            // As much as there is then, and no more.
            memory.grow(&mut *store, 1).expect("it grows");
            let grown = load.call(&mut *store, address);
            assert_eq!(grown.is_ok(), inside || offset + u64::from(address) == size);
        });
    }
}

#[test]
fn an_engine_has_so_many_initial_memories_and_those_that_are_gone_make_room() {
    let engines = Engines::new(Life::Instance);
    let all = &engines.all;
    lock(&all.initials).resize(MOST_INITIALS, Arc::downgrade(&engines.initial));
    let other = pywasm_state::encode(&template());
    let other = Arc::new(Initial::of_state(&other).expect("a state"));
    assert_eq!(all.adopt(&other), None);
    lock(&all.initials)[7] = Weak::new();
    let module = blank(other.pages(), MOST_PAGES - 7);
    assert_eq!(all.adopt(&other), Some(module));
}
