//! Builds from source: what a build may do, and what it may not.

use crate::support::{Ended, project, pywasm, run};
use std::io::Write;
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A backend in the source itself, as the standard allows; it needs nothing from an index.
const BACKEND: &str = "
import zipfile

FILES = {'odd/__init__.py': 'ANSWER = 42\\n'}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    before()
    name = 'odd-1.0-py3-none-any.whl'
    with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:
        for path, text in FILES.items():
            wheel.writestr(path, text)
        wheel.writestr('odd-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: odd\\nVersion: 1.0\\n')
        wheel.writestr('odd-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        wheel.writestr('odd-1.0.dist-info/RECORD', '')
    after(folder)
    return name

def before(): pass
def after(folder): pass
";

const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";

/// Writes the source archive of `odd 1.0` into `folder`.
fn source(folder: &Path, files: &[(&str, &str)]) {
    let file = std::fs::File::create(folder.join("odd-1.0.zip")).expect("a file");
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in files {
        archive
            .start_file(format!("odd-1.0/{name}"), options)
            .expect("an entry");
        archive.write_all(content.as_bytes()).expect("written");
    }
    archive.finish().expect("an archive");
}

/// Builds `odd` with `more` at the end of its backend and runs `code` with it.
fn build(more: &str, code: &str) -> Ended {
    let folder = project(&[]);
    let backend = format!("{BACKEND}\n{more}");
    source(
        folder.path(),
        &[("pyproject.toml", PYPROJECT), ("backend.py", &backend)],
    );
    let mut command = pywasm(["python", "--no-index", "--with", "odd", "--find-links"]);
    command.arg(folder.path()).args(["-c", code]);
    run(command)
}

fn refused(more: &str) -> String {
    let Ended { code, stderr, .. } = build(more, "");
    assert_eq!(code, Some(125), "{stderr}");
    stderr
}

#[test]
fn a_source_is_built_with_its_own_backend() {
    let Ended { stdout, stderr, .. } = build("", "import odd; print(odd.ANSWER)");
    assert_eq!(stdout, "42\n", "{stderr}");
    assert!(
        stderr.contains("odd 1.0 was built from its source (odd-1.0.zip) in the sandbox"),
        "{stderr}"
    );
}

#[test]
fn a_build_sees_neither_files_nor_environment_nor_network_of_the_host() {
    // Each writes what it could get into the package: the build works, and there is nothing.
    let probe = "
def before():
    import os, socket
    got = []
    for path in ('/etc/passwd', '/proc/self/environ', '/root/.ssh', '/home'):
        try: os.stat(path); got.append(path)
        except OSError: pass
    got += [name for name in os.environ if name in ('SECRET_TOKEN', 'PYWASM_CACHE')]
    try: socket.create_connection(('127.0.0.1', PORT), 2); got.append('net')
    except OSError: pass
    FILES['odd/got.py'] = f'GOT = {got}'
";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // The port is really open.
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    let Ended { stdout, stderr, .. } = build(
        &probe.replace("PORT", &port.to_string()),
        "import odd.got; print(odd.got.GOT)",
    );
    assert_eq!(stdout, "[]\n", "{stderr}");
}

#[test]
fn what_is_built_must_be_that_package_and_pure() {
    let native = refused("FILES['odd/fast.cpython-314-wasm32-wasi.so'] = 'x'");
    assert!(
        native.contains("odd 1.0: it has no wheel, and its build made native code (odd/fast.cpython-314-wasm32-wasi.so)"),
        "{native}"
    );
    let other = refused(
        "def after(folder):\n    import os; os.rename(folder + '/odd-1.0-py3-none-any.whl', folder + '/requests-9.9-py3-none-any.whl')\n",
    );
    assert!(
        other.contains("its build made requests-9.9-py3-none-any.whl out of odd-1.0.zip"),
        "{other}"
    );
    let two = refused(
        "def after(folder):\n    open(folder + '/odd-1.0-py2-none-any.whl', 'w').close()\n",
    );
    assert!(two.contains("its build made 2 wheels"), "{two}");
}

#[test]
fn a_link_in_place_of_the_wheel_is_not_followed() {
    let error = refused(
        "def after(folder):\n    import os\n    os.rename(folder + '/odd-1.0-py3-none-any.whl', folder + '/x')\n    os.symlink('x', folder + '/odd-1.0-py3-none-any.whl')\n",
    );
    assert!(error.contains("its build made 0 wheels"), "{error}");
}

#[test]
fn a_failed_build_shows_why() {
    let error = refused("def before():\n    raise RuntimeError('no luck today')\n");
    assert!(
        error.contains("odd 1.0: it has no wheel, and its build in the sandbox failed:\n")
            && error.contains("RuntimeError: no luck today"),
        "{error}"
    );
}

#[test]
fn backends_that_make_native_code_are_refused_before_anything_runs() {
    let folder = project(&[]);
    source(
        folder.path(),
        &[(
            "pyproject.toml",
            "[build-system]\nrequires = ['maturin>=1']\nbuild-backend = 'maturin'\n",
        )],
    );
    let mut command = pywasm(["python", "--no-index", "--with", "odd", "--find-links"]);
    command.arg(folder.path());
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(125));
    assert!(
        stderr.contains("its source is built by maturin, which needs a Rust compiler"),
        "{stderr}"
    );
}

