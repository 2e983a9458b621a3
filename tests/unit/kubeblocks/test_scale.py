"""50,000 Backups that have not expired cost nothing while a day goes by: each sleeps until its own time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from tests.unit.kubeblocks.memory import GROUP, thing

from holdfast.core.advance import advance
from holdfast.core.diff import merge_patch
from holdfast.core.objects import Object
from holdfast.core.plan import Desired
from holdfast.core.ports import Outcome
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.kubeblocks.backup import BackupHandler
from holdfast.kube.queue import WorkQueue

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
COUNT = 50_000
EMPTY = cast("Any", SimpleNamespace(get=lambda *_, **__: None, list=lambda *_, **__: ()))
"""A cluster in which a Backup that is over finds nothing of its own."""


def kept(number: int) -> Object:
    """Build a Completed Backup that expires between 25 hours and a month from now."""
    due = NOW + timedelta(hours=25, seconds=number * 50)
    status = {"phase": "Completed", "completionTimestamp": format_time(NOW), "expiration": format_time(due)}
    labels = {f"{GROUP}/backup-policy": f"policy-{number % 1000}"}
    meta = {"labels": labels, "finalizers": [f"{GROUP}/finalizer"], "uid": str(number)}
    spec = {"backupPolicyName": f"policy-{number % 1000}", "backupMethod": "dump", "deletionPolicy": "Delete"}
    return thing("Backup", f"backup-{number}", meta=meta, status=status, **spec)


def test_unexpired_backups_ask_for_one_look_each_at_their_own_time_and_for_no_request() -> None:
    clock = SimpleNamespace(now=0.0)
    queue: WorkQueue[int] = WorkQueue(clock=lambda: clock.now)
    handler = BackupHandler("default")
    for number in range(COUNT):
        obj = kept(number)
        desired = handler.compile(obj, EMPTY, NOW)
        assert isinstance(desired, Desired)
        decision = advance(obj, desired, EMPTY, NOW, finalizer=handler.finalizer)
        assert (decision.first, decision.last) == ((), ())
        assert merge_patch(obj["status"], handler.project(obj, EMPTY, Outcome(runs=decision.runs), NOW)) == {}
        assert decision.requeue is not None
        assert decision.requeue.at == parse_time(obj["status"]["expiration"])
        queue.add_after(number, (decision.requeue.at - NOW).total_seconds())

    clock.now = timedelta(days=1).total_seconds()
    assert queue.take() is None, "a day has gone by, and nobody was looked at"
    assert queue.delayed == COUNT

    clock.now = timedelta(hours=25).total_seconds()
    assert queue.take() == 0, "the first one has expired"
    assert queue.take() is None
