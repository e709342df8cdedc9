//! Starting from a snapshot: what is the same as in a start from nothing, and what must differ.

use crate::support::{Ended, Running, cache, get, project, pywasm, run, run_package};
use pywasm_format::write::{BuiltLayer, PackageSpec, write_package};
use pywasm_format::{AppConfig, Layer, LayerKind, Package, ReadLimits};
use std::fs::{self, DirBuilder};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Writes the wheel of `odd 1.0` with these files into `folder`.
fn wheel(folder: &Path, files: &[(&str, &str)]) {
    let file = fs::File::create(folder.join("odd-1.0-py3-none-any.whl")).expect("a file");
    let mut archive = ZipWriter::new(file);
    let metadata = "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n";
    let wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let about = [
        ("odd-1.0.dist-info/METADATA", metadata),
        ("odd-1.0.dist-info/WHEEL", wheel),
        ("odd-1.0.dist-info/RECORD", ""),
    ];
    for (name, content) in files.iter().chain(&about) {
        archive
            .start_file(*name, SimpleFileOptions::default())
            .expect("an entry");
        archive.write_all(content.as_bytes()).expect("written");
    }
    archive.finish().expect("an archive");
}

/// Packs an app; returns the package and what `pack` said.
fn pack(folder: &TempDir, more: &[&str]) -> (PathBuf, String) {
    let package = folder.path().join("made.pkg");
    let mut command = pywasm(["pack", "-o"]);
    command.arg(&package).args(more).arg(folder.path());
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(0), "{stderr}");
    (package, stderr)
}

/// Packs an app that requires the module `odd`.
fn pack_odd(module: &str, app: &str) -> (TempDir, PathBuf, String) {
    pack_with(&[("odd.py", module)], app)
}

/// Packs an app that requires modules of these files.
fn pack_with(files: &[(&str, &str)], app: &str) -> (TempDir, PathBuf, String) {
    let folder = project(&[("app.py", app), ("requirements.txt", "odd==1.0\n")]);
    let wheels = project(&[]);
    wheel(wheels.path(), files);
    let links = wheels.path().to_str().expect("UTF-8");
    let (package, said) = pack(&folder, &["--no-index", "--find-links", links]);
    (folder, package, said)
}

