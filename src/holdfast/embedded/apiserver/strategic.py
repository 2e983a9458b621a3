"""Strategic merge patch, for built-in kinds: lists whose type names a merge key are merged item by item.

Directives: `$patch` (replace, delete, merge), `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.
None of them may end up in the stored object.
"""

from typing import Any, Final, cast

from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, lookup
from holdfast.embedded.apiserver.shapes import Shape, shape_of

_ORDER: Final = "$setElementOrder/"
_DROP: Final = "$deleteFromPrimitiveList/"


def strategic(kind: Kind, target: Object, patch: Object) -> Object:
    """The patched document; the old one is left alone. 400 for a directive that is not understood."""
    return _object(target, patch, shape_of(kind))


def _plain(value: Any) -> Any:
    """A patch value without directives, for where there is nothing to merge with."""
    if isinstance(value, dict):
        fields = cast(Object, value)
        return {key: _plain(item) for key, item in fields.items() if not key.startswith("$") and item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[Any], value) if lookup(item, "$patch") != "delete"]
    return value


def _object(target: Any, patch: Object, shape: Shape) -> Object:
    directive = patch.get("$patch", "merge")
    if directive == "replace":
        return _plain(patch)
    if directive == "delete":
        return {}
    if directive != "merge":
        raise bad_request(f"$patch: {directive!r} is not one of merge, replace, delete")
    result: Object = dict(cast(Object, target)) if isinstance(target, dict) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key.startswith(_DROP):
            name = key.removeprefix(_DROP)
            held: list[Any] = result.get(name) or []
            result[name] = [item for item in held if item not in value]
        elif not key.startswith("$"):
            _field(result, key, value, shape.field(key))
    for key, value in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            if isinstance(result.get(name), list):
                result[name] = _ordered(result[name], value, shape.field(name).merge_key)
    return result


def _field(result: Object, key: str, value: Any, shape: Shape) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        inner = cast(Object, value)
        if inner.get("$patch") == "delete":
            result.pop(key, None)
        else:
            result[key] = _object(result.get(key), inner, shape)
    elif isinstance(value, list) and shape.is_merged:
        result[key] = _list(result.get(key) or [], cast(list[Any], value), shape)
    else:
        result[key] = _plain(value)


def _list(target: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    key = shape.merge_key
    if not key:
        return [*target, *(item for item in patch if item not in target)]
    if any(lookup(item, "$patch") == "replace" for item in patch):
        return [_plain(item) for item in patch if key in item]
    result: list[Any] = list(target)
    for item in patch:
        if lookup(item, key) is None:
            raise bad_request(f'each item of the patched list must have the merge key "{key}"')
        at = next((index for index, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        elif at is None:
            result.append(_plain(item))
        else:
            result[at] = _object(result[at], item, shape.item())
    return result


def _name_of(item: Any, key: str) -> str:
    return str(lookup(item, key) if isinstance(item, dict) else item)


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Items that the patch names come in its order; the server's others keep their place behind their neighbour."""
    ranks = {_name_of(entry, key): index for index, entry in enumerate(order)}
    rank, placed = -1.0, list[tuple[float, int, Any]]()
    for index, item in enumerate(items):
        name = _name_of(item, key)
        rank = float(ranks[name]) if name in ranks else rank
        placed.append((rank, index, item))
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]
