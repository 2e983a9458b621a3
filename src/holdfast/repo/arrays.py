"""How numpy is imported where start-up counts."""

import contextlib
import os
from collections.abc import Generator

_THREADS = "OPENBLAS_NUM_THREADS"


@contextlib.contextmanager
def without_threads() -> Generator[None]:
    """Import numpy in this block, and it starts no thread for each core.

    Those serve linear algebra, of which nothing is used here, and cost a third of the import. The environment says how many
    there are; it is as it was afterwards.
    """
    if _THREADS in os.environ:
        yield
        return
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_THREADS]