fn start(package: &Path, flags: &[&str], args: &[&str]) -> String {
    let Ended {
        code,
        stdout,
        stderr,
    } = run_package(package, flags, args);
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

/// Says whether a module was imported before the program began: only a snapshot does that.
const IMPORTED_BEFORE: &str =
    "import sys; print('random' in sys.modules and 'odd' in sys.modules)\n";

#[test]
fn registry_two_starts_have_their_own_randomness_of_numpy() {
    let module =
        "import numpy as np\nown = np.random.default_rng()\nchosen = np.random.default_rng(5)\n";
    let app = "import sys; print('numpy' in sys.modules)\n\
               import numpy as np, odd\n\
               print(odd.chosen.random())\n\
               print(np.random.random())\n\
               print(odd.own.random())\n";
    let folder = project(&[("app.py", app), ("requirements.txt", "odd==1.0\nnumpy\n")]);
    let wheels = project(&[]);
    wheel(wheels.path(), &[("odd.py", module)]);
    let (package, _) = pack(
        &folder,
        &["--find-links", wheels.path().to_str().expect("UTF-8")],
    );
    let (one, other) = (start(&package, &[], &[]), start(&package, &[], &[]));
    let pairs: Vec<_> = one.lines().zip(other.lines()).collect();
    assert_eq!(pairs[0], ("True", "True"), "both began with numpy imported");
    assert_eq!(
        pairs[1].0, pairs[1].1,
        "a seed that the program chose stays"
    );
    assert_eq!(pairs.len(), 4);
    for (one, other) in &pairs[2..] {
        assert_ne!(one, other);
    }
}

#[test]
fn two_starts_have_their_own_randomness() {
    let folder = project(&[(
        "app.py",
        "import sys; before = 'uuid' in sys.modules and 'tempfile' in sys.modules\n\
         import random, uuid, secrets, tempfile, os\n\
         print(before)\n\
         print(random.random(), random.Random().random())\n\
         print(uuid.uuid4()); print(uuid.uuid1())\n\
         print(secrets.token_hex()); print(os.urandom(8).hex())\n\
         print(tempfile.mktemp())\n\
         from multiprocessing.process import current_process\n\
         print(bytes(current_process().authkey).hex())\n",
    )]);
    let (package, _) = pack(&folder, &[]);
    let (one, other) = (start(&package, &[], &[]), start(&package, &[], &[]));
    let pairs: Vec<_> = one.lines().zip(other.lines()).collect();
    assert_eq!(pairs.len(), 8);
    assert_eq!(
        pairs[0],
        ("True", "True"),
        "both began with the imports done"
    );
    for (one, other) in &pairs[1..] {
        assert_ne!(one, other);
    }
    // Without a snapshot nothing is imported before the program begins.
    assert!(start(&package, &["--no-snapshot"], &[]).starts_with("False\n"));
}

#[test]
fn what_modules_make_of_randomness_time_and_arguments_is_made_at_each_start() {
    let draws = "it draws random numbers when it is imported";
    let looks = "it looks at the clock when it is imported";
    let reads = "it reads the command line when it is imported";
    let made = [
        (
            "secret",
            "import secrets\nMADE = secrets.token_hex(8)\n",
            draws,
        ),
        (
            "system",
            "from os import urandom\nMADE = urandom(8)\n",
            draws,
        ),
        ("number", "import uuid\nMADE = uuid.uuid4()\n", draws),
        ("shared", "import random\nMADE = random.random()\n", draws),
        (
            "private",
            "from random import Random\nMADE = Random().random()\n",
            draws,
        ),
        ("began", "import time\nMADE = time.time()\n", looks),
        (
            "dated",
            "from datetime import datetime\nMADE = datetime.now()\n",
            looks,
        ),
        ("given", "import sys\nMADE = sys.argv[-1]\n", reads),
        // Imported before and after what they take it from.
        (
            "before",
            "MADE = __import__('odd.secret').secret.MADE\n",
            draws,
        ),
        ("later", "from . import secret\nMADE = secret.MADE\n", draws),
    ];
    let names = made.map(|(name, ..)| name);
    let files = made.map(|(name, module, _)| (format!("odd/{name}.py"), module));
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, *text)).collect();
    files.extend([
        ("odd/__init__.py", ""),
        // Randomness that is renewed at each start, and a time zone, for which the C library looks at the year.
        ("odd/fine.py", "from random import Random\nfrom os import urandom\nimport logging, time\nrandom = Random()\ntime.tzset()\n"),
    ]);
    let imports: String = names
        .iter()
        .rev()
        .map(|name| format!("import odd.{name}\n"))
        .collect();
    let printed: String = names
        .iter()
        .map(|name| format!("print(odd.{name}.MADE)\n"))
        .collect();
    let app = format!(
        "import sys; print(sorted(name for name in sys.modules if name.startswith('odd')))\n\
         import odd.fine\n{imports}{printed}print(odd.fine.random.random())\nprint(odd.fine.urandom(8))\n"
    );
    let (_folder, package, said) = pack_with(&files, &app);
    for reason in [draws, looks, reads] {
        assert!(said.contains(reason), "{said}");
    }
    let cause = "such as odd.later are not in the snapshot and are imported at each start: odd.secret draws random numbers";
    assert!(said.contains(cause), "{said}");
    let (one, other) = (
        start(&package, &[], &["one"]),
        start(&package, &[], &["other"]),
    );
    let pairs: Vec<_> = one.lines().zip(other.lines()).collect();
    let snapshot = "['odd', 'odd.fine']";
    assert_eq!(pairs[0], (snapshot, snapshot), "{said}");
    assert_eq!(pairs.len(), 1 + made.len() + 2);
    for (one, other) in &pairs[1..] {
        assert_ne!(one, other, "{said}");
    }
}