#[test]
fn registry_a_legacy_package_and_one_with_optional_native_parts_are_built() {
    let folder = project(&[(
        "requirements.txt",
        "docopt==0.6.2\npyyaml\n--no-binary pyyaml\n",
    )]);
    let mut command = pywasm(["python", "--requirements"]);
    command.arg(folder.path().join("requirements.txt")).args([
        "-c",
        "import docopt, yaml; print(docopt.__version__, yaml.safe_load('a: [1]'))",
    ]);
    let Ended { stdout, stderr, .. } = run(command);
    assert_eq!(stdout, "0.6.2 {'a': [1]}\n", "{stderr}");
}

#[test]
fn a_dockerfile_installs_the_project_itself() {
    let dockerfile = "FROM python:3.12 AS build\nWORKDIR /src\nCOPY . .\nRUN pip wheel --no-deps -w /wheels .\n\nFROM python:3.12-slim\nCOPY --from=build /wheels /wheels\nRUN pip install --no-cache-dir /wheels/*.whl && mkdir -p data\nCOPY app.py .\nCMD [\"python\", \"app.py\"]\n";
    let pyproject = format!("{PYPROJECT}\n[project]\nname = 'odd'\nversion = '1.0'\n");
    let folder = project(&[
        ("Dockerfile", dockerfile),
        ("pyproject.toml", &pyproject),
        ("backend.py", BACKEND),
        (
            "app.py",
            "import odd, os\nprint(odd.ANSWER, sorted(os.listdir('.')), odd.__file__)\n",
        ),
    ]);
    let mut command = pywasm(["run"]);
    command.arg(folder.path());
    let Ended { stdout, stderr, .. } = run(command);
    assert_eq!(
        stdout, "42 ['app.py', 'data'] /usr/local/lib/python3.14/site-packages/odd/__init__.py\n",
        "{stderr}"
    );
    assert!(
        stderr.contains("packages of stage `build` are taken along"),
        "{stderr}"
    );
}

/// A project that installs programs, with what else is in its folder.
fn tool(scripts: &[&str], more: &[(&str, &str)]) -> tempfile::TempDir {
    let pyproject: String = scripts
        .iter()
        .map(|name| format!("{name} = 'odd:main'\n"))
        .collect();
    let pyproject = format!(
        "{PYPROJECT}\n[project]\nname = 'odd'\nversion = '1.0'\n[project.scripts]\n{pyproject}"
    );
    let entries: String = scripts
        .iter()
        .map(|name| format!("{name} = odd:main\n"))
        .collect();
    let backend = format!(
        "{BACKEND}
FILES['odd/__init__.py'] = open('odd_source.py').read()
FILES['odd-1.0.dist-info/entry_points.txt'] = '[console_scripts]\\n' + open('entries.txt').read()
"
    );
    let files = [
        ("pyproject.toml", pyproject.as_str()),
        ("backend.py", &backend),
        ("entries.txt", &entries),
        (
            "odd_source.py",
            "import sys\ndef main():\n    print('odd', sys.argv[1:])\n",
        ),
    ];
    project(&[&files, more].concat())
}

fn run_folder(flags: &[&str], folder: &Path, words: &[&str]) -> Ended {
    let mut command = pywasm(["run", "--no-index"]);
    command.args(flags).arg(folder).args(words);
    run(command)
}

