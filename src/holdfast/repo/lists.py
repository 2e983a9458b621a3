"""Lists that people keep in files: patterns to leave out, paths to take.

Patterns stand one a line; empty lines and lines that begin with `#` say nothing, and space around a pattern is not part of it.
Paths stand one a line too, or, where names may hold line breaks, with a NUL byte after each.
"""

import glob
import os
import re

from holdfast.repo.errors import SourceError

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def read_patterns(path: str) -> list[str]:
    """The patterns of a file, with `$NAME` and `${NAME}` replaced from the environment, and `$$` by `$`. Raises SourceError."""
    lines = (line.strip() for line in os.fsdecode(_read(path)).splitlines())
    return [_VARIABLE.sub(_value, line) for line in lines if line and not line.startswith("#")]


def _value(found: re.Match[str]) -> str:
    """What stands for a variable; one that is not set is empty, as in a shell."""
    name = found[1] or found[2]
    return os.environ.get(name, "") if name else "$"


def read_paths(path: str, *, verbatim: bool = False, raw: bool = False) -> list[str]:
    """The paths of a file, in its order.

    Usually lines are read like patterns, and `*`, `?` and `[...]` in them stand for the paths that exist; a line that stands
    for none is taken as it is, so that the backup names it as missing. `verbatim` takes each line as it is; `raw` takes what
    stands between NUL bytes as it is. Raises SourceError for a list that can't be read.
    """
    data = _read(path)
    if raw:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    if verbatim:
        return [os.fsdecode(line) for line in data.split(b"\n") if line]
    found: list[str] = []
    for line in os.fsdecode(data).split("\n"):
        wanted = line.strip()
        if not wanted or wanted.startswith("#"):
            continue
        found += sorted(glob.glob(wanted, include_hidden=True)) or [wanted]
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SourceError(f"{path}: the list can't be read: {error.strerror}") from error
