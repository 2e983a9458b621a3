"""Looks up what has no namespace and belongs to the namespaces that are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from holdfast.core.belongings import BINDINGS, DEFINITIONS, Around, belongings
from holdfast.core.manifests import Selection
from holdfast.core.objects import Object
from holdfast.core.read import name_of
from holdfast.movers.cluster import Resource

_CLAIMS = "persistentvolumeclaims"
_ROLE_BINDINGS = "rolebindings.rbac.authorization.k8s.io"

List = Callable[[Resource], Sequence[Object]]
"""Returns the objects of a resource that are meant; none, and a note of it, when they can't be read."""


def found(served: Mapping[str, Resource], selection: Selection, objects: List) -> Mapping[str, frozenset[str]]:
    """Return the names of what belongs to the namespaces of a selection, by resource.

    Custom resources are listed once more than they are saved: their definitions come before them in a snapshot.
    """
    defined = [name_of(each) for each in objects(served[DEFINITIONS])] if DEFINITIONS in served else []
    meant = [name for name in defined if name in served and served[name].namespaced]
    around = Around(
        namespaces=selection.namespaces,
        claims=_all(served, _CLAIMS, objects),
        role_bindings=_all(served, _ROLE_BINDINGS, objects),
        cluster_bindings=_all(served, BINDINGS, objects),
        definitions=tuple(name for name in meant if selection.takes_resource(name, namespaced=True) and objects(served[name])),
    )
    return belongings(around)


def _all(served: Mapping[str, Resource], name: str, objects: List) -> tuple[Object, ...]:
    return tuple(objects(served[name])) if name in served else ()
