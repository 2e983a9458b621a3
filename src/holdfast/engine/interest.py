"""Who looked at what: the look-ups of each key's last pass, turned round so that a change finds whom to wake.

A look-up is a token: one object by name, or a collection by namespace, label or owner. An object that appears, changes or
goes has a handful of tokens of its own; the keys under them looked at it, or looked for it and found nothing. See
docs/adr/0004.
"""

from collections.abc import Iterable, Iterator

import msgspec

from holdfast.core.objects import Kind, Object
from holdfast.kube.objects import labels_of, owner_uids


class Key(msgspec.Struct, frozen=True, order=True, gc=False):
    """One object that a handler reconciles."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`BackupSession demo/nightly-1`."""
        return f"{self.kind.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.kind} {self.name}"


class Named(msgspec.Struct, frozen=True, gc=False):
    """One object by name."""

    kind: Kind
    namespace: str
    name: str


class Collection(msgspec.Struct, frozen=True, gc=False):
    """Every object of a kind that matches. `namespace` None means all; `by` is empty, `owner` or a label's key."""

    kind: Kind
    namespace: str | None
    by: str = ""
    value: str = ""


Token = Named | Collection


def tokens_of(kind: Kind, obj: Object) -> Iterator[Token]:
    """Yield every token under which somebody may have looked at this object."""
    meta = obj["metadata"]
    namespace: str = meta.get("namespace", "")
    yield Named(kind, namespace, meta["name"])
    for place in (namespace, None):
        yield Collection(kind, place)
        for label, value in labels_of(obj).items():
            yield Collection(kind, place, label, value)
        for uid in owner_uids(obj):
            yield Collection(kind, place, "owner", uid)


class Interests:
    """Tokens by key and keys by token."""

    def __init__(self) -> None:
        self._tokens: dict[Key, tuple[Token, ...]] = {}
        self._keys: dict[Token, Key | set[Key]] = {}  # most tokens are those of one key: no set for one

    def add(self, key: Key, token: Token) -> None:
        """Note a look-up, at the moment it is made: a change right after it must already find it. `keep` must follow."""
        keys = self._keys.setdefault(token, key)
        if isinstance(keys, set):
            keys.add(key)
        elif keys != key:
            self._keys[token] = {keys, key}

    def keep(self, key: Key, tokens: Iterable[Token]) -> None:
        """Forget the look-ups of earlier passes that this one, which is over, did not make. `tokens` are all that it made."""
        kept = frozenset(tokens)
        for token in self._tokens.get(key, ()):
            if token not in kept:
                self._drop(key, token)
        if kept:
            self._tokens[key] = tuple(kept)
        else:
            self._tokens.pop(key, None)

    def _drop(self, key: Key, token: Token) -> None:
        keys = self._keys[token]
        if isinstance(keys, set):
            keys.discard(key)
        if not keys or keys == key:
            del self._keys[token]

    def woken_by(self, *tokens: Token) -> set[Key]:
        """Return the keys that looked under any of these tokens."""
        found: set[Key] = set()
        for token in tokens:
            keys = self._keys.get(token)
            if isinstance(keys, set):
                found |= keys
            elif keys is not None:
                found.add(keys)
        return found

    def __len__(self) -> int:
        return len(self._keys)
