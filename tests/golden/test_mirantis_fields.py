"""The field ledger of the Mirantis API: the CRDs have every field that is known, and no spec field beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fields.ledger import Row, problem, rows

from holdfast.dialects.mirantis.types import KINDS
from holdfast.schema.generate import files

ROOT = Path(__file__).parents[2]
OURS = {
    ("RCloneCredential", "spec.remoteSecret.name"),
    ("RCloneCredential", "spec.remoteSecret.key"),
}
"""Spec fields beyond the ledger: the reference that takes the place of a clear secret."""


@pytest.fixture(scope="module")
def crds() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "deploy/crds/mirantis").glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        found[spec["names"]["kind"]] = spec
    return found


def told(row: Row, spec: dict[str, Any]) -> str:
    """Say what is wrong; metadata and envelope are the API server's, so that only group, version and scope can be wrong."""
    if row.path == "apiVersion":
        return "" if row.values == f"enum: {spec['group']}/{spec['versions'][0]['name']}" else "is another one"
    if row.path == "kind":
        return "" if row.values == f"enum: {spec['names']['kind']}" else "is another one"
    if row.path.startswith("metadata."):
        return "" if spec["scope"] == "Namespaced" else "needs a namespace"
    return problem(row, spec["versions"][0]["schema"]["openAPIV3Schema"])


def test_every_known_field_is_there(crds: dict[str, dict[str, Any]]) -> None:
    ledger = rows("mirantis")
    assert len([row for row in ledger if row.source == "seed"]) == 33
    broken = [f"{row.kind} {row.path} {what}" for row in ledger if (what := told(row, crds[row.kind]))]
    assert broken == []


def test_no_field_of_a_spec_is_ours_but_the_references_to_secrets(crds: dict[str, dict[str, Any]]) -> None:
    known = {(row.kind, row.path) for row in rows("mirantis")} | OURS
    extra = [
        (kind, path)
        for kind, spec in crds.items()
        for path in leaves(spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec")
        if (kind, path) not in known and path != "spec"
    ]
    assert extra == []


def leaves(node: dict[str, Any], path: str) -> list[str]:
    return [path, *(found for name, child in node.get("properties", {}).items() for found in leaves(child, f"{path}.{name}"))]


def test_the_tree_holds_exactly_what_the_types_generate() -> None:
    generated = files("mirantis", "Mirantis", KINDS)
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy/crds/mirantis").iterdir()}
    assert present == {path for path in generated if path.startswith("deploy/")}
    assert [path for path, text in generated.items() if (ROOT / path).read_text() != text] == [], "run `make gen`"
