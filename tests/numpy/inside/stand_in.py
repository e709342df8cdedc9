"""Lets tests import `ctypes`, which the guest has not, so that those cases fail that use it and no others."""

import sys
import types

import numpy  # looks for ctypes itself, and must not find this


class StandIn(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


sys.modules["ctypes"] = StandIn("ctypes")
