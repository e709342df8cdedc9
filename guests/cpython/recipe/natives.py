"""Native packages linked into the full guest: one recipe file each in natives/."""

import shutil
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from . import crates, signatures
from .inputs import Input
from .localise import localise
from .toolchain import compile_all
from .work import RECIPE, Work

FOLDER = RECIPE / "natives"
# Without -flto: an extension is compiled to machine-independent code once, and adding one is a quick link.
OPTIMISE = ["-O2", "-DNDEBUG", "-fno-wrapv-pointer"]


@dataclass(frozen=True)
class CSources:
    """C files of the package, and what they are compiled with."""

    sources: list
    include: tuple = ()
    define: tuple = ()


@dataclass(frozen=True)
class Crate:
    """The folder of a crate in the package, its features, and a lock file beside the recipe where the package has none."""

    crate: str
    features: tuple = ()
    lock: str = ""


@dataclass(frozen=True)
class Module:
    """One extension module."""

    name: str
    code: CSources | Crate

    @property
    def init(self) -> str:
        return f"PyInit_{self.name.rpartition('.')[2]}"

    @property
    def symbol(self) -> str:
        """The init function's name in the link: modules of different packages may share their last name."""
        return f"PyInit_{self.name.replace('.', '__')}"


@dataclass(frozen=True)
class Native:
    """One recipe: the release, its modules, Python that fails when they do not work."""

    source: Input
    modules: tuple
    test: str
    file: Path

    @property
    def patches(self) -> list:
        """A change of the release's source: the recipe's name with `.patch`."""
        return [file for file in [self.file.with_suffix(".patch")] if file.exists()]

    @property
    def files(self) -> list:
        """All of it that lies in natives/."""
        locks = [FOLDER / module.code.lock for module in self.modules if isinstance(module.code, Crate) and module.code.lock]
        return [self.file, *self.patches, *locks]


def load() -> list:
    """All recipes, by name."""
    return [read(file) for file in sorted(FOLDER.glob("*.toml"))]


def read(file: Path) -> Native:
    recipe = tomllib.loads(file.read_text())
    modules = tuple(read_module(module) for module in recipe.pop("module"))
    test = recipe.pop("test")
    names = {field.name for field in fields(Input)}
    if set(recipe) != names:
        raise SystemExit(f"{file}: wants exactly {', '.join(sorted(names))}, test and [[module]]; differs in {set(recipe) ^ names}")
    return Native(Input(**recipe), modules, test, file)


def read_module(entry: dict) -> Module:
    name = entry.pop("name")
    return Module(name, (Crate if "crate" in entry else CSources)(**entry))


def build(work: Work, native: Native, source: Path, cpython: Path) -> None:
    """One relocatable object per module in which only the init function is visible."""
    folder = objects(work, native)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = f"native-{native.source.name}.log"
    signatures.complete(source)
    for module in native.modules:
        if isinstance(module.code, Crate):
            # An archive: what a call of the init function needs is taken from it.
            call = folder / "call.c"
            call.write_text(f"extern void *{module.init}(void);\nvoid *call_init(void) {{ return {module.init}(); }}\n")
            crate = source / module.code.crate
            if module.code.lock:
                shutil.copyfile(FOLDER / module.code.lock, crate / "Cargo.lock")
            archive = crates.build(work, log, native.source.name, crate, module.code.features)
            parts = [*compile_all(work, log, [call], folder / module.name, ["-O2"]), archive]
        else:
            code = module.code
            flags = [*OPTIMISE, f"-I{cpython}/Include", f"-I{work.build}/cpython", *(f"-I{source / path}" for path in code.include),
                     *(f"-D{value}" for value in code.define)]
            parts = compile_all(work, log, [source / name for name in code.sources], folder / module.name, flags)
        merged = folder / f"{module.name}.merged.o"
        work.run(log, ["wasm-ld", "-r", "-o", merged, *parts], folder)
        (folder / f"{module.name}.o").write_bytes(localise(merged.read_bytes(), {module.init: module.symbol}, module.name))
        merged.unlink()


def objects(work: Work, native: Native) -> Path:
    return work.build / "natives" / native.source.name


def linked_objects(work: Work, natives: list) -> list:
    return [objects(work, native) / f"{module.name}.o" for native in natives for module in native.modules]


def module_table(table: str, natives: list) -> str:
    """CPython's generated table of built-in modules with the natives' added, under their full names."""
    modules = [module for native in natives for module in native.modules]
    declared = "".join(f"extern PyObject* {module.symbol}(void);\n" for module in modules)
    entries = "".join(f'    {{"{module.name}", {module.symbol}}},\n' for module in modules)
    head, start, rest = table.partition("struct _inittab _PyImport_Inittab[] = {\n")
    if not start:
        raise SystemExit("Modules/config.c has no table of built-in modules: the natives cannot be registered")
    return head + declared + start + entries + rest
