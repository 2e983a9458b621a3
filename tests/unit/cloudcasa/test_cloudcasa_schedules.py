"""Definitions on a schedule: due times become jobs, once each, and rest is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from holdfast.core.objects import Kind, Object
from holdfast.core.observe_objects import observe_object
from holdfast.core.plan import Desired, StepState, Until
from holdfast.core.ports import Outcome
from holdfast.dialects.cloudcasa.kinds import (
    API_VERSION,
    BACKUPDEF,
    COPYDEF,
    KUBEJOB,
    NAMESPACE,
    ORGANIZATION,
    ORGANIZATION_LABEL,
    local_cluster_id,
)
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.dialects.cloudcasa.scheduled import KubebackupHandler, KubeoffloadHandler

POLICY, BACKUP, OFFLOAD = "1" * 24, "2" * 24, "3" * 24
CLUSTER = local_cluster_id(ORGANIZATION)


class World:
    """Objects by reference; implements View."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str], Object] = {}
        self.now = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
        labels = {ORGANIZATION_LABEL: "true"}
        self.objects[NAMESPACE, ORGANIZATION] = {"metadata": {"name": ORGANIZATION, "labels": labels}}
        self.put("kubeclusters", CLUSTER, {"name": "local"})
        self.put(
            "policies",
            POLICY,
            {"name": "p", "timezone": "UTC", "schedules": [{"retainDays": 9, "schedule": {"cronSpec": "0 * * * *"}}]},
        )
        source = {"namespaces": ["shop"]}
        self.put("kubebackups", BACKUP, {"name": "b", "cluster": CLUSTER, "trigger_type": "ADHOC", "source": source})
        fields = {
            "name": "o",
            "backupdef": BACKUP,
            "policy": POLICY,
            "cluster": CLUSTER,
            "trigger_type": "SCHEDULED",
            "run_backup": True,
        }
        self.put("kubeoffloads", OFFLOAD, fields)

    def put(self, plural: str, ident: str, spec: Object) -> Object:
        kind = COLLECTIONS[plural].kind
        meta = {"name": ident, "namespace": ORGANIZATION, "uid": ident, "creationTimestamp": "2026-11-21T10:00:00Z"}
        obj: Object = {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": meta, "spec": spec}
        self.objects[kind, ident] = obj
        return obj

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        found = [obj for (each, _), obj in self.objects.items() if each == kind]
        return [obj for obj in found if label is None or obj["metadata"].get("labels", {}).get(label[0]) == label[1]]

    def step(self, namespace: str, name: str, kind: Kind = KUBEJOB, until: Until | None = None) -> StepState:
        return observe_object(self, namespace, name, kind, until)

    def look(self, minutes: float, *, backup: bool = False) -> list[Object]:
        """Let time pass and a definition be looked at until nothing more happens; returns the new jobs."""
        self.now = datetime.fromtimestamp(self.now.timestamp() + 60 * minutes, UTC)
        handler = KubebackupHandler("kubebackups") if backup else KubeoffloadHandler("kubeoffloads")
        owner = self.objects[handler.kind, BACKUP if backup else OFFLOAD]
        made: list[Object] = []
        for _ in range(3):
            desired = handler.compile(owner, self, self.now)
            assert isinstance(desired, Desired)
            for child in desired.children:
                key = (KUBEJOB, child.object["metadata"]["name"])
                if child.object["kind"] == "Kubejob" and key not in self.objects:
                    child.object["metadata"] |= {"creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"), "uid": key[1]}
                    self.objects[key] = child.object
                    made.append(child.object)
            owner["status"] = handler.project(owner, self, Outcome(), self.now)
        return made

    def end(self, job: Object, state: str = "COMPLETED") -> None:
        job["status"] = {"state": state, "start_time": int(self.now.timestamp())}

    @property
    def offload(self) -> Object:
        return self.objects[COLLECTIONS["kubeoffloads"].kind, OFFLOAD]

    @property
    def policy(self) -> Object:
        return self.objects[COLLECTIONS["policies"].kind, POLICY]


