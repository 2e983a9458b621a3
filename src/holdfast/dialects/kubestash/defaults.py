"""The search for the default BackupStorage and RetentionPolicy, and the backends that result.

The seed's order: a default in the configuration's own namespace wins; only without one, defaults of other namespaces that
admit it, a Selector that names the namespace before an All that names nobody. What is found is used, never written into
the spec: when the default changes, so does what the next pass uses.
"""

from collections.abc import Iterable

import msgspec

from holdfast.core.objects import Kind, Object
from holdfast.core.ports import Refs
from holdfast.core.read import flag, name_of, namespace_of
from holdfast.dialects.kubestash.decode import Configuration, Place
from holdfast.dialects.kubestash.kinds import BACKUP_STORAGE, RETENTION_POLICY
from holdfast.dialects.kubestash.usage import admits, policy_from

_RANK = {"Selector": 1, "All": 2}


class ResolvedBackend(msgspec.Struct, frozen=True):
    """A backend after the search. What was neither given nor found is None."""

    name: str
    storage: Place | None
    policy: Place | None


def backends(configuration: Configuration, refs: Refs) -> tuple[ResolvedBackend, ...]:
    """Return every backend that the sessions may name, the default one (with an empty name) only when it is needed."""
    namespace = configuration.place.namespace
    listed = [ResolvedBackend(item.name, item.storage, item.policy) for item in configuration.backends]
    named = {item.name for item in listed}
    wants_default = any(not use.backend for session in configuration.sessions for use in session.repositories)
    if not listed or (wants_default and "" not in named):
        listed.append(ResolvedBackend("", find(BACKUP_STORAGE, namespace, refs), None))
    if all(item.policy for item in listed):
        return tuple(listed)
    default_policy = find(RETENTION_POLICY, namespace, refs)
    return tuple(item if item.policy else ResolvedBackend(item.name, item.storage, default_policy) for item in listed)


def find(kind: Kind, namespace: str, refs: Refs) -> Place | None:
    """Return the default object of a kind for a namespace, or None."""
    candidates = [obj for obj in refs.list(kind) if flag(obj, "spec", "default")]
    own = [obj for obj in candidates if namespace_of(obj) == namespace and admits(obj, namespace, refs)]
    others = [obj for obj in candidates if namespace_of(obj) != namespace and _offered(obj, namespace, refs)]
    return _first(own) or _first(others)


def _offered(obj: Object, namespace: str, refs: Refs) -> bool:
    return policy_from(obj) in _RANK and admits(obj, namespace, refs)


def _first(candidates: Iterable[Object]) -> Place | None:
    ordered = sorted(candidates, key=lambda obj: (_RANK.get(policy_from(obj), 0), namespace_of(obj), name_of(obj)))
    return Place(namespace_of(ordered[0]), name_of(ordered[0])) if ordered else None
