"""What Antfly manifests turn into: the samples as printed, and that every field of a spec changes something.

`HOLDFAST_UPDATE_GOLDEN=1 pytest tests/golden/test_antfly_golden.py` writes `antfly/*.yaml` anew.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from holdfast.core.kinds import JOB
from holdfast.core.objects import Kind, Object, kind_of
from holdfast.core.plan import Desired, Problems, StepState, Until
from holdfast.core.ports import Handler, Outcome
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.types import KINDS
from holdfast.engine.jobs import finish_child, finish_step
from holdfast.movers.fills import movers
from holdfast.schema.emit import openapi_of
from holdfast.schema.structural import Schema

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "antfly"
NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
SCHEMAS = {kind.kind: Schema.compile(openapi_of(kind.type)) for kind in KINDS}
HANDLERS: dict[str, Handler] = {handler.kind.kind: handler for handler in Antfly().handlers}
SAMPLES = ("daily-backup", "critical-tables", "gcs-backup", "cross-namespace", "suspended-backup", "restore")


class Seen:
    """A cluster in which the AntflyClusters of the samples are, and what a test adds."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {(kind_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in objects}

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind, namespace, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        return ()

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        return StepState()


def cluster(name: str = "my-cluster", **changes: Any) -> Object:
    return {
        "apiVersion": "antfly.io/v1",
        "kind": "AntflyCluster",
        "metadata": {"name": name, "namespace": "production", **changes.pop("metadata", {})},
        "spec": {"image": "antfly:1", "mode": "Clustered", **changes},
        "status": {"phase": "Running"},
    }


def sample(name: str) -> Object:
    document = next(yaml.safe_load_all((ROOT / "examples" / "antfly" / f"{name}.yaml").read_text()))
    return applied(document)


def applied(document: Object) -> Object:
    outcome = SCHEMAS[document["kind"]].process(copy.deepcopy(document))
    assert (outcome.errors, outcome.unknown) == ([], [])
    meta = {"uid": "uid-1", "generation": 1, "creationTimestamp": "2026-11-20T13:40:00Z"}
    return {**outcome.object, "metadata": {**document["metadata"], **meta}}


def judged(obj: Object, *objects: Object) -> Desired | Problems:
    return HANDLERS[obj["kind"]].compile(obj, Seen(*objects), NOW)


def rendered(obj: Object, *objects: Object) -> list[Object]:
    """Return the status, and every child as the engine would make it."""
    desired = judged(obj, *objects)
    assert isinstance(desired, Desired)
    made = [finish_child(child, movers(), "holdfast:test") for child in desired.children]
    made += [finish_step(obj, plan, step, movers(), "holdfast:test") for plan in desired.runs for step in plan.steps]
    seen = Seen(*objects, *made)
    status = HANDLERS[obj["kind"]].project(obj, seen, Outcome(), NOW)
    return [msgspec.json.decode(msgspec.json.encode(each)) for each in ({"status": status}, *made)]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_of_the_page_turns_into(name: str) -> None:
    found = yaml.safe_dump_all(rendered(sample(name), cluster(), cluster("production-cluster")), sort_keys=True, width=128)
    path = FOLDER / f"{name}.yaml"
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.read_text() == found, f"{path.name} differs: HOLDFAST_UPDATE_GOLDEN=1 writes it anew, if the change is meant"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clusterRef", {"name": "production-cluster"}),
        ("clusterRef", {"name": "my-cluster", "namespace": "elsewhere"}),
        ("schedule", "0 3 * * *"),
        ("destination", {"location": "s3://other"}),
        ("destination", {"location": "s3://my-bucket/antfly-backups", "credentialsSecret": {"name": "other"}}),
        ("tables", ["users"]),
        ("suspend", True),
        ("backupTimeout", "2h"),
        ("successfulJobsHistoryLimit", 7),
        ("failedJobsHistoryLimit", 7),
    ],
)
def test_each_field_of_a_backup_changes_what_is_made(field: str, value: Any) -> None:
    plain = sample("daily-backup")
    changed = {**plain, "spec": {**plain["spec"], field: value}}
    around = (cluster(), cluster("production-cluster"))
    assert judged(changed, *around) != judged(plain, *around)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clusterRef", {"name": "production-cluster"}),
        ("source", {"backupId": "other", "location": "s3://my-bucket/antfly-backups"}),
        ("source", {"backupId": "daily-backup-20261121020000-1a2b3c4d", "location": "s3://other"}),
        ("tables", ["users"]),
        ("restoreMode", "overwrite"),
        ("restoreTimeout", "3h"),
        ("backoffLimit", 0),
    ],
)
def test_each_field_of_a_restore_changes_what_is_made(field: str, value: Any) -> None:
    plain = sample("restore")
    changed = {**plain, "spec": {**plain["spec"], field: value}}
    around = (cluster(), cluster("production-cluster"))
    assert judged(changed, *around) != judged(plain, *around)


