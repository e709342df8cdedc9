//! The interpreter: arguments, exit codes, standard streams, modules, threads.

use crate::support::{project, python, pywasm, run};
use std::fs::File;
use std::io::Write;
use std::process::Stdio;

#[test]
fn prints() {
    let ended = python([
        "-c",
        "import sys; print('out'); print('err', file=sys.stderr)",
    ]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "out\n"));
    assert_eq!(ended.stderr.lines().last(), Some("err"));
}

#[test]
fn exit_codes_arrive_exactly() {
    for (code, expected) in [
        ("import sys; sys.exit(3)", 3),
        ("import os; os._exit(7)", 7),
        ("raise SystemExit('text')", 1),
        ("1/0", 1),
        ("pass", 0),
        ("import sys; sys.exit(255)", 255),
    ] {
        assert_eq!(python(["-c", code]).code, Some(expected), "{code}");
    }
    assert_eq!(python(["-m", "no_such_module"]).code, Some(1));
}

#[test]
fn an_uncaught_error_ends_with_the_way_out() {
    let told = |arguments: &[&str], hint: &str| {
        let ended = python(arguments);
        let last = ended.stderr.lines().last();
        let hint = format!("pywasm: {hint}");
        assert_eq!((ended.code, last), (Some(1), Some(hint.as_str())));
    };
    let volume = "or mount a folder with --volume HOST:FOLDER";
    told(
        &["-c", "open('/usr/local/lib/python3.14/os.py', 'a')"],
        &format!(
            "/usr/local/lib/python3.14/os.py is read-only in the sandbox; write to the app's folder or /tmp, {volume}"
        ),
    );
    let write = "open('/tmp/x', 'w')";
    told(
        &["--read-only", "-c", write],
        &format!(
            "/tmp/x is read-only in the sandbox; give the app a folder of its own with --tmpfs FOLDER, {volume}"
        ),
    );
    told(
        &["--read-only", "--tmpfs", "/tmp", "-c", "open('/x', 'w')"],
        &format!("/x is read-only in the sandbox; write to /tmp, {volume}"),
    );
    told(
        &["-c", "open('/data/x')"],
        "/data/x is not in the sandbox: an app sees its package and the folders that --volume mounts; to show it the host's, add \
         --volume /data:/data:ro (without :ro it may write there)",
    );
    told(
        &["-c", "open('/proc/cpuinfo')"],
        "/proc/cpuinfo is not in the sandbox, which shows neither the processes nor the hardware of this machine",
    );
    told(
        &["-c", "import flask"],
        "the package has no module flask: a folder is packed with what its requirements.txt or pyproject.toml names \
         (`pywasm run .`), and a file alone runs with `pywasm python --with NAME FILE`",
    );
}

#[test]
fn a_file_that_runs_alone_says_so_where_it_misses_others() {
    let beside = [("helper.py", ""), ("data.txt", "")];
    let told = |code: &str, hint: &str| {
        let folder = project(&[[("app.py", code)].as_slice(), &beside].concat());
        let mut command = pywasm(["run"]);
        command.arg(folder.path().join("app.py"));
        let ended = run(command);
        let last = ended.stderr.lines().last().unwrap_or_default();
        let start = "pywasm: there is nothing beside app.py in the sandbox: `pywasm run FOLDER` packs what its folder has";
        assert!(last.starts_with(start) && last.ends_with(hint), "{last}");
    };
    told(
        "import helper",
        "`pywasm python --with NAME FILE` brings packages",
    );
    told(
        "open('data.txt')",
        "--volume FOLDER:/data shows the app a folder as /data",
    );
}

