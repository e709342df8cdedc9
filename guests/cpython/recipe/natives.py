"""Native packages linked into guests: one recipe file each in natives/."""

import shutil
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from . import cplusplus, crates, meson, signatures
from .inputs import Input
from .localise import localise
from .toolchain import compile_all
from .work import RECIPE, Work

FOLDER = RECIPE / "natives"
# The interpreters with native packages: each has what those before it have.
BASES = ("slim", "web", "full", "scientific", "data", "analysis")
# That of a recipe which says none.
USUAL_BASE = "full"
# Without -flto: an extension is compiled to machine-independent code once, and adding one is a quick link.
OPTIMISE = ["-O2", "-DNDEBUG", "-fno-wrapv-pointer", *cplusplus.EXCEPTIONS]


@dataclass(frozen=True)
class CSources:
    """C, C++ and Cython files, and what they are compiled with. `NAME:PATH` lies in a library of that name, `./PATH` beside the
    recipe, all else in the package."""

    sources: list
    include: tuple = ()
    define: tuple = ()
    flags: tuple = ()


@dataclass(frozen=True)
class Crate:
    """The folder of a crate in the package, its features, and a lock file beside the recipe where the package has none."""

    crate: str
    features: tuple = ()
    lock: str = ""


@dataclass(frozen=True)
class MesonTarget:
    """What the package's own build with Meson makes of it, under the module's name."""


@dataclass(frozen=True)
class Module:
    """One extension module."""

    name: str
    code: CSources | Crate | MesonTarget

    @property
    def init(self) -> str:
        return f"PyInit_{self.name.rpartition('.')[2]}"

    @property
    def symbol(self) -> str:
        """The init function's name in the link: modules of different packages may share their last name."""
        return f"PyInit_{self.name.replace('.', '__')}"


@dataclass(frozen=True)
class Library:
    """A C library that modules are built with; the options of its configure script where it is compiled apart, in its own
    folder, by `make` of these targets."""

    source: Input
    configure: tuple = ()
    make: tuple = ()


@dataclass(frozen=True)
class Native:
    """One recipe: the release, its modules, Python that fails when they do not work."""

    source: Input
    modules: tuple
    test: str
    file: Path
    # The smallest base that has it.
    base: str
    # Whose Python files go with the modules: usually the very release, any where the modules are ours.
    releases: str
    # The packages that Python files come with, where they are called otherwise than the source.
    packages: tuple
    # Is one of them Python alone, which does nothing without these modules?
    completes: bool = False
    libraries: tuple = ()
    # For Meson, where that builds the modules: its options and the compiler's flags.
    setup: meson.Setup | None = None
    # What all of its modules share: flags of the last link, and archives of its libraries as `NAME:PATH`.
    link: tuple = ()

    @property
    def patches(self) -> list:
        """A change of the release's source: the recipe's name with `.patch`."""
        return [file for file in [self.file.with_suffix(".patch")] if file.exists()]

    @property
    def inputs(self) -> list:
        return [self.source, *(library.source for library in self.libraries)]

    @property
    def files(self) -> list:
        """All of it that lies in natives/: files named as the recipe, and in a folder of its name."""
        return sorted(file for file in [*FOLDER.glob(f"{self.source.name}.*"), *FOLDER.glob(f"{self.source.name}/**/*")] if file.is_file())


def load() -> list:
    """All recipes, by name, but those that others are compiled with before these."""
    recipes = [read(file) for file in sorted(FOLDER.glob("*.toml"))]
    return sorted(recipes, key=lambda native: len(native.setup.needs) if native.setup else 0)


def read(file: Path) -> Native:
    recipe = tomllib.loads(file.read_text())
    modules = tuple(read_module(module) for module in recipe.pop("module"))
    libraries = tuple(read_library(library) for library in recipe.pop("library", []))
    setup = meson.Setup(**{name: tuple(value) for name, value in recipe.pop("meson").items()}) if "meson" in recipe else None
    test, base, link = recipe.pop("test"), recipe.pop("base", USUAL_BASE), tuple(recipe.pop("link", []))
    releases = recipe.pop("releases", f"=={recipe['version']}")
    packages, completes = tuple(recipe.pop("packages", [recipe["name"]])), recipe.pop("completes", False)
    names = {field.name for field in fields(Input)}
    if set(recipe) != names:
        raise SystemExit(f"{file}: wants exactly {', '.join(sorted(names))}, test and [[module]]; differs in {set(recipe) ^ names}")
    return Native(Input(**recipe), modules, test, file, base, releases, packages, completes, libraries, setup, link)


def read_module(entry: dict) -> Module:
    name = entry.pop("name")
    return Module(name, (Crate if "crate" in entry else CSources if "sources" in entry else MesonTarget)(**entry))


def read_library(entry: dict) -> Library:
    own = {name: tuple(entry.pop(name)) for name in ("configure", "make") if name in entry}
    return Library(Input(**entry), **own)


