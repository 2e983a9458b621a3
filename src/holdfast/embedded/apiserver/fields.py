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
    found = {key: value for key, value in obj.items() if key not in _UNOWNED}
    meta = part(obj, "metadata")
    if kept := {key: meta[key] for key in _OWNED_METADATA if key in meta}:
        found["metadata"] = kept
    return found


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
    changed, removed = _compare_parts(_tracked(old), _tracked(new), shape)
    return changed or {}, removed or {}


_Differences = tuple[FieldSet | None, FieldSet | None]


def _compare(old: Any, new: Any, shape: Shape) -> _Differences:
    """Changed and removed members at and inside of a value; None for no member, an empty set for the value itself."""
    if isinstance(old, dict) and isinstance(new, dict) and not shape.is_atomic:
        return _compare_parts(cast(Object, old), cast(Object, new), shape)
    if isinstance(old, list) and isinstance(new, list) and shape.list_type in ("map", "set"):
        return _compare_parts(_steps(cast(list[Any], old), shape), _steps(cast(list[Any], new), shape), shape)
    return (_added(new, shape) or {}), _inside(old, shape, fresh=True) or None


def _steps(items: list[Any], shape: Shape) -> Object:
    """The items of a list by their steps; of two with the same keys the first counts."""
    if shape.list_type == "set":
        return {_member(item): item for item in items}
    return {key_of(item, shape): item for item in reversed(items)}


def _compare_parts(before: Object, after: Object, shape: Shape) -> _Differences:
    """Compare the fields of a map, or the items of a list by their steps."""
    is_list = shape.list_type != "atomic"
    changed, removed = FieldSet(), FieldSet()
    for key, value in after.items():
        old = before.get(key, _MISSING)
        if old is value or old == value:
            continue
        inner = shape.item() if is_list else shape.field(key)
        gone = None
        if old is _MISSING:
            come = _added(value, inner, fresh=is_list)
        else:
            come, gone = _compare(old, value, inner)
        step = key if is_list else f"f:{key}"
        if come is not None:
            changed[step] = come
        if gone is not None:
            removed[step] = gone
    for key, value in before.items():
        if key not in after:
            gone = _added(value, shape.item() if is_list else shape.field(key), fresh=is_list)
            if gone is not None:
                removed[key if is_list else f"f:{key}"] = gone
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
