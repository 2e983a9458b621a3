"""A Backup whose job succeeded without saying what it saved: it is looked at before it counts."""

from __future__ import annotations

from tests.golden.test_kubeblocks_runs_golden import backup_running, backup_whose_words_are_lost
from tests.unit.kubeblocks.memory import Memory

from holdfast.core.report import Failure

CHECK = "dp-backup-0-check-full-uid-back"


def test_nothing_is_completed_without_a_word() -> None:
    memory = backup_running()
    memory.end_silently(memory.names("Job")[0])
    memory.settle()

    assert memory.status("Backup", "full")["phase"] == "Running"
    assert CHECK not in memory.names("Job"), "the words may still come"


def looked_at(**outcome: object) -> Memory:
    memory = backup_whose_words_are_lost()
    memory.finish(CHECK, **outcome)  # type: ignore[arg-type]
    memory.settle()
    return memory


def test_what_a_look_finds_is_the_size_and_the_backup_is_completed() -> None:
    status = looked_at(details={"storedBytes": 77}).status("Backup", "full")

    assert (status["phase"], status["totalSize"], status["actions"][0]["phase"]) == ("Completed", "77", "Completed")


def test_a_look_that_finds_something_wrong_fails_the_backup() -> None:
    unreadable = "what was saved can't be read back: part-1 is cut short"
    status = looked_at(details={"problem": unreadable}).status("Backup", "full")
    assert (status["phase"], status["failureReason"]) == ("Failed", unreadable)

    status = looked_at(failure=Failure("Unreachable", "the bucket does not answer")).status("Backup", "full")
    assert status["phase"] == "Failed"
    assert "does not answer" in status["failureReason"]