@pytest.mark.parametrize(
    "changes",
    [
        {"publicAPI": {"enabled": True, "port": 8080}},
        {"publicAPI": {"enabled": False}},
        {"metadata": {"annotations": {"holdfast.dev/antfly-endpoint": "https://db.example"}}},
        {"dataNodes": {"envFrom": [{"secretRef": {"name": "backup-credentials"}}]}},
        {"metadataNodes": {"envFrom": [{"secretRef": {"name": "elsewhere"}}]}},
        {"mode": "Swarm", "swarm": {"envFrom": [{"secretRef": {"name": "backup-credentials"}}]}},
    ],
)
def test_what_an_antfly_cluster_says_changes_call_or_conditions(changes: dict[str, Any]) -> None:
    assert rendered(sample("daily-backup"), cluster(**changes)) != rendered(sample("daily-backup"), cluster())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Degraded"}, ("False", "ClusterNotReady")),
        ({"conditions": [{"type": "Available", "status": "False", "message": "1 of 3"}]}, ("False", "ClusterNotReady")),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, ("True", "ClusterReady")),
        ({}, ("Unknown", "NotChecked")),
    ],
)
def test_readiness_is_what_the_cluster_says_of_itself(status: Object, expected: tuple[str, str]) -> None:
    told = rendered(sample("daily-backup"), {**cluster(), "status": status})[0]["status"]
    found = next(each for each in told["conditions"] if each["type"] == "ClusterReady")
    assert (found["status"], found["reason"]) == expected
    assert told["phase"] == "Active"


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("daily-backup", "schedule", "0 25 * * *", "InvalidSchedule"),
        ("daily-backup", "schedule", "0 0 30 2 *", "InvalidSchedule"),
        ("daily-backup", "destination", {"location": "s3:///x"}, "InvalidDestination"),
        ("daily-backup", "backupTimeout", "0s", "ValidationFailed"),
        ("daily-backup", "backupTimeout", "soon", "ValidationFailed"),
        ("daily-backup", "tables", ["a", "a"], "ValidationFailed"),
        ("daily-backup", "tables", [""], "ValidationFailed"),
        ("daily-backup", "clusterRef", {"name": ""}, "ValidationFailed"),
        ("restore", "source", {"backupId": "../x", "location": "s3://b"}, "InvalidSource"),
        ("restore", "restoreTimeout", "-1h", "ValidationFailed"),
    ],
)
def test_what_is_wrong_has_the_reason_of_the_page(kind: str, field: str, value: Any, said: str) -> None:
    plain = sample(kind)
    found = judged({**plain, "spec": {**plain["spec"], field: value}}, cluster())
    assert isinstance(found, Problems)
    assert [(problem.reason, problem.field.startswith(f"spec.{field}")) for problem in found.items] == [(said, True)]


def test_a_cluster_that_an_operator_looks_after_is_not_asked() -> None:
    fresh = applied({**cluster(), "status": {}})
    asked = judged({**fresh, "status": {}})
    assert isinstance(asked, Desired)
    assert [plan.name for plan in asked.runs] == ["health"]
    others = {**fresh, "status": {"phase": "Running"}}
    assert judged(others) == Desired()
    assert HANDLERS["AntflyCluster"].project(others, Seen(), Outcome(), NOW) == {"phase": "Running"}
