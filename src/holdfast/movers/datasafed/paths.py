"""Paths inside a place: relative, clean, never out of it. The empty path is the place's root."""

import posixpath

from holdfast.movers.datasafed.faults import DatasafedError


def clean(path: str) -> str:
    """Return a path without leading slash, `.` and doubled slashes. Raises DatasafedError for one that leads out by `..`."""
    found = posixpath.normpath(path.lstrip("/")) if path.strip("/") else ""
    if found == ".." or found.startswith("../"):
        raise DatasafedError(f"path {path!r} leads out of the repository")
    return "" if found == "." else found


def clean_file(path: str) -> str:
    """Return the path of a file. Raises DatasafedError for one that names a folder."""
    found = clean(path)
    if path.endswith("/") or not found:
        raise DatasafedError(f"path {path!r} names a folder, not a file")
    return found


def join(base: str, path: str) -> str:
    """Join two clean paths."""
    return f"{base}/{path}" if base and path else base or path
