"""The time zone of this process by its IANA name, as TZ or the machine's clock settings have it."""

import os
from collections.abc import Mapping
from pathlib import Path

_DATABASE = "zoneinfo/"


def local_zone(environ: Mapping[str, str] = os.environ, localtime: Path = Path("/etc/localtime")) -> str:
    """Return a name such as `Europe/Prague`; empty, which means UTC, when nothing names a zone."""
    given = environ.get("TZ", "").removeprefix(":")
    if given and not given.startswith("/"):
        return given
    path = given or (os.path.realpath(localtime) if localtime.is_symlink() else "")
    _, found, name = path.partition(_DATABASE)
    return name.removeprefix("posix/").removeprefix("right/") if found else ""