#[test]
fn a_program_of_the_project_is_started_with_the_project_installed() {
    let folder = tool(&["mytool"], &[]);
    let Ended { stdout, stderr, .. } = run_folder(&[], folder.path(), &["-x", "sub"]);
    assert_eq!(stdout, "odd ['-x', 'sub']\n", "{stderr}");
    assert!(
        stderr.contains("the project itself is installed, for its program `mytool`"),
        "{stderr}"
    );
    let folder = tool(&["one", "two"], &[]);
    let Ended { code, stderr, .. } = run_folder(&[], folder.path(), &[]);
    assert_eq!(code, Some(125), "{stderr}");
    assert!(stderr.contains("one, two; say which"), "{stderr}");
    let named = run_folder(&["--entrypoint", "two"], folder.path(), &["x"]);
    assert_eq!(named.stdout, "odd ['x']\n", "{}", named.stderr);
    // What is found among the files is no reason not to have it.
    let folder = tool(&["two"], &[("app.py", "print('app')")]);
    let found = run_folder(&[], folder.path(), &[]);
    assert_eq!(found.stdout, "app\n", "{}", found.stderr);
    let named = run_folder(&["--entrypoint", "two"], folder.path(), &["x"]);
    assert_eq!(named.stdout, "odd ['x']\n", "{}", named.stderr);
}

#[test]
fn words_that_begin_with_a_program_replace_a_command_that_was_found() {
    let files = [
        ("app.py", "import sys; print('app', sys.argv[1:])"),
        ("x.txt", "x"),
    ];
    let found = tool(&["two"], &files);
    let entrypoint =
        "FROM python:3.14\nWORKDIR /app\nCOPY . .\nENTRYPOINT [\"python\", \"app.py\"]\n";
    let docker = project(&[&files[..], &[("Dockerfile", entrypoint)]].concat());
    for (flags, folder, words, expected) in [
        (&[][..], &found, &["-v", "cat"][..], "app ['-v', 'cat']\n"),
        (&[], &found, &["cat", "x.txt"], "x"),
        (&[], &found, &["python", "-c", "print(1)"], "1\n"),
        (&[], &found, &["sh", "-c", "cat x.txt && echo y"], "xy\n"),
        (
            &["--entrypoint", "python app.py"],
            &found,
            &["cat"],
            "app ['cat']\n",
        ),
        (&[], &docker, &["cat", "x.txt"], "app ['cat', 'x.txt']\n"),
    ] {
        let Ended { stdout, stderr, .. } = run_folder(flags, folder.path(), words);
        assert_eq!(stdout, expected, "{words:?} {stderr}");
    }
    let script = found.path().join("app.py");
    let own = run_folder(&[], &script, &["cat", "x.txt"]);
    assert_eq!(own.stdout, "app ['cat', 'x.txt']\n", "{}", own.stderr);
}

#[test]
fn python_starts_programs_of_what_is_installed_with_it() {
    let folder = tool(&["mytool"], &[]);
    let with = folder.path().display().to_string();
    let python = |flags: &[&str], args: &[&str]| {
        let mut command = pywasm(["python", "--no-index", "--with", &with]);
        command.args(flags).args(args);
        run(command)
    };
    let Ended { stdout, stderr, .. } = python(&[], &["mytool", "-x"]);
    assert_eq!(stdout, "odd ['-x']\n", "{stderr}");
    let optimised = python(&[], &["-O", "mytool"]);
    assert_eq!(optimised.stdout, "odd []\n", "{}", optimised.stderr);
    let Ended { code, stderr, .. } = python(&[], &["notool"]);
    assert_eq!(code, Some(125), "{stderr}");
    assert!(
        stderr.contains(
            "`notool` is no file in this folder and no program of the installed packages, which have mytool; `-m NAME` starts a module"
        ),
        "{stderr}"
    );
    let mount = format!("{with}:/src");
    let mounted = python(
        &["--volume", &mount, "--workdir", "/src"],
        &["odd_source.py"],
    );
    assert_eq!(mounted.code, Some(0), "{}", mounted.stderr);
}

