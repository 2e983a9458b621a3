"""The paths of a backup: which of them there are, and where in the snapshot's tree they stand.

An absolute path stands in the tree under all its folders. When every path is relative, the root of the tree is the working
directory, or the folder above it that they all begin at (`../a`, `../b`); `.` is then all that is in it. That is what restic
does, so that the trees of both are the same. A path that is missing is a fault of the backup, as a file that can't be read is,
while others are there.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.repo.errors import SourceError
from holdfast.repo.folders import Wanted
from holdfast.repo.patterns import Patterns
from holdfast.repo.result import Faults


class Sources(msgspec.Struct, frozen=True):
    """What to store: `base` is the folder whose content the root of the tree is, `wanted` what is taken of it (nothing: all).

    `paths` are those that exist, absolute, as the snapshot names them; `kept` those of them that no exclude leaves out;
    `devices` has the device of each that exists.
    """

    base: str
    wanted: Wanted
    paths: list[str]
    kept: list[str]
    devices: Mapping[str, int]


def find_sources(given: Sequence[str], excludes: Patterns, faults: Faults) -> Sources:
    """Look at the paths. Raises SourceError when none was given, none can be read, or the excludes leave out all."""
    if not given:
        raise SourceError("there is nothing to back up: no path was given")
    there: list[str] = []
    named: list[str] = []
    devices: dict[str, int] = {}
    missing: list[tuple[str, OSError]] = []
    for name in given:
        path = os.path.abspath(name)
        try:
            devices[path] = os.lstat(path).st_dev
            there.append(path)
            named.append(name)
        except OSError as error:
            missing.append((path, error))
    if missing and not there:
        path, error = missing[0]
        raise SourceError(f"{path}: {error.strerror}: the path to back up can't be read") from error
    for path, error in missing:
        faults.add(path, error)
    kept = [path for path in there if not excludes.match_with_parents(path)]
    if not kept:
        raise SourceError(f"{there[0]}: there is nothing to back up: the excludes leave out every path that was given")
    base = _base(named)
    return Sources(base, _wanted([os.path.relpath(path, base) for path in kept]), there, kept, devices)


def _base(given: Sequence[str]) -> str:
    if any(os.path.isabs(path) for path in given):
        return "/"
    above = {os.path.normpath(path).split("/").count("..") for path in given}
    return os.path.abspath("../" * above.pop()) if len(above) == 1 else "/"


def _wanted(paths: list[str]) -> Wanted:
    """The paths, relative to one folder, as a tree. One that lies in another, which is taken whole, adds nothing."""
    root = Wanted()
    for path in sorted(paths, key=len):
        parts = [part for part in path.split("/") if part != "."]
        if not parts:
            return Wanted()
        at = root
        for number, part in enumerate(parts):
            if part in at and not at[part]:
                break
            at = at.setdefault(part, Wanted())
            if number == len(parts) - 1:
                at.clear()
    return root