#[test]
fn a_module_that_keeps_the_command_line_has_that_of_each_start() {
    let (_folder, package, said) = pack_odd(
        "import sys\nkept, original = sys.argv, sys.orig_argv\ndef main(arguments=sys.argv): return arguments\n",
        &format!(
            "{IMPORTED_BEFORE}import random, odd, pickle\n\
             print(odd.kept is sys.argv, odd.original is sys.orig_argv, odd.main(), odd.original[1:])\n\
             print(type(pickle.loads(pickle.dumps(sys.argv))))\n"
        ),
    );
    for word in ["one", "other"] {
        let line = format!("['app.py', '{word}'] ['app.py', '{word}']");
        let expected = format!("True\nTrue True {line}\n<class 'list'>\n");
        assert_eq!(start(&package, &[], &[word]), expected, "{said}");
    }
}

#[test]
fn a_start_sees_its_own_surroundings() {
    let folder = project(&[(
        "app.py",
        "import os, sys, time, logging, threading, socket, locale\n\
         print(sys.argv[1:], os.environ.get('GIVEN'), os.getcwd(), os.getenv('HOME'))\n\
         print(abs(time.time() - logging._startTime / 1e9) < 60, time.monotonic() >= 0, time.process_time() >= 0)\n\
         print(open('/data/seen.txt').read(), sys.stdin.read(), sys.flags.unbuffered if hasattr(sys.flags, 'unbuffered') else '')\n\
         t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
         print(__name__, sys.modules['__main__'].__file__, sys.path[0], threading.current_thread() is threading.main_thread())\n\
         sys.exit(7)\n",
    )]);
    let (package, _) = pack(&folder, &[]);
    let data = project(&[("seen.txt", "of this run")]);
    let mut command = pywasm(["run", "-e", "GIVEN=1", "-v"]);
    command
        .arg(format!("{}:/data:ro", data.path().display()))
        .arg(&package)
        .args(["a", "b"]);
    let Ended {
        code,
        stdout,
        stderr,
    } = run(command);
    assert_eq!(
        stdout,
        "['a', 'b'] 1 /app /root\nTrue True True\nof this run  \nthread\n__main__ /app/app.py /app True\n",
        "{stderr}"
    );
    assert_eq!(code, Some(7), "{stderr}");
}

#[test]
fn what_an_import_read_from_the_environment_decides_about_the_snapshot() {
    let (_folder, package, said) = pack_odd(
        "import os\nMODE = os.environ.get('ODD_MODE', 'none')\nos.environ['ODD_SET'] = 'by odd'\n",
        &format!(
            "{IMPORTED_BEFORE}import random, os, odd; print(odd.MODE, os.environ['ODD_SET'])\n"
        ),
    );
    assert_eq!(start(&package, &[], &[]), "True\nnone by odd\n", "{said}");
    let other = start(&package, &["-e", "OTHER=1"], &[]);
    assert_eq!(other, "True\nnone by odd\n");
    // The module read this one: its start is from nothing, and right.
    let mode = start(&package, &["-e", "ODD_MODE=fast"], &[]);
    assert_eq!(mode, "False\nfast by odd\n");
    for given in ["PYTHONHASHSEED=0", "TZ=Asia/Shanghai", "PYTHONUTF8=1"] {
        assert!(
            start(&package, &["-e", given], &[]).starts_with("False\n"),
            "{given}"
        );
    }
}

#[test]
fn a_module_that_a_snapshot_cannot_hold_is_left_out_and_works() {
    for (module, reason) in [
        (
            "kept = open('/usr/local/lib/python3.14/os.py')\n",
            "it leaves a file or a socket open",
        ),
        (
            "import socket\nkept = socket.socket()\nkept.bind(('127.0.0.1', 0))\n",
            "it leaves a file or a socket open",
        ),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
            "it starts a thread",
        ),
        (
            "import sys\nif 'app' not in open('/app/app.py').read(): raise OSError\n",
            "FileNotFoundError",
        ),
    ] {
        let (_folder, package, said) = pack_odd(
            module,
            "import sys; print('odd' in sys.modules, '_pywasm_snapshot' in sys.modules)\nimport odd # app\nprint('ok')\n",
        );
        assert!(
            said.contains("odd is not in the snapshot and is imported at each start")
                && said.contains(reason),
            "{said}"
        );
        assert_eq!(start(&package, &[], &[]), "False True\nok\n", "{module}");
    }
}

