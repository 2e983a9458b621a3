"""Putting a node's metadata on what was restored: owner, attributes, mode, times, in this order.

Changing the owner clears setuid bits and file capabilities, so it comes first; times come last. Without the right to change
owners one that can't be set is passed over and counted, as `cp -p` does; everything else that fails is an error of that file.
All works on open descriptors, so that nothing else can be hit that has taken the name meanwhile.
"""

import errno
import os
import stat as st
from collections.abc import Callable

from holdfast.repo.errors import Damaged
from holdfast.repo.privileges import CHOWN, SETFCAP, SYS_ADMIN, holds
from holdfast.repo.times import parse_ns
from holdfast.repo.tree import Node

_PRIVILEGED = ("security.", "trusted.")
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def apply(node: Node, where: int | str) -> bool:
    """Set everything on an open descriptor, or on the path of one below `/proc/self/fd`; whether the owner could be set.

    Raises OSError, or Damaged for a time that can't be read.
    """
    owned = _owner(lambda: os.chown(where, node.uid, node.gid))
    for attribute in node.extended_attributes or ():
        _set_attribute(where, attribute.name, attribute.value or b"", follow=True)
    os.chmod(where, node.permissions)
    mtime = mtime_ns(node)
    os.utime(where, ns=(mtime, mtime))
    return owned


def apply_at(node: Node, folder: int, name: str) -> bool:
    """The same for what can't be opened as a file: a link, fifo or device of an open folder."""
    if node.type == "symlink":
        return _apply_to_link(node, folder, name)
    handle = os.open(name, _ENTRY, dir_fd=folder)
    try:
        if st.S_ISLNK(os.fstat(handle).st_mode):
            raise OSError(errno.ESTALE, "something else has taken its name", name)
        return apply(node, f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _apply_to_link(node: Node, folder: int, name: str) -> bool:
    owned = _owner(lambda: os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False))
    for attribute in node.extended_attributes or ():
        _set_attribute(f"/proc/self/fd/{folder}/{name}", attribute.name, attribute.value or b"", follow=False)
    mtime = mtime_ns(node)
    os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
    return owned


def mtime_ns(node: Node) -> int:
    """The modification time in nanoseconds. Raises Damaged."""
    try:
        return parse_ns(node.mtime)
    except ValueError as error:
        raise Damaged(f"the time of {node.name!r} is not readable: {error}") from error


def _owner(change: Callable[[], None]) -> bool:
    try:
        change()
    except PermissionError:
        if holds(CHOWN):
            raise
        return False
    return True


def _set_attribute(where: str | int, name: str, value: bytes, *, follow: bool) -> None:
    try:
        os.setxattr(where, name, value, follow_symlinks=follow)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"extended attribute {name!r}: {error}") from error
    except OSError as error:
        foreign = name.startswith(_PRIVILEGED) and error.errno in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP)
        needed = SYS_ADMIN if name.startswith("trusted.") else SETFCAP
        if not foreign or holds(needed):
            raise OSError(error.errno, f"extended attribute {name}: {error.strerror}") from error
