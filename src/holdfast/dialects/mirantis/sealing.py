"""Clear secrets leave an object the moment they are seen: the value goes into a Secret, the spec keeps where it is.

The same pure functions work at admission, where the value is never stored at all, and in the pass over an object that an API
server without our admission has stored already. What `kubectl apply` noted of the object in its annotation is cleaned as well.
"""

import base64
import copy
import json
from typing import Any, Final, cast

from holdfast.core.diff import merge_patch
from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import Amend
from holdfast.core.ports import Sealed
from holdfast.core.read import mapping, namespace_of

ENTRY: Final = "value"
"""The entry of a generated Secret that holds the value."""

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def secret(obj: Object, name: str, value: str) -> Object:
    """Build the Secret for a value of an object."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": bounded_name(name), "namespace": namespace_of(obj)},
        "type": "Opaque",
        "data": {ENTRY: base64.b64encode(value.encode()).decode()},
    }


def moved(obj: Object, field: str, name: str, value: str, *, lasting: bool = False) -> Sealed:
    """Return the object with `spec.<field>` naming the Secret instead of holding `value`, and that Secret.

    A `lasting` one can't be changed any more: its name stands for its value.
    """
    made = secret(obj, name, value)
    if lasting:
        made["immutable"] = True
    clean = without(obj, field)
    clean["spec"][field] = {"name": made["metadata"]["name"], "key": ENTRY}
    return Sealed(clean, made)


def without(obj: Object, field: str) -> Object:
    """Return the object with nothing of `spec.<field>`, also not in what kubectl noted."""
    clean = copy.deepcopy(obj)
    clean.setdefault("spec", {}).pop(field, None)
    notes = mapping(clean, "metadata", "annotations")
    if LAST_APPLIED in notes:
        notes[LAST_APPLIED] = _cleaned(notes[LAST_APPLIED], field)
    return clean


def amend(obj: Object, sealed: Sealed) -> Amend:
    """Return the change that seals a stored object."""
    return Amend(merge_patch(_own(obj), _own(sealed.object)), sealed.secret)


def _own(obj: Object) -> Object:
    return {"metadata": {"annotations": mapping(obj, "metadata", "annotations")}, "spec": mapping(obj, "spec")}


def _cleaned(note: str, field: str) -> str:
    """Return kubectl's note without the field; an unreadable one becomes an empty note."""
    try:
        noted: Any = json.loads(note)
    except ValueError:
        return "{}\n"
    if not isinstance(noted, dict):
        return "{}\n"
    document = cast("Object", noted)
    mapping(document, "spec").pop(field, None)
    return json.dumps(document, separators=(",", ":")) + "\n"
