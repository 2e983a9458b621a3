"""The objects of one kind in memory, with indexes: what reconcilers read instead of asking the API server.

Objects are kept as JSON, compressed by what those of their kind have in common: a hundredth of the memory of dicts. They are
decoded when they are asked for, which costs some ten microseconds. An index is a function from an object to strings; by it
children are found by owner, and dependants by what they refer to, without walking everything.
"""

import sys
from collections.abc import Callable, Container, Iterable
from typing import Final

import zstandard

from holdfast.kube.codec import decode, encode
from holdfast.kube.objects import Key, Object, key_of

IndexFunction = Callable[[Object], Iterable[str]]

_LEARN_AFTER: Final = 64
_LEARN_AGAIN: Final = 16
"""A kind is learnt when so many objects were put, and anew after so many times as many: objects grow statuses as they age."""

_LEARN_FROM: Final = 16
_LEARN_BYTES: Final = 16_384
"""Of how many objects, and of how many bytes of them, a dictionary consists."""


class _Packer:
    """Compresses the objects of one kind: with nothing known of them at first, then with some of them as the dictionary.

    A packed object begins with the number of the dictionary that it needs; dictionaries are few and stay.
    """

    def __init__(self) -> None:
        self._codecs = [(zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor())]

    def pack(self, obj: Object) -> bytes:
        latest = len(self._codecs) - 1
        return b"%c%b" % (latest, self._codecs[latest][0].compress(encode(obj)))

    def unpack(self, data: bytes) -> Object:
        return decode(self._json(data))

    def learn(self, samples: Iterable[bytes]) -> None:
        """Take packed objects as what others will look like."""
        text = b"".join(self._json(each) for each in samples)[:_LEARN_BYTES]
        known = zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        known.precompute_compress(level=1)  # pyright: ignore[reportUnknownMemberType]
        self._codecs.append((zstandard.ZstdCompressor(level=1, dict_data=known), zstandard.ZstdDecompressor(dict_data=known)))

    def _json(self, data: bytes) -> bytes:
        return self._codecs[data[0]][1].decompress(memoryview(data)[1:])


class _Index:
    def __init__(self, function: IndexFunction):
        self.function = function
        self._keys: dict[str, Key | dict[Key, None]] = {}  # most values are those of one object: no dict for one key
        self._values: dict[Key, tuple[str, ...]] = {}

    def find(self, value: str) -> Iterable[Key]:
        """Return the keys filed under a value, in the order in which they came."""
        members = self._keys.get(value, ())
        return members if isinstance(members, dict) or not members else (members,)

    def put(self, key: Key, obj: Object) -> None:
        values = tuple(sys.intern(value) for value in self.function(obj))  # thousands of objects have the same labels
        if self._values.get(key, ()) == values:
            return
        self.drop(key)
        if values:
            self._values[key] = values
            for value in values:
                members = self._keys.setdefault(value, key)
                if isinstance(members, dict):
                    members[key] = None
                elif members != key:
                    self._keys[value] = {members: None, key: None}

    def drop(self, key: Key) -> None:
        for value in self._values.pop(key, ()):
            members = self._keys.get(value)
            if isinstance(members, dict):
                members.pop(key, None)
            if not members or members == key:
                self._keys.pop(value, None)


class Store:
    """Objects by (namespace, name), and their indexes."""

    def __init__(self) -> None:
        self._objects: dict[Key, bytes] = {}
        self._packer, self._puts, self._learn_at = _Packer(), 0, _LEARN_AFTER
        self._indexes: dict[str, _Index] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Object | None:
        """Return the object, or None."""
        found = self._objects.get(key)
        return None if found is None else self._packer.unpack(found)

    def keys_except(self, present: Container[Key]) -> list[Key]:
        """Return the keys of all objects that are not in `present`."""
        return [key for key in self._objects if key not in present]

    def all(self) -> Iterable[Object]:
        """Return all objects, in no particular order, as a snapshot that later changes leave alone."""
        return [self._packer.unpack(each) for each in self._objects.values()]

    def put(self, obj: Object) -> Object | None:
        """Add or replace an object and return the one that was there."""
        key = key_of(obj)
        old = self.get(key)
        self._objects[key] = self._packer.pack(obj)
        self._puts += 1
        if self._puts >= self._learn_at:
            self._learn()
        for index in self._indexes.values():
            index.put(key, obj)
        return old

    def drop(self, key: Key) -> Object | None:
        """Remove an object and return it."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        for index in self._indexes.values():
            index.drop(key)
        return self._packer.unpack(old)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Add an index over what is here and what comes. Adding the same function again does nothing."""
        present = self._indexes.get(name)
        if present is not None and present.function is not function:
            raise ValueError(f"index {name!r} exists already with another function: choose another name")
        if present is None:
            index = self._indexes[name] = _Index(function)
            for key, obj in self._objects.items():
                index.put(key, self._packer.unpack(obj))

    def by_index(self, name: str, value: str) -> list[Object]:
        """Return the objects that the index files under `value`, in the order in which they came."""
        return [self._packer.unpack(self._objects[key]) for key in self._indexes[name].find(value)]

    def _learn(self) -> None:
        """Learn from objects spread over all, some of which are young and some old."""
        self._learn_at *= _LEARN_AGAIN
        packed = list(self._objects.values())
        self._packer.learn(packed[:: -(-len(packed) // _LEARN_FROM)])
