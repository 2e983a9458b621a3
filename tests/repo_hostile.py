"""Builds repositories that are properly sealed and lie: what somebody who holds the key could put in front of us."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import zstandard

from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore
from tests.repo_trees import PASSWORD

Json = dict[str, Any]


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Forger:
    """Writes blobs, indexes and snapshots with any claim about them."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repository.init(LocalStore(folder), PASSWORD)
        self.folder = folder
        self._sealed: list[tuple[str, bytes, bytes, int]] = []

    def blob(self, kind: str, plain: bytes, *, raw_length: int | None = None, sealed: bytes | None = None) -> str:
        """Put a blob into the next pack; returns its id. `raw_length` and `sealed` may lie."""
        ident = digest(plain)
        small = zstandard.ZstdCompressor(level=3).compress(plain)
        content = sealed if sealed is not None else self.repo.key.seal(small)
        self._sealed.append((kind, ident, content, len(plain) if raw_length is None else raw_length))
        return ident.hex()

    def tree(self, *nodes: Json) -> str:
        """A tree of these nodes."""
        return self.blob("tree", json.dumps({"nodes": list(nodes)}).encode() + b"\n")

    def file(self, name: str, content: bytes = b"harmless", **fields: Any) -> Json:
        """The node of a file whose content is stored."""
        ident = self.blob("data", content)
        return node(name, "file", size=len(content), content=[ident], **fields)

    def pack(self, **lies: Any) -> None:
        """Write the blobs gathered so far as one pack and its index. `lies` replace fields of every index entry."""
        header, body, entries = b"", b"", list[Json]()
        for kind, ident, sealed, raw_length in self._sealed:
            number = {"data": 2, "tree": 3}[kind]
            header += struct.pack("<BII32s", number, len(sealed), raw_length & 0xFFFFFFFF, ident)
            entry = {
                "id": ident.hex(),
                "type": kind,
                "offset": len(body),
                "length": len(sealed),
                "uncompressed_length": raw_length,
            }
            entries.append({**entry, **lies})
            body += sealed
        self._sealed = []
        self.raw_pack(body, self.repo.key.seal(header), entries)

    def raw_pack(self, body: bytes, header: bytes, entries: list[Json], header_length: int | None = None) -> str:
        """A pack of these parts, and an index object that names these entries."""
        pack = body + header + struct.pack("<I", len(header) if header_length is None else header_length)
        name = digest(pack).hex()
        self.repo.store.put(f"data/{name[:2]}/{name}", pack)
        self.index({"packs": [{"id": name, "blobs": entries}]})
        return name

    def index(self, document: Json) -> None:
        """An index object."""
        self.repo.put_json("index", json.dumps(document).encode())

    def snapshot(self, tree: str, **fields: Any) -> str:
        """A snapshot of a tree; returns its id."""
        document = {"time": "2026-01-01T00:00:00Z", "tree": tree, "paths": ["/"], "hostname": "evil", **fields}
        return self.repo.put_json("snapshots", json.dumps(document).encode())

    def give(self, *nodes: Json) -> None:
        """One snapshot of a root with these nodes, all stored properly."""
        tree = self.tree(*nodes)
        self.pack()
        self.snapshot(tree)


def node(name: str, kind: str, **fields: Any) -> Json:
    """A node with the usual fields."""
    usual: Json = {"mode": 0o644, "mtime": "2026-01-01T00:00:00Z", "ctime": "2026-01-01T00:00:00Z", "uid": 0, "gid": 0}
    return {"name": name, "type": kind, **usual, "links": 1, "content": None, **fields}


def folder(name: str, tree: str, **fields: Any) -> Json:
    """The node of a folder."""
    return node(name, "dir", mode=0o755 | 1 << 31, subtree=tree, **fields)


def link(name: str, target: str, **fields: Any) -> Json:
    """The node of a symlink."""
    return node(name, "symlink", mode=0o777 | 1 << 27, linktarget=target, **fields)
