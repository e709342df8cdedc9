//! The projects that people name first: each is packed from the package index and does what it is for.

use crate::support::{project, pywasm, run};

/// Packs a project with a program and what it requires, runs it and gives what it printed.
fn output(requirements: &str, files: &[(&str, &str)], args: &[&str]) -> String {
    let all = [files, &[("requirements.txt", requirements)]].concat();
    let app = project(&all);
    let package = app.path().join("app.pkg");
    let mut pack = pywasm(["pack", "-q", "-o"]);
    pack.arg(&package).arg(app.path()).args(args);
    let ended = run(pack);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut start = pywasm(["run"]);
    start.arg(&package);
    let ended = run(start);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Its newest release imports watchfiles, whose native part has a module of ours in its place.
#[test]
fn registry_pelican_builds_a_site_and_hears_of_changes() {
    let program = "
import pathlib, runpy, sys, threading, time
from pelican.utils import wait_for_changes
sys.argv = ['pelican', 'content', '-o', '/tmp/site', '-s', 'pelicanconf.py']
try:
    runpy.run_module('pelican', run_name='__main__')
except SystemExit as end:
    assert not end.code
print('Hello from Pelican' in pathlib.Path('/tmp/site/index.html').read_text())
def write():
    time.sleep(0.5)
    pathlib.Path('content/new.md').write_text('Title: New')
threading.Thread(target=write).start()
print(wait_for_changes('pelicanconf.py', {'PATH': 'content'}))
";
    let printed = output(
        "pelican[markdown]\n",
        &[
            ("app.py", program),
            (
                "pelicanconf.py",
                "SITENAME = 'x'\nPATH = 'content'\nTIMEZONE = 'UTC'\n",
            ),
            (
                "content/hello.md",
                "Title: Hello from Pelican\nDate: 2026-01-02\n\nA *page*.\n",
            ),
        ],
        &[],
    );
    assert!(printed.contains("1 article"), "{printed}");
    assert!(printed.contains("True\n"), "{printed}");
    assert!(
        printed.contains("added") && printed.contains("/app/content/new.md"),
        "{printed}"
    );
}

/// The worker that its command starts by itself wants to fork.
#[test]
fn registry_celery_runs_tasks_in_threads() {
    let tasks = "
from celery import Celery
app = Celery('tasks', broker='memory://', backend='cache+memory://')
app.conf.worker_redirect_stdouts = False

@app.task
def add(x, y):
    return x + y

@app.task
def fail():
    raise ValueError('as it should')
";
    let program = "
import os, signal, sys, threading
from tasks import add, app, fail
def ask():
    wait = dict(timeout=30, propagate=False, disable_sync_subtasks=False)
    print([add.delay(n, n).get(**wait) for n in range(3)], type(fail.delay().get(**wait)).__name__)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=ask).start()
app.worker_main(['worker', '--loglevel=WARNING'])
";
    let printed = output("celery\n", &[("app.py", program), ("tasks.py", tasks)], &[]);
    assert!(printed.contains("[0, 2, 4] ValueError\n"), "{printed}");
    assert!(printed.contains("(thread)"), "{printed}");
}

#[test]
fn registry_sphinx_builds_a_manual() {
    let printed = output(
        "sphinx\n",
        &[
            ("conf.py", "project = 'x'\n"),
            ("index.rst", "Manual\n======\n\nSome *text*.\n"),
        ],
        &["--entrypoint", "sphinx-build -M text . /tmp/out"],
    );
    assert!(printed.contains("build succeeded"), "{printed}");
}

#[test]
fn registry_requests_and_httpx_fetch_a_page() {
    let program = "
import http.server, threading, requests, httpx
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'hello')
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hello)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f'http://127.0.0.1:{server.server_port}/'
print(requests.get(url).text, httpx.get(url).text)
";
    let printed = output("requests\nhttpx\n", &[("app.py", program)], &[]);
    assert_eq!(printed, "hello hello\n");
}

