from holdfast.core.objects import Object
from holdfast.embedded.controllers.scheduling_decision import choose


def node(name: str, *, ready: bool = True, labels: dict[str, str] | None = None, **spec: object) -> Object:
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False", "message": "no bwrap"}]}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}


def pod(**spec: object) -> Object:
    return {"metadata": {"name": "p", "namespace": "demo"}, "spec": spec}


BOUND: Object = {"metadata": {}, "status": {"phase": "Bound"}}


def test_the_node_with_the_fewest_pods_is_chosen() -> None:
    assert choose(pod(), [node("a"), node("b")], {}, {"a": 3, "b": 1}).node == "b"


def test_a_selector_that_matches_no_node_is_said() -> None:
    found = choose(pod(nodeSelector={"disk": "ssd"}), [node("a")], {}, {})
    assert found.message == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    assert choose(pod(nodeSelector={"disk": "ssd"}), [node("a", labels={"disk": "ssd"})], {}, {}).node == "a"


def test_affinity_by_expression_is_honoured() -> None:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert choose(pod(affinity=affinity), [node("a"), node("b", labels={"zone": "x"})], {}, {}).node == "b"


def test_a_missing_or_unbound_claim_is_named() -> None:
    assert 'persistentvolumeclaim "data" not found' in choose(pod(), [node("a")], {"data": None}, {}).message
    pending: Object = {"metadata": {}, "status": {"phase": "Pending"}}
    assert '"data" is not bound' in choose(pod(), [node("a")], {"data": pending}, {}).message
    assert choose(pod(), [node("a")], {"data": BOUND}, {}).node == "a"


def test_a_node_that_is_not_ready_says_why() -> None:
    assert "no bwrap" in choose(pod(), [node("a", ready=False)], {}, {}).message
    assert choose(pod(), [], {}, {}).message == "0/0 nodes are available: there is no node."


def test_taints_keep_pods_away_that_do_not_tolerate_them() -> None:
    tainted = node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert "untolerated taint {k: v}" in choose(pod(), [tainted], {}, {}).message
    assert choose(pod(tolerations=[{"key": "k", "operator": "Exists"}]), [tainted], {}, {}).node == "a"
