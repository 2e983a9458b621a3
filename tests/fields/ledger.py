"""Holds emitted schemas against a field ledger: one row per field of an API, with type, default and allowed values."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

Node = dict[str, Any]

TYPES = {
    "list": "array",
    "map": "object",
    "object": "object",
    "string": "string",
    "duration": "string",
    "time": "string",
    "boolean": "boolean",
    "integer": "integer",
    "number": "number",
}
PRESERVE = "x-kubernetes-preserve-unknown-fields"


class Row(NamedTuple):
    """One field; `values` holds its rules, such as `enum: A|B; spec-range: 0..`."""

    kind: str
    path: str
    type: str
    required: str
    default: str
    values: str
    source: str
    meaning: str


def rows(name: str) -> list[Row]:
    text = (Path(__file__).parent / f"{name}.tsv").read_text()
    return [Row(*line) for line in list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]


def problem(row: Row, root: Node) -> str:
    """Say what the schema `root` lacks for this row; empty when nothing."""
    found = find(root, row.path)
    if found is None:
        return "is missing"
    node, parent = found
    if node is None:
        return ""
    return (
        _type(row, node)
        or _default(row, node)
        or _required(row, parent)
        or next(filter(None, (_rule(rule.strip(), node) for rule in row.values.split(";"))), "")
    )


def find(root: Node, path: str) -> tuple[Node | None, Node] | None:
    """Return the field's schema and its parent's; the schema is None below an opaque object, which covers all."""
    node, parent = root, root
    for step in steps(path):
        parent = node
        if step == "[]":
            child = node.get("items")
        elif step == "{}":
            child = node.get("additionalProperties")
        else:
            child = node.get("properties", {}).get(step)
        if child is None:
            return (None, parent) if parent.get(PRESERVE) else None
        node = child
    return node, parent


def steps(path: str) -> list[str]:
    """Split `a.b[].c{}` into `a`, `b`, `[]`, `c`, `{}`."""
    return path.replace("[]", ".[]").replace("{}", ".{}").split(".")


def _type(row: Row, node: Node) -> str:
    if row.type in ("IntOrString", "quantity"):
        return "" if node.get("x-kubernetes-int-or-string") else "must be an integer or a string"
    expected = TYPES.get(row.type, "object")
    if node.get("type") != expected:
        return f"has type {node.get('type')}, not {expected}"
    if row.type not in TYPES and not (node.get(PRESERVE) or node.get("properties")):
        return f"must keep the fields of {row.type}"
    if row.type == "time" and node.get("format") != "date-time":
        return "must be an instant"
    return ""


def _default(row: Row, node: Node) -> str:
    if not row.default:
        return ""
    expected = row.default if row.type in ("string", "duration") else json.loads(row.default)
    return "" if node.get("default") == expected else f"has default {node.get('default')}, not {expected}"


def _required(row: Row, parent: Node) -> str:
    name = steps(row.path)[-1]
    if name in ("[]", "{}"):
        return ""
    required = name in parent.get("required", [])
    return "" if required == (row.required == "yes") else f"must {'' if row.required == 'yes' else 'not '}be required"


def _rule(rule: str, node: Node) -> str:
    name, _, value = rule.removeprefix("spec-").partition(": ")
    lacks = f"lacks {rule}"
    match name:
        case "enum":
            return "" if set(value.replace('""', "").split("|")) <= set(node.get("enum", [])) else lacks
        case "range" if node.get("type") != "string":
            low, _, high = value.partition("..")
            return "" if node.get("minimum") == int(low) and node.get("maximum") == (int(high) if high else None) else lacks
        case "minItems" | "maxItems":
            return "" if node.get(name) == int(value) else lacks
        case "pattern":
            return "" if node.get("pattern") == value else lacks
        case "unique":
            return "" if node.get("x-kubernetes-list-map-keys") == [value] else lacks
        case "preserve-unknown-fields":
            return "" if node.get(PRESERVE) or node.get("items", {}).get(PRESERVE) else lacks
        case _:
            return ""
