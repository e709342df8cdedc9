"""Checks the list of packages whose native code is optional (packager/src/wheel/native.rs).

All but psutil and gevent, whose modules of ours ask the sandbox, and mysqlclient, whose one needs a server (tests/it/real_servers.rs). For each package: its newest wheel for CPython 3.14 on Linux (and an older one) is installed into a
folder of its own with what it requires, every native file is deleted, and a small program uses it.

    python packager/tests/pure_fallback.py PYTHON3.14 [NAME ...]

The interpreter that runs this script needs pip; PYTHON3.14 runs the programs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# name: (an older version, a program)
PACKAGES = {
    "markupsafe": ("2.0.1", """
from markupsafe import Markup, escape
assert escape("<a&'\\">") == "&lt;a&amp;&#39;&#34;&gt;"
assert Markup("<b>%s</b>") % "<" == "<b>&lt;</b>"
"""),
    "pyyaml": ("6.0.1", """
import yaml
text = "a: [1, 2.5, x]\\nb: {c: 2001-12-14, d: null}\\n"
data = yaml.safe_load(text)
assert data["a"] == [1, 2.5, "x"] and yaml.safe_load(yaml.safe_dump(data)) == data
assert not yaml.__with_libyaml__
"""),
    "msgpack": ("1.0.8", """
import msgpack
data = {"a": [1, -2, 3.5, b"x", None, True], "b": "y" * 300}
assert msgpack.unpackb(msgpack.packb(data)) == data
assert msgpack.Packer.__module__ == "msgpack.fallback"
"""),
    "tornado": ("6.4.1", """
import asyncio, tornado.web, tornado.httpserver, tornado.httpclient, tornado.util
class Hello(tornado.web.RequestHandler):
    def get(self): self.write("hello")
async def main():
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Hello)]))
    sockets = __import__("tornado.netutil").netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    port = sockets[0].getsockname()[1]
    answer = await tornado.httpclient.AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/")
    assert answer.body == b"hello"
asyncio.run(main())
assert tornado.util._websocket_mask_python(b"abcd", b"xyz") and tornado.util._websocket_mask(b"abcd", b"xyz")
"""),
    "zope-interface": ("7.0.3", """
import zope.interface as z
class I(z.Interface):
    def f(x): "f"
@z.implementer(I)
class A:
    def f(self, x): return x
assert I.providedBy(A()) and I.implementedBy(A) and I(A()).f(1) == 1
from zope.interface.adapter import AdapterRegistry
registry = AdapterRegistry(); registry.register([I], z.Interface, "", 1)
assert registry.lookup([I], z.Interface) == 1
"""),
    "aiohttp": ("3.10.5", """
import asyncio, aiohttp, aiohttp.web as web
async def main():
    app = web.Application()
    async def hello(request): return web.json_response({"a": await request.text()})
    app.router.add_post("/", hello)
    runner = web.AppRunner(app); await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0); await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{port}/", data=b"x") as answer:
            assert (await answer.json()) == {"a": "x"}
    await runner.cleanup()
asyncio.run(main())
"""),
    "multidict": ("6.0.5", """
from multidict import CIMultiDict, MultiDict
d = CIMultiDict([("A", 1), ("a", 2)]); assert d.getall("a") == [1, 2] and d["A"] == 1
"""),
    "yarl": ("1.9.4", """
from yarl import URL
u = URL("http://user@example.com:80/a b?x=ü#f"); assert u.raw_path == "/a%20b" and u.query["x"] == "ü"
assert str(u / "c") == "http://user@example.com/a%20b/c"
"""),
    "frozenlist": ("1.4.1", """
from frozenlist import FrozenList
f = FrozenList([1]); f.append(2); f.freeze()
assert list(f) == [1, 2] and hash(f)
"""),
    "propcache": ("0.2.0", """
from propcache import cached_property
class A:
    @cached_property
    def x(self): return object()
a = A(); assert a.x is a.x
"""),
    "websockets": ("12.0", """
import asyncio, websockets
async def main():
    async def echo(ws, *path):
        async for message in ws: await ws.send(message)
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}") as ws:
            await ws.send("x" * 1000); assert await ws.recv() == "x" * 1000
asyncio.run(main())
"""),
    "wrapt": ("1.16.0", """
import wrapt
@wrapt.decorator
def twice(wrapped, instance, args, kwargs): return 2 * wrapped(*args, **kwargs)
@twice
def f(x): return x
assert f(3) == 6 and wrapt.ObjectProxy([1]) == [1]
"""),
    "lazy-object-proxy": ("1.10.0", """
import lazy_object_proxy
p = lazy_object_proxy.Proxy(lambda: 41); assert p + 1 == 42
"""),
    "simplejson": ("3.19.2", """
