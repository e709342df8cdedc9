//! Nothing that a guest does keeps it from being ended: by its time limit, and by a signal.

use crate::support::{Running, pywasm};
use std::time::{Duration, Instant};

/// Programs that never end by themselves, each of another kind.
const ENDLESS: [(&str, &str); 17] = [
    ("sleep", "time.sleep(10**6)"),
    ("recv", "pair = socket.socketpair(); pair[0].recv(1)"),
    ("accept", "socket.create_server(('127.0.0.1', 0)).accept()"),
    (
        "select",
        "pair = socket.socketpair(); select.select([pair[0]], [], [])",
    ),
    (
        "poll",
        "pair = socket.socketpair(); p = select.poll(); p.register(pair[0], select.POLLIN); p.poll()",
    ),
    ("read standard input", "sys.stdin.read()"),
    (
        "wait for a lock",
        "l = threading.Lock(); l.acquire(); l.acquire()",
    ),
    (
        "wait for a thread",
        "threading.Thread(target=threading.Event().wait).start()",
    ),
    ("a Python loop", "\nwhile True: pass"),
    (
        "a regular expression",
        "re.match(r'(a+)+$', 'a' * 60 + 'b')",
    ),
    ("a power", "7 ** 10 ** 8 % 3"),
    (
        "an exhausting deque",
        "collections.deque(iter(int, 1), maxlen=0)",
    ),
    ("a sum", "sum(range(10 ** 13))"),
    (
        "catching everything",
        "
while True:
    try:
        while True: pass
    except BaseException: pass",
    ),
    (
        "refusing signals",
        "
import signal
for number in (signal.SIGTERM, signal.SIGINT):
    try: signal.signal(number, signal.SIG_IGN)
    except Exception: pass
while True: time.sleep(1)",
    ),
    (
        "many threads",
        "
for _ in range(50): threading.Thread(target=lambda: sum(range(10 ** 13))).start()",
    ),
    (
        "a finaliser",
        "
class Endless:
    def __del__(self):
        while True: pass
x = Endless(); del x",
    ),
];

fn started(flags: &[&str], body: &str) -> Running {
    let code = format!(
        "import collections, re, select, socket, sys, threading, time; print('up', flush=True); {body}"
    );
    let mut command = pywasm(["python"]);
    command
        .args(flags)
        .args(["-c", &code])
        .stdin(std::process::Stdio::piped());
    Running::start(command)
}

/// How long after its time an app may take to be gone. On a busy machine the clock of a test is not
/// that of its subject, hence much more than is measured otherwise (half a second).
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn every_endless_program_ends_at_its_time_limit() {
    for chunk in ENDLESS.chunks(4) {
        let mut running: Vec<_> = chunk
            .iter()
            .map(|(name, body)| (name, started(&["--timeout", "1s"], body), Instant::now()))
            .collect();
        for (name, app, start) in &mut running {
            assert_eq!(app.wait(), Some(124), "{name}");
            assert!(start.elapsed() < PATIENCE, "{name}: {:?}", start.elapsed());
            app.line("--timeout");
        }
    }
}

#[test]
fn every_endless_program_ends_on_a_signal() {
    for chunk in ENDLESS.chunks(4) {
        let mut running: Vec<_> = chunk
            .iter()
            .map(|(name, body)| (name, started(&[], body)))
            .collect();
        for (name, app) in &mut running {
            app.line("up");
            app.signal("TERM");
            let start = Instant::now();
            assert_eq!(app.wait(), Some(143), "{name}");
            assert!(start.elapsed() < PATIENCE, "{name}: {:?}", start.elapsed());
        }
    }
}

/// A call that blocks in the kernel, in a folder that was granted.
#[test]
fn a_call_that_blocks_the_host_ends_at_the_time_limit_too() {
    let folder = crate::support::project(&[("control", "read")]);
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let volume = format!("{}:/data", folder.path().display());
    let flags = ["--timeout", "1s", "--volume", &volume];
    let mut control = started(&flags, "print(open('/data/control').read())");
    control.line("read");
    assert_eq!(control.wait(), Some(0));
    let mut blocked = started(&flags, "open('/data/fifo').read()");
    assert_eq!(blocked.wait(), Some(124));
}