#[test]
fn any_number_of_modules_that_want_to_be_set_up_first_are_left_out() {
    let names: Vec<String> = (0..20).map(|number| format!("odd{number}.py")).collect();
    let wants = "import odd\nif not odd.ready: raise RuntimeError('set me up')\n";
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, wants)).collect();
    files.push(("odd.py", "ready = False\n"));
    let imports: String = (0..20)
        .map(|number| format!("import odd{number}\n"))
        .collect();
    let (_folder, package, said) = pack_with(
        &files,
        &format!(
            "import sys; print('odd' in sys.modules)\nimport odd; odd.ready = True\n{imports}print('ok')\n"
        ),
    );
    let told = "20 modules such as odd0 are not in the snapshot and are imported at each start: RuntimeError: set me up";
    assert!(said.contains(told), "{said}");
    assert_eq!(start(&package, &[], &[]), "True\nok\n");
}

#[test]
fn an_import_sees_the_folder_that_the_app_starts_in() {
    let (_folder, package, _) = pack_odd(
        "import os\nhere = os.getcwd()\n",
        "import sys; before = 'odd' in sys.modules\nimport odd; print(before, odd.here)\n",
    );
    assert_eq!(start(&package, &[], &[]), "True /app\n");
    let elsewhere = ["-w", "/tmp", "--entrypoint", "python"];
    assert_eq!(
        start(&package, &elsewhere, &["/app/app.py"]),
        "False /tmp\n"
    );
}

#[test]
fn an_import_that_ends_the_program_is_left_out() {
    let (_folder, package, said) = pack_odd(
        "import sys\nif '-' in sys.argv: raise SystemExit(9)\n",
        "import odd; print('ok')\n",
    );
    assert!(said.contains("SystemExit"), "{said}");
    assert_eq!(start(&package, &[], &[]), "ok\n");
}

#[test]
fn the_app_itself_runs_at_every_start() {
    let folder = project(&[
        (
            "app.py",
            "import helper, json\nprint(helper.made, '__main__')\n",
        ),
        ("helper.py", "import time\nmade = time.time()\n"),
    ]);
    let (package, _) = pack(&folder, &[]);
    assert_ne!(start(&package, &[], &[]), start(&package, &[], &[]));
}

#[test]
fn the_same_app_gives_the_same_snapshot_on_every_machine() {
    let app = "import json, random, uuid, logging\n";
    let folder = project(&[("app.py", app)]);
    let (package, _) = pack(&folder, &[]);
    // Another cache is as good as another machine: all is unpacked anew. Only compiled code goes along.
    let folder = project(&[("app.py", app)]);
    let other = tempfile::tempdir().expect("a folder");
    let code = other.path().join("code");
    DirBuilder::new()
        .mode(0o700)
        .create(&code)
        .expect("a folder");
    for file in fs::read_dir(cache().join("code")).expect("a folder") {
        let file = file.expect("a file");
        // Hidden ones are being made by other tests, which also put new ones in the place of the oldest.
        if !file.file_name().as_encoded_bytes().starts_with(b".") {
            match fs::copy(file.path(), code.join(file.file_name())) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied.expect("copied")),
            }
        }
    }
    let again = folder.path().join("again.pkg");
    let mut command = pywasm(["pack", "-o"]);
    command.env("PYWASM_CACHE", other.path());
    command.args([&again, folder.path()]);
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(0), "{stderr}");
    let bytes = |path: &Path| fs::read(path).expect("a package");
    assert!(bytes(&package) == bytes(&again));
}

