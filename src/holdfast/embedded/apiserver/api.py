"""What all handlers share: the store, the rings of recent events, the kinds, who is asking.

`Call` is one request on its way through the handlers; `Answer` what leaves them. Only `server` knows HTTP objects.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from holdfast.embedded.apiserver.auth import Auth, User
from holdfast.embedded.apiserver.authorizer import Authorizer
from holdfast.embedded.apiserver.errors import StatusError, no_such_path, not_found
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.quotas import Quotas
from holdfast.embedded.apiserver.registry import Registry
from holdfast.embedded.apiserver.request import Accept, Query, Route
from holdfast.embedded.apiserver.ring import Rings
from holdfast.embedded.apiserver.store import Key, Record, Store, Transaction

Objects = list[Object]


class Reader:
    """What an admission check may look at: other objects, as they are at the moment of the write."""

    def __init__(self, registry: Registry, transaction: Transaction) -> None:
        self._registry = registry
        self._transaction = transaction

    def get(self, group: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None when it or its kind does not exist."""
        found = self._registry.named(group, kind)
        if found is None:
            return None
        record = self._transaction.get(Key(found.resource, (namespace or "") if found.namespaced else "", name))
        return record.object() if record else None

    def list(
        self, group: str, kind: str, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Objects:
        """All objects of a kind, of one namespace or of all; with a label only those, or those of the owner of a uid."""
        found = self._registry.named(group, kind)
        if found is None:
            return []
        if owner:
            owned = (item for item in self._transaction.dependents(owner) if item.key.res == found.resource)
            return [item.object() for item in owned if namespace is None or item.key.ns == namespace]
        return [item.object() for item in self._transaction.objects(found.resource, namespace, label=label)]


AdmissionCheck = Callable[[Object, Object | None, Reader], list[str]]
Admission = Mapping[tuple[str, str], AdmissionCheck]

Sealer = Callable[[Object], tuple[Object, Object] | None]
"""Takes a clear secret out of an object: returns the object without it and the Secret that holds it, or None."""

Sealers = Mapping[tuple[str, str], Sealer]


class Api:
    """The parts of one server."""

    def __init__(self, store: Store, auth: Auth, admission: Admission, ca: str, sealers: Sealers | None = None) -> None:
        self.ca = ca
        self.store = store
        self.auth = auth
        self.authorizer = Authorizer(store)
        self.admission = admission
        self.sealers: Sealers = sealers or {}
        self.quotas = Quotas(store)
        self.registry = Registry()
        self.rings = Rings(store.rv)
        self.stopping = False
        store.listeners.append(self.rings.publish)


class Call(msgspec.Struct, kw_only=True):
    """One request on a resource. `warnings` go out as Warning headers."""

    verb: str
    route: Route
    kind: Kind
    query: Query
    accept: Accept
    user: User
    media: str = ""
    body: bytes = b""
    agent: str = ""
    warnings: list[str] = []

    @property
    def key(self) -> Key:
        """Where the named object is stored."""
        return Key(self.kind.resource, self.route.ns, self.route.name)

    @property
    def manager(self) -> str:
        """The field manager: the query's, or the first word of the user agent."""
        return self.query.text("fieldManager") or self.agent.partition("/")[0] or "unknown"

    def missing(self, name: str = "") -> StatusError:
        """404 for the object of this request."""
        return not_found(self.kind.plural, self.kind.group, name or self.route.name)


class Answer(msgspec.Struct, frozen=True):
    """Status code and the object to answer: stored bytes, or a document."""

    body: Record | Object
    code: int = 200


def resolve(registry: Registry, route: Route) -> Kind:
    """The kind behind a route; 404 when it is not served, or not in that scope."""
    kind = registry.find(route.group, route.version, route.plural)
    if kind is None or (route.ns and not kind.namespaced):
        raise no_such_path()
    if kind.namespaced and route.name and not route.ns:
        raise no_such_path()
    if route.sub and route.sub not in kind.subresources:
        raise no_such_path()
    return kind


def list_document(kind: Kind, items: Iterable[Any], meta: Object) -> Object:
    """The list document of a kind."""
    return {"kind": kind.list_name, "apiVersion": kind.api_version, "metadata": meta, "items": list(items)}
