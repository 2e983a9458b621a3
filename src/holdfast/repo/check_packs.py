"""The packs of a check: compared with the index, and read.

Reading goes through a pack from its beginning to its end in windows of WINDOW_BYTES and one blob at most, which with the number
of threads bounds memory (of blobs above LARGE_BYTES there is one at a time); the hash of all bytes is compared with the pack's
name, each blob is opened and compared with its id, and the table of contents with the index.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np

from holdfast.repo.blob import MAX_BLOB_BYTES
from holdfast.repo.content import LARGE_BYTES
from holdfast.repo.crypto import OVERHEAD, native_key
from holdfast.repo.errors import RepositoryError
from holdfast.repo.findings import Findings
from holdfast.repo.index import Location
from holdfast.repo.native import module
from holdfast.repo.native_files import blobs_fail
from holdfast.repo.pack import LENGTH_BYTES, PackEntry, header_start, read_header
from holdfast.repo.repository import Repository

WINDOW_BYTES = 4 << 20

Pack = tuple[bytes, int, list[PackEntry]]
"""Its id, its size in bytes, and its blobs by the index, in order of offset."""


class PackChecker:
    """Compares packs. `told(bytes)` hears from any thread what was read, `check` raises when the check is to stop."""

    def __init__(self, repo: Repository, findings: Findings, told: Callable[[int], None], check: Callable[[], None]) -> None:
        self._repo, self._findings, self._told, self._check = repo, findings, told, check
        self._one_large = threading.Lock()
        self.blobs = 0
        """Different blobs, as told by the first eight bytes of their ids."""
        self.duplicates = 0

    def structure(self, sizes: dict[bytes, int]) -> tuple[list[Pack], int]:
        """Compare the index with the sizes of the packs in the store; returns those to read, and how many orphans there are."""
        present = dict(sizes)
        sound: list[Pack] = []
        prefixes = bytearray()
        for pack, entries in self._repo.index.by_pack():
            name = pack.hex()
            size = present.pop(pack, None)
            entries = _without_repeats(entries)
            prefixes += b"".join(entry.id[:8] for entry in entries)
            wrong = _misfit(entries, size)
            if wrong:
                self._lose(entries, self._findings.add("pack", name, f"pack {name[:12]}{wrong}"))
            elif size is not None:
                sound.append((pack, size, entries))
        self.blobs = len(np.unique(np.frombuffer(prefixes, np.uint64)))
        self.duplicates = len(prefixes) // 8 - self.blobs
        return sound, len(present)

    def read(self, packs: list[Pack], workers: int) -> None:
        """Read packs with so many threads."""
        stop = threading.Event()

        def one(pack: Pack) -> None:
            if not stop.is_set():
                self._read(*pack)

        with ThreadPoolExecutor(workers, thread_name_prefix="check") as pool:
            try:
                for done in as_completed([pool.submit(one, pack) for pack in packs]):
                    done.result()
                    self._check()
            except BaseException:
                stop.set()
                raise

    def _lose(self, entries: list[PackEntry], number: int) -> None:
        for entry in entries:
            self._findings.break_blob(entry.id, number)

    def _read(self, pack: bytes, size: int, entries: list[PackEntry]) -> None:
        name = pack.hex()
        digest = hashlib.sha256()
        data, start = memoryview(b""), 0
        try:
            for start, length, within in windows(size, entries):
                large = any(max(entry.length, entry.raw_length) > LARGE_BYTES for entry in within)
                with self._one_large if large else contextlib.nullcontext():
                    data = memoryview(self._repo.read_pack(pack, start, length))
                    self._told(length)
                    digest.update(data)
                    self._blobs(pack, data, start, within)
        except RepositoryError as error:
            self._lose(entries, self._findings.add("pack", name, f"pack {name[:12]} can't be read: {error}"))
            return
        if digest.digest() != pack:
            self._findings.add("pack", name, f"pack {name[:12]}: its content does not fit its name: it was changed")
        self._compare(name, size, data, start, entries)

    def _compare(self, name: str, size: int, last: memoryview, start: int, entries: list[PackEntry]) -> None:
        """Compare the table of contents with the index; `last` is the end of the pack, from `start`."""
        try:
            begin = header_start(last[-LENGTH_BYTES:], size)
            if begin < start:
                last, start = memoryview(self._repo.read_pack(bytes.fromhex(name), begin, size - begin)), begin
            held = set(read_header(last[begin - start : -LENGTH_BYTES], begin, self._repo.key))
            foreign = sum(entry not in held for entry in entries)
            if foreign:
                self._findings.add(
                    "pack", name, f"pack {name[:12]}: the index describes {foreign} blobs otherwise than its header"
                )
        except RepositoryError as error:
            self._findings.add("pack", name, f"pack {name[:12]}: {error}")

    def _blobs(self, pack: bytes, data: memoryview, start: int, entries: list[PackEntry]) -> None:
        for entry, why in self._faulty(pack, data, start, entries):
            text = f"blob {entry.id.hex()[:12]} in pack {pack.hex()[:12]}: {why}"
            number = self._findings.add("tree" if entry.kind == "tree" else "blob", entry.id.hex(), text)
            self._findings.break_blob(entry.id, number)

    def _faulty(self, pack: bytes, data: memoryview, start: int, entries: list[PackEntry]) -> Iterator[tuple[PackEntry, str]]:
        native = module()
        if native is not None:
            for row, why in blobs_fail(native, native_key(self._repo.key), data, start, entries):
                yield entries[row], why
            return
        for entry in entries:
            at = Location(entry.kind, pack, entry.offset, entry.length, entry.raw_length)
            begin = entry.offset - start
            try:
                plain = self._repo.open_blob(entry.id, at, data[begin : begin + entry.length])
                if len(plain) != at.plain_length:
                    yield entry, "it is not as long as its index entry says"
            except RepositoryError as error:
                yield entry, str(error)


def _without_repeats(entries: list[PackEntry]) -> list[PackEntry]:
    """Entries in order of offset; what several index objects say alike counts once."""
    return sorted(set(entries), key=lambda entry: (entry.offset, entry.length))


def _misfit(entries: list[PackEntry], size: int | None) -> str:
    """Why a pack of this size can't hold these blobs; empty when it can."""
    if size is None:
        return f" with {len(entries)} blobs is missing"
    end = 0
    for entry in entries:
        if entry.length > MAX_BLOB_BYTES + OVERHEAD or entry.raw_length > MAX_BLOB_BYTES or entry.length < OVERHEAD:
            return f": the index claims {max(entry.length, entry.raw_length)} bytes for blob {entry.id.hex()[:12]}"
        if entry.offset < end:
            return f": the index lets blob {entry.id.hex()[:12]} overlap the one before it"
        end = entry.offset + entry.length
    if end > size:
        return f" has {size} bytes, its blobs need {end}: it was cut short"
    return ""


def windows(size: int, entries: list[PackEntry]) -> Iterator[tuple[int, int, list[PackEntry]]]:
    """Parts of a pack, from its beginning to its end, with the blobs that lie wholly in each: start, length, blobs."""
    start = end = 0
    within: list[PackEntry] = []
    for entry in [*entries, PackEntry("data", b"", size, 0, 0)]:
        if end > start and entry.offset + entry.length - start > WINDOW_BYTES:
            yield start, end - start, within
            start, within = end, []
        while entry.offset - start > WINDOW_BYTES:
            yield start, WINDOW_BYTES, []
            start += WINDOW_BYTES
        within.append(entry)
        end = entry.offset + entry.length
    if size > start:
        yield start, size - start, within[:-1]