#[test]
fn an_app_that_imports_the_same_keeps_its_snapshot_and_what_was_said_of_it() {
    let folder = project(&[
        ("app.py", "import json, odd\n"),
        ("requirements.txt", "odd==1.0\n"),
    ]);
    let wheels = project(&[]);
    wheel(wheels.path(), &[("odd.py", "held = open('/dev/null')\n")]);
    let links = wheels.path().to_str().expect("UTF-8");
    let snapshot = |app: &str| {
        fs::write(folder.path().join("app.py"), app).expect("written");
        let (package, said) = pack(&folder, &["--no-index", "--find-links", links]);
        assert!(said.contains("odd is not in the snapshot"), "{said}");
        let package = Package::open(&package, &ReadLimits::default()).expect("a package");
        package.layer(LayerKind::Snapshot).map(Layer::digest)
    };
    let first = snapshot("import json, odd\n");
    assert!(first.is_some());
    assert_eq!(first, snapshot("import json, odd\nprint('changed')\n"));
    assert_ne!(first, snapshot("import json, odd, colorsys\n"));
}

#[test]
fn a_server_is_served_from_its_snapshot_with_what_a_request_imports() {
    let folder = project(&[(
        "app.py",
        "import sys; before = 'colorsys' in sys.modules\n\
         from http.server import HTTPServer, BaseHTTPRequestHandler\n\
         class Handler(BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       import colorsys\n\
         \x20       self.send_response(200); self.end_headers()\n\
         \x20       self.wfile.write(str(before).encode())\n\
         HTTPServer(('0.0.0.0', 8000), Handler).serve_forever()\n",
    )]);
    let (package, _) = pack(&folder, &[]);
    let mut command = pywasm(["run", "-p", "0:8000"]);
    command.arg(&package);
    let mut server = Running::start(command);
    let address = server.address(8000);
    assert!(get(address, "/").ends_with("True"));
}

/// The layers of a package as writers take them.
fn layers(package: &Path) -> (AppConfig, Vec<BuiltLayer>) {
    let package = Package::open(package, &ReadLimits::default()).expect("a package");
    let built = |layer: &Layer| {
        let blobs = package.blobs();
        let blob = blobs.iter().find(|blob| blob.digest == layer.digest());
        let mut bytes = Vec::new();
        let mut reader = package.open_blob(*blob.expect("its blob")).expect("open");
        reader.read_to_end(&mut bytes).expect("read");
        BuiltLayer {
            kind: layer.kind(),
            mount: layer.mount().clone(),
            digest: layer.digest(),
            diff_id: layer.diff_id(),
            bytes: bytes.into(),
        }
    };
    let layers = package.layers().iter().map(built).collect();
    (package.config().clone(), layers)
}

#[test]
fn a_snapshot_of_other_layers_is_refused() {
    let app = [("app.py", "print('ran')\n")];
    let (one, (_other, with_odd, _)) = (project(&app), pack_odd("", "import odd\n"));
    let (package, _) = pack(&one, &[]);
    assert_eq!(start(&package, &[], &[]), "ran\n");
    let (config, mut made) = layers(&package);
    let foreign = layers(&with_odd).1;
    for layer in &mut made {
        if layer.kind == LayerKind::Snapshot {
            let other = foreign.iter().find(|other| other.kind == layer.kind);
            *layer = other.expect("a snapshot").clone();
        }
    }
    let spec = PackageSpec {
        name: None,
        base: None,
        config: &config,
        layers: &made,
    };
    write_package(&package, &spec).expect("written");
    let mut command = pywasm(["run"]);
    command.arg(&package);
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(125), "{stderr}");
    assert!(
        stderr.contains("made from other layers; pack it again"),
        "{stderr}"
    );
}

#[test]
fn what_lies_in_the_apps_folder_is_seen_at_each_start() {
    let folder = project(&[
        ("pk/__init__.py", ""),
        (
            "pk/main.py",
            "import sys; print('json' in sys.modules, __name__, sys.path[1:2])",
        ),
        (
            "Dockerfile",
            "FROM python:3\nWORKDIR /code\nENV PYTHONPATH=/code\nCOPY . .\nCMD [\"python\", \"-m\", \"pk.main\"]\n",
        ),
    ]);
    let (package, _) = pack(&folder, &["--no-index"]);
    assert_eq!(start(&package, &[], &[]), "False __main__ ['/code']\n");
}
