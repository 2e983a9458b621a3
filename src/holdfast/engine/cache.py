"""What the engine knows of the cluster: the informers' stores, and on top of them what it has written itself.

A write is answered before the watch reports it. Until then a pass that read the informer alone would create what exists,
or take a Job it has just made for deleted; so answers are laid over the store until the watch has caught up with them. An
overlay that the watch never confirms (made and deleted while it was down) ends after half a minute.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from holdfast.core.kinds import POD
from holdfast.core.objects import Kind, Object, Ref, ref_of
from holdfast.engine.dead import is_dead
from holdfast.kube.informer import Informer
from holdfast.kube.objects import labels_of, owner_uids

OVERLAY_LIFE: Final = timedelta(seconds=30)

_OWNER: Final = "engine/owner"
_NAMESPACE: Final = "engine/namespace"
_LABEL: Final = "engine/label"
_DEAD: Final = "engine/dead"


class Cache:
    """Reads objects by kind. Objects that are returned must not be changed."""

    def __init__(self, informers: Mapping[Kind, Informer], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._informers = informers
        self._monotonic = monotonic
        self._ahead: dict[Kind, dict[Ref, tuple[Object, float]]] = {kind: {} for kind in informers}
        for informer in informers.values():
            informer.add_index(_OWNER, owner_uids)
            informer.add_index(_NAMESPACE, _namespaces)
            informer.add_index(_LABEL, _labels)
            informer.add_index(_DEAD, _dead)
            informer.subscribe(self._caught_up)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one object. Raises LookupError for a kind that is not watched."""
        ahead = self._overlay(Ref(kind, namespace, name))
        return ahead if ahead is not None else self._informer(kind).get(namespace, name)

    def is_ahead(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether what `get` returns is known from our own write only."""
        return self._overlay(Ref(kind, namespace, name)) is not None

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        """Return the objects that match, by name."""
        informer = self._informer(kind)
        if owner:
            found: Iterable[Object] = informer.by_index(_OWNER, owner)
        elif label:
            found = informer.by_index(_LABEL, "=".join(label))
        elif namespace is not None:
            found = informer.by_index(_NAMESPACE, namespace)
        else:
            found = informer.all()
        objects = {ref_of(obj): obj for obj in found}
        for ref in list(self._ahead[kind]):
            ahead = self._overlay(ref)
            if ahead is not None and _matches(ahead, label, owner):
                objects[ref] = ahead
        inside = (ref for ref in objects if namespace is None or ref.namespace == namespace)
        return [objects[ref] for ref in sorted(inside)]

    def dead_pods(self, namespace: str) -> Sequence[Object]:
        """Return the pods of movers of a namespace that have failed, as the watch shows them."""
        return self._informer(POD).by_index(_DEAD, namespace)

    def wrote(self, obj: Object) -> None:
        """Lay the answer to a write over the store, unless the watch was quicker.

        A write that took the last finalizer off an object that is being deleted was its end: nothing is left to lay over.
        """
        ref, meta = ref_of(obj), obj["metadata"]
        if ref.kind not in self._informers or (meta.get("deletionTimestamp") and not meta.get("finalizers")):
            return
        seen = self._informers[ref.kind].get(ref.namespace, ref.name)
        if seen is None and _let_go(obj):
            return  # the last finalizer is off, and the watch has told already that the object is gone
        if seen is None or not (_reached(seen, obj) or _other(seen, obj)):
            self._ahead[ref.kind][ref] = (obj, self._monotonic())

    def deleting(self, ref: Ref, uid: str, when: str) -> None:
        """Show the object of that uid as going, since its deletion was accepted: not one that was made anew meanwhile."""
        seen = self.get(ref.kind, ref.namespace, ref.name)
        if seen is not None and seen["metadata"].get("uid") == uid and not seen["metadata"].get("deletionTimestamp"):
            going: Object = {**seen, "metadata": {**seen["metadata"], "deletionTimestamp": when}}
            self._ahead[ref.kind][ref] = (going, self._monotonic())

    def distrust(self, ref: Ref) -> None:
        """Drop what was laid over: the server says that it is out of date."""
        self._ahead.get(ref.kind, {}).pop(ref, None)

    def _informer(self, kind: Kind) -> Informer:
        if kind not in self._informers:
            raise LookupError(f"{kind} is not watched: the dialect must name it in `watched`")
        return self._informers[kind]

    def _overlay(self, ref: Ref) -> Object | None:
        ahead = self._ahead.get(ref.kind, {})
        entry = ahead.get(ref)
        if entry is None:
            return None
        if self._monotonic() - entry[1] > OVERLAY_LIFE.total_seconds():
            del ahead[ref]
            return None
        return entry[0]

    def _caught_up(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None:
            return
        ref = ref_of(obj)
        ahead = self._ahead.get(ref.kind, {})
        if ref not in ahead:
            return
        wrote = ahead[ref][0]
        gone = new is None and obj["metadata"].get("uid") == wrote["metadata"].get("uid")
        if gone or (new is not None and (_reached(new, wrote) or _other(new, wrote))):
            del ahead[ref]


def _reached(seen: Object, wrote: Object) -> bool:
    """Whether the watch shows a version at least as new as the one written.

    A version is a number on every server there is; where it is not, equality must do.
    """
    if wrote["metadata"].get("deletionTimestamp") and not seen["metadata"].get("deletionTimestamp"):
        return False
    newer = _newer(seen, wrote)
    return seen["metadata"].get("resourceVersion") == wrote["metadata"].get("resourceVersion") if newer is None else newer


def _newer(seen: Object, wrote: Object) -> bool | None:
    """Whether the version of one is at least that of the other; None where versions are no numbers."""
    left: str = seen["metadata"].get("resourceVersion", "")
    right: str = wrote["metadata"].get("resourceVersion", "")
    return int(left) >= int(right) if left.isdigit() and right.isdigit() else None


def _let_go(obj: Object) -> bool:
    """Whether nothing holds an object any more that is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp")) and not obj["metadata"].get("finalizers")


def _other(seen: Object, wrote: Object) -> bool:
    """Whether the watch shows a later object of the same name."""
    left, right = seen["metadata"], wrote["metadata"]
    if left.get("uid") == right.get("uid"):
        return False
    newer = _newer(seen, wrote)
    return left.get("creationTimestamp", "") > right.get("creationTimestamp", "") if newer is None else newer


def _namespaces(obj: Object) -> Iterable[str]:
    return (obj["metadata"].get("namespace", ""),)


def _dead(obj: Object) -> Iterable[str]:
    return (obj["metadata"].get("namespace", ""),) if obj.get("kind", POD.kind) == POD.kind and is_dead(obj) else ()


def _labels(obj: Object) -> Iterable[str]:
    return [f"{key}={value}" for key, value in labels_of(obj).items()]


def _matches(obj: Object, label: tuple[str, str] | None, owner: str) -> bool:
    if owner:
        return owner in owner_uids(obj)
    return label is None or "=".join(label) in _labels(obj)
