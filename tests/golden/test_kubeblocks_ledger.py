"""The field ledger of the KubeBlocks API, and the files that are generated from its types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fields.ledger import find, problem, rows
from tests.golden.test_crds import undescribed
from tests.golden.test_field_ledger import ROOTS, leaves

from holdfast.dialects.kubeblocks.types import KINDS
from holdfast.schema.emit import crd, openapi_of
from holdfast.schema.generate import files
from holdfast.schema.kind import KindSpec
from holdfast.schema.structural import Schema

ROOT = Path(__file__).parents[2]
LEDGER = rows("kubeblocks")
OURS = {
    ("BackupRepo", "status.checkedCredential"),
    ("BackupRepo", "status.kopiaPasswordSecretName"),
    ("BackupRepo", "status.lastPreCheckTime"),
    ("BackupRepo", "status.preCheckDigest"),
    ("BackupRepo", "status.searchedWith"),
}
"""Fields that no source of the API knows: all of them in a status."""

SPELLED_OUT = ("SecretReference", "SecretKeySelector", "LabelSelector")
"""Types of Kubernetes that the ledger does not take apart and the CRDs do."""


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "deploy/crds/kubeblocks").glob("*.yaml")):
        spec = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        found[spec["names"]["kind"]] = spec["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_every_known_field_is_there_with_its_type_default_and_values(schemas: dict[str, dict[str, Any]]) -> None:
    assert len(LEDGER) == 557
    told = ((row, problem(row, schemas[row.kind])) for row in LEDGER)
    differing = {f"{row.kind} {row.path} {what}" for row, what in told if what}
    assert differing == {
        # Required on the page, and exactly one of it and `targets` where both exist: a rule over both says so.
        "BackupPolicy spec.target must be required",
        # A target that has a name is needed only where there are several: the policy is Unavailable then, as in the original.
        "BackupPolicy spec.targets lacks unique: name",
        "BackupPolicy spec.backupMethods[].targets lacks unique: name",
        "Backup status.backupMethod.targets lacks unique: name",
    }


def test_what_the_ledger_calls_immutable_has_a_rule_that_says_so(schemas: dict[str, dict[str, Any]]) -> None:
    frozen = [row for row in LEDGER if "immutable" in row.values.split("; ")]
    assert len(frozen) == 13
    for row in frozen:
        found = find(schemas[row.kind], row.path)
        assert found is not None
        assert found[0] is not None
        assert {"rule": "self == oldSelf", "message": "can't be changed"} in found[0].get("x-kubernetes-validations", []), (
            row.path
        )


def test_the_crds_have_no_field_that_the_ledger_does_not_know(schemas: dict[str, dict[str, Any]]) -> None:
    known = {(row.kind, row.path) for row in LEDGER} | OURS
    within = tuple((row.kind, f"{row.path}.") for row in LEDGER if row.type in SPELLED_OUT)
    extra = [
        f"{kind} {path}"
        for kind, schema in schemas.items()
        for path in leaves(schema, "")
        if (kind, path) not in known
        and path not in ROOTS
        and ".conditions[]." not in path
        and not any(kind == owner and path.startswith(inner) for owner, inner in within)
    ]
    assert extra == []


def test_the_tree_holds_exactly_what_the_types_generate() -> None:
    generated = files("kubeblocks", "KubeBlocks", KINDS)
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy/crds/kubeblocks").iterdir()}
    assert present == {path for path in generated if path.startswith("deploy/")}
    assert [path for path, text in generated.items() if (ROOT / path).read_text() != text] == [], "run `make gen`"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_field_is_described_and_each_column_exists(kind: KindSpec) -> None:
    version = crd(kind)["spec"]["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    assert undescribed(root, kind.kind) == []
    for column in version["additionalPrinterColumns"]:
        node = root
        for step in column["jsonPath"].split(".")[1:] if ".metadata." not in column["jsonPath"] else ():
            node = node["properties"][step]


def test_the_seven_kinds_have_their_names_scopes_and_columns() -> None:
    assert {kind.crd_name for kind in KINDS} == {
        "actionsets.dataprotection.kubeblocks.io",
        "backups.dataprotection.kubeblocks.io",
        "backuppolicies.dataprotection.kubeblocks.io",
        "backuprepos.dataprotection.kubeblocks.io",
        "backupschedules.dataprotection.kubeblocks.io",
        "restores.dataprotection.kubeblocks.io",
        "storageproviders.storage.kubeblocks.io",
    }
    assert {kind.kind for kind in KINDS if not kind.namespaced} == {"ActionSet", "BackupRepo", "StorageProvider"}
    assert {name: kind.kind for kind in KINDS for name in kind.short_names} == {
        "as": "ActionSet",
        "bp": "BackupPolicy",
        "bs": "BackupSchedule",
    }
    assert all(kind.status and "kubeblocks" in kind.categories for kind in KINDS)
    assert [kind.kind for kind in KINDS if "all" in kind.categories] == ["Restore"]
    columns = {kind.kind: [column.name.upper() for column in kind.columns] for kind in KINDS}
    assert columns["BackupRepo"] == ["STATUS", "STORAGEPROVIDER", "ACCESSMETHOD", "DEFAULT", "AGE"]
    assert columns["Backup"][:6] == ["POLICY", "METHOD", "REPO", "STATUS", "TOTAL-SIZE", "DURATION"]


SCHEMAS = {kind.kind: Schema.compile(openapi_of(kind.type)) for kind in KINDS}


def errors(kind: str, spec: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """Judge a spec as the API server does."""
    outcome = SCHEMAS[kind].process({"spec": spec}, {"spec": old} if old is not None else None)
    return [f"{error.path}: {error.detail}" for error in outcome.errors]


BACKUP = {"backupPolicyName": "p", "backupMethod": "m", "deletionPolicy": "Delete"}


@pytest.mark.parametrize("period", ["7d", "1y2mo3w4d5h6m", "6m1mo", " 30d12h ", "", "0d"])
def test_a_period_in_the_documented_grammar_is_accepted(period: str) -> None:
    assert errors("Backup", BACKUP | {"retentionPeriod": period}) == []


@pytest.mark.parametrize("period", ["7", "7D", "-7d", "7 d", "1.5d", "seven days", "7s"])
def test_a_period_in_no_grammar_is_refused_at_once(period: str) -> None:
    assert any("spec.retentionPeriod" in error for error in errors("Backup", BACKUP | {"retentionPeriod": period}))


@pytest.mark.parametrize("period", ["7d7d", "1m2m", "1mo1w1mo", "1m1h1m", "5m2mo5m", "2h1d2h "])
def test_a_period_that_names_a_unit_twice_is_refused_as_ambiguous(period: str) -> None:
    assert errors("Backup", BACKUP | {"retentionPeriod": period}) == [
        "spec.retentionPeriod: names a unit twice, which can be read as a sum or as a correction: write each unit once"
    ]


@pytest.mark.parametrize(
    ("kind", "old", "new", "field"),
    [
        ("Backup", BACKUP, BACKUP | {"backupMethod": "other"}, "spec.backupMethod"),
        ("Backup", BACKUP, BACKUP | {"backupPolicyName": "other"}, "spec.backupPolicyName"),
        (
            "Backup",
            BACKUP | {"parentBackupName": "a"},
            BACKUP | {"parentBackupName": "b"},
            "spec.parentBackupName",
        ),
        (
            "BackupRepo",
            {"storageProviderRef": "s3", "pvReclaimPolicy": "Retain"},
            {"storageProviderRef": "nfs", "pvReclaimPolicy": "Retain"},
            "spec.storageProviderRef",
        ),
        (
            "Restore",
            {"backup": {"name": "a", "namespace": "n"}},
            {"backup": {"name": "b", "namespace": "n"}},
            "spec.backup",
        ),
    ],
)
def test_what_a_run_was_started_with_cant_be_changed(kind: str, old: dict[str, Any], new: dict[str, Any], field: str) -> None:
    assert errors(kind, new, old) == [f"{field}: can't be changed"]
    assert errors(kind, old, old) == []


def test_a_parent_may_be_named_late() -> None:
    assert errors("Backup", BACKUP | {"parentBackupName": "a"}, BACKUP) == []


def test_parameters_can_neither_come_nor_go() -> None:
    given = BACKUP | {"parameters": [{"name": "a", "value": "1"}]}
    assert errors("Backup", given, BACKUP) == ["spec: parameters can't be added or removed later"]
    assert errors("Backup", BACKUP, given) == ["spec: parameters can't be added or removed later"]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        (
            "BackupPolicy",
            {"backupMethods": [{"name": "m"}]},
            "spec: exactly one of target and targets must be set",
        ),
        (
            "ActionSet",
            {"backup": {"preBackup": [{"exec": {"command": ["a"]}, "job": {"image": "i", "command": ["b"]}}]}},
            "spec.backup.preBackup[0]: only one of exec and job may be set",
        ),
        (
            "Restore",
            {"backup": {"name": "b", "namespace": "n"}, "readyConfig": {}},
            "spec.readyConfig: one of jobAction and execAction must be set",
        ),
        (
            "Restore",
            {"backup": {"name": "b", "namespace": "n"}, "prepareDataConfig": {"dataSourceRef": {"mountPath": ""}}},
            "spec.prepareDataConfig.dataSourceRef: one of volumeSource and mountPath must be set",
        ),
    ],
)
def test_fields_that_need_or_exclude_each_other_are_told(kind: str, spec: dict[str, Any], expected: str) -> None:
    assert errors(kind, spec) == [expected]


def test_required_fields_with_a_default_may_be_left_out() -> None:
    spec = {"backupPolicyName": "p", "backupMethod": "m"}
    assert SCHEMAS["Backup"].process({"spec": spec}).object["spec"]["deletionPolicy"] == "Delete"
    policy = {"backupMethods": [{"name": "m"}], "target": {"podSelector": {"matchLabels": {"a": "b"}}}}
    found = SCHEMAS["BackupPolicy"].process({"spec": policy})
    assert found.errors == []
    assert found.object["spec"]["target"]["podSelector"]["strategy"] == "Any"
    assert found.object["spec"]["backoffLimit"] == 2
