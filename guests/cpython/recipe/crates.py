"""Extension modules written in Rust: a static library by cargo, with what it needs fetched by the crate's own lock file."""

import shutil
import tomllib
from pathlib import Path

from .toolchain import TARGET, wrapper
from .work import CPYTHON_VERSION, Work

# The compiler and its standard library for the guest, from rustup; a panic ends the guest with its message.
TOOLCHAIN = "1.95.0"
# What PyO3 would ask a Python for that could run on the build machine.
PYO3_CONFIG = f"""\
implementation=CPython
version={CPYTHON_VERSION.rpartition(".")[0]}
shared=false
abi3=false
pointer_width=32
suppress_build_script_link_lines=true
"""
NOTICES = "CRATES.txt"


def install(work: Work, cffi: Path, pycparser: Path, python: Path, cpython: Path) -> None:
    """The toolchain, and what build scripts of crates ask for: a `python` with cffi, and the guest's headers of `cpython`."""
    # In a home of its own: the person's toolchains stay as they are.
    home = {"RUSTUP_HOME": str(work.root / "rustup")}
    work.run("rust.log", ["rustup", "toolchain", "install", TOOLCHAIN, "--profile", "minimal", "--target", TARGET, "--no-self-update"],
             work.root, home)
    wrapper(work, "guest-cargo", f'RUSTUP_HOME={home["RUSTUP_HOME"]} exec rustup run {TOOLCHAIN} cargo "$@"')
    wrapper(work, "crate-python", f'PYTHONPATH={cffi}:{pycparser} exec {python} "$@"')
    prefix, version = python_prefix(work), f"python{CPYTHON_VERSION.rpartition('.')[0]}"
    shutil.rmtree(prefix, ignore_errors=True)
    (prefix / "lib" / version).mkdir(parents=True)
    shutil.copytree(cpython / "Include", prefix / "include" / version)
    shutil.copy(work.build / "cpython/pyconfig.h", prefix / "include" / version)


def python_prefix(work: Work) -> Path:
    """A folder laid out as that of an installed Python, with headers only."""
    return work.build / "crate-python"


def build(work: Work, log: str, name: str, crate: Path, features: tuple) -> Path:
    """The static library of package `name`'s crate, all it depends on included; their notices lie beside its Cargo.toml."""
    vendored = work.build / "crates" / name
    shutil.rmtree(vendored, ignore_errors=True)
    vendored.parent.mkdir(parents=True, exist_ok=True)
    work.run(log, ["guest-cargo", "vendor", "--locked", "--versioned-dirs", vendored], crate)
    config = vendored.with_suffix(".pyo3")
    if not config.exists() or config.read_text() != PYO3_CONFIG:  # cargo compiles again what depends on a file that was written
        config.write_text(PYO3_CONFIG)
    output = work.root / "cargo-natives" / name
    environment = {
        "CARGO_TARGET_DIR": str(output),
        "CARGO_PROFILE_RELEASE_STRIP": "none",
        "PYO3_CONFIG_FILE": str(config),
        "PYO3_PYTHON": str(work.bin / "crate-python"),
        "PYO3_CROSS_LIB_DIR": str(next((python_prefix(work) / "lib").iterdir())),
        # The guest's OpenSSL, which the last link has already: not a copy in the crate's own library.
        "OPENSSL_STATIC": "0",
        "OPENSSL_LIB_DIR": str(work.sysroot / "lib" / TARGET),
        "OPENSSL_INCLUDE_DIR": str(work.sysroot / "include" / TARGET),
        **{f"{tool}_{TARGET.replace('-', '_')}": f"wasm-{tool.lower()}" for tool in ("CC", "AR")},
        # Panics name source files: those of the work folder, not of this machine.
        "RUSTFLAGS": f"--remap-path-prefix={work.root}=.",
    }
    offline = ["--offline", "--locked", "--config", "source.crates-io.replace-with='vendored'",
               "--config", f"source.vendored.directory='{vendored}'"]
    chosen = ["--features", ",".join(features), *offline]
    made = ["--release", "--lib", "--target", TARGET, "--crate-type", "staticlib", "-j", work.jobs]
    work.run(log, ["guest-cargo", "rustc", *made, *chosen], crate, environment)
    (crate / NOTICES).write_text(notices(work, crate, vendored, chosen))
    manifest = tomllib.loads((crate / "Cargo.toml").read_text())
    library = manifest["lib"].get("name", manifest["package"]["name"].replace("-", "_"))
    return output / TARGET / "release" / f"lib{library}.a"


def notices(work: Work, crate: Path, vendored: Path, chosen: list) -> str:
    """Name, version and licence of every crate that is linked in and of Rust's standard library, then each licence text once."""
    shown = ["--target", TARGET, "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}\t{l}"]
    tree = work.capture(["guest-cargo", "tree", *shown, *chosen], crate)
    crates, texts = [], {}
    for line in sorted({line.removesuffix(" (*)") for line in tree.splitlines()}):
        package, _, licence = line.partition("\t")
        name, version = package.split()[:2]
        folder = vendored / f"{name}-{version.removeprefix('v')}"
        if not folder.exists():  # the extension's own crates: their licence is the package's
            continue
        crates.append(f"{name} {version.removeprefix('v')}: {licence}")
        for file in sorted(folder.iterdir()):
            if is_licence(file):
                texts.setdefault(file.read_text(errors="replace").strip(), []).append(name)
    crates.append(f"Rust's standard library {TOOLCHAIN}: MIT OR Apache-2.0")
    parts = [f"{', '.join(dict.fromkeys(names))}:\n\n{text}" for text, names in texts.items()]
    return ("\n\n" + "-" * 80 + "\n\n").join(["\n".join(crates), *parts]) + "\n"


def is_licence(file: Path) -> bool:
    return file.is_file() and file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"))
