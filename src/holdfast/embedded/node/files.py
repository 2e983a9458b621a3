"""Small files for volumes, written so that a reader never sees half of one, and removed without a trace."""

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from holdfast.embedded.node.failure import config_error


class File(msgspec.Struct, frozen=True):
    """The content and the permission bits of one file."""

    data: bytes
    mode: int = 0o644


_CANT: tuple[type[OSError], ...] = (PermissionError,) if os.geteuid() == 0 else (OSError,)
"""What giving a file away may meet: in a user namespace a group that is not mapped is an invalid argument."""


def write_files(directory: Path, files: Mapping[str, File], group: int | None = None) -> None:
    """Write files below a directory. A given group may read them, which is what fsGroup is for."""
    for name, file in files.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise config_error(f"path {name!r} must lie inside its volume")
        target = directory / place
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        replace_file(target, file.data, file.mode if group is None else file.mode | 0o040, group)


def replace_file(target: Path, data: bytes, mode: int, group: int | None = None) -> None:
    """Put a file in place of another in one step."""
    draft = target.with_name(f".{target.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if group is not None:
            with contextlib.suppress(*_CANT):
                os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
    os.replace(draft, target)


def make_directory(path: Path, mode: int) -> Path:
    """Make a directory with exactly this mode, whatever the umask says."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def give_to_group(root: Path, group: int, *, only_on_mismatch: bool = False) -> None:
    """Let a group own and write everything below a directory, and inherit it. A node that is not root can't, and leaves it."""
    with contextlib.suppress(*_CANT):
        top = root.stat()
        if only_on_mismatch and top.st_gid == group and top.st_mode & stat.S_ISGID and top.st_mode & 0o070 == 0o070:
            return
        for place, names, leaves in os.walk(root):
            for name in [*names, *leaves]:
                _share(os.path.join(place, name), group)
        _share(str(root), group)


def _share(path: str, group: int) -> None:
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        os.lchown(path, -1, group)
        return
    os.chown(path, -1, group)
    wanted = 0o2770 if stat.S_ISDIR(found.st_mode) else 0o060 | (0o010 if found.st_mode & 0o100 else 0)
    os.chmod(path, stat.S_IMODE(found.st_mode) | wanted)


def remove_tree(path: Path) -> None:
    """Remove a directory that pods have written to, also where they took away permissions."""
    if os.geteuid() != 0:
        _open_up(path)
    shutil.rmtree(path, ignore_errors=True)


def _open_up(path: Path) -> None:
    """Give ourselves back what an ordinary user needs to empty directories."""
    with contextlib.suppress(OSError):
        path.chmod(0o700)
    for place, names, _ in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                if not os.path.islink(os.path.join(place, name)):
                    os.chmod(os.path.join(place, name), 0o700)
