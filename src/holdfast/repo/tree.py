"""Trees: the JSON of directories, written so that equal directories have equal ids whoever writes them.

Field order, omitted zeros and quoting follow what the newest stock program writes (0.19): its `content` is null except for
files, directories and fifos have no `links`, a missing user name is left out, the access time repeats the modification
time, and times are in the zone of the process. Reading tolerates more than writing produces.
"""

import base64
import contextlib
import errno
import functools
import grp
import os
import pwd
import stat as st
from collections.abc import Callable, Sequence

import msgspec

from holdfast.repo.documents import decode
from holdfast.repo.names import json_name, json_text, unquote_name
from holdfast.repo.times import format_ns

_GO_DIR, _GO_SYMLINK, _GO_DEVICE, _GO_FIFO = 1 << 31, 1 << 27, 1 << 26, 1 << 25
_GO_SOCKET, _GO_SETUID, _GO_SETGID, _GO_CHARDEV, _GO_STICKY = 1 << 24, 1 << 23, 1 << 22, 1 << 21, 1 << 20
_TYPES: dict[int, tuple[str, int]] = {
    st.S_IFREG: ("file", 0),
    st.S_IFDIR: ("dir", _GO_DIR),
    st.S_IFLNK: ("symlink", _GO_SYMLINK),
    st.S_IFIFO: ("fifo", _GO_FIFO),
    st.S_IFSOCK: ("socket", _GO_SOCKET),
    st.S_IFBLK: ("dev", _GO_DEVICE),
    st.S_IFCHR: ("chardev", _GO_DEVICE | _GO_CHARDEV),
}
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODATA, errno.ENOENT})
"""The file system has none, or what was there has gone meanwhile: no fault."""


class MadeStat(msgspec.Struct, frozen=True):
    """The metadata of what exists only in a snapshot: it is owned by this process and was changed when it was modified."""

    st_mode: int
    st_mtime_ns: int
    st_uid: int = msgspec.field(default_factory=os.getuid)
    st_gid: int = msgspec.field(default_factory=os.getgid)
    st_ino: int = 0
    st_dev: int = 0
    st_nlink: int = 1

    @property
    def st_ctime_ns(self) -> int:
        """The same as the time of modification."""
        return self.st_mtime_ns


EMPTY_TREE = b'{"nodes":[]}\n'


class Xattr(msgspec.Struct, frozen=True, gc=False):
    """An extended attribute; JSON holds the value in base64."""

    name: str
    value: bytes | None = b""


class Node(msgspec.Struct, frozen=True, gc=False):
    """One entry of a directory as a restore needs it. `name` is still quoted; `mode` has Go's bits.

    No entry can be part of a cycle, so the collector of cycles is spared the look at millions of them.
    """

    name: str
    type: str
    mode: int = 0
    mtime: str = ""
    uid: int = 0
    gid: int = 0
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    linktarget: str = ""
    linktarget_raw: bytes | None = None
    extended_attributes: list[Xattr] | None = None
    device: int = 0
    content: list[str] | None = None
    subtree: str | None = None

    @property
    def file_name(self) -> str:
        """The name as Python's os functions take it."""
        return unquote_name(self.name)

    @property
    def permissions(self) -> int:
        """The mode bits for chmod."""
        return permissions_of(self.mode)


@functools.lru_cache(4096)
def permissions_of(mode: int) -> int:
    """The mode bits for chmod of a node's mode: rwx, setuid, setgid, sticky."""
    bits = mode & 0o777
    bits |= st.S_ISUID if mode & _GO_SETUID else 0
    bits |= st.S_ISGID if mode & _GO_SETGID else 0
    return bits | (st.S_ISVTX if mode & _GO_STICKY else 0)


class KnownNode(msgspec.Struct, frozen=True):
    """One entry as the change detection needs it: `content` stays raw JSON, to be written again as it is."""

    name: str
    type: str
    mtime: str = ""
    ctime: str = ""
    inode: int = 0
    size: int = 0
    content: msgspec.Raw = msgspec.Raw(b"null")
    subtree: str | None = None


class _Tree(msgspec.Struct, frozen=True):
    nodes: list[Node] | None


class _KnownTree(msgspec.Struct, frozen=True):
    nodes: list[KnownNode] | None


_tree_decoder = msgspec.json.Decoder(_Tree)
_known_decoder = msgspec.json.Decoder(_KnownTree)


