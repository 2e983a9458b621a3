"""The field ledger: every field that is known of an API exists in its CRD, with its type, default and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fields.ledger import Row, problem, rows

ROOT = Path(__file__).parents[2]
KUBESTASH = rows("kubestash")
BEYOND_THE_SEED = 1388
"""Rows of other sources that hold today; the number may only grow."""


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    """Read the CRDs as they are checked in: kind -> schema."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "deploy/crds/kubestash").glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        found[spec["names"]["kind"]] = spec["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def broken(ledger: list[Row], schemas: dict[str, dict[str, Any]]) -> list[str]:
    told = ((row, problem(row, schemas[row.kind])) for row in ledger)
    return [f"{row.kind} {row.path} {what}" for row, what in told if what]


def test_every_field_of_the_seed_is_there_with_its_type_default_and_values(schemas: dict[str, dict[str, Any]]) -> None:
    seed = [row for row in KUBESTASH if row.source == "seed"]
    assert len(seed) == 311
    assert broken(seed, schemas) == []


def test_no_field_of_another_source_is_lost(schemas: dict[str, dict[str, Any]]) -> None:
    others = [row for row in KUBESTASH if row.source != "seed"]
    missing = broken(others, schemas)
    assert len(others) - len(missing) >= BEYOND_THE_SEED, "\n".join(missing)


def test_the_crds_have_no_field_that_the_ledger_does_not_know(schemas: dict[str, dict[str, Any]]) -> None:
    known = {(row.kind, row.path) for row in KUBESTASH}
    conditions = (".conditions[].",)
    extra = [
        f"{kind} {path}"
        for kind, schema in schemas.items()
        for path in leaves(schema, "")
        if (kind, path) not in known and path not in ROOTS and not any(part in path for part in conditions)
    ]
    assert extra == []


ROOTS = ("apiVersion", "kind", "metadata", "spec", "status")


def leaves(node: dict[str, Any], path: str) -> list[str]:
    """List the paths of all fields below a schema."""
    found = [path] if path else []
    for name, child in node.get("properties", {}).items():
        found += leaves(child, f"{path}.{name}".removeprefix("."))
    if "items" in node:
        found += leaves(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        found += leaves(node["additionalProperties"], f"{path}{{}}")
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "string"}, "has type string, not integer"),
        ({"default": 2}, "has default 2, not 1"),
        ({"minimum": 0}, "lacks spec-range: 1.."),
    ],
)
def test_the_ledger_notices_a_change(change: dict[str, Any], expected: str) -> None:
    row = next(row for row in KUBESTASH if row.path == "spec.sessions[].retryConfig.maxRetry")
    field = {"type": "integer", "default": 1, "minimum": 1} | change
    session = {"properties": {"retryConfig": {"properties": {"maxRetry": field}}}}
    root = {"properties": {"spec": {"properties": {"sessions": {"items": session}}}}}
    assert problem(row, root) == expected
    del session["properties"]["retryConfig"]
    assert problem(row, root) == "is missing"