#[test]
fn registry_jinja2_sqlalchemy_and_pip_do_their_work() {
    let program = "
import jinja2, subprocess, sys
from sqlalchemy import create_engine, text
engine = create_engine('sqlite:////tmp/x.db')
with engine.begin() as connection:
    connection.execute(text('create table t (x integer)'))
    connection.execute(text('insert into t values (41)'))
    found = connection.execute(text('select x + 1 from t')).scalar()
print(jinja2.Template('{{ x }} {{ y|upper }}').render(x=found, y='<b>'))
listed = subprocess.run([sys.executable, '-m', 'pip', 'list', '--format', 'freeze'], capture_output=True, text=True)
print('SQLAlchemy==' in listed.stdout, listed.stderr)
";
    let printed = output("jinja2\nsqlalchemy\npip\n", &[("app.py", program)], &[]);
    assert_eq!(printed, "42 <B>\nTrue \n");
}

#[test]
fn registry_pyyaml_is_built_from_its_source() {
    let program = "
import yaml
print(yaml.safe_load('a: [1, {b: 2.5}]'), yaml.__with_libyaml__)
";
    let printed = output("--no-binary pyyaml\npyyaml\n", &[("app.py", program)], &[]);
    assert_eq!(printed, "{'a': [1, {'b': 2.5}]} False\n");
}

/// libjpeg leaves a broken picture by a jump, which there is not here: it must be an error of Python's all the same.
#[test]
fn registry_pillow_reads_writes_and_tells_of_broken_pictures() {
    let program = "
import io
from PIL import Image
picture = Image.effect_noise((300, 300), 50).convert('RGB').resize((200, 100))
for kind in ('JPEG', 'PNG'):
    written = io.BytesIO()
    picture.save(written, kind)
    assert Image.open(written).convert('RGB').size == (200, 100)
jpeg = io.BytesIO()
picture.save(jpeg, 'JPEG')
broken = bytearray(jpeg.getvalue())
broken[broken.index(b'\\xff\\xc4') + 4] = 0xff  # a table of codes with an impossible number
for _ in range(100):
    try:
        Image.open(io.BytesIO(broken)).load()
    except OSError as error:
        told = str(error)
print(told)
print(Image.open(jpeg).getpixel((5, 5)) is not None)
";
    let printed = output("pillow\n", &[("app.py", program)], &[]);
    assert_eq!(
        printed,
        "broken data stream when reading image file\nTrue\n"
    );
}

#[test]
fn registry_trio_serves_waits_and_cancels() {
    let program = "
import subprocess, trio, trio.testing
async def echo(stream):
    async for data in stream: await stream.send_all(data.upper())
async def main():
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        client = await trio.testing.open_stream_to_socket_listener(listeners[0])
        nursery.start_soon(client.send_all, b'x' * 1_000_000)
        received = 0
        while received < 1_000_000: received += len(await client.receive_some())
        print(received, await trio.to_thread.run_sync(lambda: 5))
        with trio.move_on_after(0.1) as scope: await trio.sleep_forever()
        print(scope.cancelled_caught)
        ran = await trio.to_thread.run_sync(lambda: subprocess.run(['echo', 'ran'], capture_output=True))
        print(ran.stdout)
        try: await trio.run_process(['echo', 'no'])
        except* OSError as group: print(group.exceptions[0].strerror)
        nursery.cancel_scope.cancel()
trio.run(main)
import selectors; print(selectors.DefaultSelector.__name__)
";
    let printed = output("trio\n", &[("app.py", program)], &[]);
    assert_eq!(
        printed,
        "1000000 5\nTrue\nb'ran\\n'\n\
         a kqueue waits for no process here: start one by trio.to_thread.run_sync(subprocess.run, …)\n\
         PollSelector\n"
    );
}