#[test]
fn standard_input_is_passed_on() {
    let mut command = pywasm([
        "python",
        "-c",
        "import sys; print(sys.stdin.read().upper())",
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all("text ä".as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "TEXT Ä\n");
}

#[test]
fn a_script_of_the_host_is_run_as_a_copy() {
    let folder = crate::support::project(&[("script.py", "import sys; print(sys.argv)")]);
    let ended = run({
        let mut command = pywasm(["python", "script.py", "a", "-b"]);
        command.current_dir(folder.path());
        command
    });
    assert_eq!(
        ended.stdout, "['/script.py', 'a', '-b']\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn modules_are_there() {
    let code = r#"
import array, asyncio, bz2, cmath, concurrent.futures, csv, datetime, decimal, email, fcntl, hashlib, html
import http.server, json, logging, lzma, math, pickle, pyexpat, queue, random, re, select, socket, sqlite3
import struct, tempfile, threading, unicodedata, urllib.request, uuid, xml.etree.ElementTree, zipfile, zlib, zoneinfo
db = sqlite3.connect(":memory:")
db.execute("create virtual table t using fts5(x)")
db.execute("insert into t values ('a quick fox')")
assert db.execute("select * from t where t match 'fox'").fetchall() == [("a quick fox",)]
assert zoneinfo.ZoneInfo("Asia/Shanghai").utcoffset(datetime.datetime(2026, 1, 1)).total_seconds() == 28800
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
assert zlib.decompress(zlib.compress(b"x" * 999)) == b"x" * 999
import grp, os, pwd, resource
assert pwd.getpwuid(os.getuid()).pw_dir == os.path.expanduser("~") and grp.getgrgid(os.getgid()).gr_gid == os.getgid()
sum(range(100000))
assert resource.getrusage(resource.RUSAGE_SELF).ru_utime > 0 and resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime == 0
print("ok")
"#;
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}

/// The example of seed 004, made to end.
#[test]
fn files_are_read_through_mmap_and_not_written() {
    let code = r#"
import mmap, re
with open("/tmp/data", "wb") as file: file.write(b"first line\nsecond line\n")
with open("/tmp/data", "r+b") as file:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        print(len(mapped), mapped[:5], mapped.find(b"second"), mapped.readline(), re.findall(rb"(\w+) line", mapped))
        print(memoryview(mapped).readonly, mapped.read(6), mapped.tell())
        try: mapped[0] = 1
        except TypeError as error: print(error)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:5] = b"FIRST"
        print(mapped.closed, mapped[:5], file.read(5))
    print(mapped.closed)
    try: mmap.mmap(file.fileno(), 0)
    except OSError as error: print(error.strerror.partition(":")[0])
memory = mmap.mmap(-1, 8)
memory.write(b"abc")
print(memory[:], memory.size())
"#;
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout,
        "23 b'first' 11 b'first line\\n' [b'first', b'second']\n\
         True b'second' 17\n\
         mmap can't modify a readonly memory map.\n\
         False b'FIRST' b'first'\n\
         True\n\
         the sandbox cannot map a file for writing\n\
         b'abc\\x00\\x00\\x00\\x00\\x00' 8\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn five_threads_print_at_once() {
    let code = r#"
import threading, time
def worker():
    for _ in range(2):
        print('Worker:', threading.current_thread().name, flush=True)
        time.sleep(0.2)
threads = []
for i in range(5):
    t = threading.Thread(target=worker, name=f"w{i}")
    threads.append(t)
    t.start()
for t in threads:
    t.join()
"#;
    let ended = python(["-c", code]);
    let first: std::collections::BTreeSet<&str> = ended.stdout.lines().take(5).collect();
    assert_eq!(
        first.len(),
        5,
        "the five take turns:\n{}{}",
        ended.stdout,
        ended.stderr
    );
    assert_eq!(ended.stdout.lines().count(), 10);
}

#[test]
fn blocked_threads_do_not_stop_the_others() {
    let code = r#"
import concurrent.futures, queue, socket, threading, time, asyncio
server = socket.create_server(("127.0.0.1", 0))
accepted = threading.Event()
def accept():
    connection, _ = server.accept()
    accepted.set()
    connection.sendall(connection.recv(9)[::-1])
threading.Thread(target=accept).start()
held = threading.Lock(); held.acquire()
threading.Thread(target=held.acquire, daemon=True).start()
time.sleep(0.05)
assert not accepted.is_set()
client = socket.create_connection(server.getsockname())
time.sleep(0.05)
client.sendall(b"abc")
assert client.recv(9) == b"cba"
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    started = time.monotonic()
    list(pool.map(time.sleep, [0.3] * 4))
    assert time.monotonic() - started < 1.1
async def main():
    return await asyncio.gather(*(asyncio.to_thread(lambda n=n: n * n) for n in range(4)))
assert asyncio.run(main()) == [0, 1, 4, 9]
print("ok")
"#;
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}

#[test]
fn ctypes_has_the_types_of_c_and_calls_what_can_be_named() {
    let code = r#"
import ctypes, ctypes.util
class Pair(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int16), ("real", ctypes.c_double), ("bits", ctypes.c_uint32, 3)]
pair = Pair(-2, 0.5, 9)
assert (ctypes.sizeof(Pair), pair.number, pair.real, pair.bits) == (24, -2, 0.5, 1)
assert Pair.from_buffer_copy(bytes(pair)).real == 0.5
pointer = ctypes.pointer(pair)
pointer.contents.number = 7
assert pair.number == 7 and ctypes.cast(ctypes.byref(pair), ctypes.POINTER(ctypes.c_int16))[0] == 7
buffer = ctypes.create_string_buffer(b"abc", 8)
ctypes.memmove(ctypes.addressof(buffer) + 3, b"de", 2)
assert ctypes.string_at(buffer) == b"abcde" and buffer.raw == b"abcde\0\0\0"
ctypes.memset(buffer, ord("x"), 2)
assert ctypes.string_at(buffer, 3) == b"xxc" and ctypes.wstring_at(ctypes.create_unicode_buffer("\u20ac")) == "\u20ac"

python = ctypes.pythonapi
python.PyFloat_FromDouble.restype, python.PyFloat_FromDouble.argtypes = ctypes.py_object, [ctypes.c_double]
python.PyFloat_AsDouble.restype, python.PyFloat_AsDouble.argtypes = ctypes.c_double, [ctypes.py_object]
python.PyLong_AsLongLong.restype, python.PyLong_AsLongLong.argtypes = ctypes.c_longlong, [ctypes.py_object]
assert python.PyFloat_FromDouble(2.5) == 2.5 and python.PyFloat_AsDouble(0.25) == 0.25
assert python.PyLong_AsLongLong(-(1 << 62)) == -(1 << 62)
try:
    python.PyLong_AsLongLong("x")
except TypeError:
    pass
# Without types, as most programs call them: a result is then taken for an int, also where there is none.
value = object()
python.Py_IncRef(ctypes.py_object(value))
python.Py_DecRef(ctypes.py_object(value))
program = ctypes.CDLL(None)
assert program.strlen(b"four") == 4 and program.abs(-3) == 3

import threading, time
class Stop(Exception): pass
ended = []
def work():
    try:
        while True: time.sleep(0.01)
    except Stop:
        ended.append(True)
thread = threading.Thread(target=work)
thread.start()
assert python.PyThreadState_SetAsyncExc(ctypes.c_long(thread.ident), ctypes.py_object(Stop)) == 1
thread.join()
assert ended == [True]

assert ctypes.util.find_library("c") is None
def refusal(call):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
refusal(lambda: ctypes.CDLL("libc.so.6"))
refusal(lambda: program.fork)
# One that Python alone calls can be made: many are, and C never comes to them.
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda number: number + 1)
assert callback(1) == 2
refusal(lambda: type(callback).from_param(callback))
four = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * 4)
refusal(lambda: four(ctypes.cast(program.abs, ctypes.c_void_p).value)(1, 2, 3, 4))
"#;
    let ended = python(["-c", code]);
    insta::assert_snapshot!(ended.stdout + &ended.stderr, @r"
    OSError libc.so.6: native libraries cannot be loaded in the sandbox: they are code for a machine
    AttributeError fork: not among the C functions that can be called by name in the sandbox
    NotImplementedError C cannot call a Python function in the sandbox: WebAssembly cannot add code while it runs
    RuntimeError no C function can be called with these types in the sandbox: WebAssembly has code for a few signatures only
    ");
}

