"""The native part of the data path: work that runs outside the interpreter lock.

`holdfast.repo._native` is built from the C files of this folder (`scripts/build_native.py`). Without it, or with
`HOLDFAST_PURE=1` in the environment, the pure path does the same work with the same bytes, slower. Callers ask `module()`, and
take their pure branch when it gives None.
"""

import functools
import importlib
import os
from types import ModuleType

PURE_VARIABLE = "HOLDFAST_PURE"
"""Set to anything but `0`, it forbids the native module."""


@functools.cache
def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get(PURE_VARIABLE, "0") not in ("", "0"):
        return None, f"pure Python, since {PURE_VARIABLE} is set"
    try:
        return importlib.import_module("holdfast.repo._native"), "native"
    except ImportError as error:
        return None, f"pure Python, since the native module can't be loaded: {error}"


def module() -> ModuleType | None:
    """The native module, or None where the pure path has to do."""
    return _load()[0]


def status() -> str:
    """Which path is in use, and why, for people."""
    return _load()[1]