import simplejson
data = {"a": [1, 2.5, None, "ü"]}
assert simplejson.loads(simplejson.dumps(data)) == data
"""),
    "sqlalchemy": ("2.0.30", """
import sqlalchemy as sa
engine = sa.create_engine("sqlite://")
with engine.begin() as c:
    c.execute(sa.text("create table t (x int)")); c.execute(sa.text("insert into t values (1), (2)"))
    assert c.execute(sa.text("select sum(x) from t")).scalar() == 3
"""),
    "charset-normalizer": ("3.3.2", """
import charset_normalizer
assert str(charset_normalizer.from_bytes("Привет, как дела? Это текст.".encode("cp1251")).best())
"""),
    "coverage": ("7.6.1", """
import coverage
c = coverage.Coverage(data_file=None); c.start(); exec(compile("x = 1", "/nowhere/x.py", "exec")); c.stop()
"""),
    "immutables": ("0.20", """
import immutables
m = immutables.Map(a=1); n = m.set("b", 2); assert len(m) == 1 and n["b"] == 2 and n.delete("a") == immutables.Map(b=2)
"""),
    "rapidfuzz": ("3.9.7", """
from rapidfuzz import fuzz, process
assert fuzz.ratio("this is a test", "this is a test!") > 96
assert process.extractOne("cowboys", ["Dallas Cowboys", "New York Jets"])[0] == "Dallas Cowboys"
"""),
    "pymongo": ("4.8.0", """
import bson
data = {"a": [1, 2.5, "x", None], "b": bson.ObjectId()}; assert bson.decode(bson.encode(data)) == data
import pymongo; pymongo.MongoClient("mongodb://127.0.0.1:1", connect=False)
"""),
    "zope-proxy": ("5.3", """
from zope.proxy import ProxyBase, getProxiedObject
p = ProxyBase([1]); assert p == [1] and getProxiedObject(p) == [1]
"""),
    "zope-hookable": ("6.0", """
from zope.hookable import hookable
h = hookable(lambda: 1); assert h() == 1; h.sethook(lambda: 2); assert h() == 2
"""),
    "watchdog": ("3.0.0", """
import queue, tempfile
from watchdog.events import FileSystemEventHandler
from watchdog.observers.polling import PollingObserver
seen = queue.Queue()
class Handler(FileSystemEventHandler):
    def on_created(self, event): seen.put(event.src_path)
with tempfile.TemporaryDirectory() as folder:
    observer = PollingObserver(timeout=0.1); observer.schedule(Handler(), folder); observer.start()
    open(folder + "/new", "w").close()
    assert seen.get(timeout=10) == folder + "/new"
    observer.stop(); observer.join()
"""),
    "watchfiles": ("1.0.0", """
import tempfile, threading, time
from watchfiles import Change, watch
with tempfile.TemporaryDirectory() as folder:
    for name in ("old", "gone"): open(f"{folder}/{name}", "w").close()
    def change():
        time.sleep(0.7)
        for name in ("new", "old"):
            with open(f"{folder}/{name}", "w") as file: file.write("x")
        os.remove(folder + "/gone")
    import os; thread = threading.Thread(target=change); thread.start()
    seen = next(watch(folder, rust_timeout=0)); thread.join()
    assert seen == {(Change.added, folder + "/new"), (Change.modified, folder + "/old"), (Change.deleted, folder + "/gone")}, seen
    assert next(watch(folder, rust_timeout=200, yield_on_timeout=True)) == set()
    stop = threading.Event(); stop.set(); assert list(watch(folder, stop_event=stop)) == []
"""),
    "editdistance": ("0.8.1", """
import editdistance as e
assert e.eval("banana", "bahama") == 2 and e.eval(["a", 1], ("a", 2, 3)) == 2 and e.distance("", "ab") == 2
assert e.eval_criterion("ab", "abcd", 2) and not e.eval_criterion("ab", "abcd", 1)
"""),
    "fastuuid": ("0.12.0", """
import fastuuid, pickle
made = fastuuid.uuid4(); assert fastuuid.UUID(str(made)) == made == pickle.loads(pickle.dumps(made)) and made.version == 4
assert str(fastuuid.uuid5(fastuuid.UUID(int=5), b"abc")) == "c196b6ec-00c5-5f3a-85ee-2f2cb337dc42"
assert len(set(fastuuid.uuid4_as_strings_bulk(50))) == 50 and fastuuid.uuid1(5, 6).node == 5
"""),
    "google-crc32c": ("1.5.0", """
import google_crc32c as g
assert g.value(b"123456789") == 0xe3069283 and g.extend(g.value(b"1234"), b"56789") == g.value(b"123456789")
"""),
    "hiredis": ("3.0.0", """
