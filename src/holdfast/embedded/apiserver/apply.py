"""Server-side apply: an applier states what it wants, and what it stated before and states no more is removed.

A field that somebody else owns with another value is a conflict (409), unless forced, in which case it changes hands; the
same value is shared. Follows Kubernetes' server-side apply reference, with the two courtesies that it shows to kubectl: fields
of an earlier client-side apply by the same user are no conflict, and that apply's annotation is kept up to date.
"""

import copy
from typing import Any, Final, cast

from holdfast.embedded.apiserver import managers
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, bad_request
from holdfast.embedded.apiserver.fields import compare, key_of, present, remove, stated
from holdfast.embedded.apiserver.fieldset import FieldSet, difference, inside, intersection, members, shown, union
from holdfast.embedded.apiserver.managers import APPLY, UPDATE, Entry
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.rbac import Act
from holdfast.embedded.apiserver.shapes import Shape, shape_of
from holdfast.embedded.apiserver.store import Record, Transaction
from holdfast.embedded.apiserver.writes import alter_record, insert
from holdfast.kube.codec import CodecError, decode, encode

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_BEFORE: Final = "before-first-apply"


def apply(api: Api, call: Call, transaction: Transaction, config: Object) -> tuple[Record, bool]:
    """Apply a configuration within a transaction; returns the object and whether it was created."""
    if not call.query.text("fieldManager"):
        raise bad_request("fieldManager is required for apply patch")
    if part(config, "metadata").get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    shape = shape_of(call.kind)
    record = transaction.get(call.key)
    if record is None:
        if call.route.sub or part(config, "metadata").get("uid"):
            raise call.missing()
        api.authorizer.require(call.user, Act("create", call.kind.group, call.kind.plural, call.route.ns, call.route.name))
        obj = copy.deepcopy(config)
        obj["metadata"] = {**part(obj, "metadata")}
        managers.write(obj, [managers.entry(call, APPLY, _own(call, stated(config, shape)))])
        return insert(api, call, transaction, obj), True
    return alter_record(api, call, transaction, record, lambda old: _applied(call, old, config, shape)), False


def _own(call: Call, fields: FieldSet) -> FieldSet:
    """What can be owned through this URL: status through its subresource and nothing else, and never beside it."""
    if call.route.sub == "status":
        return {step: inner for step, inner in fields.items() if step == "f:status"}
    return {step: inner for step, inner in fields.items() if step != "f:status" or not call.kind.has_status}


def _applied(call: Call, old: Object, config: Object, shape: Shape) -> Object:
    """The object after the apply, with the record of who owns what."""
    before = managers.entries_of(old)
    if not before:
        before = [Entry(_BEFORE, UPDATE, call.kind.api_version, "", managers.entry(call, UPDATE, {}).time, present(old, shape))]
    mine = managers.entry(call, APPLY, _own(call, stated(config, shape)))
    held = next((item for item in before if item.identity == mine.identity), None)
    others = [item for item in before if item.identity != mine.identity]
    result = _merge(old, config, shape)
    result["metadata"] = _merge(old["metadata"], part(config, "metadata"), shape.field("metadata"))
    if held is not None:
        _prune(result, difference(held.fields, mine.fields), [*others, mine])
    changed, removed = (_own(call, found) for found in compare(old, result, shape))
    _refuse_conflicts(call, old, others, changed, shape)
    if held is not None and held.fields == mine.fields:
        mine = held
    _follow(call, result)
    result["metadata"].pop("managedFields", None)
    managers.write(result, [*managers.disowned(others, changed, removed), mine])
    return result


def _prune(result: Object, dropped: FieldSet, owners: list[Entry]) -> None:
    """Remove what the applier stated before and states no more, unless somebody owns it or something inside of it."""
    kept: FieldSet = {}
    for owner in owners:
        kept = union(kept, owner.fields)
    for path in sorted(members(dropped), key=len, reverse=True):
        if not inside(kept, path):
            remove(result, path)


def _refuse_conflicts(call: Call, old: Object, others: list[Entry], changed: FieldSet, shape: Shape) -> None:
    """409 when the apply changes what others own and was not told to force it."""
    clashes = [(item, found) for item in others if (found := intersection(item.fields, changed))]
    if not clashes or call.query.flag("force"):
        return
    if managers.name_of(call) == _KUBECTL:
        known = _last_applied(old, shape)
        clashes = [(item, left) for item, found in clashes if (left := difference(found, known))]
    if clashes:
        raise _refusal(clashes)


def _last_applied(old: Object, shape: Shape) -> FieldSet:
    """The fields of the last client-side apply, which kubectl may take over from itself."""
    text = part(old, "metadata", "annotations").get(_LAST_APPLIED, "")
    try:
        return stated(decode(str(text).encode()), shape)
    except CodecError:
        return {}


def _refusal(clashes: list[tuple[Entry, FieldSet]]) -> StatusError:
    causes: list[Object] = []
    groups: list[str] = []
    for item, found in clashes:
        who = f'"{item.manager}"' + (f' with subresource "{item.sub}"' if item.sub else "") + f" using {item.version}"
        fields = [shown(path) for path in sorted(members(found))]
        causes += [{"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": field} for field in fields]
        plural = "conflict" if len(fields) == 1 else "conflicts"
        listed = f": {fields[0]}" if len(fields) == 1 else ":" + "".join(f"\n- {field}" for field in fields)
        groups.append(f"{plural} with {who}{listed}")
    count = f"{len(causes)} conflict" + ("" if len(causes) == 1 else "s")
    return StatusError(409, "Conflict", f"Apply failed with {count}: " + "\n".join(groups), {"causes": causes})


def _follow(call: Call, result: Object) -> None:
    """Keep kubectl's annotation of the last client-side apply equal to what kubectl applied here, where there is one."""
    annotations = part(result, "metadata", "annotations")
    if call.route.sub or managers.name_of(call) != _KUBECTL or _LAST_APPLIED not in annotations:
        return
    rest = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    meta = {key: value for key, value in result["metadata"].items() if key != "managedFields"}
    shadow = {**result, "metadata": {**meta, "annotations": rest}}
    result["metadata"]["annotations"] = {**annotations, _LAST_APPLIED: encode(shadow).decode()}


def _merge(old: Any, new: Any, shape: Shape) -> Any:
    if isinstance(new, dict) and isinstance(old, dict) and not shape.is_atomic:
        before, wanted = cast(Object, old), cast(Object, new)
        result = dict(before)
        for key, value in wanted.items():
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
    places = {key_of(item, shape): index for index, item in enumerate(result)}
    for item in new:
        at = places.get(key_of(item, shape))
        if at is None:
            result.append(copy.deepcopy(item))
        else:
            result[at] = _merge(result[at], item, shape.item())
    return result
