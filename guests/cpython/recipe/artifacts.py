"""What is checked in: the component, the standard library, their licences and guest.json."""

import json
import re
import shutil
from pathlib import Path

from . import lapack
from .inputs import INPUTS_FILE, Input
from .layers import archive, tree
from .natives import BASES
from .stdlib import MOUNTED_AT
from .work import CPYTHON_VERSION, GUESTS, RECIPE, Work, digest, sha256_of

ENCODER = GUESTS / "componentize"
STATE_CRATE = GUESTS / "state"
# Where a package's runtime layer holds the interpreter.
RUNTIME_AT = "/usr/local/lib/pywasm"
# What only native packages bring, and the smallest base with one that does.
SHARED, SHARED_BASE = ("ziglang", "postgresql"), "full"
# Everything that, when changed, makes another guest.
RECIPE_PARTS = ("build.py", "config.site", "Setup.local", "recipe/**/*.py", "patches/*.patch", "natives/**/*", "profile/*.xz", "*/link.toml",
                "entry/*.[ch]", "threads/*.[chS]", "libc/*.[chS]", "openssl/*.[ch]", "lapack/*.[ch]", "postgresql/*.h", "ffi/*.[ch]", "cplusplus/*.[chS]", "lib/*.py", "wit/**/*.wit")


def componentize(work: Work, core: Path, component: Path, state: Path) -> None:
    """The component that holds the code, and apart from it the memory that it starts with."""
    whole = component.with_name("whole.wasm")
    encoder(work, "component", core, RECIPE / "wit", "python", whole)
    encoder(work, "split", whole, component, state)


def encoder(work: Work, *arguments) -> None:
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--manifest-path", ENCODER / "Cargo.toml", "--"]
    work.run("componentize.log", [*command, *arguments], ENCODER, {"CARGO_TARGET_DIR": str(work.root / "cargo")})


def write(work: Work, pins: dict, unpacked: dict, runtimes: dict, library: Path, packages: list, output: Path) -> None:
    """`runtimes`: the files of each layer with an interpreter, by the layer's name. `pins` are the inputs of all of them."""
    output.mkdir(parents=True, exist_ok=True)
    # The smallest base that an input is a part of: none of a tool, which leaves nothing in it.
    bases = {pin.name: SHARED_BASE if pin.name in SHARED else "slim" if pin.redistributed else None for pin in pins.values()}
    bases |= {name: package.base for package in packages if lapack.LINKED in package.link for name in lapack.INPUTS if pins[name].redistributed}
    # The largest first, so that the smallest of several stays.
    bases |= {pin.name: package.base for package in sorted(packages, key=lambda p: -BASES.index(p.base)) for pin in package.inputs}
    pins |= {pin.name: pin for package in packages for pin in package.inputs}
    layers = {
        **{name: (RUNTIME_AT, {file.name: file for file in files}) for name, files in runtimes.items()},
        "stdlib.tar": (MOUNTED_AT, tree(library)),
    }
    artefacts = []
    for name, (mounted_at, content) in layers.items():
        tar, compressed = work.out / name, work.out / f"{name}.zst"
        archive(content, mounted_at, tar)
        work.step(f"compress-{name}", digest(tar, *encoder_files()), lambda: encoder(work, "compress", tar, compressed))
        shutil.copy(compressed, output)
        artefacts.append({
            "name": compressed.name,
            "sha256": sha256_of(compressed), "size": compressed.stat().st_size,
            "unpacked_sha256": sha256_of(tar), "unpacked_size": tar.stat().st_size,
        })
        print(f"  {compressed.name}: {compressed.stat().st_size:,} bytes")
    copy_licences(pins, unpacked, output / "LICENSES")
    manifest = {
        "python": CPYTHON_VERSION,
        "target": "wasm32-wasip2",
        "artifacts": artefacts,
        "builtin_modules": builtin_modules(work),
        "natives": [
            {
                "name": name, "version": package.source.version, "releases": package.releases, "base": package.base,
                "completes": package.completes, "modules": [module.name for module in package.modules], "test": package.test,
            }
            for package in packages for name in package.packages
        ],
        "inputs": [
            {
                "name": pin.name, "version": pin.version, "sha256": pin.sha256, "licence": pin.licence, "purpose": pin.purpose,
                "base": bases[pin.name],
            }
            for pin in pins.values()
        ],
        "recipe": {file.relative_to(GUESTS).as_posix(): sha256_of(file) for file in recipe_files()},
    }
    (output / "guest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def recipe_files() -> list:
    """The files of ours that decide the artefacts' bytes."""
    ours = {file for part in RECIPE_PARTS for file in RECIPE.glob(part) if file.is_file()}
    return sorted([INPUTS_FILE, *ours, *encoder_files()])


def encoder_files() -> list:
    """All that the encoder is made of: its own crate and the one that says what a state is."""
    return sorted([*ENCODER.glob("Cargo.*"), *ENCODER.glob("src/*.rs"), *STATE_CRATE.glob("Cargo.toml"), *STATE_CRATE.glob("src/*.rs")])


def builtin_modules(work: Work) -> list:
    table = (work.build / "cpython/Modules/config.c").read_text()
    return sorted(re.findall(r'^\s*\{"(\w+)",', table, re.MULTILINE))


def copy_licences(pins: dict, unpacked: dict, folder: Path) -> None:
    """The licence files that inputs.toml lists; of a source file, its leading comment."""
    shutil.rmtree(folder, ignore_errors=True)
    for pin in pins.values():
        for name in pin.redistributed:
            text = (unpacked[pin.name] / name).read_text(errors="replace")
            if name.endswith((".c", ".h", ".cpp")):
                text = text[:text.index("*/") + 2] + "\n"
            target = folder / pin.name / (name if "/share/doc/" not in name else Path(name).name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
