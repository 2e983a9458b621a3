"""Reading many trees of a repository.

Trees that lie near each other in a pack are asked for near each other in time, since both follow the order of the folders. So a
look-up fetches a whole window of the pack, and the last few windows are kept: over a network a walk needs a request for some
thousand folders, not for each. Memory: WINDOWS times WINDOW_BYTES, and the tree that is open.
"""

import threading
from collections import OrderedDict

from holdfast.repo.blob import MAX_BLOB_BYTES
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.documents import parse_id
from holdfast.repo.errors import Damaged, ObjectNotFound
from holdfast.repo.index import Location
from holdfast.repo.repository import Repository
from holdfast.repo.store import path_of
from holdfast.repo.tree import Node, decode_tree

WINDOW_BYTES = 1 << 20
WINDOWS = 16


class TreeReader:
    """Reads trees by id. Safe for threads: one fetches a window at a time, any may open what is in it."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._windows: OrderedDict[tuple[bytes, int], memoryview] = OrderedDict()
        self._ends: dict[bytes, int] = {}
        self._fetching = threading.Lock()

    def load(self, tree: str | None) -> list[Node]:
        """The entries of the tree with this id in hexadecimal. Raises Damaged, or the StoreError of a store that failed."""
        return decode_tree(self.load_bytes(parse_id(tree)))

    def load_bytes(self, ident: bytes) -> bytes:
        """The bytes of a tree. Raises as `load`."""
        at = self._repo.index.find(ident)
        where = self._repo.store.location
        if at is None or at.kind != "tree":
            raise Damaged(f"{where}: tree {ident.hex()[:12]} is in no index; run `holdfast repo check`")
        if at.length > MAX_BLOB_BYTES + OVERHEAD:
            raise Damaged(f"{where}: tree {ident.hex()[:12]} claims {at.length} bytes: its index entry is damaged")
        try:
            return self._repo.open_blob(ident, at, self._sealed(at))
        except ObjectNotFound as error:
            raise Damaged(f"{where}: pack {at.pack.hex()[:12]} is missing; run `holdfast repo check`") from error

    def _sealed(self, at: Location) -> memoryview | bytes:
        first = at.offset // WINDOW_BYTES
        if (at.offset + at.length - 1) // WINDOW_BYTES != first:
            return self._repo.read_pack(at.pack, at.offset, at.length)
        with self._fetching:
            window = self._window(at.pack, first)
        begin = at.offset - first * WINDOW_BYTES
        if begin + at.length > len(window):
            raise Damaged(f"pack {at.pack.hex()[:12]} ends before byte {at.offset + at.length}: it was cut short")
        return window[begin : begin + at.length]

    def _window(self, pack: bytes, number: int) -> memoryview:
        key = pack, number
        found = self._windows.get(key)
        if found is not None:
            self._windows.move_to_end(key)
            return found
        path, start = path_of("data", pack.hex()), number * WINDOW_BYTES
        end = self._ends.get(pack)
        if end is None:
            end = self._ends[pack] = self._repo.store.size(path)
        length = min(WINDOW_BYTES, end - start)
        if length <= 0:
            raise Damaged(f"pack {pack.hex()[:12]} ends before byte {start}: it was cut short")
        found = self._windows[key] = memoryview(self._repo.read_pack(pack, start, length))
        if len(self._windows) > WINDOWS:
            self._windows.popitem(last=False)
        return found
