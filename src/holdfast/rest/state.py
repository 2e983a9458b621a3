"""What the REST server knows: every document by organisation and collection, kept up to date by watches.

What is written is laid in with the API server's answer, so that the next read of this process shows it. Documents of a bulk
request carry a label until their Bulkwrite exists; until then they are nowhere to be seen.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

from holdfast.core.objects import Kind, Object
from holdfast.core.read import mapping, namespace_of
from holdfast.dialects.cloudcasa.kinds import APIKEY, BULKWRITE, PENDING_BULK, SETTINGS
from holdfast.dialects.cloudcasa.resources import BY_KIND, COLLECTIONS
from holdfast.dialects.cloudcasa.types import KINDS
from holdfast.kube.client import Client
from holdfast.kube.manager import Manager
from holdfast.kube.objects import labels_of
from holdfast.kube.resource import Resource
from holdfast.rest.index import Entry, Index

RESOURCES: Final[Mapping[Kind, Resource]] = {
    Kind(spec.group, spec.kind): Resource(spec.group, spec.version, spec.kind, spec.plural) for spec in KINDS
}
"""Where each kind lives on the REST tree of Kubernetes."""


T = TypeVar("T")


class SecretRights(Protocol):
    """Takes the right to read and write the Secrets of a namespace when it is first needed."""

    async def call(self, namespace: str, request: Callable[[], Awaitable[T]]) -> T:
        """Return what a request on Secrets of a namespace gives."""
        ...


class State:
    """The documents of all organisations."""

    def __init__(self, client: Client, secrets: SecretRights, *, clock: Callable[[], float] = time.time) -> None:
        self.client, self.secrets, self.clock = client, secrets, clock
        self.manager = Manager(client)
        self._indexes: dict[tuple[str, str], Index] = {}
        self._hidden: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._committed: set[tuple[str, str]] = set()
        self._keys: dict[str, Object] = {}
        for kind in (*BY_KIND, BULKWRITE, APIKEY):
            self.manager.informer(RESOURCES[kind]).subscribe(self._listener(kind))
        self._settings = self.manager.informer(RESOURCES[SETTINGS])

    def index(self, organization: str, plural: str) -> Index:
        """Return the documents of a collection."""
        found = self._indexes.get((organization, plural))
        if found is None:
            found = self._indexes[organization, plural] = Index(COLLECTIONS[plural])
        return found

    def find(self, organization: str, plural: str, ident: str) -> Entry | None:
        """Return one document."""
        return self.index(organization, plural).get(ident)

    def key(self, ident: str) -> Object | None:
        """Return the object of an API key."""
        return self._keys.get(ident)

    def keys(self, organization: str) -> list[Object]:
        """Return the keys of an organisation."""
        return [obj for obj in self._keys.values() if namespace_of(obj) == organization]

    def settings(self, organization: str) -> Object:
        """Return the settings of an organisation; empty when there are none."""
        found = self._settings.get(organization, "settings")
        return mapping(found, "spec") if found is not None else {}

    def wrote(self, obj: Object) -> Entry | None:
        """Lay in what the API server answered to a write. Returns the document, if it is one that can be seen."""
        kind = _kind(obj)
        if kind == APIKEY:
            self._keys[obj["metadata"]["name"]] = obj
        elif kind == BULKWRITE:
            self._commit(obj)
        elif kind in BY_KIND:
            return self._put(kind, obj)
        return None

    def removed(self, obj: Object) -> None:
        """Take out what was just deleted."""
        kind = _kind(obj)
        if kind == APIKEY:
            self._keys.pop(obj["metadata"]["name"], None)
        elif kind in BY_KIND:
            self.index(namespace_of(obj), BY_KIND[kind].plural).drop(obj, ahead=True)

    def _listener(self, kind: Kind) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if new is not None:
                self.wrote(new)
            elif old is not None:
                self._lost(kind, old)

        return changed

    def _lost(self, kind: Kind, obj: Object) -> None:
        meta = obj["metadata"]
        if kind == APIKEY:
            self._keys.pop(meta["name"], None)
        elif kind == BULKWRITE:
            self._committed.discard((namespace_of(obj), meta["name"]))
        else:
            plural = BY_KIND[kind].plural
            bulk = labels_of(obj).get(PENDING_BULK)
            if bulk:
                self._hidden.get((namespace_of(obj), bulk), {}).pop((plural, meta["name"]), None)
            self.index(namespace_of(obj), plural).drop(obj)

    def _put(self, kind: Kind, obj: Object) -> Entry | None:
        collection = BY_KIND[kind]
        bulk = labels_of(obj).get(PENDING_BULK)
        where = (namespace_of(obj), bulk or "")
        if bulk and where not in self._committed:
            self._hidden.setdefault(where, {})[collection.plural, obj["metadata"]["name"]] = obj
            return None
        return self.index(namespace_of(obj), collection.plural).put(obj)

    def _commit(self, bulk: Object) -> None:
        where = (namespace_of(bulk), bulk["metadata"]["name"])
        self._committed.add(where)
        for (plural, _), obj in self._hidden.pop(where, {}).items():
            self.index(where[0], plural).put(obj)


class OrganizationLookup:
    """Finds what documents of one organisation refer to; the dialect's `Lookup`."""

    def __init__(self, state: State, organization: str) -> None:
        self._state, self._organization = state, organization

    def spec_of(self, plural: str, ident: str) -> Object | None:
        """Return the user's fields of a document."""
        found = self._state.find(self._organization, plural, ident)
        return mapping(found.obj, "spec") if found is not None else None


def _kind(obj: Object) -> Kind:
    return Kind(str(obj["apiVersion"]).partition("/")[0], obj["kind"])