def decode_tree(data: bytes) -> list[Node]:
    """The entries of a tree blob. Raises Damaged."""
    return decode(_tree_decoder, data, "a tree").nodes or []


def decode_known(data: bytes) -> dict[str, KnownNode]:
    """The entries of a tree blob by file name, for the change detection."""
    return {unquote_name(node.name): node for node in decode(_known_decoder, data, "a tree").nodes or []}


def encode_tree(nodes: Sequence[str]) -> bytes:
    """The blob of a directory whose entries are sorted by the bytes of their names."""
    return ('{"nodes":[' + ",".join(nodes) + "]}\n").encode("utf-8")


@functools.cache
def owner_fields(uid: int, gid: int) -> str:
    """`uid` to `group` of a node; names that this machine does not know are left out."""
    fields = f'"uid":{uid},"gid":{gid}'
    with contextlib.suppress(KeyError, OverflowError):
        fields += f',"user":"{json_text(pwd.getpwuid(uid).pw_name)}"'
    with contextlib.suppress(KeyError, OverflowError):
        fields += f',"group":"{json_text(grp.getgrgid(gid).gr_name)}"'
    return fields


@functools.cache
def go_type(mode: int) -> tuple[str, int]:
    """The node type and the written mode of a Unix mode."""
    kind, bits = _TYPES[st.S_IFMT(mode)]
    bits |= mode & 0o777
    bits |= _GO_SETUID if mode & st.S_ISUID else 0
    bits |= _GO_SETGID if mode & st.S_ISGID else 0
    return kind, bits | (_GO_STICKY if mode & st.S_ISVTX else 0)


def read_xattrs(path: str | int, fault: Callable[[OSError], None]) -> str:
    """The `extended_attributes` field of a file with a leading comma, or nothing where it has none.

    `fault` is told of each that is there and can't be read; the rest is returned.
    """
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            fault(OSError(error.errno, f"its extended attributes can't be listed: {error.strerror}"))
        return ""
    if not names:
        return ""
    parts: list[str] = []
    for name in names:
        try:
            value = os.getxattr(path, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                fault(OSError(error.errno, f"its extended attribute {name} can't be read: {error.strerror}"))
            continue
        parts.append(f'{{"name":"{json_text(name)}","value":"{base64.b64encode(value).decode()}"}}')
    return f',"extended_attributes":[{",".join(parts)}]' if parts else ""


def encode_file(name: str, stat: os.stat_result | MadeStat, xattrs: str, size: int, content: str) -> str:
    """The node of a regular file; `content` is the JSON list of its blob ids, `size` what was read of it."""
    sized = f'"size":{size},' if size else ""
    return f'{_head(name, stat)},{sized}"links":{stat.st_nlink}{xattrs},"content":{content}}}'


def encode_dir(name: str, stat: os.stat_result | MadeStat, xattrs: str, subtree: str) -> str:
    """The node of a directory."""
    return f'{_head(name, stat)}{xattrs},"content":null,"subtree":"{subtree}"}}'


def encode_other(name: str, stat: os.stat_result, xattrs: str, target: str | None) -> str:
    """The node of a symlink (with its target), fifo or device."""
    fields = _head(name, stat)
    kind = st.S_IFMT(stat.st_mode)
    if kind not in (st.S_IFIFO, st.S_IFSOCK):
        fields += f',"links":{stat.st_nlink}'
    if target is not None:
        fields += _link_fields(target)
    fields += xattrs
    if kind in (st.S_IFBLK, st.S_IFCHR) and stat.st_rdev:
        fields += f',"device":{stat.st_rdev}'
    return fields + ',"content":null}'


def _link_fields(target: str) -> str:
    field = f',"linktarget":"{json_text(target)}"'
    raw = os.fsencode(target)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        field += f',"linktarget_raw":"{base64.b64encode(raw).decode()}"'
    return field


def _head(name: str, stat: os.stat_result | MadeStat) -> str:
    kind, bits = go_type(stat.st_mode)
    mtime = format_ns(stat.st_mtime_ns)
    mode = f',"mode":{bits}' if bits else ""
    return (
        f'{{"name":"{json_name(name)}","type":"{kind}"{mode},"mtime":"{mtime}","atime":"{mtime}",'
        f'"ctime":"{format_ns(stat.st_ctime_ns)}",{owner_fields(stat.st_uid, stat.st_gid)}'
        + (f',"inode":{stat.st_ino}' if stat.st_ino else "")
        + (f',"device_id":{stat.st_dev}' if stat.st_dev else "")
    )
