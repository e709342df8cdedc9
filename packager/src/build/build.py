"""Builds a wheel from a source archive, as PEP 517 has it. Runs inside the sandbox.

Beside it lie `job.json` and the archive; the wheel goes to /out. What the backend requires beyond what
is installed is written to /out/requires.json instead.
"""

import importlib
import importlib.metadata
import json
import os
import re
import sys
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = "/out"


def unpack(archive, folder):
    if archive.endswith(".zip"):
        with zipfile.ZipFile(archive) as source:
            source.extractall(folder)
    else:
        # There are no owners in the sandbox.
        tarfile.TarFile.chown = lambda *args, **kwargs: None
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
    (top,) = os.listdir(folder)
    return os.path.join(folder, top)


def backend_of(job):
    name, _, attributes = job["backend"].partition(":")
    backend = importlib.import_module(name)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    return backend


def is_installed(requirement):
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    try:
        importlib.metadata.version(name.group())
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main():
    with open(os.path.join(HERE, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    os.makedirs("/tmp/source")
    os.chdir(unpack(os.path.join(HERE, job["archive"]), "/tmp/source"))
    # What `python setup.py` and backends in the source itself expect.
    sys.argv = ["setup.py"]
    paths = [os.path.abspath(path) for path in job["backend_path"]]
    sys.path[:] = paths + [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    backend = backend_of(job)
    asked = getattr(backend, "get_requires_for_build_wheel", lambda: [])()
    # What was asked for before is there, or its marker says that it is for elsewhere.
    known = job["requires"]
    missing = [each for each in asked if each not in known and not is_installed(each)]
    if missing:
        with open(os.path.join(OUT, "requires.json"), "w", encoding="utf-8") as file:
            json.dump(missing, file)
        return
    backend.build_wheel(OUT)


main()
