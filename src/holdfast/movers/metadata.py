"""`metadata.yaml` at the root of a storage: when it was initialised, and which repositories lie there.

    kind: BackendMeta
    creationTimestamp: ...
    repositories: [{name, namespace, path}]

A store has no transactions, so an entry is written, read back, and written again when somebody else's write came between.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import yaml

from holdfast.core.calls import Listed, StorageTarget
from holdfast.movers.context import MoverError
from holdfast.movers.documents import Documents, open_documents

METADATA: Final = "metadata.yaml"
REPOSITORY: Final = "repository.yaml"
_ATTEMPTS: Final = 8
_PAUSE: Final = 0.5
"""Seconds that two writers who met wait at most before they try again."""

Document = dict[str, Any]


class Entry(msgspec.Struct, frozen=True):
    """One repository as `metadata.yaml` lists it."""

    namespace: str
    name: str
    path: str

    def wire(self) -> Document:
        """Return it as the file holds it."""
        return {"name": self.name, "namespace": self.namespace, "path": self.path}


def safe_path(path: str) -> str:
    """Return a path of `metadata.yaml` without slashes at its ends. Raises MoverError if it leads out of the storage."""
    plain = path.strip("/")
    if not plain or ".." in plain.split("/"):
        raise MoverError("BadMetadata", f"{METADATA} names the path {path!r}, which leads out of the storage", "correct it")
    return plain


def read_metadata(place: Documents) -> Document | None:
    """Read the file; None when there is none. Raises MoverError when it is not what it should be."""
    data = place.read(METADATA)
    return None if data is None else decode(data, METADATA)


def decode(data: bytes, name: str) -> Document:
    """Read a YAML document that must be a mapping. Raises MoverError naming the file."""
    try:
        found: object = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise MoverError("BadMetadata", f"{name} in the storage is not YAML", "repair or remove it") from error
    if not isinstance(found, dict):
        raise MoverError("BadMetadata", f"{name} in the storage is not a document", "repair or remove it")
    return cast(Document, found)


def encode(document: Mapping[str, Any]) -> bytes:
    """Write a document as YAML, in the order of its fields."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True).encode()


def entries(document: Document) -> list[Entry]:
    """Return the repositories that a `metadata.yaml` lists; what is none is left out."""
    listed: object = document.get("repositories")
    found: list[Entry] = []
    for item in cast("list[object]", listed) if isinstance(listed, list) else []:
        given = cast(Document, item) if isinstance(item, dict) else {}
        values = [given.get(field) for field in ("namespace", "name", "path")]
        if all(isinstance(value, str) and value for value in values):
            found.append(Entry(*cast("list[str]", values)))
    return found


def add(listed: Listed) -> None:
    """List a repository. Raises MoverError when others keep writing at the same time."""
    wanted = Entry(listed.namespace, listed.name, listed.path.strip("/"))
    _change(listed.root, lambda found: [*[entry for entry in found if not _same(entry, wanted)], wanted])


def remove(listed: Listed) -> None:
    """Take a repository out of the list."""
    gone = Entry(listed.namespace, listed.name, listed.path.strip("/"))
    _change(listed.root, lambda found: [entry for entry in found if not _same(entry, gone)])


def _same(one: Entry, other: Entry) -> bool:
    return one.path.strip("/") == other.path.strip("/")


def _change(root: StorageTarget, change: Callable[[Sequence[Entry]], list[Entry]]) -> None:
    place = open_documents(root)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0, _PAUSE))
        document = read_metadata(place) or {"kind": "BackendMeta"}
        before = entries(document)
        after = change(before)
        if after == before:
            return
        place.write(METADATA, encode({**document, "repositories": [entry.wire() for entry in after]}))
    raise MoverError("MetadataContended", f"{METADATA} is being changed by others all the time", "run it again", again=True)
