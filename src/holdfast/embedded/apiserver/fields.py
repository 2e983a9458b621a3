"""Which fields an object sets, and which of them a write changes, by the shape of its kind.

The rules are those of Kubernetes' server-side apply: maps and structs are taken apart unless atomic, keyed lists item by
item, sets member by member, all other lists as one value. System fields of metadata have no owner.
"""

from typing import Any, Final, cast

from holdfast.embedded.apiserver.fieldset import ITSELF, FieldSet, Path
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.shapes import Shape
from holdfast.kube.codec import decode_any, encode

_MISSING: Final = object()
_UNOWNED: Final = frozenset({"apiVersion", "kind", "metadata"})
_OWNED_METADATA: Final = ("annotations", "finalizers", "generateName", "labels", "ownerReferences")


def key_of(item: Any, shape: Shape) -> str:
    """The step of an item of a keyed list; keys that the item leaves out have their default."""
    fields = cast(Object, item) if isinstance(item, dict) else {}
    found: Object = {}
    for key in sorted(shape.list_keys):
        if key in fields:
            found[key] = fields[key]
        elif default := shape.item().field(key).default:
            found[key] = default
    return "k:" + encode(found).decode()


def _member(item: Any) -> str:
    return "v:" + encode(item).decode()


def _tracked(obj: Object) -> Object:
    """The part of an object whose fields have owners."""
    meta = part(obj, "metadata")
    kept = {key: meta[key] for key in _OWNED_METADATA if key in meta}
    rest = {key: value for key, value in obj.items() if key not in _UNOWNED}
    return {"metadata": kept, **rest} if kept else rest


def stated(config: Object, shape: Shape) -> FieldSet:
    """The fields that an applied configuration states."""
    found = _tracked(config)
    return _stated(found, shape) if found else {}


def _stated(value: Any, shape: Shape) -> FieldSet:
    if isinstance(value, dict) and value and not shape.is_atomic:
        return {f"f:{key}": _stated(item, shape.field(key)) for key, item in cast(Object, value).items()}
    if isinstance(value, list) and value and shape.list_type == "map":
        item_shape = shape.item()
        return {key_of(item, shape): {ITSELF: {}, **_stated(item, item_shape)} for item in cast(list[Any], value)}
    if isinstance(value, list) and value and shape.list_type == "set":
        return {_member(item): {} for item in cast(list[Any], value)}
    return {}


def present(obj: Object, shape: Shape) -> FieldSet:
    """All fields of an object, as the one who creates it comes to own them."""
    return {f"f:{key}": found for key, value in _tracked(obj).items() if (found := _added(value, shape.field(key))) is not None}


def _added(value: Any, shape: Shape, *, fresh: bool = False) -> FieldSet | None:
    """The fields of a value that was not there before; None for an empty struct that is always there.

    `fresh`: the value is inside of an added list item or map value, where nothing was there before.
    """
    fresh = fresh or not shape.is_always
    inner = _inside(value, shape, fresh=fresh)
    if inner is None:
        return {}
    if not fresh:
        return inner or None
    return {ITSELF: {}, **inner} if inner else {}


def _inside(value: Any, shape: Shape, *, fresh: bool) -> FieldSet | None:
    """The fields inside of a value; None for one that is not taken apart."""
    if isinstance(value, dict) and not shape.is_atomic:
        found: FieldSet = {}
        for key, item in cast(Object, value).items():
            if (inner := _added(item, shape.field(key), fresh=fresh)) is not None:
                found[f"f:{key}"] = inner
        return found
    if isinstance(value, list) and shape.list_type == "map":
        return {key_of(item, shape): _added(item, shape.item(), fresh=True) for item in cast(list[Any], value)}
    if isinstance(value, list) and shape.list_type == "set":
        return {_member(item): {} for item in cast(list[Any], value)}
    return None


def compare(old: Object, new: Object, shape: Shape) -> tuple[FieldSet, FieldSet]:
    """The fields that a write added or changed, and those that it removed."""
    changed, removed = _compare(_tracked(old), _tracked(new), shape)
    return changed or {}, removed or {}


_Differences = tuple[FieldSet | None, FieldSet | None]


def _compare(old: Any, new: Any, shape: Shape) -> _Differences:
    """Changed and removed members at and inside of a value; None for no member, an empty set for the value itself."""
    if old == new:
        return None, None
    if isinstance(old, dict) and isinstance(new, dict) and not shape.is_atomic:
        before, after = cast(Object, old), cast(Object, new)
        keys = {**before, **after}
        return _compare_parts(
            {f"f:{key}": (before.get(key, _MISSING), after.get(key, _MISSING), shape.field(key)) for key in keys}
        )
    if isinstance(old, list) and isinstance(new, list) and shape.list_type in ("map", "set"):
        left, right = _steps(cast(list[Any], old), shape), _steps(cast(list[Any], new), shape)
        item = shape.item()
        return _compare_parts({step: (left.get(step, _MISSING), right.get(step, _MISSING), item) for step in {**left, **right}})
    inner = _inside(old, shape, fresh=True)
    return (_added(new, shape) or {}), inner or None


def _steps(items: list[Any], shape: Shape) -> Object:
    if shape.list_type == "set":
        return {_member(item): item for item in items}
    return {key_of(item, shape): item for item in reversed(items)}


def _compare_parts(parts: dict[str, tuple[Any, Any, Shape]]) -> _Differences:
    changed, removed = FieldSet(), FieldSet()
    for step, (before, after, shape) in parts.items():
        if before is _MISSING:
            found = _added(after, shape, fresh=not step.startswith("f:")), None
        elif after is _MISSING:
            found = None, _added(before, shape, fresh=not step.startswith("f:"))
        else:
            found = _compare(before, after, shape)
        if found[0] is not None:
            changed[step] = found[0]
        if found[1] is not None:
            removed[step] = found[1]
    return changed or None, removed or None


def _descend(value: Any, step: str) -> Any:
    mark, name = step[:2], step[2:]
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
    """Whether an item has the keys that are wanted; one that it leaves out was filled in with its default."""
    return isinstance(item, dict) and all(cast(Object, item).get(key, value) == value for key, value in wanted.items())


def remove(obj: Object, path: Path) -> None:
    """Take the value at a path out of an object, in place, and what becomes empty by it (but for the top of the object)."""
    *head, last = path
    parents: list[tuple[Any, str]] = []
    value: Any = obj
    for step in head:
        parents.append((value, step))
        value = _descend(value, step)
        if value is _MISSING:
            return
    _take(value, last)
    for parent, step in reversed(parents):
        if value or not isinstance(parent, dict) or parent is obj:
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
