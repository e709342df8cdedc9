"""The package in which psycopg looks for its modules in C. They are built into the larger interpreters, and the package has no folder."""

import sys as _sys

if "psycopg" not in _sys.modules:
    raise ImportError("import psycopg, which imports this: its modules in C need what it has by then")

from psycopg.version import __version__ as __version__

__path__ = []
