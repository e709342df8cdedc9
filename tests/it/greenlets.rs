//! Greenlets, which stand on fibers of the guest's threads.

use crate::support::{Ended, pywasm, run};

fn with(packages: &[&str], code: &str) -> Ended {
    let mut command = pywasm(["python"]);
    for package in packages {
        command.args(["--with", package]);
    }
    run({
        command.args(["-c", code]);
        command
    })
}

const GREENLETS: &str = "
import contextvars, gc, threading, time
from greenlet import GreenletExit, error, getcurrent, greenlet, settrace

def count(first):
    try:
        while True:
            first = getcurrent().parent.switch(first + 1)
    finally:
        print('killed')
one = greenlet(count)
print(one.switch(1), one.switch(10), bool(one), one.dead, one.gr_frame.f_code.co_name)
del one; gc.collect()

def fails(): raise ValueError('inside')
try: greenlet(fails).switch()
except ValueError as inside: print('raised', inside)
print('left', type(greenlet(lambda: (_ for _ in ()).throw(GreenletExit)).switch()).__name__)

thrown = greenlet(count)
thrown.switch(1)
try: thrown.throw(KeyError('thrown'))
except KeyError as key: print('thrown', key, thrown.dead)

mark, lock, local = contextvars.ContextVar('mark', default='none'), threading.RLock(), threading.local()
mark.set('main'); local.value = 'of the thread'
def same_thread():
    with lock:  # which the main greenlet holds
        time.sleep(0.01)
        return mark.get(), local.value, threading.get_ident() == ident
ident = threading.get_ident()
with lock: print(greenlet(same_thread).switch())

def handled():
    try: 1 / 0
    except ZeroDivisionError:
        getcurrent().parent.switch()
        try: raise
        except ZeroDivisionError: return 'its own exception'
other = greenlet(handled)
other.switch()
print(other.switch())

def in_a_thread():
    print([greenlet(lambda: number * 2).switch() for number in range(3)])
    try: main.switch()
    except error as refused: print(str(refused).splitlines()[0])
main = getcurrent()
thread = threading.Thread(target=in_a_thread); thread.start(); thread.join()

def deep(level): return 1 + deep(level - 1) if level else greenlet(lambda: 0).switch()
print(greenlet(deep).switch(500))
events = []
settrace(lambda event, pair: events.append(event))
greenlet(lambda: None).switch(); settrace(None)
print(events)
many = [greenlet(lambda number=number: getcurrent().parent.switch(number)) for number in range(200)]
print(sum(each.switch() for each in many), sum(map(bool, many)))
";

#[test]
fn registry_greenlets_are_stacks_of_their_thread() {
    let ended = with(&["greenlet"], GREENLETS);
    assert_eq!(
        ended.stdout,
        "2 11 True False count\nkilled\nraised inside\nleft GreenletExit\nkilled\nthrown 'thrown' True\n\
         ('none', 'of the thread', True)\nits own exception\n[0, 2, 4]\nCannot switch to a different thread\n500\n\
         ['switch', 'switch']\n19900 200\n",
        "{}",
        ended.stderr
    );
}

/// SQLAlchemy 2.0 asks for greenlet by kinds of machines.
#[test]
fn registry_sqlalchemy_works_in_asyncio() {
    let ended = with(
        &["sqlalchemy<2.1", "aiosqlite"],
        "import asyncio\n\
         from sqlalchemy import text\n\
         from sqlalchemy.ext.asyncio import create_async_engine\n\
         async def main():\n    \
             engine = create_async_engine('sqlite+aiosqlite:////tmp/database')\n    \
             async with engine.begin() as connection:\n        \
                 await connection.execute(text('create table numbers (number int)'))\n        \
                 await connection.execute(text('insert into numbers values (1), (2), (39)'))\n    \
             async def total():\n        \
                 async with engine.connect() as connection:\n            \
                     return await connection.scalar(text('select sum(number) from numbers'))\n    \
             print(await asyncio.gather(*(total() for _ in range(5))))\n    \
             await engine.dispose()\n\
         asyncio.run(main())\n",
    );
    assert_eq!(ended.stdout, "[42, 42, 42, 42, 42]\n", "{}", ended.stderr);
}

