"""Jobs of other clusters at home: what travels with one, when one is given up; and what a job that failed has left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.cloudcasa.test_cloudcasa_schedules import BACKUP, OFFLOAD, World

from holdfast.core.objects import Object
from holdfast.core.plan import Desired
from holdfast.core.ports import Outcome
from holdfast.core.read import mapping, text
from holdfast.dialects.cloudcasa import points, remote, travel
from holdfast.dialects.cloudcasa.definitions import KubeclusterHandler
from holdfast.dialects.cloudcasa.handler import Documents
from holdfast.dialects.cloudcasa.kinds import (
    AGENT_NAMESPACE,
    BACKUPINSTANCE,
    DELETES,
    KUBEBACKUP,
    KUBEJOB,
    ORGANIZATION,
    ORIGIN,
)
from holdfast.dialects.cloudcasa.kubejob import KubejobHandler

OTHER, STORE, JOB = "a" * 24, "b" * 24, "c" * 24
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def scene(*, heard: datetime | None = NOW, state: str = "", cluster: str = OTHER, **fields: object) -> tuple[World, Object]:
    """A job of another cluster that was last heard of at `heard`; with `state` it runs there."""
    world = World()
    there = world.put("kubeclusters", OTHER, {"name": "other"})
    if heard:
        there["status"] = {"last_seen": int(heard.timestamp())}
    world.put("objectstores", STORE, {"name": "store", "provider_type": "aws", "private": True, "bucket_name": "copies"})
    world.objects[KUBEBACKUP, BACKUP]["spec"]["cluster"] = cluster
    job = world.put("jobs", JOB, {"name": "j", "type": "KUBE_OFFLOAD", "cluster": cluster, "copydef": OFFLOAD, **fields})
    job["spec"]["backupdef"] = BACKUP
    if state:
        job["status"] = {"state": state, "jobrunner": "agent of other", "start_time": 1, "objectstore": STORE}
    return world, job


def at(minutes: float, world: World, job: Object) -> Object:
    """Return the status of a job some minutes later."""
    handler, now = KubejobHandler(), NOW + timedelta(minutes=minutes)
    assert isinstance(handler.compile(job, world, now), Desired)
    return handler.project(job, world, Outcome(), now)


def test_a_job_is_handed_over_once_its_store_is_chosen_and_fails_when_nobody_ever_reported() -> None:
    world, job = scene()
    assert mapping({"s": at(0, world, job)}, "s") | {"activity": 0} == {
        "state": "PENDING",
        "jobrunner": "agent of other",
        "message": "waits for the agent of cluster other",
        "objectstore": STORE,
        "terminal": False,
        "activity": 0,
    }

    world, job = scene(heard=None)

    ended = at(0, world, job)
    assert (ended["state"], "agentURL" in ended["message"]) == ("FAILED", True)


def test_a_job_that_nobody_takes_fails_after_ten_minutes() -> None:
    world, job = scene(heard=NOW + timedelta(minutes=10))
    job["status"] = at(0, world, job)

    assert at(9, world, job)["state"] == "PENDING"
    assert at(10, world, job)["state"] == "FAILED"


@pytest.mark.parametrize(
    ("minutes", "cancel", "state"), [(59, False, "RUNNING"), (60, False, "FAILED"), (3, True, "CANCELLED")]
)
def test_a_job_that_runs_elsewhere_is_given_up_after_an_hour_of_silence(minutes: int, cancel: bool, state: str) -> None:
    world, job = scene(state="RUNNING", cancel=cancel)

    assert at(minutes, world, job)["state"] == state


def test_a_cluster_is_active_as_long_as_it_is_heard_of() -> None:
    world, _ = scene()
    cluster = world.objects[KubeclusterHandler("kubeclusters").kind, OTHER]
    handler = KubeclusterHandler("kubeclusters")
    states = [handler.status(cluster, world, Outcome(), NOW + late)["state"] for late in (timedelta(0), remote.SILENT)]

    assert states == ["ACTIVE", "PENDING"]


def test_what_travels_runs_only_when_asked_and_says_where_it_came_from() -> None:
    world, job = scene(state="PENDING")

    found = travel.documents_for(job, Documents(world, ORGANIZATION), AGENT_NAMESPACE, "7")

    assert [each["kind"] for each in found] == ["Kubecluster", "Objectstore", "Kubebackup", "Kubeoffload", "Kubejob"]
    assert {each["metadata"]["labels"][ORIGIN] for each in found} == {OTHER}
    assert {each["metadata"]["namespace"] for each in found} == {AGENT_NAMESPACE}
    offload = found[3]["spec"]
    assert ("policy" in offload, offload["trigger_type"], offload["run_backup"]) == (False, "ADHOC", True)


def failed_copy(*, point: bool) -> tuple[World, Object]:
    """A job here that has failed after it copied something, and with `point` after its recovery point was made."""
    world, job = scene(cluster="")
    volumes = [{"namespace": "shop", "claim": "data", "state": "COMPLETED", "snapshot_id": "d1"}]
    ended = {"state": "FAILED", "end_time": int(NOW.timestamp()), "start_time": 1, "snapshot_inst": "e" * 24}
    job["status"] = {**ended, "objectstore": STORE, "volumes": volumes, "resources": "d2"}
    if point:
        made = points.copy_point(job, NOW, "s3:x", ["d3"])
        world.objects[BACKUPINSTANCE, made["metadata"]["name"]] = made
    return world, job


@pytest.mark.parametrize("point", [False, True])
def test_what_a_failed_copy_left_goes_but_for_what_a_point_holds(point: bool) -> None:
    world, job = failed_copy(point=point)
    handler = KubejobHandler()
    early = handler.compile(job, world, NOW + timedelta(seconds=4))
    late = handler.compile(job, world, NOW + timedelta(seconds=5))
    assert isinstance(early, Desired)
    assert isinstance(late, Desired)
    assert early.children == ()

    (child,) = late.children

    left = child.object["spec"]["leftovers"]
    assert text(child.object, "metadata", "labels", DELETES) == JOB
    assert left["objectstore"] == STORE
    if point:
        assert (left["tags"], left["keep"]) == ([f"job={JOB}"], ["d1", "d2", "d3"])
    else:
        assert (left["tags"], left["keep"]) == ([f"job={JOB}", f"point={points.copy_id(job)}"], [])
    child.object["metadata"]["creationTimestamp"] = "2026-11-21T10:00:05Z"
    world.objects[KUBEJOB, child.object["metadata"]["name"]] = child.object
    again = handler.compile(job, world, NOW + timedelta(seconds=9))
    assert isinstance(again, Desired)
    assert again.children == ()
