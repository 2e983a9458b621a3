"""Server-side apply: an applier states what it wants, and what it stated before and states no more is removed.

Conflicts are told between appliers: a field that another applier owns with another value is refused (409) unless forced,
in which case it changes hands. Ordinary writes are not recorded as owners; they take fields from appliers (`fields.release`).
"""

import copy
from typing import Any, cast

from holdfast.embedded.apiserver.ages import now, stamp
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, bad_request
from holdfast.embedded.apiserver.fields import (
    FieldSet,
    Path,
    appliers,
    exists,
    key_of,
    owned_by,
    paths,
    remove,
    set_from,
    value_at,
)
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.shapes import Shape, shape_of
from holdfast.embedded.apiserver.store import Record, Transaction
from holdfast.embedded.apiserver.writes import alter_record, insert


def apply(api: Api, call: Call, transaction: Transaction, config: Object) -> tuple[Record, bool]:
    """Apply a configuration within a transaction; returns the object and whether it was created."""
    manager = call.query.text("fieldManager")
    if not manager:
        raise bad_request("fieldManager is required for apply patch")
    if part(config, "metadata").get("managedFields"):
        raise bad_request("metadata.managedFields must be nil in an applied configuration")
    shape = shape_of(call.kind)
    record = transaction.get(call.key)
    if record is None:
        if call.route.sub or part(config, "metadata").get("uid"):
            raise call.missing()
        obj = copy.deepcopy(config)
        obj.setdefault("metadata", {})["managedFields"] = [_entry(call, manager, owned_by(config, shape))]
        return insert(api, call, transaction, obj), True
    return alter_record(api, call, transaction, record, lambda old: _merged(call, manager, old, config, shape)), False


def _entry(call: Call, manager: str, owned: FieldSet) -> Object:
    entry: Object = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": call.kind.api_version,
        "time": stamp(now()),
        "fieldsType": "FieldsV1",
        "fieldsV1": owned,
    }
    return {**entry, "subresource": call.route.sub} if call.route.sub else entry


def _merged(call: Call, manager: str, old: Object, config: Object, shape: Shape) -> Object:
    """The object after the apply, with the record of who owns what."""
    owned = owned_by(config, shape)
    others = {name: entry for name, entry in appliers(old, call.route.sub).items() if name != manager}
    lost = _conflicts(call, old, config, list(paths(owned)), others)
    mine = appliers(old, call.route.sub).get(manager)
    result = _merge(old, config, shape)
    result["metadata"] = _merge(old["metadata"], part(config, "metadata"), shape.field("metadata"))
    kept = {path for entry in others.values() for path in paths(part(entry, "fieldsV1"))}
    stated = set(paths(owned))
    before = list(paths(part(mine, "fieldsV1"))) if mine else []
    for path in sorted(before, key=len, reverse=True):
        if path not in stated and path not in kept and not _holds_more(path, stated | kept):
            remove(result, path)
    _record(call, manager, result, mine, set_from([path for path in paths(owned) if exists(result, path)]), lost)
    return result


def _holds_more(path: Path, others: set[Path]) -> bool:
    """Whether someone states something inside of what the path names (an item that others own a part of stays)."""
    head = path[:-1] if path[-1] == "." else path
    return any(other[: len(head)] == head for other in others)


def _conflicts(call: Call, old: Object, config: Object, stated: list[Path], others: dict[str, Object]) -> dict[str, set[Path]]:
    """The fields that each other applier loses by force; 409 with all of them when force was not asked."""
    clashes: dict[str, set[Path]] = {}
    for name, entry in others.items():
        theirs = set(paths(part(entry, "fieldsV1")))
        found = {path for path in stated if path in theirs and value_at(old, path) != value_at(config, path)}
        if found:
            clashes[name] = found
    if clashes and not call.query.flag("force"):
        raise _refusal(call, clashes)
    return clashes


def _refusal(call: Call, clashes: dict[str, set[Path]]) -> StatusError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{name}" using {call.kind.api_version}',
            "field": "".join(_shown(step) for step in path),
        }
        for name, found in clashes.items()
        for path in sorted(found)
    ]
    names = " and ".join(f'"{name}"' for name in clashes)
    listed = "".join(f"\n- {cause['field']}" for cause in causes)
    plural = "conflict" if len(causes) == 1 else "conflicts"
    text = f"Apply failed with {len(causes)} {plural}: {plural} with {names} using {call.kind.api_version}:{listed}"
    return StatusError(409, "Conflict", text, {"causes": causes})


def _shown(step: str) -> str:
    if step == ".":
        return ""
    return f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]"


def _record(call: Call, manager: str, result: Object, mine: Object | None, owned: FieldSet, lost: dict[str, set[Path]]) -> None:
    """Write the new ownership into managedFields; an unchanged set keeps its time, so that a no-op stays one."""
    entry = mine if mine and mine.get("fieldsV1") == owned else _entry(call, manager, owned)
    entries: list[Object] = []
    for other in parts(result["metadata"], "managedFields"):
        is_mine = other["manager"] == manager and other.get("subresource", "") == call.route.sub
        if is_mine:
            entries.append(entry)
            continue
        gone = lost.get(other["manager"], set()) if other.get("subresource", "") == call.route.sub else set[Path]()
        left = set_from([path for path in paths(part(other, "fieldsV1")) if path not in gone])
        if left:
            entries.append(other if not gone else {**other, "fieldsV1": left})
    result["metadata"]["managedFields"] = entries if entry in entries else [*entries, entry]


def _merge(old: Any, new: Any, shape: Shape) -> Any:
    if isinstance(new, dict) and isinstance(old, dict) and not shape.is_atomic:
        before, stated = cast(Object, old), cast(Object, new)
        result = dict(before)
        for key, value in stated.items():
            result[key] = _merge(before.get(key), value, shape.field(key)) if key in before else copy.deepcopy(value)
        return result
    if isinstance(new, list) and isinstance(old, list) and shape.list_type == "map":
        return _merge_items(cast(list[Any], old), cast(list[Any], new), shape)
    if isinstance(new, list) and isinstance(old, list) and shape.list_type == "set":
        items = cast(list[Any], old)
        return [*items, *(item for item in cast(list[Any], new) if item not in items)]
    return copy.deepcopy(cast(Any, new))


def _merge_items(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    result = list(old)
    places = {key_of(item, shape.list_keys): index for index, item in enumerate(result)}
    for item in new:
        at = places.get(key_of(item, shape.list_keys))
        if at is None:
            result.append(copy.deepcopy(item))
        else:
            result[at] = _merge(result[at], item, shape.item())
    return result
