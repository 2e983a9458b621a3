"""Who owns which fields: the entries of `metadata.managedFields`, for appliers and for ordinary writers.

An entry is known by manager, operation, subresource and, for ordinary writers, apiVersion (Kubernetes' server-side apply
reference, "Managers"). A write takes what it changes away from everybody else; what is removed has no owner any more.
Entries of ordinary writers are at most ten, the oldest are thrown together.
"""

from typing import Any, Final, cast

import msgspec

from holdfast.embedded.apiserver.ages import stamp_now
from holdfast.embedded.apiserver.api import Call
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.fields import compare, present
from holdfast.embedded.apiserver.fieldset import FieldSet, covers, difference, is_sound, union
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.shapes import shape_of

APPLY, UPDATE = "Apply", "Update"
_ANCIENT: Final = "ancient-changes"
_MOST_WRITERS: Final = 10
_LONGEST_NAME: Final = 128


class Entry(msgspec.Struct, frozen=True):
    """One manager's fields. `time` is when they last changed, as RFC 3339 text."""

    manager: str
    operation: str
    version: str
    sub: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells entries apart; an applier stays the same in every version."""
        return self.manager, self.operation, self.sub, "" if self.operation == APPLY else self.version

    def owning(self, fields: FieldSet) -> "Entry":
        """The entry with other fields, its time kept."""
        return self if fields == self.fields else msgspec.structs.replace(self, fields=fields)

    def document(self) -> Object:
        """The entry as it stands in metadata."""
        found: Object = {"manager": self.manager, "operation": self.operation, "apiVersion": self.version, "time": self.time}
        found |= {"fieldsType": "FieldsV1", "fieldsV1": self.fields}
        return {**found, "subresource": self.sub} if self.sub else found


def name_of(call: Call) -> str:
    """The manager of a request; 400 when its name is too long or not printable."""
    name = call.manager
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise bad_request(f"fieldManager: must be at most {_LONGEST_NAME} printable characters")
    return name


def entry(call: Call, operation: str, fields: FieldSet) -> Entry:
    """An entry of the request's manager, of this moment."""
    return Entry(name_of(call), operation, call.kind.api_version, call.route.sub, stamp_now(), fields)


def _read(documents: Any) -> list[Entry] | None:
    """Entries that a caller sent; None when one of them is not what it should be."""
    found: list[Entry] = []
    for item in cast(list[Any], documents):
        document = cast(Object, item) if isinstance(item, dict) else {}
        texts = [document.get(key, "") for key in ("manager", "operation", "apiVersion", "subresource", "time")]
        fields = document.get("fieldsV1", {})
        if not all(isinstance(text, str) for text in texts) or texts[1] not in (APPLY, UPDATE) or not is_sound(fields):
            return None
        if document.get("fieldsType", "FieldsV1") != "FieldsV1" or not texts[2]:
            return None
        manager, operation, version, sub, time = cast(list[str], texts)
        found.append(Entry(manager, operation, version, sub, time, fields))
    return found


def entries_of(obj: Object) -> list[Entry]:
    """The entries of a stored object."""
    return [
        Entry(
            item.get("manager", ""),
            item["operation"],
            item["apiVersion"],
            item.get("subresource", ""),
            item.get("time", ""),
            item.get("fieldsV1", {}),
        )
        for item in part(obj, "metadata").get("managedFields") or ()
    ]


def _basis(call: Call, old: Object, new: Object) -> list[Entry] | None:
    """The entries that an update sends in place of the stored ones; None when it sends none that are sound.

    One empty entry asks to forget all.
    """
    sent = part(new, "metadata").get("managedFields")
    if call.route.sub or not sent or sent == part(old, "metadata").get("managedFields"):
        return None
    return [] if sent == [{}] else _read(sent)


def write(obj: Object, entries: list[Entry]) -> None:
    """Put the entries into an object's metadata, in Kubernetes' order."""
    found = sorted(_capped(entries), key=lambda item: (item.operation, item.time, item.manager, item.version, item.sub))
    if found:
        obj["metadata"]["managedFields"] = [item.document() for item in found if item.fields]
    if not obj["metadata"].get("managedFields"):
        obj["metadata"].pop("managedFields", None)


def _capped(entries: list[Entry]) -> list[Entry]:
    writers = sorted((item for item in entries if item.operation == UPDATE), key=lambda item: item.time)
    if len(writers) <= _MOST_WRITERS:
        return entries
    old = writers[: len(writers) - _MOST_WRITERS + 1]
    merged: dict[str, Entry] = {}
    for item in old:
        fields = union(merged[item.version].fields, item.fields) if item.version in merged else item.fields
        merged[item.version] = Entry(_ANCIENT, UPDATE, item.version, "", item.time, fields)
    return [item for item in entries if item not in old] + list(merged.values())


def created(call: Call, obj: Object) -> None:
    """Record the author of a new object as the owner of all that it holds, in place."""
    write(obj, [entry(call, UPDATE, present(obj, shape_of(call.kind)))])


def altered(call: Call, old: Object, new: Object) -> None:
    """Record what an ordinary write changed, in place; where nobody's fields change, the record stays as it is."""
    sent = _basis(call, old, new)
    before = entries_of(old) if sent is None else sent
    changed, removed = compare(old, new, shape_of(call.kind))
    if sent is None and not changed and not removed:
        _keep_record(old, new)
        return
    identity = (call.manager, UPDATE, call.route.sub, call.kind.api_version)
    if sent is None and not removed and _owns_already(part(old, "metadata").get("managedFields") or [], identity, changed):
        _keep_record(old, new)
        return
    mine, others = None, list[Entry]()
    for item in before:
        if item.identity == identity:
            mine = item
        else:
            others.append(item)
    after = disowned(others, changed, removed)
    if mine is not None:
        fields = union(difference(mine.fields, removed) if removed else mine.fields, changed)
        after += [mine if fields == mine.fields else entry(call, UPDATE, fields)] if fields else []
    elif changed:
        after.append(entry(call, UPDATE, changed))
    new["metadata"].pop("managedFields", None)
    if sent is not None or len(after) != len(before) or any(item not in before for item in after):
        write(new, after)
    else:
        _keep_record(old, new)


def _owns_already(documents: list[Object], identity: tuple[str, str, str, str], changed: FieldSet) -> bool:
    """Whether a writer has all that it changes, and nobody else anything near it: then the record stays as it is."""
    found = False
    for item in documents:
        fields: FieldSet = item.get("fieldsV1", {})
        names = item.get("manager", ""), item["operation"], item.get("subresource", ""), item["apiVersion"]
        if names == identity:
            found = covers(fields, changed)
        elif not fields.keys().isdisjoint(changed):
            return False
    return found


def _keep_record(old: Object, new: Object) -> None:
    if recorded := part(old, "metadata").get("managedFields"):
        new["metadata"]["managedFields"] = recorded
    else:
        new["metadata"].pop("managedFields", None)


def disowned(entries: list[Entry], changed: FieldSet, removed: FieldSet) -> list[Entry]:
    """The entries without the fields that somebody else's write changed or removed."""
    if not changed and not removed:
        return list(entries)
    left = [item.owning(difference(difference(item.fields, changed), removed)) for item in entries]
    return [item for item in left if item.fields]
