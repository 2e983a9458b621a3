"""Where a container's volumes land: every mountPath works, also one that the read-only root does not have.

Missing parents are made on the tmpfs root and in writable volumes, open to all users; below a directory that is bound
read-only they can't be. There the nearest existing ancestor becomes a tmpfs whose other children are bound back, so that
nothing else changes.

An image's own places take part in the same order: a volume above one (an emptyDir at /tmp, with a checkout below /tmp)
is mounted first and does not hide it. Only a volume at the very place, or in it, is mounted over it.
"""

import os
from collections.abc import Sequence

import msgspec

from holdfast.embedded.node.sandbox import Kind, Mount


def arrange(root: Sequence[Mount], volumes: Sequence[Mount], own: Sequence[Mount] = ()) -> list[Mount]:
    """Return all mounts in the order of mounting: shallow paths first, holes opened where needed.

    `root` are the machine's programs, `own` what the image has beside them, `volumes` what the container mounts.
    """
    placed = [*root, *_basics()]
    for mount in sorted([*own, *volumes], key=lambda each: _follow(placed, each.target).count("/")):
        target = _follow(placed, mount.target)
        placed += _opening(placed, target)
        placed.append(msgspec.structs.replace(mount, target=target))
    return placed


def with_directory(placed: Sequence[Mount], path: str) -> list[Mount]:
    """Return the mounts with a directory made where none is mounted or shown: a container's working directory."""
    target = _follow(placed, os.path.normpath(path))
    cover = _cover(placed, target)
    if cover is not None and os.path.isdir(os.path.join(cover.source, os.path.relpath(target, cover.target))):
        return list(placed)
    return [*placed, *_opening(placed, target), Mount(Kind.DIRECTORY, target)]


def _basics() -> list[Mount]:
    """Return what any container has: its processes, harmless devices, a writable /tmp on its own root."""
    return [
        Mount(Kind.PROC, "/proc"),
        Mount(Kind.DEVICES, "/dev"),
        Mount(Kind.TMPFS, "/dev/shm", mode=0o1777),
        Mount(Kind.DIRECTORY, "/tmp", mode=0o1777),
    ]


def _opening(placed: Sequence[Mount], target: str) -> list[Mount]:
    """Return the mounts that make room for a target, innermost directory last."""
    cover = _cover(placed, target)
    if cover is None:
        return _directories("/", target)
    if cover.target == target:
        return []
    if cover.kind is not Kind.READ_ONLY:
        return _directories(cover.target, target)  # bubblewrap's own would be for root only
    inside = os.path.relpath(target, cover.target)
    if os.path.lexists(os.path.join(cover.source, inside)):
        return []
    found: list[Mount] = []
    source, ancestor = cover.source, cover.target
    for part in inside.split("/"):
        if not os.path.isdir(os.path.join(source, part)):
            break
        source, ancestor = os.path.join(source, part), os.path.join(ancestor, part)
    found.append(Mount(Kind.TMPFS, ancestor))
    found += [_again(os.path.join(source, name), f"{ancestor}/{name}") for name in sorted(os.listdir(source))]
    return [*found, *_directories(ancestor, target)]


def _follow(placed: Sequence[Mount], target: str) -> str:
    """Return the target with the symlinks of the root followed: `/bin/x` is `/usr/bin/x`."""
    for mount in placed:
        if mount.kind is Kind.SYMLINK and target.startswith(f"{mount.target}/"):
            pointed = os.path.join(os.path.dirname(mount.target), mount.source)
            return _follow(placed, os.path.normpath(pointed) + target[len(mount.target) :])
    return target


def _cover(placed: Sequence[Mount], target: str) -> Mount | None:
    """Return the mount that the target lies in; None when that is the tmpfs root."""
    for mount in reversed(placed):
        inside = target == mount.target or target.startswith(f"{mount.target}/")
        if inside and mount.kind is not Kind.DIRECTORY:
            return mount
    return None


def _again(source: str, target: str) -> Mount:
    if os.path.islink(source):
        return Mount(Kind.SYMLINK, target, os.readlink(source))
    return Mount(Kind.READ_ONLY, target, source)


def _directories(start: str, target: str) -> list[Mount]:
    """Return the directories between `start` and the target, both left out."""
    found: list[Mount] = []
    parent = os.path.dirname(target)
    while len(parent) > len(start):
        found.append(Mount(Kind.DIRECTORY, parent))
        parent = os.path.dirname(parent)
    return found[::-1]