/// Packs a project without any index; gives the end, and the package's digest where there is one.
fn packed(files: &[(&str, &str)], cache: &Path) -> (Ended, String) {
    let folder = project(files);
    let package = folder.path().join("x.pkg");
    let mut command = pywasm(["pack", "--no-snapshot", "--no-index", "-o"]);
    command.arg(&package).arg(folder.path());
    if cache != Path::new("") {
        command.env("PYWASM_CACHE", cache);
    }
    let ended = run(command);
    let mut command = pywasm(["inspect"]);
    command.arg(&package);
    let shown: serde_json::Value = serde_json::from_str(&run(command).stdout).unwrap_or_default();
    (
        ended,
        shown["digest"].as_str().unwrap_or_default().to_owned(),
    )
}

const PROGRAMS: &str = "FROM python:3.12 AS build
WORKDIR /src
COPY . .
RUN pip install .
RUN NAME='a b' python make.py && mv made/out.txt made/renamed.txt
RUN cd made && python -m odd
FROM python:3.12
WORKDIR /app
COPY --from=build /src/made made
COPY app.py .
CMD [\"python\", \"app.py\"]
";

#[test]
fn programs_of_a_dockerfile_run_in_the_sandbox_and_leave_their_files() {
    let pyproject = format!("{PYPROJECT}\n[project]\nname = 'odd'\nversion = '1.0'\n");
    let backend = format!(
        "{BACKEND}\nFILES['odd/__main__.py'] = 'import os; os.remove(\"gone.txt\"); open(\"by-module\", \"w\").close()'\n"
    );
    let make = "
import os, odd
os.mkdir('made')
with open('made/out.txt', 'w') as file: file.write(f'{odd.ANSWER} {os.environ[\"NAME\"]} {os.getcwd()}')
open('made/gone.txt', 'w').close()
os.mkdir('made/empty')
";
    let app = "
import os
print(sorted(os.listdir('made')), open('made/renamed.txt').read(), sorted(os.listdir('.')))
";
    let files = [
        ("Dockerfile", PROGRAMS),
        ("pyproject.toml", &pyproject),
        ("backend.py", &backend),
        ("make.py", make),
        ("app.py", app),
    ];
    let folder = project(&files);
    let mut command = pywasm(["run", "--no-index"]);
    command.arg(folder.path());
    let Ended { stdout, stderr, .. } = run(command);
    assert_eq!(
        stdout, "['by-module', 'empty', 'renamed.txt'] 42 a b /src ['app.py', 'made']\n",
        "{stderr}"
    );
    // Another folder, and a cache that knows nothing of it: the same package.
    let other = tempfile::tempdir().expect("a folder");
    let caches = [Path::new(""), other.path()];
    let [(_, one), (ended, two)] = caches.map(|cache| packed(&files, cache));
    let stderr = ended.stderr;
    assert!(
        stderr.contains("running `python make.py` in the sandbox"),
        "{stderr}"
    );
    assert!(!one.is_empty() && one == two, "{one} {two}");
    // A check runs nothing and does not know what is left.
    let mut command = pywasm(["check", "--no-index", "--format", "json"]);
    command.arg(folder.path());
    let checked = run(command);
    assert!(
        checked
            .stdout
            .contains("is run in the sandbox while packing"),
        "{}",
        checked.stdout
    );
}

#[test]
fn a_program_of_a_dockerfile_sees_nothing_of_the_host_and_its_end_is_told() {
    let secret = project(&[("secret", "of the host")]);
    let secret = secret.path().join("secret").display().to_string();
    let end = |program: &str| {
        let dockerfile = "FROM python:3\nWORKDIR /app\nCOPY . .\nRUN python make.py\nCMD [\"python\", \"make.py\"]\n";
        let files = [("Dockerfile", dockerfile), ("make.py", program)];
        let (Ended { code, stderr, .. }, digest) = packed(&files, Path::new(""));
        assert!(code == Some(125) && digest.is_empty(), "{stderr}");
        assert!(
            stderr.contains("Dockerfile:4: `RUN python make.py`"),
            "{stderr}"
        );
        stderr
    };
    for (program, reason) in [
        (
            "raise SystemExit('the end of it')".to_owned(),
            "the end of it",
        ),
        (format!("open({secret:?})"), "FileNotFoundError"),
        (
            "import socket; socket.create_connection(('127.0.0.1', 9))".to_owned(),
            "Error",
        ),
        (
            "import os; os.symlink('/etc/passwd', 'link')".to_owned(),
            "link",
        ),
    ] {
        let stderr = end(&program);
        assert!(stderr.contains(reason), "{program}: {stderr}");
    }
}

#[test]
fn archives_are_unpacked_by_add_and_by_tar() {
    let folder = project(&[
        (
            "Dockerfile",
            "FROM python:3\nWORKDIR /app\nCOPY app.py .\nADD data.tar data\nCOPY data.tar .\nRUN tar -xf data.tar -C data --strip-components=1 && rm data.tar\nCMD [\"python\", \"app.py\"]\n",
        ),
        (
            "app.py",
            "import os\nprint(sorted(os.path.join(at, file) for at, _, files in os.walk('.') for file in files))\n",
        ),
    ]);
    let file = std::fs::File::create(folder.path().join("data.tar")).expect("a file");
    let mut archive = tar::Builder::new(file);
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "top/x.txt", &b"x"[..])
        .expect("an entry");
    archive.finish().expect("an archive");
    let mut command = pywasm(["run"]);
    command.arg(folder.path());
    let Ended { stdout, stderr, .. } = run(command);
    assert_eq!(
        stdout, "['./app.py', './data/top/x.txt', './data/x.txt']\n",
        "{stderr}"
    );
}

