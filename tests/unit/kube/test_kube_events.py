"""Events appear for `kubectl describe`, count what repeats, and never hurt the one who emits them."""

from datetime import UTC, datetime
from typing import Any

from tests.unit.kube.fake import FakeApi, Fault

from holdfast.kube.events import MESSAGE_LIMIT, EventRecorder

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly", "namespace": "demo", "uid": "u-1"}}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u-2"}}


def events_in(api: FakeApi) -> list[dict[str, Any]]:
    return [obj for path, obj in api.objects.items() if "/events/" in path]


async def test_an_event_says_what_happened_to_whom(api: FakeApi):
    async with api.client() as client:
        recorder = EventRecorder(client, "holdfast-engine", now=lambda: datetime(2026, 11, 20, 13, 43, 24, tzinfo=UTC))
        recorder.emit(JOB, "Warning", "BackupFailed", "the repository is locked")
        await recorder.flush()
    (event,) = events_in(api)
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "BackupFailed", "the repository is locked")
    assert event["involvedObject"] == {
        "apiVersion": "batch/v1", "kind": "Job", "name": "nightly", "namespace": "demo", "uid": "u-1"
    }  # fmt: skip
    assert (event["count"], event["firstTimestamp"], event["source"]) == (
        1, "2026-11-20T13:43:24Z", {"component": "holdfast-engine"}
    )  # fmt: skip


async def test_the_same_event_again_raises_its_count_also_after_a_restart(api: FakeApi):
    async with api.client() as client:
        first = EventRecorder(client, "holdfast-engine")
        for _ in range(3):
            first.emit(JOB, "Warning", "BackupFailed", "locked")
        await first.flush()
        first.emit(JOB, "Warning", "BackupFailed", "locked")
        await first.flush()
        second = EventRecorder(client, "holdfast-engine")
        second.emit(JOB, "Warning", "BackupFailed", "locked")
        second.emit(JOB, "Warning", "BackupFailed", "another message")
        await second.flush()
    assert sorted(event["count"] for event in events_in(api)) == [1, 5]


async def test_an_event_that_the_server_expired_is_made_anew(api: FakeApi):
    async with api.client() as client:
        recorder = EventRecorder(client, "holdfast-engine")
        recorder.emit(JOB, "Normal", "Started", "x")
        await recorder.flush()
        await api.drop("/api/v1/events", "demo", events_in(api)[0]["metadata"]["name"])
        recorder.emit(JOB, "Normal", "Started", "x")
        await recorder.flush()
    assert [event["count"] for event in events_in(api)] == [1]


async def test_events_of_cluster_wide_objects_go_to_the_default_namespace_and_long_messages_are_cut(api: FakeApi):
    async with api.client() as client:
        recorder = EventRecorder(client, "holdfast-node")
        recorder.emit(NODE, "Warning", "Disk", "x" * 5000)
        await recorder.flush()
    (event,) = events_in(api)
    assert event["metadata"]["namespace"] == "default"
    assert len(event["message"]) == MESSAGE_LIMIT


async def test_nothing_reaches_the_caller_neither_refusals_nor_broken_objects(api: FakeApi):
    api.fail("POST", Fault(403, reason="Forbidden"))
    async with api.client() as client:
        recorder = EventRecorder(client, "holdfast-node")
        recorder.emit(JOB, "Normal", "Lost", "refused by the server")
        recorder.emit({}, "Normal", "Broken", "this object has no name")
        recorder.emit(JOB, "Normal", "Kept", "taken by the server")
        await recorder.flush()
    assert [event["reason"] for event in events_in(api)] == ["Kept"]
