"""Objects as a server-rendered Table, the form in which `kubectl get` asks for them.

Ages are rendered here, because kubectl prints the cell as it is. Each row carries the object's metadata, which kubectl
needs for namespaces, labels and sorting.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, cast

from holdfast.embedded.apiserver.ages import parse_time, since
from holdfast.embedded.apiserver.columns import AGE, CREATED_AT, NAMES
from holdfast.embedded.apiserver.jsonpath import compile_path
from holdfast.embedded.apiserver.kinds import Column, Kind
from holdfast.embedded.apiserver.objects import Object, lookup
from holdfast.kube.codec import encode

_META = "meta.k8s.io/v1"
_NAME_LAST = frozenset({"Event"})
"""Kinds whose name tells nobody anything: it stands behind the other columns, and in wide output only."""

_ENDED = {
    phase: {"type": "Completed", "status": "True", "reason": phase, "message": message}
    for phase, message in (("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed."))
}
"""What the row of a pod that is over says beside its cells."""


def _columns(kind: Kind) -> tuple[Column, ...]:
    return kind.columns or ((AGE,) if kind.custom else (CREATED_AT,))


def _definitions(kind: Kind) -> list[Object]:
    text = "Name of the object, unique in its namespace."
    named = Column("Name", ".metadata.name", format="name", description=text, priority=int(kind.kind in _NAME_LAST))
    return [
        {
            "name": column.name,
            "type": column.type if column.type != "date" or kind.custom else "string",
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in _named_in_place(kind, named, _columns(kind))
    ]


def _named_in_place(kind: Kind, name: Any, others: Iterable[Any]) -> list[Any]:
    return [*others, name] if kind.kind in _NAME_LAST else [name, *others]


def _simple(value: Any) -> Any:
    if isinstance(value, dict | list):
        return encode(cast(object, value)).decode()
    return value


def _cell(column: Column, obj: Object, at: dt.datetime) -> Any:
    if column.cell is not None:
        return column.cell(obj, at)
    found = compile_path(column.path)(obj)
    if column.type == "date":
        return since(str(found[0]), at) if found and parse_time(str(found[0])) else "<unknown>" if found else None
    if not found or found[0] is None:
        return None
    if column.type in ("integer", "number", "boolean"):
        return found[0]
    return ",".join(str(_text(value)) for value in found)


def _text(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else _simple(value)


def partial(obj: Object) -> Object:
    """Only the metadata, as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}


def table(kind: Kind, objects: Iterable[Object], meta: Object, at: dt.datetime, include: str = "Metadata") -> Object:
    """The Table of some objects; `include` is the request's `includeObject` (None, Metadata, Object)."""
    columns, name = _columns(kind), NAMES.get(kind.kind)
    rows: list[Object] = []
    for obj in objects:
        first = name(obj, at) if name else obj["metadata"]["name"]
        row: Object = {"cells": _named_in_place(kind, first, (_cell(column, obj, at) for column in columns))}
        if ended := _ENDED.get(str(lookup(obj, "status", "phase"))) if kind.resource == "/pods" else None:
            row["conditions"] = [ended]
        if include != "None":
            row["object"] = obj if include == "Object" else partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": _META,
        "metadata": meta,
        "columnDefinitions": _definitions(kind),
        "rows": rows,
    }
