"""How many pods of a PodDisruptionBudget may go."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.core.times import format_time
from holdfast.embedded.controllers.disruption_decision import EVICTION_SECONDS, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}


def pod(name: str, *, ready: bool = True, owned: bool = True, going: bool = False) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "demo", "labels": {"app": "web"}}
    meta |= {"ownerReferences": [OWNER]} if owned else {}
    meta |= {"deletionTimestamp": format_time(NOW)} if going else {}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": meta, "spec": {}, "status": {"phase": "Running", "conditions": conditions}}


def budget(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "calm", "namespace": "demo", "generation": 3}, "spec": spec, "status": status or {}}


def counted(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(found[key] for key in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"minAvailable": 1}, (3, 1, 3, 2)),
        ({"minAvailable": 3}, (3, 3, 3, 0)),
        ({"minAvailable": "50%"}, (4, 2, 3, 1)),
        ({"minAvailable": "100%"}, (4, 4, 3, 0)),
        ({"maxUnavailable": 1}, (4, 3, 3, 0)),
        ({"maxUnavailable": "50%"}, (4, 2, 3, 1)),
        ({"maxUnavailable": 9}, (4, 0, 3, 3)),
    ],
)
def test_numbers_and_shares_of_three_pods_of_which_four_are_wanted(spec: dict[str, Any], shown: tuple[int, ...]):
    found = decide(budget(**spec), [pod("a"), pod("b"), pod("c")], lambda _: 4, NOW).status
    assert counted(found) == shown
    assert found["conditions"][0]["status"] == ("True" if shown[3] else "False")
    assert found["observedGeneration"] == 3


def test_pods_that_are_not_ready_or_going_are_not_healthy():
    pods = [pod("a"), pod("b", ready=False), pod("c", going=True)]
    assert counted(decide(budget(minAvailable=1), pods, lambda _: 3, NOW).status) == (3, 1, 1, 0)


def test_an_eviction_that_was_granted_counts_until_its_pod_goes_and_two_minutes_at_most():
    pods, moment = [pod("a"), pod("b")], format_time(NOW)
    status = {"disruptedPods": {"a": moment}}
    fresh = decide(budget(status, minAvailable=1), pods, lambda _: 2, NOW + timedelta(seconds=1))
    assert counted(fresh.status) == (2, 1, 1, 0)
    assert fresh.after == EVICTION_SECONDS - 1
    stale = decide(budget(status, minAvailable=1), pods, lambda _: 2, NOW + timedelta(seconds=EVICTION_SECONDS))
    assert counted(stale.status) == (2, 1, 2, 1)
    assert "disruptedPods" not in stale.status


def test_a_share_of_pods_without_a_controller_allows_nothing_and_says_why():
    found = decide(budget(maxUnavailable=1), [pod("lone", owned=False)], lambda _: None, NOW).status
    assert found["disruptionsAllowed"] == 0
    assert found["conditions"][0]["reason"] == "SyncFailed"
    assert "lone has no controller" in found["conditions"][0]["message"]
