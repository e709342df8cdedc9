"""Servers that start processes to hand them the socket they listen on, which no process of the sandbox can take over.

So a server's only worker is the process itself, and reloaders are left out. `pywasm run --workers` starts several.
"""

import os
import sys

_AF_UNIX = 3  # of WASI's C headers; `socket` does not have it, since no such socket can be made

_NO_RELOADER = (
    "pywasm: the app runs without its auto-reloader; "
    "restart it to see changes, or start it with `pywasm dev`."
)


def _say_one_worker(asked_for):
    if asked_for > 1:
        print(
            "pywasm: the app runs one worker, since a process of the sandbox cannot take over a listening socket; "
            f"`pywasm run --workers {asked_for}` starts as many.",
            file=sys.stderr,
        )


def _run_without_reloader(main_func, *args, **kwargs):
    import signal

    print(_NO_RELOADER, file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the reloaders of both do
    main_func(*args, **kwargs)


def _werkzeug(reloader):
    reloader.run_with_reloader = lambda main_func, *args, **kwargs: _run_without_reloader(main_func)


def _django(autoreload):
    autoreload.run_with_reloader = _run_without_reloader


def _uvicorn_reload(basereload):
    def run(self):
        print(_NO_RELOADER, file=sys.stderr)
        try:
            self.target(sockets=self.sockets)
        except KeyboardInterrupt:
            pass  # the reloader's processes end by it, and nobody says so

    basereload.BaseReload.run = run


def _uvicorn_workers(multiprocess):
    def run(self):
        from uvicorn.server import Server

        _say_one_worker(self.config.workers)
        Server(self.config).run(sockets=self.sockets)

    multiprocess.Multiprocess.run = run


def _hypercorn(module):
    original = module.run

    def run(config):
        if config.use_reloader:
            print(_NO_RELOADER, file=sys.stderr)
        _say_one_worker(config.workers)
        config.use_reloader, config.workers = False, 0
        return original(config)

    module.run = run


def _with_local_sockets(module):
    """Has a module imported, with its package, that names local sockets in the body of a class or will not be imported where
    there are none. An address of that kind is then refused by the socket."""

    def change(package):
        import socket

        socket.AF_UNIX = _AF_UNIX
        try:
            __import__(module)
        finally:
            del socket.AF_UNIX

    return change


class _ForkIntoChild:
    """The module `os` for who forks once and never returns in the child: this process is the child."""

    def __getattr__(self, name):
        return getattr(os, name)

    @staticmethod
    def fork():
        return 0


def _gunicorn_arbiter(module):
    module.os = _ForkIntoChild()
    spawn = module.Arbiter.spawn_worker

    def spawn_worker(self):
        _say_one_worker(self.num_workers)
        self.pid = os.getppid()  # a worker ends when this is no longer its parent
        self.cfg.set("max_requests", 0)  # and when it has served so many, which would be the end of the app
        try:
            spawn(self)
        finally:
            if self.pidfile is not None:
                self.pidfile.unlink()
            self.cfg.on_exit(self)

    module.Arbiter.spawn_worker = spawn_worker


def _sanic(startup):
    serve_single = startup.StartupMixin.serve_single.__func__

    def serve(cls, primary=None, *, app_loader=None, factory=None):
        apps = list(cls._app_registry.values())
        if any(app.state.auto_reload for app in apps):
            print(_NO_RELOADER, file=sys.stderr)
        _say_one_worker(max((app.state.workers for app in apps), default=1))
        serve_single(cls, primary)

    startup.StartupMixin.serve = classmethod(serve)


def _celery(concurrency):
    original = concurrency.get_implementation
    told = []

    def get_implementation(cls):
        if cls in ("prefork", "processes"):
            if not told:
                told.append(cls)
                print(
                    "pywasm: the worker runs its tasks in threads, as with `--pool threads`: processes of the sandbox are no forks, "
                    "which the pool `prefork` needs.",
                    file=sys.stderr,
                )
            cls = "threads"
        return original(cls)

    concurrency.get_implementation = get_implementation


CHANGES = {
    "celery.concurrency": _celery,
    "werkzeug._reloader": _werkzeug,
    "django.utils.autoreload": _django,
    "uvicorn.supervisors.basereload": _uvicorn_reload,
    "uvicorn.supervisors.multiprocess": _uvicorn_workers,
    "hypercorn.run": _hypercorn,
    "sanic.mixins.startup": _sanic,
    "gunicorn": _with_local_sockets("gunicorn.sock"),
    "gunicorn.arbiter": _gunicorn_arbiter,
    "twisted.internet": _with_local_sockets("twisted.internet.posixbase"),
}
