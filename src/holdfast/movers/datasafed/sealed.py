"""The place that a command works on: the store of the settings, below the base path, sealed when that is asked for."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from holdfast.movers.datasafed import codecs
from holdfast.movers.datasafed.local import LocalPlace
from holdfast.movers.datasafed.paths import clean, join
from holdfast.movers.datasafed.places import Item, Place
from holdfast.movers.datasafed.remote import RemotePlace
from holdfast.movers.datasafed.settings import Settings, storage_of


def open_place(settings: Settings, env: Mapping[str, str] = os.environ) -> Place:
    """Return the place of the settings. Raises DatasafedError for settings that make no sense."""
    place = _store(settings, env)
    base = clean(settings.base)
    found: Place = BasePlace(place, base) if base else place
    if settings.algorithm:
        found = SealedPlace(found, settings.algorithm, settings.pass_phrase)
    return found


def _store(settings: Settings, env: Mapping[str, str]) -> Place:
    if settings.kopia_root:
        from holdfast.movers.datasafed.dedup import DedupPlace

        return DedupPlace(settings)
    if settings.local:
        return LocalPlace(Path(settings.local))
    options, root = storage_of(settings)
    return RemotePlace(options, root, env)


class BasePlace:
    """A place below a folder of another."""

    def __init__(self, whole: Place, base: str) -> None:
        self._whole, self._base = whole, base

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Write below the base."""
        self._whole.write(join(self._base, path), blocks, size)

    def read(self, path: str) -> Iterator[bytes]:
        """Read below the base."""
        return self._whole.read(join(self._base, path))

    def find(self, path: str) -> Item | None:
        """Look below the base."""
        found = self._whole.find(join(self._base, path))
        return self._relative(found) if found else None

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """List below the base."""
        for item in self._whole.list(join(self._base, path), recursive=recursive):
            yield self._relative(item)

    def delete(self, path: str) -> None:
        """Delete below the base."""
        self._whole.delete(join(self._base, path))

    def delete_tree(self, path: str) -> None:
        """Delete a tree below the base."""
        self._whole.delete_tree(join(self._base, path))

    def make_folder(self, path: str) -> None:
        """Make a folder below the base."""
        self._whole.make_folder(join(self._base, path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder below the base."""
        self._whole.remove_folder(join(self._base, path))

    def _relative(self, item: Item) -> Item:
        return msgspec.structs.replace(item, path=item.path.removeprefix(f"{self._base}/"))


class SealedPlace:
    """A place whose files are encrypted, with a suffix that nobody sees. Files without it are not shown."""

    def __init__(self, plain: Place, algorithm: str, pass_phrase: str) -> None:
        self._plain = plain
        self._seal, self._open = codecs.sealer(algorithm, pass_phrase), codecs.opener(algorithm, pass_phrase)

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Seal and write."""
        self._plain.write(path + codecs.SUFFIX, self._seal(blocks), None if size is None else size + codecs.SEAL_BYTES)

    def read(self, path: str) -> Iterator[bytes]:
        """Read and open."""
        return self._open(self._plain.read(path + codecs.SUFFIX))

    def find(self, path: str) -> Item | None:
        """Look at a sealed file."""
        found = self._plain.find(path + codecs.SUFFIX)
        return _unsealed(found) if found else None

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """List folders and sealed files."""
        for item in self._plain.list(path, recursive=recursive):
            if item.is_folder:
                yield item
            elif item.path.endswith(codecs.SUFFIX):
                yield _unsealed(item)

    def delete(self, path: str) -> None:
        """Delete a sealed file."""
        self._plain.delete(path + codecs.SUFFIX)

    def delete_tree(self, path: str) -> None:
        """Delete a tree."""
        self._plain.delete_tree(path)

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        self._plain.make_folder(path)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        self._plain.remove_folder(path)


def _unsealed(item: Item) -> Item:
    size = max(item.size - codecs.SEAL_BYTES, 0)
    return msgspec.structs.replace(item, path=item.path.removesuffix(codecs.SUFFIX), size=size)
