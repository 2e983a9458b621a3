"""Values for a field by its schema: what a user could write there instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.fields.ledger import Row

Node = dict[str, Any]

STRINGS = ("mutant", "other-mutant")
FORMATS = {
    "duration": ("37m", "41m"),
    "time": ("2026-11-20T13:07:00Z", "2026-11-19T13:07:00Z"),
    "quantity": ("37Mi", "41Mi"),
    "cron": ("7 3 * * *", "8 4 * * *"),
    "nfs": ("nfs://mutant.example:/a", "nfs://mutant.example:/b"),
}
"""Strings that mean something, by the type or the format of their row."""

IDENT = "^[0-9a-f]{24}$"
"""What a reference to a document looks like."""

PATTERNED = (
    "s3://mutant/x",
    "s3://mutant/y",
    "a" * 64,
    "b" * 64,
    "Mutant",
    "mutant.example.com",
    "37Mi",
    "37m",
    "7d",
    "Monday",
)
"""Tried as well where the schema has a pattern."""

OPAQUE: dict[str, tuple[Any, ...]] = {
    "EnvVar": ({"name": "MUTANT", "value": "1"}, {"name": "MUTANT", "value": "2"}),
    "EnvFromSource": ({"secretRef": {"name": "mutant"}}, {"configMapRef": {"name": "mutant"}}),
    "VolumeMount": ({"name": "mutant", "mountPath": "/mutant"}, {"name": "mutant", "mountPath": "/other"}),
    "Volume": ({"name": "mutant", "emptyDir": {}}, {"name": "mutant", "configMap": {"name": "mutant"}}),
    "VolumeSource": ({"emptyDir": {}}, {"configMap": {"name": "mutant"}}),
    "Toleration": ({"key": "mutant", "operator": "Exists"}, {"key": "other", "operator": "Exists"}),
    "LocalObjectReference": ({"name": "mutant"}, {"name": "other"}),
    "LabelSelector": ({"matchLabels": {"mutant": "1"}}, {"matchLabels": {"mutant": "2"}}),
    "ResourceRequirements": ({"limits": {"memory": "37Mi"}}, {"limits": {"memory": "41Mi"}}),
    "SecurityContext": ({"runAsUser": 37}, {"runAsUser": 41}),
    "PodSecurityContext": ({"runAsUser": 37}, {"runAsUser": 41}),
    "Container": ({"name": "mutant", "image": "mutant"}, {"name": "mutant", "image": "other"}),
    "Probe": ({"exec": {"command": ["true"]}}, {"exec": {"command": ["false"]}}),
}
"""Values of Kubernetes' own types, which our schemas keep as they are."""


def samples(node: Node | None, row: Row | None = None) -> Iterator[Any]:
    """Yield values for a field, at least two where the schema leaves a choice; `None` is a field below an opaque object."""
    kind = row.type if row else ""
    if kind in OPAQUE and (node is None or not node.get("properties")):
        yield from OPAQUE[kind]
    elif node is None:
        yield from {"boolean": (True, False), "integer": (37, 41)}.get(kind, STRINGS)
    elif "enum" in node:
        yield from node["enum"]
    elif node.get("x-kubernetes-int-or-string"):
        yield from (37, "41%")
    else:
        yield from _by_type(node, row)


def _by_type(node: Node, row: Row | None) -> Iterator[Any]:
    match node.get("type"):
        case "boolean":
            yield from (True, False)
        case "integer" | "number":
            low = node.get("minimum", 1)
            yield from (low, low + 1, 37, 41)
        case "array":
            yield from ([each] for each in samples(node.get("items", {})))
        case "object" if not node.get("properties") and "additionalProperties" in node:
            yield from ({"mutant": each} for each in samples(node["additionalProperties"]))
        case "object" if not node.get("properties"):
            yield from ({"mutant": each} for each in STRINGS)
        case "object":
            yield from _objects(node)
        case _:
            yield from _strings(node, row)


def _objects(node: Node) -> Iterator[Node]:
    """Yield the least object, and then one more per field."""
    yield least(node)
    for name, child in node["properties"].items():
        for value in samples(child):
            yield {**least(node), name: value}


def _strings(node: Node, row: Row | None) -> Iterator[str]:
    text = f"{row.type} {row.values}" if row else ""
    fitting = [values for name, values in FORMATS.items() if row and (row.type == name or f"format: {name}" in text)]
    for values in fitting:
        yield from values
    if node.get("format") == "date-time":
        yield from FORMATS["time"]
    yield from STRINGS
    if node.get("pattern") == IDENT:
        yield from ("a" * 24, "b" * 24)
    elif "pattern" in node:
        yield from PATTERNED


def least(node: Node) -> Any:
    """Return a value with no more than the schema asks for."""
    if node.get("type") == "object":
        return {
            name: least(node["properties"][name]) for name in node.get("required", ()) if name in node.get("properties", {})
        }
    if node.get("type") == "array":
        return [least(node["items"])] * node.get("minItems", 0) if "items" in node else []
    return next(samples(node))