/// Recursion of every kind ends inside the guest, and the guest goes on.
#[test]
fn no_recursion_ends_the_host() {
    let recursions = [
        ("functions", "def f(): f()\nf()"),
        (
            "methods",
            "class A:\n def __getattr__(self, n): return getattr(self, n + 'x')\nA().x",
        ),
        ("repr", "x = []\nfor _ in range(10 ** 6): x = [x]\nrepr(x)"),
        (
            "str of a dict",
            "x = {}\nfor _ in range(10 ** 6): x = {1: x}\nstr(x)",
        ),
        (
            "comparison",
            "a, b = [], []\nfor _ in range(10 ** 6): a, b = [a], [b]\na == b",
        ),
        (
            "a hash",
            "x = ()\nfor _ in range(10 ** 6): x = (x,)\nhash(x)",
        ),
        ("parentheses", "eval('(' * 10 ** 5 + ')' * 10 ** 5)"),
        ("minus signs", "eval('-' * 10 ** 6 + '1')"),
        ("nots", "eval('not ' * 10 ** 5 + '1')"),
        ("attributes", "compile('x' + '.x' * 10 ** 5, '', 'eval')"),
        ("calls", "compile('f' + '()' * 10 ** 5, '', 'eval')"),
        (
            "additions",
            "compile('+'.join(['1'] * 10 ** 6), '', 'eval')",
        ),
        (
            "blocks",
            "compile('\\n'.join(' ' * i + 'if 1:' for i in range(200)) + ' pass', '', 'exec')",
        ),
        (
            "syntax trees",
            "import ast\nx = ast.Constant(1)\nfor _ in range(10 ** 5): x = ast.UnaryOp(ast.USub(), x)\ncompile(ast.fix_missing_locations(ast.Expression(x)), '', 'eval')",
        ),
        (
            "regular expressions",
            "import re\nre.compile('(' * 10 ** 5 + ')' * 10 ** 5)",
        ),
        (
            "matching",
            "import re\nre.match('(?:a|b)*?c' , 'a' * 10 ** 6 + 'd')",
        ),
        ("json", "import json\njson.loads('[' * 10 ** 6)"),
        (
            "json out",
            "import json\nx = []\nfor _ in range(10 ** 6): x = [x]\njson.dumps(x)",
        ),
        (
            "pickle",
            "import pickle\nx = []\nfor _ in range(10 ** 6): x = [x]\npickle.dumps(x)",
        ),
        (
            "copies",
            "import copy\nx = []\nfor _ in range(10 ** 6): x = [x]\ncopy.deepcopy(x)",
        ),
        (
            "iterators",
            "x = iter([1])\nfor _ in range(10 ** 6): x = map(int, x)\nnext(x)",
        ),
        (
            "iterators of all kinds",
            "import itertools as i\nx = iter([1])\nfor n in range(10 ** 5): x = i.islice(i.chain(zip(enumerate(filter(None, x)))), n)\nnext(x)",
        ),
        (
            "generators",
            "def g(x): yield from x\nx = iter([1])\nfor _ in range(10 ** 5): x = g(x)\nnext(x)",
        ),
        (
            "partials",
            "import functools\nf = int\nfor _ in range(10 ** 5): f = functools.partial(lambda g: g(), f)\nf()",
        ),
        (
            "exceptions",
            "e = ValueError()\nfor _ in range(10 ** 5):\n n = ValueError(); n.__cause__ = e; e = n\nimport traceback; traceback.format_exception(e)",
        ),
        (
            "classes",
            "C = object\nfor _ in range(500): C = type('C', (C,), {})\nC()",
        ),
        (
            "property",
            "class A:\n @property\n def x(self): return self.x\nA().x",
        ),
        (
            "isinstance",
            "class M(type):\n def __instancecheck__(c, i): return isinstance(i, c)\nclass A(metaclass=M): pass\nisinstance(1, A)",
        ),
        (
            "sorting",
            "class A:\n def __lt__(s, o): return sorted([A(), A()])\nsorted([A(), A()])",
        ),
        (
            "xml",
            "import xml.etree.ElementTree as e\ne.tostring(e.fromstring('<a>' * 10 ** 5 + '</a>' * 10 ** 5))",
        ),
        (
            "deallocation",
            "x = None\nfor _ in range(10 ** 6): x = (x,)\ndel x",
        ),
    ];
    for (name, code) in recursions {
        let wrapped = format!(
            "
try: exec({code:?}, {{}})
except (RecursionError, MemoryError, SyntaxError, OverflowError): print('refused')
else: print('ended')"
        );
        let ended = crate::support::python(["--timeout", "100s", "-c", &wrapped]);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
    }
}
