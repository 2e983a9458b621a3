"""Importing where start-up counts: commands that are short spend most of their time on it."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Generator


@contextlib.contextmanager
def importing() -> Generator[None]:
    """Import in this block: what modules define stays, so that looking for garbage in it would be for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def import_msgspec() -> None:
    """Import msgspec, the first of what we need, without `typing_extensions`, which it can do without and which is slow.

    That one brings `inspect` and the compiler's modules, a sixth of the start of a command. Whoever imports it later gets it.
    """
    name = "typing_extensions"
    if name in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules[name] = None  # pyright: ignore[reportArgumentType]: the language's own way to say that there is none
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[name]
