"""The pinned inputs: fetched with the registries' ordinary clients, checked by sha256, unpacked."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .work import CPYTHON_VERSION, RECIPE, sha256_of

# A release may run on newer Pythons than the one that fetches it.
FOR_THE_GUEST = ["--python-version", CPYTHON_VERSION.rpartition(".")[0]]
INPUTS_FILE = RECIPE / "inputs.toml"


@dataclass(frozen=True)
class Input:
    """One entry of inputs.toml."""

    name: str
    version: str
    kind: str
    path: str
    sha256: str
    licence: str
    purpose: str
    redistributed: list

    @property
    def filename(self) -> str:
        return self.path.rsplit("/", 1)[-1]


def load(file: Path = INPUTS_FILE) -> dict:
    """All inputs by name."""
    entries = tomllib.loads(file.read_text())["input"]
    return {entry["name"]: Input(**entry) for entry in entries}


def obtain(item: Input, store: Path) -> Path:
    """The verified file of an input, downloaded into `store` unless it is already there."""
    store.mkdir(parents=True, exist_ok=True)
    target = store / item.filename
    if not target.exists():
        print(f"  fetching {item.filename}", flush=True)
        FETCHERS[item.kind](item, target)
    found = sha256_of(target)
    if found != item.sha256:
        raise SystemExit(
            f"{target} has sha256 {found} but inputs.toml says {item.sha256}: delete the file to fetch it again, "
            "or change the pin after looking at what changed"
        )
    return target


def unpack(item: Input, archive: Path, target: Path, below: tuple = ("",)) -> None:
    """Unpacks an input into `target`; a source tarball's single top folder is dropped, and what does not lie `below` a folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
    elif archive.suffix == ".deb":
        with tarfile.open(fileobj=io.BytesIO(deb_data(archive))) as data:
            data.extractall(target, filter="tar")
    else:
        with tarfile.open(archive) as source:
            for member in source:
                member.name = member.name.partition("/")[2]
                if member.islnk():
                    member.linkname = member.linkname.partition("/")[2]
                if member.name and member.name.startswith(below):
                    source.extract(member, target, filter="tar")


def deb_data(archive: Path) -> bytes:
    """The data.tar.* member of a Debian package (an `ar` archive)."""
    content = archive.read_bytes()
    position = len(b"!<arch>\n")
    while position < len(content):
        header = content[position:position + 60]
        size = int(header[48:58])
        if header[:16].startswith(b"data.tar"):
            return content[position + 60:position + 60 + size]
        position += 60 + size + size % 2
    raise SystemExit(f"{archive} holds no data.tar: is it a Debian package?")


def fetch_debian(item: Input, target: Path) -> None:
    """apt's own downloader, so apt's mirror, proxy and certificate settings hold."""
    mirror = os.environ.get("PYWASM_DEBIAN_MIRROR") or apt_mirror()
    address = f"{mirror.rstrip('/')}/{item.path}"
    client(["/usr/lib/apt/apt-helper", "download-file", address, str(target), f"SHA256:{item.sha256}"], target.parent)


def apt_mirror() -> str:
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"], check=True, text=True, stdout=subprocess.PIPE,
    ).stdout
    for line in listed.splitlines():
        origin, _, address = line.partition(" ")
        if origin == "Debian" and address.rstrip("/").endswith("/debian"):
            return address
    raise SystemExit("apt lists no Debian mirror: set PYWASM_DEBIAN_MIRROR to the base address of one (the folder above pool/)")


def fetch_pypi(item: Input, target: Path) -> None:
    platform = item.filename.removesuffix(".whl").rsplit("-", 1)[-1].split(".")[0]
    pip_download(item, target, ["--only-binary", ":all:", "--platform", platform, *FOR_THE_GUEST])


def fetch_pypi_sdist(item: Input, target: Path) -> None:
    pip_download(item, target, ["--no-binary", item.name, *FOR_THE_GUEST])


def fetch_pypi_sdist_unbuilt(item: Input, target: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(RECIPE / "recipe/backends")}
    pip_download(item, target, ["--no-binary", item.name, *FOR_THE_GUEST, "--no-build-isolation"], environment)


def pip_download(item: Input, target: Path, form: list, environment: dict | None = None) -> None:
    requirements = target.with_name(target.name + ".requirements")
    # An input may have another name than the project, of which there may be two.
    requirements.write_text(f"{item.filename.partition('-')[0]}=={item.version} --hash=sha256:{item.sha256}\n")
    client(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", *form,
         "--dest", str(target.parent), "--requirement", str(requirements)], target.parent, environment)
    requirements.unlink()


def fetch_npm(item: Input, target: Path) -> None:
    client(["npm", "pack", f"{item.name}@{item.version}", "--pack-destination", str(target.parent)], target.parent)


def client(command: list, cwd: Path, environment: dict | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{done.stdout}")


FETCHERS = {
    "debian-pool": fetch_debian, "pypi": fetch_pypi, "pypi-sdist": fetch_pypi_sdist, "pypi-sdist-unbuilt": fetch_pypi_sdist_unbuilt,
    "npm": fetch_npm,
}
