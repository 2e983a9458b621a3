"""The field ledger of the CloudCasa API against its OpenAPI document, and the files that are generated from its types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fields.ledger import Row, find, rows

from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.dialects.cloudcasa.types import KINDS
from holdfast.rest.openapi import openapi
from holdfast.schema.generate import files

ROOT = Path(__file__).parents[2]
LEDGER = rows("cloudcasa")
TYPES = {"list": "array", "map": "object", "object": "object", "duration": "string", "time": "string"}
DOCUMENT = openapi()


def schema(row: Row) -> dict[str, Any]:
    """Return the schema in which a row's field must be: of an action's body, a reply, what is sent, or what is shown."""
    schemas, paths = DOCUMENT["components"]["schemas"], DOCUMENT["paths"]
    place, found, _ = row.path.partition(":")
    if found and place == "provider-info":
        return paths["/objectstores/provider-info"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    if found:
        return paths[f"/{row.kind}/{{id}}/{place}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    title = COLLECTIONS[row.kind].title.title()
    return schemas[f"{title}Draft"] if "writeOnly" in row.values else schemas[title]


def opened(node: Any) -> Any:
    """Let the lookup of the ledger pass what OpenAPI keeps whole."""
    if isinstance(node, list):
        return [opened(each) for each in node]
    if not isinstance(node, dict):
        return node
    out = {key: opened(value) for key, value in node.items()}
    if out.get("additionalProperties") is True:
        out["x-kubernetes-preserve-unknown-fields"] = True
    return out


def problem(row: Row) -> str:
    path = row.path.partition(":")[2] or row.path
    related = path.startswith("_links.related.")
    found = find(
        opened(schema(row)),
        path.replace("_links.related.", "_links.related{}.", 1).replace("{}.", "{}.", 1) if related else path,
    )
    if related and found is None:
        found = find(opened(schema(row)), "_links.related{}" + "".join(f".{part}" for part in path.split(".")[3:]))
    if found is None:
        return "is missing"
    node, parent = found
    if node is None:
        return ""
    if node.get("type") != TYPES.get(row.type, row.type):
        return f"has type {node.get('type')}, not {row.type}"
    if row.default and node.get("default") != {"true": True, "false": False}.get(row.default, row.default):
        return f"has default {node.get('default')}, not {row.default}"
    for rule in (part.strip() for part in row.values.split(";")):
        name, _, value = rule.partition(": ")
        if name == "enum" and "enum" in node and not set(value.split("|")) <= set(node["enum"]):
            return f"lacks {rule}"
        if name in ("minItems", "maxItems") and node.get(name) != int(value):
            return f"lacks {rule}"
    name = path.rpartition(".")[2]
    needed = row.required == "yes" and "[]" not in name and name not in parent.get("required", [])
    return "must be required" if needed else ""


@pytest.mark.parametrize("source", ["seed", "spec"])
def test_every_known_field_is_in_the_document(source: str) -> None:
    wanted = [row for row in LEDGER if row.source == source]
    assert len(wanted) == {"seed": 41, "spec": 277}[source]
    assert [f"{row.kind} {row.path} {what}" for row in wanted if (what := problem(row))] == []


def test_the_tree_holds_exactly_what_the_types_generate() -> None:
    generated = files("cloudcasa", "CloudCasa", KINDS)
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy/crds/cloudcasa").iterdir()}
    assert present == {path for path in generated if path.startswith("deploy/")}
    assert [path for path, text in generated.items() if (ROOT / path).read_text() != text] == [], "run `make gen`"