def test_each_due_time_makes_one_job_with_the_retention_of_its_schedule() -> None:
    world = World()
    assert world.look(10) == []

    (job,) = world.look(50.5)

    assert job["spec"]["due"] == datetime(2026, 11, 21, 11, 0, tzinfo=UTC).timestamp()
    assert job["spec"]["retention"] == {"retainDays": 9}
    assert job["spec"]["run_backup"] is True
    assert job["metadata"]["labels"] == {COPYDEF: OFFLOAD, BACKUPDEF: BACKUP}
    assert world.offload["status"]["jobid"] == job["metadata"]["name"]
    world.end(job)
    assert world.look(1) == []
    assert len(world.look(60)) == 1


def test_a_due_time_while_a_job_runs_is_skipped_with_that_reason() -> None:
    world = World()
    (first,) = world.look(61)
    world.end(first, "RUNNING")

    (second,) = world.look(60)

    assert second["spec"]["skip"] == f"job {first['metadata']['name']} was still running"


def test_downtime_makes_one_late_run_and_one_record_of_the_rest() -> None:
    world = World()
    (first,) = world.look(61)
    world.end(first)

    skipped, late = world.look(60 * 5)

    assert "4 due times from 2026-11-21T12:00:00Z to 2026-11-21T15:00:00Z passed" in skipped["spec"]["skip"]
    assert late["spec"]["due"] == datetime(2026, 11, 21, 16, 0, tzinfo=UTC).timestamp()
    assert "skip" not in late["spec"]


def test_a_suspended_policy_runs_nothing_and_going_on_does_not_catch_up() -> None:
    world = World()
    (first,) = world.look(61)
    world.end(first)
    world.policy["status"] = {"suspended": True}
    assert world.look(60 * 3) == []
    assert world.offload["status"]["rests"] == "its policy is suspended"
    world.policy["status"] = {"suspended": False}

    (record,) = world.look(1)

    assert "its policy is suspended" in record["spec"]["skip"]
    assert "rests" not in world.offload["status"]
    (job,) = world.look(60)
    assert "skip" not in job["spec"]


def test_a_changed_schedule_begins_anew_without_what_it_would_have_been() -> None:
    world = World()
    assert world.look(30) == []
    world.policy["spec"]["schedules"][0]["schedule"]["cronSpec"] = "*/5 * * * *"

    assert world.look(0) == []

    assert len(world.look(5)) == 1


def test_what_runs_on_demand_or_is_paused_makes_no_jobs() -> None:
    world = World()
    world.offload["spec"]["trigger_type"] = "ADHOC"
    assert world.look(200) == []
    backup = world.objects[COLLECTIONS["kubebackups"].kind, BACKUP]
    backup["spec"] |= {"trigger_type": "SCHEDULED", "policy": POLICY, "pause": True}
    assert world.look(200, backup=True) == []
    assert backup["status"]["rests"] == "is paused"


def test_a_kubectl_copy_gets_its_cluster_filled_in() -> None:
    world = World()
    del world.offload["spec"]["cluster"]

    desired = KubeoffloadHandler("kubeoffloads").compile(world.offload, world, world.now)

    assert isinstance(desired, Desired)
    assert desired.amend is not None
    assert desired.amend.patch == {"spec": {"cluster": CLUSTER}}


def test_outside_of_an_organisation_nothing_is_done() -> None:
    world = World()
    namespace: dict[str, Any] = world.objects[NAMESPACE, ORGANIZATION]
    namespace["metadata"]["labels"] = {}

    problems = KubeoffloadHandler("kubeoffloads").compile(world.offload, world, world.now)

    assert "is no organisation" in str(problems)


def test_the_ledger_is_told_of_every_due_time() -> None:
    world = World()
    (first,) = world.look(61)
    world.end(first, "PARTIAL")

    (schedule,) = KubeoffloadHandler("kubeoffloads").schedules(world.offload, world, world.now)

    assert schedule.text == "0 * * * *"
    assert [(mark.run, mark.outcome.value) for mark in schedule.marks] == [(first["metadata"]["name"], "Ran")]
