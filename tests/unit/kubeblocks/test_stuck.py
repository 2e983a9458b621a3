"""What keeps a Job's pod from its start, for how long that is waited for, and what people are told then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.kubeblocks.memory import Memory

from holdfast.core.kinds import STATEFUL_SET
from holdfast.core.objects import Object
from holdfast.core.plan import Step
from holdfast.core.times import format_time
from holdfast.dialects.kubeblocks import stuck

BORN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "dump", "uid": "u-dump", "controller": True}


def job(**spec: Any) -> Object:
    meta = {"name": "dump", "namespace": "default", "uid": "u-dump", "creationTimestamp": format_time(BORN)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": {}}, **spec}}


def pod(name: str = "dump-1", born: datetime = BORN, phase: str = "Pending", **status: Any) -> Object:
    meta = {"name": name, "namespace": "default", "creationTimestamp": format_time(born), "ownerReferences": [OWNER]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": {"phase": phase, **status}}


def waiting(reason: str, message: str = "") -> Object:
    return {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]}


def unschedulable() -> Object:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits"}]}


def judged(after: timedelta, *objects: Object) -> dict[str, str]:
    world = Memory(*objects, now=BORN + after)
    return stuck.reasons([Step(name="dump", child=job())], world, BORN + after)


SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "limit", "words"),
    [
        (waiting("CreateContainerConfigError", 'secret "db" not found'), 30 * SECOND, 'secret "db" not found'),
        (waiting("ImagePullBackOff", "no such image"), 5 * MINUTE, "no such image"),
        (unschedulable(), 30 * MINUTE, "no node fits"),
        (waiting("ContainerCreating"), 30 * MINUTE, "no pod of Job dump has started in 30 minutes"),
    ],
)
def test_a_pod_that_does_not_start_is_waited_for_as_long_as_its_reason_deserves(
    status: Object, limit: timedelta, words: str
) -> None:
    assert judged(limit - SECOND, job(), pod(**status)) == {}
    assert words in judged(limit, job(), pod(**status))["dump"]


def test_a_job_whose_account_is_missing_has_no_pod_and_says_which() -> None:
    lost = job(template={"spec": {"serviceAccountName": "backup"}})
    assert "ServiceAccount default/backup does not exist" in judged(30 * SECOND, lost)["dump"]


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Unknown"])
def test_a_pod_that_has_begun_is_never_judged_by_its_start(phase: str) -> None:
    assert judged(timedelta(days=1), job(), pod(phase=phase), pod("dump-2", **unschedulable())) == {}


def test_each_attempt_of_a_job_has_the_whole_time() -> None:
    second = pod("dump-2", BORN + 20 * MINUTE, **unschedulable())
    assert judged(49 * MINUTE, job(), pod(phase="Failed"), second) == {}
    assert "no node fits" in judged(50 * MINUTE, job(), pod(phase="Failed"), second)["dump"]


def test_between_two_attempts_and_while_suspended_nothing_is_judged() -> None:
    assert judged(timedelta(days=1), job(), pod(phase="Failed")) == {}
    assert judged(timedelta(days=1), job(suspend=True)) == {}


def test_a_look_is_asked_for_at_the_end_of_the_patience_and_not_after_it() -> None:
    steps, objects = [Step(name="dump", child=job())], (job(), pod(**unschedulable()))
    assert stuck.due(steps, Memory(*objects, now=BORN), BORN) == [BORN + 30 * MINUTE]
    assert stuck.due(steps, Memory(*objects, now=BORN), BORN + 30 * MINUTE) == []


def test_children_of_other_kinds_are_not_judged() -> None:
    child = {**job(), "kind": STATEFUL_SET.kind}
    assert stuck.reasons([Step(name="dump", child=child)], Memory(now=BORN), BORN + timedelta(days=1)) == {}