def build(work: Work, native: Native, unpacked: dict, cpython: Path) -> None:
    """One relocatable object per module in which only the init function is visible. `unpacked`: the folders of its inputs."""
    folder = objects(work, native)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = f"native-{native.source.name}.log"
    source = unpacked[native.source.name]
    signatures.complete(source)
    for library in native.libraries:
        if library.configure:
            build_library(work, log, library, unpacked)
    python = [f"-I{cpython}/Include", f"-I{work.build}/cpython"]
    if native.setup:
        flags = [flag.format(**unpacked) for flag in native.setup.flags]
        modules = [module.name for module in native.modules if isinstance(module.code, MesonTarget)]
        built = meson.build(work, log, native.source.name, source, native.setup, [*OPTIMISE, *python, *flags], modules)
    for module in native.modules:
        match module.code:
            case Crate():
                parts = build_crate(work, log, native, module, source, folder)
            case CSources():
                parts = build_sources(work, log, native, module, unpacked, folder, python)
            case MesonTarget():
                parts = [meson.target(built, module.name)]
        merged = folder / f"{module.name}.merged.o"
        work.run(log, ["wasm-ld", "-r", "-o", merged, *parts], folder)
        (folder / f"{module.name}.o").write_bytes(localise(merged.read_bytes(), {module.init: module.symbol}, module.name))
        merged.unlink()


def build_library(work: Work, log: str, library: Library, unpacked: dict) -> None:
    source = unpacked[library.source.name]
    # `{NAME}` in an option is the folder of another of the recipe's libraries.
    options = [option.format(**unpacked) for option in library.configure]
    tools = {"CC": "wasm-cc", "AR": "wasm-ar", "RANLIB": "wasm-ranlib", "PKG_CONFIG": "/bin/true"}
    # The header declares what libc's leave out (libc/link.toml).
    common = ["--host=wasm32-wasi", "--disable-shared", f"CFLAGS={' '.join(OPTIMISE)}", "CPPFLAGS=-include posix.h"]
    work.run(log, ["./configure", "-q", *common, *options], source, tools)
    work.run(log, ["make", f"-j{work.jobs}", *library.make], source)


def build_crate(work: Work, log: str, native: Native, module: Module, source: Path, folder: Path) -> list:
    # An archive: what a call of the init function needs is taken from it.
    call = folder / "call.c"
    call.write_text(f"extern void *{module.init}(void);\nvoid *call_init(void) {{ return {module.init}(); }}\n")
    crate = source / module.code.crate
    if module.code.lock:
        shutil.copyfile(FOLDER / module.code.lock, crate / "Cargo.lock")
    archive = crates.build(work, log, native.source.name, crate, module.code.features)
    return [*compile_all(work, log, [call], folder / module.name, ["-O2"]), archive]


def build_sources(work: Work, log: str, native: Native, module: Module, unpacked: dict, folder: Path, python: list) -> list:
    def place(path: str) -> Path:
        library, colon, rest = path.partition(":")
        if colon:
            return unpacked[library] / rest
        return FOLDER / native.source.name / path if path.startswith("./") else unpacked[native.source.name] / path

    def compiled_from(path: str) -> Path:
        file = place(path)
        if file.suffix == ".pyx":
            work.run(log, ["cython", "-3", file, "-o", file.with_suffix(".c")], unpacked[native.source.name])
            return file.with_suffix(".c")
        if file.suffix == ".py":
            # A script of cffi's, which leaves what it was told in `ffi`.
            write = "import runpy, sys; runpy.run_path(sys.argv[1])['ffi'].emit_c_code(sys.argv[2])"
            work.run(log, ["crate-python", "-c", write, file, file.with_suffix(".c")], unpacked[native.source.name])
            return file.with_suffix(".c")
        return file

    def files(path: str) -> list:
        if "*" not in path:
            return [compiled_from(path)]
        return sorted(unpacked[native.source.name].glob(path))

    code = module.code
    flags = [*OPTIMISE, *python, *(f"-I{place(path)}" for path in code.include), *(f"-D{value}" for value in code.define), *code.flags]
    if any(Path(name).suffix in (".cpp", ".cc", ".cxx") for name in code.sources):
        flags += cplusplus.flags(work)
    return compile_all(work, log, [file for name in code.sources for file in files(name)], folder / module.name, flags)


def objects(work: Work, native: Native) -> Path:
    return work.build / "natives" / native.source.name


def linked_objects(work: Work, natives: list) -> list:
    return [objects(work, native) / f"{module.name}.o" for native in natives for module in native.modules]


def linked_libraries(work: Work, natives: list) -> list:
    """Flags and archives, in the order of the recipes."""
    def resolve(entry: str):
        library, _, path = entry.partition(":")
        return entry if entry.startswith("-") else work.sources / library / path

    return [resolve(entry) for native in natives for entry in native.link]


def module_table(table: str, natives: list) -> str:
    """CPython's generated table of built-in modules with the natives' added, under their full names."""
    modules = [module for native in natives for module in native.modules]
    declared = "".join(f"extern PyObject* {module.symbol}(void);\n" for module in modules)
    entries = "".join(f'    {{"{module.name}", {module.symbol}}},\n' for module in modules)
    head, start, rest = table.partition("struct _inittab _PyImport_Inittab[] = {\n")
    if not start:
        raise SystemExit("Modules/config.c has no table of built-in modules: the natives cannot be registered")
    return head + declared + start + entries + rest
