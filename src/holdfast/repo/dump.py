"""Files out of a snapshot as a stream: one file as it is, a folder as a tar or zip archive.

Nothing is written to disk. Blobs are fetched a few ahead, across files, so that small files from a slow store don't cost a
round trip each; what is ahead is bounded by AHEAD_BYTES. Every blob is checked against its id before a byte of it is passed
on. An archive holds only names below the folder that was asked for: a name that could leave it is damage (see `browse`).
"""

import os
import stat as st
import tarfile
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import IO, Literal, cast

import msgspec

from holdfast.repo.browse import FullNode, Item, Trees
from holdfast.repo.documents import parse_id
from holdfast.repo.errors import Damaged, NoSuchPath
from holdfast.repo.repository import Repository
from holdfast.repo.times import parse_ns

AHEAD_BYTES = 32 << 20
"""Plain bytes of blobs that are fetched or wait while the output is written; one blob more may be under way."""

_MOST_AHEAD = 256
_FETCHERS = 4
_WRITE_BYTES = 1 << 20
_FIRST_ZIP_YEAR = 1980

Format = Literal["tar", "zip"]


class _Blob(msgspec.Struct, frozen=True):
    ident: bytes
    size: int


def dump(repo: Repository, trees: Trees, tree: str, path: str, out: IO[bytes], *, archive: Format = "tar") -> None:
    """Write what lies at `path` below a tree: the bytes of a file, or an archive of a folder (of all with `/`).

    The names in the archive begin with the path of the folder, without the leading slash, or directly with what is in it
    when all was asked for. Raises NoSuchPath for anything else, Damaged, and what `out` raises.
    """
    item = trees.resolve(tree, path)
    if item is not None and item.node.type == "file":
        for part in _read_ahead(repo, iter([item])):
            if isinstance(part, bytes):
                out.write(part)
        return
    if item is not None and not item.is_folder:
        raise NoSuchPath(f"{path!r} is no file or folder but a {item.node.type}: it has no content")
    base = item.path if item is not None else ""
    parts = _read_ahead(repo, trees.walk(item.node.subtree or "" if item is not None else tree, base))
    write = {"tar": _write_tar, "zip": _write_zip}[archive]
    write(parts, out)


def _read_ahead(repo: Repository, items: Iterator[Item]) -> "Iterator[Item | bytes]":
    """Every item, each file followed by its content in pieces."""
    waiting: deque[Item | tuple[_Blob, Future[bytes]]] = deque()
    ahead = 0
    source = _flat(repo, items)
    with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="dump") as pool:
        try:
            while True:
                while ahead < AHEAD_BYTES and len(waiting) < _MOST_AHEAD and (part := next(source, None)) is not None:
                    if isinstance(part, Item):
                        waiting.append(part)
                    else:
                        ahead += part.size
                        waiting.append((part, pool.submit(repo.load_blob, part.ident)))
                if not waiting:
                    return
                first = waiting.popleft()
                if isinstance(first, Item):
                    yield first
                else:
                    ahead -= first[0].size
                    yield first[1].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _flat(repo: Repository, items: Iterator[Item]) -> "Iterator[Item | _Blob]":
    for item in items:
        if item.node.type != "file":
            yield item
            continue
        blobs = [_Blob(ident, _plain_size(repo, ident, item)) for ident in map(parse_id, item.node.content or ())]
        total = sum(blob.size for blob in blobs)
        if total != item.node.size:
            raise Damaged(f"{item.path!r}: its blobs hold {total} bytes, its entry says {item.node.size}; run `check`")
        yield item
        yield from blobs


def _plain_size(repo: Repository, ident: bytes, item: Item) -> int:
    at = repo.index.find(ident)
    if at is None:
        raise Damaged(f"{item.path!r}: blob {ident.hex()[:12]} is in no index; run `check`")
    return at.plain_length


