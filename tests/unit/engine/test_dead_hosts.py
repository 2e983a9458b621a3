"""A mover is told which lock holders are dead, and never that a pod which may still write is."""

from holdfast.core.labels import MOVER
from holdfast.engine.dead import MOST, dead_hosts


def pod(name: str, phase: str, *, reason: str = "", mover: bool = True, created: str = "2026-01-01T00:00:00Z") -> dict:
    labels = {MOVER: "volume-backup"} if mover else {}
    meta = {"name": name, "labels": labels, "creationTimestamp": created}
    return {"metadata": meta, "status": {"phase": phase, "reason": reason}}


def test_only_failed_movers_are_dead() -> None:
    pods = [pod("killed", "Failed", reason="NodeRestarted"), pod("busy", "Running"), pod("done", "Succeeded")]
    assert dead_hosts(pods) == ["killed"]


def test_a_pod_that_is_only_out_of_sight_may_still_write() -> None:
    assert dead_hosts([pod("lost", "Failed", reason="NodeLost")]) == []


def test_pods_that_are_no_movers_hold_no_locks() -> None:
    assert dead_hosts([pod("app", "Failed", mover=False)]) == []


def test_the_newest_are_named_when_there_are_too_many() -> None:
    pods = [pod(f"pod-{n}", "Failed", created=f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(MOST + 5)]
    named = dead_hosts(pods)
    assert len(named) == MOST
    assert named[0] == f"pod-{MOST + 4}"