/// Every recipe of a native package has Python that fails when its modules do not work.
#[test]
fn registry_native_packages_work_with_the_python_files_of_their_release() {
    let natives = &pywasm_guest::manifest().natives;
    let mut command = pywasm(["python", "--base", "analysis"]);
    let mut tests = vec!["import sys".to_owned()];
    for native in natives {
        command.arg("--with");
        command.arg(format!("{}=={}", native.name, native.version));
        // First: a module may want to be imported by its package.
        tests.push(native.test.clone());
        for module in &native.modules {
            tests.push(format!("import {module}"));
            tests.push(format!(
                "assert sys.modules['{module}'].__spec__.origin == 'built-in'"
            ));
        }
    }
    command.args(["-c", &tests.join("\n")]);
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// What a wheel for the guest has in its name; the packager takes no other as such.
#[test]
fn the_platform_is_what_wheels_are_named_for() {
    let program = "import sysconfig; print(sysconfig.get_platform())";
    let platform = python(["-c", program]).stdout;
    assert_eq!(
        platform.trim().replace(['-', '.'], "_"),
        "wasi_0_0_0_wasm32"
    );
}

#[test]
fn errors_have_the_numbers_of_linux() {
    let code = "import errno, os, socket\n\
        try: open('/nope')\n\
        except OSError as error: print(error)\n\
        try: os.mkdir('/tmp')\n\
        except OSError as error: print(error.errno, type(error).__name__)\n\
        s = socket.socket(); print(s.connect_ex(('127.0.0.1', 1)))\n\
        print(errno.ENOENT, errno.EADDRINUSE, errno.ESHUTDOWN, errno.errorcode[11], errno.errorcode[110])\n\
        print(os.strerror(2), type(OSError(17, 'x')).__name__, type(OSError(108, 'x')).__name__)\n\
        print(len(errno.errorcode) > 120, len(set(errno.errorcode.values())) == len(errno.errorcode))\n";
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout,
        "[Errno 2] No such file or directory: '/nope'\n\
         17 FileExistsError\n\
         111\n\
         2 98 108 EAGAIN ETIMEDOUT\n\
         No such file or directory FileExistsError BrokenPipeError\n\
         True True\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn dates_are_written_as_on_linux() {
    let code = "import datetime, os, time\n\
        day = (2024, 7, 1, 9, 5, 6, 0, 183, 0)\n\
        print([time.strftime(f, day) for f in ('%k', '%l', '%P', '%-I', '%Q', '%d.%m.%Y')])\n\
        os.environ['TZ'] = 'Europe/Berlin'; time.tzset()\n\
        print(datetime.datetime(2024, 7, 1, 12).strftime('%s'))\n";
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout, "[' 9', ' 9', 'am', '9', '%Q', '01.07.2024']\n1719828000\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn each_process_is_a_group_of_its_own() {
    let code = "import os, signal, subprocess, sys\n\
        print(os.getpgid(0) == os.getpid() == os.getsid(0), os.sched_getaffinity(0), os.nice(0))\n\
        child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, preexec_fn=os.setsid)\n\
        os.killpg(os.getpgid(child.pid), signal.SIGTERM)\n\
        print(child.wait())\n\
        try: os.getpgid(9999)\n\
        except ProcessLookupError as error: print(error.errno)\n";
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "True {0} 0\n-15\n3\n", "{}", ended.stderr);
}

/// Programs ask whether they are given a script before they read for the first time.
#[test]
fn standard_input_is_ready_before_the_first_read() {
    let code = "
import select, sys
ready = lambda: bool(select.select([sys.stdin], [], [], 0)[0])
print(ready(), sys.stdin.read(), ready())";
    let folder = project(&[("input", "text")]);
    let file = File::open(folder.path().join("input")).expect("a file");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"text").expect("room");
    drop(writer);
    let (open, _kept) = std::io::pipe().expect("a pipe");
    for (stdin, code, printed) in [
        (Stdio::from(file), code, "True text True\n"),
        (Stdio::from(reader), code, "True text True\n"),
        (Stdio::null(), code, "True  True\n"),
        (
            Stdio::from(open),
            &code.replace("sys.stdin.read(), ready()", "0"),
            "False 0\n",
        ),
    ] {
        let mut command = pywasm(["python", "-c", code]);
        command.stdin(stdin);
        let ended = run(command);
        assert_eq!(ended.stdout, printed, "{}", ended.stderr);
    }
}
