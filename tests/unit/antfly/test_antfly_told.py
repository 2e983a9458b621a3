"""What a user reads of a run whose pod was lost or can't start: how its backup ended, what a lost restore may have left."""

from __future__ import annotations

import pytest
from tests.golden.test_antfly_mutation import NOW, cluster, sample
from tests.sim.cluster import Cluster
from tests.sim.test_antfly_sim import BACKUP, BAD, GOOD, start

from holdfast.core.objects import Kind, Ref
from holdfast.core.observe import LAST_WORD_GRACE
from holdfast.core.plan import Phase, Problems, Run, RunKind, StepState
from holdfast.core.report import Report
from holdfast.dialects.antfly import retention
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.kinds import JOB

RESTORE = Ref(Kind("antfly.io", "AntflyRestore"), "production", "bring-back")


def running(name: str) -> Cluster:
    world = Cluster(Antfly().handlers, NOW)
    world.put(cluster() | {"status": {"phase": "Running"}})
    world.put(sample(name))
    world.settle()
    return world


def events(world: Cluster, ref: Ref) -> list[tuple[str, str]]:
    desired = world.handlers[ref.kind].compile(world.objects[ref], world, world.now)
    assert not isinstance(desired, Problems)
    return [(note.reason, note.message) for note in desired.notes]


@pytest.mark.parametrize(("report", "reason"), [(GOOD, "BackupCompleted"), (BAD, "BackupFailed")])
def test_the_end_of_a_backup_that_was_looked_for_is_an_event(report: Report, reason: str) -> None:
    world = running("daily-backup")
    start(world, "lost")
    world.settle()
    world.end(Ref(JOB, "production", "lost"), None, failed=True)
    world.now += LAST_WORD_GRACE
    world.settle()
    assert events(world, BACKUP) == [], "nobody knows yet"

    world.end(Ref(JOB, "production", "lost-adopt"), report, failed=report is BAD)

    assert [told for told, _ in events(world, BACKUP)] == [reason]
    world.settle()
    assert events(world, BACKUP) == [], "it is told once"


def test_a_restore_whose_pod_was_lost_says_that_the_server_may_go_on() -> None:
    world = running("restore")
    world.end(Ref(JOB, "production", "bring-back-restore"), None, failed=True)
    world.now += LAST_WORD_GRACE
    world.settle()

    status = world.objects[RESTORE]["status"]

    assert status["phase"] == "Failed"
    assert "the server may go on" in status["message"]


def test_a_restore_that_said_why_it_failed_is_quoted_alone() -> None:
    world = running("restore")
    world.end(Ref(JOB, "production", "bring-back-restore"), BAD, failed=True)
    world.settle()

    assert world.objects[RESTORE]["status"]["message"] == "1 of 2 tables is missing"


def test_a_deletion_of_old_backups_that_can_not_begin_says_why() -> None:
    step = StepState(phase=Phase.RUNNING, exists=True, reason="CreateContainerConfigError", message='secret "keys" not found')
    run = Run(name=retention.PLAN, kind=RunKind.RETENTION, phase=Phase.RUNNING, steps={retention.PLAN: step})

    (told,) = retention.told(run, 1)

    assert (told.status, told.reason) == ("False", "CreateContainerConfigError")
    assert told.message == 'waits: secret "keys" not found'


def test_a_deletion_that_works_says_nothing_yet() -> None:
    run = Run(
        name=retention.PLAN,
        kind=RunKind.RETENTION,
        phase=Phase.RUNNING,
        steps={retention.PLAN: StepState(phase=Phase.RUNNING, exists=True)},
    )
    assert retention.told(run, 1) == ()