/// An older release's Python files, as `pip freeze` pins them.
#[test]
fn registry_any_release_of_greenlet_goes_with_what_is_built_in() {
    let code =
        "import greenlet; print(greenlet.__version__, greenlet.greenlet(lambda: 42).switch())";
    let ended = with(&["greenlet==3.1.1"], code);
    assert_eq!(ended.stdout, "3.1.1 42\n", "{}", ended.stderr);
}

const GEVENT: &str = "
from gevent import monkey; monkey.patch_all()
import os, queue, select, signal, socket, subprocess, sys, threading, time, urllib.request
import gevent, gevent.event, gevent.pool, gevent.pywsgi
from gevent.exceptions import LoopExit

def app(environ, start_response):
    time.sleep(0.5)
    start_response('200 OK', [])
    return [environ['PATH_INFO'].encode()]
server = gevent.pywsgi.WSGIServer(('127.0.0.1', 0), app, log=None); server.start()
def get(number):
    return urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/{number}').read().decode()
begun = time.monotonic()
print(gevent.pool.Pool(20).map(get, range(20)) == [f'/{number}' for number in range(20)], time.monotonic() - begun < 5)
server.stop()

lines = queue.Queue()
threading.Thread(target=lambda: (time.sleep(0.1), lines.put('from a thread'))).start()
print(lines.get(timeout=10))
with gevent.Timeout(0.05, False):
    time.sleep(10)
    print('not reached')
one, other = socket.socketpair()
gevent.spawn_later(0.1, one.send, b'x')
print(select.select([other], [], [], 10)[0] == [other], other.recv(1))
print(socket.getaddrinfo('localhost', 80)[0][4], gevent.get_hub().threadpool.apply(sum, ([1, 2],)))

seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append('by Python'))
gevent.signal_handler(signal.SIGUSR2, lambda: seen.append('by gevent'))
os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGUSR2); time.sleep(0.1)
print(seen)

# What a native thread does wakes the loop from its poll.
event = gevent.event.Event()
loop = gevent.get_hub().loop
gevent.get_hub().threadpool.spawn(lambda: (monkey.get_original('time', 'sleep')(0.1), loop.run_callback_threadsafe(event.set)))
print(event.wait(10))

code = 'import sys, time; time.sleep(0.2); print(sys.stdin.read()); sys.exit(3)'
ended = gevent.pool.Pool(2).map(
    lambda word: subprocess.run([sys.executable, '-c', code], input=word, capture_output=True, text=True), ['a', 'b'])
print([(each.stdout, each.returncode) for each in ended])
try: subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'], timeout=0.2)
except subprocess.TimeoutExpired as late: print('late', late.timeout)
try: gevent.event.Event().wait()
except LoopExit: print('nothing to wait for')
print(type(loop).__module__, loop.backend)
";

#[test]
fn registry_gevent_runs_on_a_loop_of_ours() {
    let ended = with(&["gevent"], GEVENT);
    assert_eq!(
        ended.stdout,
        "True True\nfrom a thread\nTrue b'x'\n('127.0.0.1', 80) 3\n['by Python', 'by gevent']\nTrue\n\
         [('a\\n', 3), ('b\\n', 3)]\nlate 0.2\nnothing to wait for\ngevent.libev.corecext poll\n",
        "{}",
        ended.stderr
    );
}

/// A release from before Python 3.14, as it is pinned.
#[test]
fn registry_older_releases_of_gevent_run_too() {
    let code = "from gevent import monkey; monkey.patch_all()\n\
                import gevent, time\n\
                print(gevent.__version__, [job.get() for job in [gevent.spawn(lambda: time.sleep(0.1)), gevent.spawn(int)]])";
    let ended = with(&["gevent==24.11.1"], code);
    assert_eq!(ended.stdout, "24.11.1 [None, 0]\n", "{}", ended.stderr);
}