/// Of the sandbox: what it tells of, natively, is the machine.
#[test]
fn registry_psutil_tells_of_the_sandbox() {
    let program = "
import os, socket, sys, time, psutil
me = psutil.Process()
print(me.pid, me.name(), me.cwd(), me.cmdline()[-1], me.username(), me.status(), me.parent(), me.children(), psutil.LINUX)
print(abs(me.create_time() - time.time()) < 60, me.is_running(), me.num_threads(), me.environ() == dict(os.environ))
before = me.memory_info().rss
kept = bytearray(120 << 20)
memory = psutil.virtual_memory()
print(me.memory_info().rss - before >= 100 << 20, memory.total >> 20, memory.used + memory.available == memory.total, me.memory_percent() > 9)
me.cpu_percent(); sum(range(5_000_000)); print(me.cpu_percent() > 30, psutil.cpu_count() == os.cpu_count())
server = socket.create_server(('127.0.0.1', 0)); port = server.getsockname()[1]
client = socket.create_connection(('127.0.0.1', port))
print([(one.status, one.laddr.port == port, bool(one.raddr)) for one in psutil.net_connections()])
child = psutil.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])
print(psutil.pids(), me.children() == [child], child.parent() == me, psutil.pid_exists(77))
try: child.cmdline()
except psutil.AccessDenied as error: print(error.msg)
child.terminate(); print(child.wait(60), child.is_running())
one, other = (psutil.Popen([sys.executable, '-c', code]) for code in ('import time; time.sleep(100)', ''))
gone, alive = psutil.wait_procs([one, other], timeout=5); print(gone == [other], alive == [one])
one.kill(); print(one.wait().name)
print(psutil.disk_usage('/').total >> 20, psutil.swap_memory().total, psutil.users(), [hasattr(psutil, name) for name in ('cpu_freq', 'sensors_fans')])
print(sorted(key for key, value in me.as_dict().items() if value is None and key != 'terminal'))
";
    // With its tuples in `_ntuples`, and in the platform's module.
    for version in ["7.2.2", "5.9.8"] {
        let printed = output(&format!("psutil=={version}\n"), &[("app.py", program)], &[]);
        assert_eq!(
            printed,
            "1 python3 /app app.py root running None [] False\n\
             True True 1 True\n\
             True 1024 True True\n\
             True True\n\
             [('LISTEN', True, False), ('ESTABLISHED', False, True)]\n\
             [1, 2] True True False\n\
             cmdline of another process cannot be known in the sandbox\n\
             -15 False\n\
             True True\n\
             SIGKILL\n\
             1024 0 [] [False, False]\n\
             ['num_ctx_switches', 'open_files', 'threads']\n",
            "{version}"
        );
    }
}

/// Each with a module of ours in the place of its native one, or none at all.
#[test]
fn registry_small_native_parts_are_done_in_python() {
    let program = "
import Levenshtein, editdistance, fastuuid, google_crc32c, hiredis, pybase64, setproctitle, zeroconf
print(editdistance.eval('banana', 'bahama'), editdistance.eval(['a', 1], ('a', 2, 3)))
print(Levenshtein.distance('kitten', 'sitting'), Levenshtein.median(['banana', 'bahama', 'ananas']), Levenshtein.setratio(['a', 'b'], ['b', 'a']))
made = fastuuid.uuid4(); print(fastuuid.UUID(str(made)) == made, made.version, len(set(fastuuid.uuid7_as_strings_bulk(9))))
print(google_crc32c.value(b'123456789') == 0xe3069283, pybase64.b64decode('AAE='), zeroconf.IPVersion.V4Only.name)
setproctitle.setproctitle('worker'); print(setproctitle.getproctitle())
reader = hiredis.Reader(encoding='utf-8')
for piece in (b'*3\\r\\n$5\\r\\nhe', b'llo\\r\\n:7\\r\\n', b'-ERR no\\r\\n+OK\\r\\n'):
    reader.feed(piece); print(reader.gets())
print(reader.gets(), reader.gets(), hiredis.pack_command(('GET', 1)))
";
    let names = "editdistance\nfastuuid\ngoogle-crc32c\nhiredis\nlevenshtein\npybase64\nsetproctitle\nzeroconf\n";
    assert_eq!(
        output(names, &[("app.py", program)], &[]),
        "2 2\n3 banana 1.0\nTrue 4 9\nTrue b'\\x00\\x01' V4Only\nworker\nFalse\nFalse\n['hello', 7, ReplyError('ERR no')]\n\
         OK False b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\n1\\r\\n'\n"
    );
}