class _Content:
    """The pieces of one file as a file object: `read` gives `size` bytes and no more."""

    def __init__(self, parts: "Iterator[Item | bytes]", size: int) -> None:
        self._parts, self._left = parts, size
        self._piece = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end of the file."""
        if not self._left:
            return b""
        while not self._piece:
            part = next(self._parts)
            if not isinstance(part, bytes):
                raise Damaged(f"{part.path!r}: the file before it ended too early; run `check`")
            self._piece = memoryview(part)
        taken = self._piece[: self._left if size < 0 else size]
        self._piece = self._piece[len(taken) :]
        self._left -= len(taken)
        return bytes(taken)


class _Whole:
    """Gives `tarfile` reads of the full size that it asks for."""

    def __init__(self, content: _Content) -> None:
        self._content = content

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        first = self._content.read(size)
        if len(first) == size or not first:
            return first
        parts = [first]
        got = len(first)
        while got < size and (more := self._content.read(size - got)):
            parts.append(more)
            got += len(more)
        return b"".join(parts)


def _write_tar(parts: "Iterator[Item | bytes]", out: IO[bytes]) -> None:
    """A POSIX (pax) archive with owners, times to the nanosecond, attributes, hard links and special files."""
    first: dict[tuple[int, int], str] = {}
    pax = tarfile.PAX_FORMAT
    with tarfile.open(
        fileobj=out, mode="w|", bufsize=_WRITE_BYTES, format=pax, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for part in parts:
            if not isinstance(part, Item):
                continue
            info = _tar_entry(part)
            if info is None:
                continue
            node = part.node
            if node.type == "file" and node.links > 1 and node.inode:
                linked = first.setdefault((node.device_id, node.inode), info.name)
                if linked != info.name:
                    info.type, info.linkname, info.size = tarfile.LNKTYPE, linked, 0
            tar.addfile(info, cast(IO[bytes], _Whole(_Content(parts, info.size))) if info.size else None)


_TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "fifo": tarfile.FIFOTYPE,
    "dev": tarfile.BLKTYPE,
    "chardev": tarfile.CHRTYPE,
}


def _tar_entry(item: Item) -> tarfile.TarInfo | None:
    """The header of an entry; None for what an archive can't hold (sockets)."""
    node = item.node
    if node.type not in _TAR_TYPES:
        return None
    info = tarfile.TarInfo(item.path.lstrip("/"))
    info.type, info.mode = _TAR_TYPES[node.type], node.permissions
    info.uid, info.gid, info.uname, info.gname = node.uid, node.gid, node.user, node.group
    info.size = node.size if node.type == "file" else 0
    if node.type == "symlink":
        info.linkname = _target(node)
    if node.type in ("dev", "chardev"):
        info.devmajor, info.devminor = os.major(node.device), os.minor(node.device)
    seconds, fraction = divmod(_mtime_ns(item), 1_000_000_000)
    info.mtime = seconds
    pax = {"mtime": _pax_time(seconds, fraction)} if fraction or seconds < 0 else {}
    for attribute in node.extended_attributes or ():
        pax[f"SCHILY.xattr.{attribute.name}"] = (attribute.value or b"").decode("utf-8", "surrogateescape")
    info.pax_headers = pax
    return info


def _pax_time(seconds: int, fraction: int) -> str:
    """Seconds with decimals; of a time before 1970 the fraction counts downwards, as in any decimal number."""
    if seconds >= 0 or not fraction:
        return f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".")
    return f"-{-seconds - 1}.{1_000_000_000 - fraction:09d}".rstrip("0")


def _target(node: FullNode) -> str:
    return os.fsdecode(node.linktarget_raw) if node.linktarget_raw else node.linktarget


def _mtime_ns(item: Item) -> int:
    try:
        return parse_ns(item.node.mtime)
    except ValueError as error:
        raise Damaged(f"the time of {item.path!r} is not readable: {error}") from error


def _write_zip(parts: "Iterator[Item | bytes]", out: IO[bytes]) -> None:
    """An archive for people without tar: files, folders and symbolic links, with modes and coarse times (from 1980 on)."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for part in parts:
            if not isinstance(part, Item) or part.node.type not in ("file", "dir", "symlink"):
                continue
            info = _zip_entry(part)
            node = part.node
            if node.type == "symlink":
                archive.writestr(info, os.fsencode(_target(node)), zipfile.ZIP_STORED)
            elif part.is_folder:
                archive.writestr(info, b"", zipfile.ZIP_STORED)
            else:
                info.file_size = node.size
                content = _Content(parts, node.size)
                with archive.open(info, "w") as entry:
                    while data := content.read():
                        entry.write(data)


_ZIP_KINDS = {"file": st.S_IFREG, "dir": st.S_IFDIR, "symlink": st.S_IFLNK}


def _zip_entry(item: Item) -> zipfile.ZipInfo:
    node = item.node
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=_mtime_ns(item) // 1_000_000_000)
    stamp = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    name = os.fsencode(item.path.lstrip("/")).decode("utf-8", "replace") + ("/" if item.is_folder else "")
    info = zipfile.ZipInfo(name, stamp if _FIRST_ZIP_YEAR <= moment.year <= 2107 else (_FIRST_ZIP_YEAR, 1, 1, 0, 0, 0))
    info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
    info.external_attr = (_ZIP_KINDS[node.type] | node.permissions) << 16 | (0x10 if item.is_folder else 0)
    return info
