"""Rollouts, simulated: whatever the order in which pods become ready, the promised number stays available."""

import random
from typing import Any

import pytest
from tests.unit.controllers.objects import NOW, pod

from holdfast.core.objects import Object
from holdfast.embedded.controllers import daemonset_decision, replicaset_decision
from holdfast.embedded.controllers.deployment_decision import HASH, REVISION, Decision, bounds, decide, set_name


def deployment(replicas: int = 3, command: str = "one", **spec: object) -> Object:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i", "command": [command]}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "demo", "uid": "d-1", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


class World:
    """ReplicaSets as their controller would keep them; pods become ready at random."""

    def __init__(self, seed: int) -> None:
        self.sets: dict[str, Object] = {}
        self.status: Object = {}
        self.random = random.Random(seed)

    def step(self, wanted: Object) -> Decision:
        found = decide({**wanted, "status": self.status}, list(self.sets.values()), NOW)
        if found.create is not None:
            made = found.create | {"status": {}}
            made["metadata"] = {**made["metadata"], "generation": 1, "uid": made["metadata"]["name"]}
            self.sets[made["metadata"]["name"]] = made
        for name, size in found.scale.items():
            rs = self.sets[name]
            rs["spec"] = {**rs["spec"], "replicas": size}
            rs["metadata"]["generation"] += 1
        for rs in found.delete:
            del self.sets[rs["metadata"]["name"]]
        self.status = found.status
        return found

    def settle(self) -> None:
        """One ReplicaSet sees its size; one of its pods may become ready."""
        if not self.sets:
            return
        rs = self.random.choice(list(self.sets.values()))
        size = rs["spec"]["replicas"]
        ready = min(rs["status"].get("readyReplicas", 0), size)
        ready += self.random.random() < 0.7 and ready < size
        rs["status"] = {
            "replicas": size,
            "readyReplicas": int(ready),
            "availableReplicas": int(ready),
            "observedGeneration": rs["metadata"]["generation"],
        }

    def total(self, name: str) -> int:
        return sum(int(rs["status"].get(name, 0)) for rs in self.sets.values())

    def roll(self, wanted: Object, watch: Any) -> None:
        for _ in range(2000):
            self.step(wanted)
            self.settle()
            watch()
            done = self.status.get("updatedReplicas") == wanted["spec"]["replicas"] == self.status.get("replicas")
            if done and self.status["availableReplicas"] == wanted["spec"]["replicas"]:
                return
        raise AssertionError(f"it did not come to an end: {self.status}")


@pytest.mark.parametrize("seed", range(20))
def test_a_rollout_keeps_what_it_promises_and_ends(seed: int) -> None:
    world = World(seed)
    size = world.random.randint(1, 9)
    surge, missing = world.random.choice([("25%", "25%"), (1, 0), (0, 1), ("50%", 0), (0, "100%"), (0, 0)])
    rolling = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}}
    world.roll(deployment(size, "one", **rolling), lambda: None)
    more, fewer = bounds(deployment(size, "two", **rolling))

    def watch() -> None:
        assert sum(rs["spec"]["replicas"] for rs in world.sets.values()) <= size + more
        assert world.total("availableReplicas") >= size - fewer

    world.roll(deployment(size, "two", **rolling), watch)
    assert {rs["spec"]["replicas"] for rs in world.sets.values()} == {0, size}


@pytest.mark.parametrize("seed", range(5))
def test_recreate_never_has_two_templates_at_once(seed: int) -> None:
    world = World(seed)
    world.roll(deployment(3, "one", strategy={"type": "Recreate"}), lambda: None)

    def watch() -> None:
        assert sum(bool(rs["status"].get("replicas") or rs["spec"]["replicas"]) for rs in world.sets.values()) <= 1

    world.roll(deployment(3, "two", strategy={"type": "Recreate"}), watch)


def test_history_is_kept_up_to_its_limit_and_an_old_template_comes_back_with_a_new_revision() -> None:
    world = World(1)
    for command in ("one", "two", "three", "four"):
        world.roll(deployment(2, command, revisionHistoryLimit=1), lambda: None)
    world.step(deployment(2, "four", revisionHistoryLimit=1))
    assert len(world.sets) == 2
    found = world.step(deployment(2, "three", revisionHistoryLimit=1))
    assert found.create is None
    assert found.revision == "5"


def test_a_replica_set_carries_the_mark_of_its_template() -> None:
    made = decide(deployment(), [], NOW).create
    assert made is not None
    mark = made["metadata"]["labels"][HASH]
    assert made["metadata"]["name"] == set_name(deployment()) == f"web-{mark}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", HASH: mark}
    assert made["spec"]["template"]["metadata"]["labels"][HASH] == mark
    assert made["metadata"]["annotations"][REVISION] == "1"


def replica_set(replicas: int, **spec: object) -> Object:
    made = decide(deployment(replicas), [], NOW).create
    assert made is not None
    return made | {"metadata": {**made["metadata"], "uid": "rs-1", "generation": 1}, "spec": {**made["spec"], **spec}}


def test_pods_of_a_replica_set_have_names_that_do_not_depend_on_what_was_seen() -> None:
    rs = replica_set(3)
    names = replicaset_decision.decide(rs, [], NOW).create
    assert len(set(names)) == 3
    assert replicaset_decision.decide(rs, [pod(names[1], "Running", ready=True)], NOW).create == (names[0], names[2])
    dying = pod(names[0], "Running", deletionTimestamp="2026-11-20T13:00:00Z")
    again = replicaset_decision.decide(rs, [dying, pod(names[1]), pod(names[2])], NOW).create
    assert len(again) == 1
    assert again[0] not in names


def test_the_least_useful_pods_go_first() -> None:
    pods = [pod("good", "Running", ready=True), pod("unready", "Running"), pod("waiting"), pod("over", "Failed")]
    for each in pods[:2]:
        each["spec"]["nodeName"] = "n"
    gone = replicaset_decision.decide(replica_set(1), pods, NOW).delete
    assert [each["metadata"]["name"] for each in gone] == ["over", "waiting", "unready"]


def test_a_pod_is_available_after_it_was_ready_for_long_enough() -> None:
    rs = replica_set(1, minReadySeconds=10)
    fresh = pod("a", "Running", ready=True)
    fresh["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-20T12:59:56Z"
    found = replicaset_decision.decide(rs, [fresh], NOW)
    assert (found.status["readyReplicas"], found.status["availableReplicas"], found.after) == (1, 0, 6.0)


def daemon_set(command: str = "one") -> Object:
    return deployment(command=command) | {
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "demo", "uid": "ds-1"},
    }


def node(name: str, **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def test_a_daemon_set_serves_the_nodes_that_take_it_and_replaces_one_pod_at_a_time() -> None:
    nodes = [node("a"), node("b"), node("c", taints=[{"key": "gpu", "effect": "NoSchedule"}])]
    assert daemonset_decision.decide(daemon_set(), [], nodes).create == ("a", "b")
    pods = [daemonset_decision.pod_of(daemon_set(), name) for name in ("a", "b")]
    for each in pods:
        each["metadata"]["uid"] = each["metadata"]["name"]
        each["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    settled = daemonset_decision.decide(daemon_set(), pods, nodes)
    assert (settled.create, settled.delete, settled.status["numberReady"]) == ((), (), 2)
    assert len(daemonset_decision.decide(daemon_set("two"), pods, nodes).delete) == 1
    pods[0]["status"]["conditions"][0]["status"] = "False"
    assert daemonset_decision.decide(daemon_set("two"), pods, nodes).delete == (pods[0],)
