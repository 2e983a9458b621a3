"""What `datasafed list` shows: which entries, in what order, in which form."""

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.movers.datasafed.places import Item

_KEYS: dict[str, Callable[[Item], Any]] = {
    "path": lambda item: item.path,
    "size": lambda item: item.size,
    "mtime": lambda item: item.modified,
}
SORTS = tuple(_KEYS)
FORMATS = ("short", "long", "json")


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a listing. `newer` and `older` are Unix seconds, exclusive, 0 for none; `name` is a glob."""

    folders_only: bool = False
    files_only: bool = False
    newer: int = 0
    older: int = 0
    name: str = ""
    sort: str = "path"
    reverse: bool = False

    def select(self, items: Iterable[Item]) -> list[Item]:
        """Return the entries that are wanted, sorted; equal ones by their path."""
        found = sorted((item for item in items if self._wants(item)), key=lambda item: item.path)
        return sorted(found, key=_KEYS[self.sort], reverse=self.reverse)

    def _wants(self, item: Item) -> bool:
        if (self.folders_only and not item.is_folder) or (self.files_only and item.is_folder):
            return False
        changed = int(item.modified)
        if (self.newer > 0 and changed <= self.newer) or (self.older > 0 and changed >= self.older):
            return False
        return not self.name or fnmatch.fnmatchcase(item.name, self.name)


def render(items: Sequence[Item], form: str) -> str:
    """Print entries: a path a line, with time and size before it, or as a JSON list. Folders end in a slash."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode([_document(item) for item in items])).decode() + "\n"
    if form == "long":
        return "".join(f"{_time(item)}\t{item.size}\t{_path(item)}\n" for item in items)
    return "".join(f"{_path(item)}\n" for item in items)


def _path(item: Item) -> str:
    return f"{item.path}/" if item.is_folder else item.path


def _time(item: Item) -> str:
    return datetime.fromtimestamp(int(item.modified), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(item: Item) -> dict[str, Any]:
    return {
        "path": item.path,
        "size": item.size,
        "mtime": int(item.modified),
        "mtime_str": _time(item),
        "is_dir": item.is_folder,
    }
