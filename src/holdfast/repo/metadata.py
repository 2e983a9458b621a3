"""Putting a node's metadata on what was restored: owner, attributes, mode, times, in this order.

Changing the owner clears setuid bits and file capabilities, so it comes first; times come last. Without root an owner that
can't be set is passed over, as `cp -p` does; everything else that fails is an error of that file.
"""

import errno
import os

from holdfast.repo.errors import Damaged
from holdfast.repo.times import parse_ns
from holdfast.repo.tree import Node

_PRIVILEGED = ("security.", "trusted.")


def apply(node: Node, where: str | int) -> None:
    """Set everything on a path or, for regular files, on an open descriptor. Raises OSError."""
    by_path = isinstance(where, str)
    _set_owner(node, where, by_path)
    for attribute in node.extended_attributes or ():
        _set_attribute(where, attribute.name, attribute.value or b"", by_path)
    if node.type != "symlink":
        os.chmod(where, node.permissions)
    mtime = mtime_ns(node)
    if by_path:
        os.utime(where, ns=(mtime, mtime), follow_symlinks=False)
    else:
        os.utime(where, ns=(mtime, mtime))


def mtime_ns(node: Node) -> int:
    """The modification time in nanoseconds. Raises Damaged."""
    try:
        return parse_ns(node.mtime)
    except ValueError as error:
        raise Damaged(f"the time of {node.name!r} is not readable: {error}") from error


def _set_owner(node: Node, where: str | int, by_path: bool) -> None:
    try:
        if by_path:
            os.chown(where, node.uid, node.gid, follow_symlinks=False)
        else:
            os.chown(where, node.uid, node.gid)
    except PermissionError:
        if os.geteuid() == 0:
            raise


def _set_attribute(where: str | int, name: str, value: bytes, by_path: bool) -> None:
    try:
        if by_path:
            os.setxattr(where, name, value, follow_symlinks=False)
        else:
            os.setxattr(where, name, value)
    except OSError as error:
        foreign = name.startswith(_PRIVILEGED) and error.errno in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP)
        if not (foreign and os.geteuid() != 0):
            raise OSError(error.errno, f"extended attribute {name}: {error.strerror}") from error
