"""What a snapshot, a claim or any other object says about the step that made it."""

import pytest
from tests.sim.world import START, World, claim, snapshot

from holdfast.core.kinds import CLAIM, STORAGE_CLASS, VOLUME_SNAPSHOT
from holdfast.core.objects import Kind, Object, Ref
from holdfast.core.observe_objects import DEFAULT_CLASS, observe_object, observe_snapshot, observe_until
from holdfast.core.plan import Phase, StepState, Until
from holdfast.core.times import format_time


def snapshot_with(**status: object) -> StepState:
    made = snapshot("s")
    made["metadata"]["creationTimestamp"] = format_time(START)
    return observe_snapshot({**made, "status": status})


def test_a_snapshot_is_done_when_it_is_ready_and_shows_its_moment() -> None:
    assert snapshot_with(readyToUse=False, creationTime="2026-11-20T13:00:01Z").phase is Phase.RUNNING
    state = snapshot_with(readyToUse=True, creationTime="2026-11-20T13:00:01.5Z", error={"message": "an earlier try"})
    assert (state.phase, state.started) == (Phase.SUCCEEDED, START)
    assert state.finished is not None
    assert state.finished.second == 1


def test_an_error_that_may_pass_is_what_a_snapshot_waits_for() -> None:
    state = snapshot_with(error={"message": "rpc error: code = DeadlineExceeded desc = slow"})
    assert (state.phase, state.reason) == (Phase.RUNNING, "SnapshotError")
    assert state.message == "VolumeSnapshot s: rpc error: code = DeadlineExceeded desc = slow"


@pytest.mark.parametrize("said", ["rpc error: code = Unimplemented desc = x", "driver a.b does not support snapshot"])
def test_an_error_that_comes_back_for_ever_ends_a_snapshot(said: str) -> None:
    state = snapshot_with(error={"message": said})
    assert (state.phase, state.reason) == (Phase.FAILED, "SnapshotFailed")
    assert said in state.message


def claim_with(storage_class: Object | None, name: str | None = "fast", **status: str) -> StepState:
    world, made = World(), claim("c")
    made["spec"] = {"storageClassName": name} if name is not None else {}
    world.objects[Ref(CLAIM, "demo", "c")] = {**made, "status": status}
    if storage_class is not None:
        world.objects[Ref(STORAGE_CLASS, "", "fast")] = storage_class
    return observe_object(world, "demo", "c", CLAIM)


def storage_class(mode: str, **annotations: str) -> Object:
    return {"kind": "StorageClass", "metadata": {"name": "fast", "annotations": annotations}, "volumeBindingMode": mode}


def test_a_claim_is_done_when_it_is_bound() -> None:
    assert claim_with(storage_class("Immediate"), phase="Bound").phase is Phase.SUCCEEDED
    state = claim_with(storage_class("Immediate"), phase="Pending")
    assert (state.phase, state.message) == (Phase.RUNNING, "PersistentVolumeClaim c is not bound to a volume yet")


def test_a_claim_that_is_bound_by_its_first_pod_is_done_at_once() -> None:
    assert claim_with(storage_class("WaitForFirstConsumer"), phase="Pending").phase is Phase.SUCCEEDED


def test_a_claim_without_a_class_is_judged_by_the_default_one() -> None:
    assert claim_with(storage_class("WaitForFirstConsumer", **{DEFAULT_CLASS: "true"}), None).phase is Phase.SUCCEEDED
    assert "none is marked as the default" in claim_with(storage_class("WaitForFirstConsumer"), None).message
    assert claim_with(None, "").reason == "NotBound"


def test_a_claim_whose_class_does_not_exist_names_it() -> None:
    state = claim_with(None)
    assert (state.phase, state.message) == (Phase.RUNNING, "PersistentVolumeClaim c: there is no StorageClass fast")


def test_a_claim_that_lost_its_volume_has_failed() -> None:
    assert (claim_with(None, phase="Lost").phase, claim_with(None, phase="Lost").reason) == (Phase.FAILED, "ClaimLost")


THING: Object = {"kind": "Thing", "metadata": {"name": "t"}}


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        ({}, Phase.RUNNING, ""),
        ({"phase": "Running"}, Phase.RUNNING, ""),
        ({"phase": "Succeeded"}, Phase.SUCCEEDED, ""),
        ({"phase": "Failed", "message": "no room"}, Phase.FAILED, "Failed"),
    ],
)
def test_another_object_is_done_as_its_status_says(status: Object, phase: Phase, reason: str) -> None:
    state = observe_until({**THING, "status": status}, Until())
    assert (state.phase, state.reason) == (phase, reason)
    assert ("no room" in state.message) == (phase is Phase.FAILED)


def test_a_condition_decides_with_its_own_reason_and_message() -> None:
    until = Until(condition="Ready", bad=("False",))
    failed = {"type": "Ready", "status": "False", "reason": "NoDisk", "message": "the disk is gone"}
    state = observe_until({**THING, "status": {"conditions": [failed]}}, until)
    assert (state.phase, state.reason) == (Phase.FAILED, "NoDisk")
    assert "the disk is gone" in state.message
    assert observe_until({**THING, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, until).phase.terminal
    assert observe_until(THING, until).phase is Phase.RUNNING


def test_an_object_without_an_until_is_done_when_it_exists() -> None:
    world, kind = World(), Kind("", "ConfigMap")
    assert observe_object(world, "demo", "x", kind).phase is Phase.WAITING
    world.objects[Ref(kind, "demo", "x")] = {"kind": "ConfigMap", "metadata": {"name": "x"}}
    assert observe_object(world, "demo", "x", kind).phase is Phase.SUCCEEDED
    assert observe_object(world, "demo", "none", VOLUME_SNAPSHOT).exists is False
