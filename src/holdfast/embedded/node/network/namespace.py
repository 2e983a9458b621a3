"""Network namespaces, each held by nothing but a descriptor of this process: it goes when the last user of it goes."""

import contextlib
import ctypes
import os
from collections.abc import Generator
from typing import Final

_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of sched.h."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def here() -> int:
    """Return a descriptor of the namespace that this thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(namespace: int) -> Generator[None]:
    """Be in a namespace for a moment; what is started meanwhile stays in it. Nothing may be awaited inside.

    A negative number stands for the namespace that we are in anyway.
    """
    if namespace < 0:
        yield
        return
    with _back_home():
        _check(_libc.setns(namespace, _NEW_NETWORK))
        yield


@contextlib.contextmanager
def fresh() -> Generator[int]:
    """Be in a new, empty namespace for a moment, and get its descriptor. Raises OSError, mostly EPERM."""
    with _back_home():
        _check(_libc.unshare(_NEW_NETWORK))
        yield here()


@contextlib.contextmanager
def _back_home() -> Generator[None]:
    home = here()
    try:
        yield
    finally:
        _check(_libc.setns(home, _NEW_NETWORK))
        os.close(home)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
