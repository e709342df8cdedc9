"""Compares what `pywasm check` chooses with what uv chooses, over 60 sets of requirements.

    python packager/tests/compare_uv.py PYWASM UV > table.md

Both resolve for CPython 3.14 as of today, with the same index, taking turns at going first; uv for Linux on x86-64, pywasm for WASI, so that markers may
differ. Every difference is printed with what explains it, as far as that can be told by looking. Cold
times are with empty caches, warm ones with filled ones, side by side in one run.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

SINGLE = """
requests urllib3 certifi idna charset-normalizer packaging typing-extensions python-dateutil six pyyaml
flask django jinja2 click werkzeug sqlalchemy pydantic fastapi httpx starlette uvicorn rich pytest attrs
aiohttp sphinx pelican black mypy pip setuptools wheel virtualenv tox poetry-core hatchling boto3 botocore
s3transfer google-auth azure-core beautifulsoup4 scrapy celery redis pymongo marshmallow tornado bottle
peewee
""".split()
COMBINED = [
    "flask==1.1.2",
    "flask==2.0.1",
    "flask flask-sqlalchemy flask-migrate flask-login",
    "django djangorestframework django-cors-headers whitenoise",
    "fastapi[standard] sqlalchemy alembic",
    "requests[socks] beautifulsoup4 lxml",
    "sphinx sphinx-rtd-theme myst-parser",
    "pytest pytest-cov pytest-xdist pytest-asyncio hypothesis",
    "httpx[http2,brotli] anyio trio",
    "jupyterlab pandas matplotlib",
]
SETS = SINGLE + COMBINED
# Sets for which ours takes this many times as long as uv are named.
SLOW = 1.5


def ours(program, path, cache):
    command = [program, "check", "-r", path, "--format", "json", "--as-of", "none", "--no-lock"]
    environment = dict(os.environ, PYWASM_CACHE=cache)
    started = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    took = time.monotonic() - started
    if ended.returncode not in (0, 1) or not ended.stdout:
        return None, took, ended.stderr.strip()
    report = json.loads(ended.stdout)
    found = {each["name"]: each["version"] for each in report["packages"]}
    # Two empty answers must not count as the same.
    return found or None, took, report["notes"]


def theirs(program, path, cache):
    command = [program, "pip", "compile", path, "--python-version", "3.14", "--python-platform",
               "x86_64-unknown-linux-gnu", "--no-header", "--no-annotate", "--cache-dir", cache, "-q",
               # Else it looks for a Python 3.14, and for one to download, longer than it resolves.
               "--no-python-downloads", "--python", sys.executable]
    started = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True)
    took = time.monotonic() - started
    if ended.returncode != 0:
        return None, took, ended.stderr.strip()
    lines = [line.split(" ;")[0] for line in ended.stdout.splitlines() if "==" in line]
    pairs = (line.split("==") for line in lines)
    found = {re.sub(r"\[.*", "", name): version.strip() for name, version in pairs}
    return found or None, took, "no packages"


def differences(our, their, notes):
    for name in sorted(our.keys() | their.keys()):
        one, other = our.get(name), their.get(name)
        if one == other:
            continue
        told = [note for note in notes if re.search(rf"(^|\W){re.escape(name)} ", note)]
        yield name, one or "-", other or "-", "; ".join(told)


def main():
    pywasm, uv = sys.argv[1:]
    slow, rows, cold_ratio, warm_ratio, same, packages = [], [], [], [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "requirements.txt")
        for number, requirements in enumerate(SETS):
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(requirements.split()) + "\n")
            caches = [os.path.join(folder, f"{number}-{who}") for who in ("ours", "theirs")]
            # The first may find a colder server: it is each of them in turn.
            order = [lambda: ours(pywasm, path, caches[0]), lambda: theirs(uv, path, caches[1])]
            turn = -1 if number % 2 else 1
            cold = [ask() for ask in order[::turn]][::turn]
            warm = [ask() for ask in order[::turn]][::turn]
            (our, our_cold, notes), (their, their_cold, error) = cold
            (_, our_warm, _), (_, their_warm, _) = warm
            cold_ratio.append((our_cold, their_cold))
            warm_ratio.append((our_warm, their_warm))
            pairs = (our_cold / their_cold, our_warm / their_warm)
            if max(pairs) > SLOW:
                slow.append(f"| `{requirements}` | {pairs[0]:.2f} | {pairs[1]:.2f} |")
            if our is None or their is None:
                rows.append(f"| `{requirements}` | failed | {(notes if our is None else '')} {error} |")
                continue
            found = list(differences(our, their, notes))
            same += not found
            packages += len(our)
            for name, one, other, why in found:
                rows.append(f"| `{requirements}` | {name}: {one} / {other} | {why} |")
    def total(pairs):
        ratios = sorted(one / other for one, other in pairs)
        whole = sum(one for one, _ in pairs) / sum(other for _, other in pairs)
        return f"{whole:.2f} (median {ratios[len(ratios) // 2]:.2f}, worst {ratios[-1]:.2f})"

    print(f"{same} of {len(SETS)} sets are the same, version by version ({packages} packages).\n")
    print(f"Time, ours over uv's, sum of all sets: cold {total(cold_ratio)}, warm {total(warm_ratio)}.\n")
    print(f"Over {SLOW} times uv's time:\n\n| set | cold | warm |\n|---|---|---|")
    print("\n".join(slow))
    print("\nDifferences:\n\n| set | ours / uv's | told by |\n|---|---|---|")
    print("\n".join(rows))


main()