import hiredis
r = hiredis.Reader(encoding="utf-8"); data = b"*3\\r\\n$5\\r\\nhello\\r\\n:7\\r\\n-ERR no\\r\\n%1\\r\\n+a\\r\\n#t\\r\\n"
for at in range(len(data) - 1): r.feed(data, at, 1); last = r.gets() or last if at else None
assert last[:2] == ["hello", 7] and isinstance(last[2], hiredis.ReplyError)
r.feed(b"\\n"); assert r.gets() == {"a": True} and r.gets() is False
assert hiredis.pack_command(("SET", "k", 1, 1.5)) == b"*4\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nk\\r\\n$1\\r\\n1\\r\\n$3\\r\\n1.5\\r\\n"
"""),
    "levenshtein": ("0.21.1", """
import Levenshtein as l
assert l.distance("kitten", "sitting") == 3 and l.hamming("ab", "ac") == 1 and l.editops("a", "ab") == [("insert", 1, 1)]
words = ["Levnhtein", "Leveshein", "Leenshten", "Leveshtei", "Lenshtein", "Lvenstein", "Levenhtin", "evenshtei"]
assert l.median(words) == "Levenshtein" and l.quickmedian(words) == "Levnshein" and l.setmedian(["ab", "abc", "abcd"]) == "abc"
assert l.median_improve("spam", ["ham", "ham", "spa"]) == "ham"
assert l.setratio(["a", "b"], ["b", "a"]) == 1 and l.seqratio(["a", "b"], ["a", "c"]) == 0.5
"""),
    "pybase64": ("1.4.0", """
import pybase64
assert pybase64.b64decode(pybase64.b64encode(b"hello?>", altchars="_-"), altchars="_-", validate=True) == b"hello?>"
"""),
    "setproctitle": ("1.3.3", """
import setproctitle
setproctitle.setproctitle("worker 1"); assert setproctitle.getproctitle() == "worker 1"
"""),
    "zeroconf": ("0.132.2", """
import socket, zeroconf
from zeroconf import DNSIncoming, DNSOutgoing, DNSQuestion, const
out = DNSOutgoing(const._FLAGS_QR_QUERY); out.add_question(DNSQuestion("_http._tcp.local.", const._TYPE_PTR, const._CLASS_IN))
assert DNSIncoming(out.packets()[0]).questions[0].name == "_http._tcp.local."
info = zeroconf.ServiceInfo("_http._tcp.local.", "x._http._tcp.local.", port=80, addresses=[socket.inet_aton("127.0.0.1")])
assert info.parsed_addresses() == ["127.0.0.1"]
"""),
}

WHEEL = pathlib.Path(__file__).parents[1] / "src/wheel"
# Modules of ours that take the place of native ones: the package, the file and its source.
REPLACEMENTS = [
    (package, file, source)
    for package, files in re.findall(r'Replacement \{\s*package: "([\w-]+)",(.*?)requires:', (WHEEL / "native.rs").read_text(), re.S)
    for file, source in re.findall(r'"([\w/]+\.py)",\s*include_str!\("([^"]+)"\)', files)
]
NATIVE = (".so", ".pyd", ".dylib", ".dll")


def check(python, name, version, program):
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{name}=={version}" if version else name
        for series in ["3.14"] if version is None else ["3.14", "3.12", "3.10"]:
            installed = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "--only-binary", ":all:",
                 "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64",
                 "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_5_x86_64",
                 "--platform", "manylinux1_x86_64",
                 "--implementation", "cp", "--python-version", series, wanted],
                capture_output=True, text=True)
            if installed.returncode == 0:
                break
        else:
            return "no wheel"
        if installed.returncode != 0:
            return "no wheel"
        native = [p for p in pathlib.Path(folder).rglob("*") if p.name.endswith(NATIVE) or ".so." in p.name]
        for path in native:
            path.unlink()
        for package, file, source in REPLACEMENTS:
            if package == name:
                shutil.copy(WHEEL / source, pathlib.Path(folder, file))
        env = {"PYTHONPATH": folder, "PATH": os.environ["PATH"]}
        ran = subprocess.run([python, "-c", program], env=env, capture_output=True, text=True, timeout=120)
        if ran.returncode == 0:
            return f"ok ({len(native)} native files deleted)"
        return "FAILED: " + (ran.stderr.strip().splitlines() or ["?"])[-1]


def main():
    python, *names = sys.argv[1:]
    for name in names or PACKAGES:
        older, program = PACKAGES[name]
        for version in (None, older):
            print(f"{name:20} {version or 'newest':8} {check(python, name, version, program)}", flush=True)


if __name__ == "__main__":
    main()