/// Runs a project whose parts are folders of this machine, without any index.
fn folders(files: &[(&str, &str)], args: &[&str]) -> Ended {
    let folder = project(files);
    let mut command = pywasm(["run", "--no-index"]);
    command.args(args).arg(folder.path());
    run(command)
}

const APP: &str =
    "import odd, importlib.metadata\nprint(odd.ANSWER, importlib.metadata.version('odd'))\n";

#[test]
fn folders_of_the_machine_are_required_by_requirements_files() {
    let named = format!("{PYPROJECT}\n[project]\nname = 'odd'\ndynamic = ['version']\n");
    for line in [
        "./lib",
        "-e ./lib",
        "./lib[x] ; sys_platform == 'wasi'",
        "--editable=lib/.",
    ] {
        let Ended { stdout, stderr, .. } = folders(
            &[
                ("requirements.txt", &format!("{line}\n")),
                ("lib/pyproject.toml", &named),
                ("lib/backend.py", BACKEND),
                ("lib/odd/__init__.py", "__version__ = '1.0'\n"),
                ("app.py", APP),
            ],
            &[],
        );
        assert_eq!(stdout, "42 1.0\n", "{line}: {stderr}");
        assert_eq!(
            line.contains('e') && line.starts_with('-'),
            stderr.contains("is installed as it is now"),
            "{line}: {stderr}"
        );
    }
    let wrong = named.replace("'odd'", "'other'");
    let Ended { code, stderr, .. } = folders(
        &[
            ("requirements.txt", "./lib\n"),
            ("lib/pyproject.toml", &wrong),
            ("lib/backend.py", BACKEND),
            ("lib/odd/__init__.py", "__version__ = '1.0'\n"),
            ("app.py", APP),
        ],
        &[],
    );
    assert_eq!(code, Some(125));
    assert!(
        stderr.contains("odd-1.0-py3-none-any.whl out of other-1.0.tar.gz"),
        "{stderr}"
    );
}

#[test]
fn a_poetry_project_takes_its_own_folders_and_the_versions_of_its_lock() {
    let pyproject = "[tool.poetry]\nname = 'shop'\n[tool.poetry.dependencies]\npython = '^3.10'\nodd = { path = 'lib' }\nmissing = { version = '^1.2', optional = true }\n[tool.poetry.extras]\nmore = ['missing']\n";
    let library = format!("{PYPROJECT}\n[tool.poetry]\nname = 'odd'\nversion = '1.0'\n");
    let lock = "[[package]]\nname = 'missing'\nversion = '1.3'\nfiles = []\n[metadata]\nlock-version = '2.1'\n";
    let files = [
        ("pyproject.toml", pyproject),
        ("poetry.lock", lock),
        ("lib/pyproject.toml", &library),
        ("lib/backend.py", BACKEND),
        ("app.py", APP),
    ];
    let Ended { stdout, stderr, .. } = folders(&files, &[]);
    assert_eq!(stdout, "42 1.0\n", "{stderr}");
    let Ended { code, stderr, .. } = folders(&files, &["--extra", "more"]);
    assert_eq!(code, Some(125));
    assert!(stderr.contains("missing>=1.2,<2"), "{stderr}");
}
