"""Names that Python has removed and that packages in this layer still use.

Written by the packager, and only beside packages that are older than the removal and name what was
removed. `site` imports this file when Python starts. Every name does what it did, no more.
"""

import sys
import types

# The modules of which something is used; the packager fills them in.
USED = ()


def _ast():
    import ast

    def shorthand(name, kinds):
        """A class that is made, and that asks `isinstance`, as one of `ast.Constant` for `kinds`."""

        class Kind(type):
            def __instancecheck__(cls, node):
                return isinstance(node, ast.Constant) and type(node.value) in kinds

            def __call__(cls, *args, **kwargs):
                for old in ("s", "n"):
                    if old in kwargs:
                        kwargs["value"] = kwargs.pop(old)
                if not args and "value" not in kwargs:
                    kwargs["value"] = ...
                return ast.Constant(*args, **kwargs)

        return Kind(name, (ast.Constant,), {})

    for name, kinds in {
        "Str": {str},
        "Bytes": {bytes},
        "Num": {int, float, complex},
        "NameConstant": {bool, type(None)},
        "Ellipsis": {type(...)},
    }.items():
        if not hasattr(ast, name):
            setattr(ast, name, shorthand(name, kinds))
    value = property(lambda node: node.value, lambda node, value: setattr(node, "value", value))
    for name in ("s", "n"):
        if not hasattr(ast.Constant, name):
            setattr(ast.Constant, name, value)


def _logging():
    import logging

    _give(logging, _acquireLock=logging._lock.acquire, _releaseLock=logging._lock.release)


def _pkgutil():
    import pkgutil
    from importlib.util import find_spec

    def get_loader(module_or_name):
        module = module_or_name
        if isinstance(module, str):
            if module in sys.modules and sys.modules[module] is None:
                return None
            module = sys.modules.get(module, module)
        if not isinstance(module, str):
            loader = getattr(module, "__loader__", None)
            if loader is not None or getattr(module, "__spec__", None) is None:
                return loader
            module = module.__name__
        return find_loader(module)

    def find_loader(fullname):
        if fullname.startswith("."):
            raise ImportError(f"relative module name {fullname!r} not supported")
        try:
            spec = find_spec(fullname)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ImportError(f"error while finding loader for {fullname!r}: {error}") from error
        return spec.loader if spec else None

    _give(pkgutil, get_loader=get_loader, find_loader=find_loader)


def _collections():
    import collections
    import collections.abc

    _give(collections, **{name: getattr(collections.abc, name) for name in collections.abc.__all__})


def _inspect():
    import inspect
    from collections import namedtuple

    ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")

    def getargspec(function):
        full = inspect.getfullargspec(function)
        if full.kwonlyargs or full.annotations:
            raise ValueError(
                "Function has keyword-only parameters or annotations, use inspect.signature()"
            )
        return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)

    _give(inspect, ArgSpec=ArgSpec, getargspec=getargspec)


def _asyncio():
    import asyncio

    # Only generators are decorated so; `types.coroutine` makes them awaitable.
    _give(asyncio, coroutine=types.coroutine)


def _imp():
    import importlib
    import importlib.util

    def load_source(name, pathname, file=None):
        spec = importlib.util.spec_from_file_location(name, pathname)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return {
        "new_module": types.ModuleType,
        "reload": importlib.reload,
        "load_source": load_source,
        "cache_from_source": importlib.util.cache_from_source,
        "source_from_cache": importlib.util.source_from_cache,
        "get_magic": lambda: importlib.util.MAGIC_NUMBER,
        "acquire_lock": lambda: None,
        "release_lock": lambda: None,
        "lock_held": lambda: False,
        "is_builtin": lambda name: int(name in sys.builtin_module_names),
        "PY_SOURCE": 1,
        "PY_COMPILED": 2,
        "C_EXTENSION": 3,
        "PKG_DIRECTORY": 5,
    }


def _distutils_version():
    import re

    class LooseVersion:
        """Numbers and words in turn, compared in order."""

        def __init__(self, text=None):
            if text:
                self.parse(text)

        def parse(self, text):
            parts = [part for part in re.split(r"(\d+|[a-z]+|\.)", text, flags=re.VERBOSE) if part and part != "."]
            self.vstring = text
            self.version = [int(part) if part.isdigit() else part for part in parts]

        def __str__(self):
            return self.vstring

        def __repr__(self):
            return f"LooseVersion ('{self.vstring}')"

        def _other(self, other):
            return (LooseVersion(other) if isinstance(other, str) else other).version

        def __eq__(self, other):
            return self.version == self._other(other)

        def __lt__(self, other):
            return self.version < self._other(other)

        def __le__(self, other):
            return self.version <= self._other(other)

        def __gt__(self, other):
            return self.version > self._other(other)

        def __ge__(self, other):
            return self.version >= self._other(other)

    return {"LooseVersion": LooseVersion, "StrictVersion": LooseVersion}


def _distutils_util():
    def strtobool(text):
        text = text.lower()
        if text in ("y", "yes", "t", "true", "on", "1"):
            return 1
        if text in ("n", "no", "f", "false", "off", "0"):
            return 0
        raise ValueError(f"invalid truth value {text!r}")

    return {"strtobool": strtobool}


def _cgi():
    from email.message import Message
    from html import escape as html_escape

    def parse_header(line):
        message = Message()
        message["content-type"] = line
        (value, _), *parameters = message.get_params(failobj=[("", "")])
        return value, dict(parameters)

    def escape(text, quote=False):
        return html_escape(text, quote)

    return {"parse_header": parse_header, "escape": escape}


class _Removed:
    """Finds the modules that are gone, made when somebody imports them."""

    MODULES = {
        "imp": _imp,
        "cgi": _cgi,
        "distutils": dict,
        "distutils.version": _distutils_version,
        "distutils.util": _distutils_util,
    }

    def find_spec(self, name, path=None, target=None):
        if name not in self.MODULES:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self, is_package=name == "distutils")

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        vars(module).update(self.MODULES[module.__name__]())


def _give(module, **names):
    for name, value in names.items():
        if not hasattr(module, name):
            setattr(module, name, value)


_CHANGES = {
    "ast": _ast,
    "pkgutil": _pkgutil,
    "logging": _logging,
    "collections": _collections,
    "inspect": _inspect,
    "asyncio": _asyncio,
}

# A change imports its module, so those that nobody needs are not made.
for _name in USED:
    if _name in _CHANGES:
        _CHANGES[_name]()
# Last, so that a package that brings the module (setuptools has distutils) is asked first.
sys.meta_path.append(_Removed())
