"""The CRDs of KubeStash: they are what the types say, a server accepts them, and they judge objects as users expect."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from holdfast.dialects.kubestash.types import KINDS, BackupConfiguration
from holdfast.schema.emit import crd, openapi_of
from holdfast.schema.generate import files
from holdfast.schema.kind import KindSpec
from holdfast.schema.structural import Outcome, Schema

ROOT = Path(__file__).parents[2]
SAMPLE = yaml.safe_load((ROOT / "tests/samples/kubestash-seed.yaml").read_text())
SCHEMAS = {kind.kind: Schema.compile(openapi_of(kind.type)) for kind in KINDS}


def changed(path: str, value: Any) -> Outcome:
    """Process the sample with one field set; numbers in the path are list positions."""
    obj = copy.deepcopy(SAMPLE)
    *way, last = path.split(".")
    place: Any = obj
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    return SCHEMAS["BackupConfiguration"].process(obj)


def test_the_tree_holds_exactly_what_the_types_generate() -> None:
    generated = files("kubestash", "KubeStash", KINDS)
    present = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deploy/crds/kubestash").iterdir()}
    assert present == {path for path in generated if path.startswith("deploy/")}
    stale = [path for path, text in generated.items() if (ROOT / path).read_text() != text]
    assert stale == [], "run `make gen`"


def test_the_thirteen_kinds_have_their_names_scope_and_status() -> None:
    assert {kind.crd_name for kind in KINDS} == {
        "backupconfigurations.core.kubestash.com",
        "backupsessions.core.kubestash.com",
        "restoresessions.core.kubestash.com",
        "backupblueprints.core.kubestash.com",
        "backupverifier.core.kubestash.com",
        "backupverificationsessions.core.kubestash.com",
        "hooktemplates.core.kubestash.com",
        "backupstorages.storage.kubestash.com",
        "retentionpolicies.storage.kubestash.com",
        "repositories.storage.kubestash.com",
        "snapshots.storage.kubestash.com",
        "addons.addons.kubestash.com",
        "functions.addons.kubestash.com",
    }
    assert {kind.kind for kind in KINDS if not kind.namespaced} == {"Addon", "Function"}
    without = {"RetentionPolicy", "Addon", "Function", "HookTemplate", "BackupBlueprint", "BackupVerifier"}
    assert {kind.kind for kind in KINDS if not kind.status} == without
    assert {kind.kind for kind in KINDS if "all" not in kind.categories} == {"RetentionPolicy", "Snapshot"}
    assert {name for kind in KINDS for name in kind.short_names} == {"bc", "restore", "repo"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_field_is_described_and_each_column_exists(kind: KindSpec) -> None:
    version = crd(kind)["spec"]["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    assert undescribed(root, kind.kind) == []
    for column in version["additionalPrinterColumns"]:
        steps = column["jsonPath"].split(".")[1:]
        node = root
        for step in steps if steps[0] != "metadata" else ():
            node = node["properties"][step]


def undescribed(node: dict[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for name, child in node.get("properties", {}).items():
        if not child.get("description") and name != "metadata":
            found.append(f"{path}.{name}")
        found += undescribed(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in node:
            found += undescribed(node[part], path)
    return found


def test_the_sample_of_the_documentation_passes_as_it_is_printed() -> None:
    outcome = SCHEMAS["BackupConfiguration"].process(SAMPLE)
    assert outcome.errors == []
    assert outcome.unknown == []
    assert outcome.object["status"] == SAMPLE["status"]
    spec = outcome.object["spec"]
    assert spec["paused"] is False
    assert spec["sessions"][0]["addon"] == SAMPLE["spec"]["sessions"][0]["addon"]
    assert spec["sessions"][0]["scheduler"]["jobTemplate"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert spec["sessions"][0]["repositories"][0]["deletionPolicy"] == "Delete"
    assert msgspec.convert(outcome.object, BackupConfiguration).spec.sessions[0].name == "demo-session"


def test_a_second_pass_changes_nothing() -> None:
    once = SCHEMAS["BackupConfiguration"].process(SAMPLE).object
    assert SCHEMAS["BackupConfiguration"].process(once).object == once


def test_a_misspelt_field_is_named_and_dropped() -> None:
    outcome = changed("spec.sessions.0.sheduler", {})
    assert outcome.unknown == ["spec.sessions[0].sheduler"]
    assert "sheduler" not in outcome.object["spec"]["sessions"][0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "spec.paused",
            "yes",
            'spec.paused: Invalid value: "string": spec.paused in body must be of type boolean: "string"',
        ),
        (
            "spec.sessions.0.retryConfig.maxRetry",
            0,
            "spec.sessions[0].retryConfig.maxRetry: Invalid value: 0: "
            "spec.sessions[0].retryConfig.maxRetry in body should be greater than or equal to 1",
        ),
        (
            "spec.sessions.0.repositories.0.deletionPolicy",
            "Keep",
            "spec.sessions[0].repositories[0].deletionPolicy: Unsupported value: "
            '"Keep": supported values: "Delete", "Retain", "WipeOut"',
        ),
        ("spec.backends.0", {"name": "a"}, "spec.backends[0].storageRef: Required value"),
        ("spec.sessions", [], "spec.sessions: Invalid value: 0: spec.sessions in body should have at least 1 items"),
        ("spec.target", {"kind": "StatefulSet"}, "spec.target.name: Required value"),
        (
            "spec.backends",
            [{"name": "a", "storageRef": {"name": "x"}}, {"name": "a", "storageRef": {"name": "y"}}],
            'spec.backends[1]: Duplicate value: {"name":"a"}',
        ),
        (
            "spec.sessions.0.repositories",
            [{"name": "r", "directory": "/a"}, {"name": "r", "directory": "/b"}],
            'spec.sessions[0].repositories[1]: Duplicate value: {"name":"r"}',
        ),
    ],
)
def test_a_wrong_object_is_told_what_is_wrong_where(path: str, value: Any, expected: str) -> None:
    assert [str(error) for error in changed(path, value).errors] == [expected]


def test_two_sessions_of_one_name_are_a_duplicate() -> None:
    errors = changed("spec.sessions", SAMPLE["spec"]["sessions"] * 2).errors
    assert [str(error) for error in errors] == ['spec.sessions[1]: Duplicate value: {"name":"demo-session"}']


def test_both_spellings_of_the_time_limits_are_kept() -> None:
    for spelling in ("timeout", "backupTimeout"):
        assert changed(f"spec.sessions.0.{spelling}", "1h").unknown == []
    for spelling in ("timeout", "restoreTimeout"):
        spec = {"dataSource": {"snapshot": "latest", "repository": "r"}, spelling: "1h"}
        assert SCHEMAS["RestoreSession"].process({"spec": spec}).object["spec"] == spec


def test_a_storage_keeps_the_volume_source_that_is_written_inline() -> None:
    local = {"nfs": {"server": "nas", "path": "/b"}, "mountPath": "/m"}
    given = {"spec": {"storage": {"provider": "local", "local": local}, "usagePolicy": {"allowedNamespaces": {"from": None}}}}
    outcome = SCHEMAS["BackupStorage"].process(given)
    assert (outcome.errors, outcome.unknown) == ([], [])
    assert outcome.object["spec"] == {
        "storage": {"provider": "local", "local": local},
        "usagePolicy": {"allowedNamespaces": {"from": "Same"}},
        "default": False,
        "deletionPolicy": "Delete",
    }


def test_a_retention_policy_gets_its_default_and_refuses_a_period_without_unit() -> None:
    outcome = SCHEMAS["RetentionPolicy"].process({"spec": {"maxRetentionPeriod": "30"}})
    assert outcome.object["spec"]["failedSnapshots"] == {"last": 1}
    assert [error.path for error in outcome.errors] == ["spec.maxRetentionPeriod"]
