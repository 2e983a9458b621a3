"""The field ledger of the Antfly API, and the files that are generated from its types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fields.ledger import problem, rows
from tests.golden.test_field_ledger import ROOTS, leaves

from holdfast.dialects.antfly.types import KINDS
from holdfast.schema.emit import crd
from holdfast.schema.generate import files

ROOT = Path(__file__).parents[2]
LEDGER = [row for row in rows("antfly") if row.kind != "Secret"]
OURS = {
    ("AntflyRestore", "status.observedGeneration"),
    *(("AntflyCluster", f"status.{name}") for name in ("conditions", "conditions[]", "endpoint", "checks", "nextCheck")),
    ("AntflyCluster", "status.observedGeneration"),
}
"""Fields that no source of the API knows: all of them in a status."""


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "deploy/crds/antfly").glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        found[spec["names"]["kind"]] = spec["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_every_known_field_is_there_with_its_type_default_and_values(schemas: dict[str, dict[str, Any]]) -> None:
    assert len(LEDGER) == 78
    told = ((row, problem(row, schemas[row.kind])) for row in LEDGER)
    differing = [f"{row.kind} {row.path} {what}" for row, what in told if what]
    assert differing == ["AntflyBackup status.phase lacks spec-enum: Pending"], "the page has three phases, old code a fourth"


def test_the_crds_have_no_field_that_the_ledger_does_not_know(schemas: dict[str, dict[str, Any]]) -> None:
    known = {(row.kind, row.path) for row in LEDGER} | OURS
    extra = [
        f"{kind} {path}"
        for kind, schema in schemas.items()
        for path in leaves(schema, "")
        if (kind, path) not in known and path not in ROOTS and ".conditions[]." not in path
    ]
    assert extra == []


def test_the_tree_holds_exactly_what_the_types_generate() -> None:
    generated = files("antfly", "Antfly", KINDS)
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy/crds/antfly").iterdir()}
    assert present == {path for path in generated if path.startswith("deploy/")}
    assert [path for path, text in generated.items() if (ROOT / path).read_text() != text] == [], "run `make gen`"


def test_the_columns_and_names_are_those_of_the_api() -> None:
    backup, restore, cluster = (crd(kind) for kind in KINDS)
    columns = [column["name"] for column in backup["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Cluster", "Schedule", "Phase", "Last Success", "Age"]
    assert [each["metadata"]["name"] for each in (backup, restore)] == ["antflybackups.antfly.io", "antflyrestores.antfly.io"]
    labels = [each["metadata"]["labels"] for each in (backup, restore, cluster)]
    assert labels == [{"app.kubernetes.io/managed-by": "holdfast"}] * 3
