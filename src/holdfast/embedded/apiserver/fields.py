"""Which applier owns which fields, in the form that Kubernetes keeps in `metadata.managedFields` (FieldsV1).

A set of fields is a nested dict: `f:name` for a field, `k:{"name":"x"}` for an item of a keyed list, `v:"x"` for a member
of a set, `.` for the item or object itself; an empty dict is a leaf. Only appliers are recorded.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.shapes import Shape
from holdfast.kube.codec import decode_any, encode

FieldSet = dict[str, Any]
Path = tuple[str, ...]

_MISSING: Final = object()
_UNOWNED: Final = frozenset({"apiVersion", "kind"})
_OWNED_METADATA: Final = ("labels", "annotations", "finalizers", "ownerReferences")


def same(old: Object, new: Object) -> bool:
    """Whether a write would change nothing."""
    return old == new


def key_of(item: Any, keys: tuple[str, ...]) -> str:
    """The path step of an item of a keyed list."""
    fields = cast(Object, item) if isinstance(item, dict) else {}
    return "k:" + encode({key: fields[key] for key in sorted(keys) if key in fields}).decode()


def owned_by(obj: Object, shape: Shape) -> FieldSet:
    """The fields that an applied configuration sets."""
    found: FieldSet = {}
    for name, value in obj.items():
        if name == "metadata":
            inner = {key: value[key] for key in _OWNED_METADATA if key in value}
            if inner:
                found["f:metadata"] = _set_of(inner, shape.field("metadata"))
        elif name not in _UNOWNED:
            found[f"f:{name}"] = _set_of(value, shape.field(name))
    return found


def _set_of(value: Any, shape: Shape) -> FieldSet:
    if isinstance(value, dict) and value and not shape.is_atomic:
        fields = cast(Object, value)
        return {f"f:{key}": _set_of(item, shape.field(key)) for key, item in fields.items()}
    if isinstance(value, list) and shape.list_type == "map":
        items = cast(list[Any], value)
        return {key_of(item, shape.list_keys): {".": {}, **_set_of(item, shape.item())} for item in items}
    if isinstance(value, list) and shape.list_type == "set":
        return {"v:" + encode(item).decode(): {} for item in cast(list[Any], value)}
    return {}


def paths(found: FieldSet, head: Path = ()) -> Iterator[Path]:
    """Every leaf of a set."""
    for step, inner in found.items():
        if inner:
            yield from paths(inner, (*head, step))
        else:
            yield (*head, step)


def _descend(value: Any, step: str) -> Any:
    mark, name = step[:2], step[2:]
    if step == ".":
        return value
    if mark == "f:":
        return cast(Object, value).get(name, _MISSING) if isinstance(value, dict) else _MISSING
    if not isinstance(value, list):
        return _MISSING
    wanted = decode_any(name.encode())
    for item in cast(list[Any], value):
        if item == wanted if mark == "v:" else _matches(item, wanted):
            return item
    return _MISSING


def _matches(item: Any, wanted: Object) -> bool:
    return isinstance(item, dict) and all(cast(Object, item).get(key) == value for key, value in wanted.items())


def value_at(obj: Object, path: Path) -> Any:
    """The value at a path, or a marker that equals nothing else when it is absent; for an item's own `.`, that it is there."""
    value: Any = obj
    for step in path:
        value = _descend(value, step)
        if value is _MISSING:
            return _MISSING
    return True if path[-1] == "." else value


def exists(obj: Object, path: Path) -> bool:
    """Whether there is a value at a path."""
    return value_at(obj, path) is not _MISSING


def set_from(leaves: Iterator[Path] | list[Path]) -> FieldSet:
    """The set of some leaves."""
    found: FieldSet = {}
    for path in leaves:
        node = found
        for step in path:
            node = node.setdefault(step, {})
    return found


def remove(obj: Object, path: Path) -> None:
    """Take the value at a path out of an object, in place, and objects that become empty by it."""
    *head, last = path[:-1] if path[-1] == "." else path
    parents: list[tuple[Any, str]] = []
    value: Any = obj
    for step in head:
        parents.append((value, step))
        value = _descend(value, step)
        if value is _MISSING:
            return
    _take(value, last)
    for parent, step in reversed(parents):
        if value or not isinstance(parent, dict) or not step.startswith("f:") or step == "f:spec":
            return
        del cast(Object, parent)[step[2:]]
        value = cast(Object, parent)


def _take(parent: Any, step: str) -> None:
    if step.startswith("f:") and isinstance(parent, dict):
        cast(Object, parent).pop(step[2:], None)
    elif isinstance(parent, list):
        found = _descend(cast(list[Any], parent), step)
        if found is not _MISSING:
            cast(list[Any], parent).remove(found)


def appliers(obj: Object, sub: str = "") -> dict[str, Object]:
    """The recorded appliers of an object (or of its subresource), by manager."""
    entries: list[Object] = parts(obj["metadata"], "managedFields")
    return {
        entry["manager"]: entry
        for entry in entries
        if entry.get("operation") == "Apply" and entry.get("subresource", "") == sub
    }


def release(old: Object, new: Object) -> None:
    """Take fields that an ordinary write changed away from the appliers that owned them, in place."""
    entries: list[Object] | None = new["metadata"].get("managedFields")
    if not entries:
        return
    kept: list[Object] = []
    for entry in entries:
        before = list(paths(part(entry, "fieldsV1")))
        after = [path for path in before if value_at(old, path) == value_at(new, path)]
        if after:
            kept.append(entry if len(after) == len(before) else {**entry, "fieldsV1": set_from(after)})
    if kept:
        new["metadata"]["managedFields"] = kept
    else:
        del new["metadata"]["managedFields"]
