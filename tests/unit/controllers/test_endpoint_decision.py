"""Which pods are behind a Service."""

from typing import Any

from holdfast.core.objects import Object
from holdfast.embedded.controllers import endpoint_decision as decision

SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "db", "namespace": "demo", "uid": "u"},
    "spec": {"selector": {"app": "db"}, "ports": [{"name": "sql", "port": 80, "targetPort": "sql"}]},
}


def pod(name: str, *, ready: bool = True, port: int = 5432, **fields: Any) -> Object:
    status = {"podIP": f"10.0.0.{len(name)}", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    status |= fields.pop("status", {})
    container = {"name": "main", "ports": [{"name": "sql", "containerPort": port}]}
    meta = {"name": name, "namespace": "demo", "uid": name, "labels": {"app": "db"}, **fields.pop("meta", {})}
    return {"metadata": meta, "spec": {"nodeName": "here", "containers": [container], **fields}, "status": status}


def ready(*pods: Object, **spec: Any) -> dict[str, bool]:
    service = {**SERVICE, "spec": {**SERVICE["spec"], **spec}}
    slices = decision.slices(service, pods)
    return {end["targetRef"]["name"]: end["conditions"]["ready"] for each in slices for end in each["endpoints"]}


def test_only_selected_pods_with_an_address_that_still_run_are_behind_a_service() -> None:
    stranger = pod("bb", meta={"labels": {"app": "web"}})
    over, homeless = pod("ccc", status={"phase": "Succeeded"}), pod("dddd", status={"podIP": ""})
    assert ready(pod("a"), stranger, over, homeless) == {"a": True}


def test_traffic_goes_to_ready_pods_until_they_are_deleted_unless_the_service_wants_all() -> None:
    leaving = pod("bb", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    pods = (pod("a"), leaving, pod("ccc", ready=False))
    assert ready(*pods) == {"a": True, "bb": False, "ccc": False}
    assert ready(*pods, publishNotReadyAddresses=True) == {"a": True, "bb": True, "ccc": True}


def test_a_named_port_may_be_another_number_in_each_pod() -> None:
    slices = decision.slices(SERVICE, [pod("a", port=1), pod("bb", port=2), pod("ccc", port=1)])
    seen = {each["ports"][0]["port"]: [end["targetRef"]["name"] for end in each["endpoints"]] for each in slices}
    assert seen == {1: ["a", "ccc"], 2: ["bb"]}
    assert [each["metadata"]["name"] for each in slices] == ["db", "db-1"]
    older = decision.endpoints(SERVICE, [pod("a", port=1), pod("bb", port=2, ready=False)])
    assert [sorted(each) for each in older["subsets"]] == [["addresses", "ports"], ["notReadyAddresses", "ports"]]


def test_a_pod_has_its_name_below_the_service_that_it_names() -> None:
    def names(subdomain: str) -> list[Any]:
        slices = decision.slices(SERVICE, [pod("db-0", hostname="db-0", subdomain=subdomain)])
        return [end.get("hostname") for each in slices for end in each["endpoints"]]

    assert (names("db"), names("other")) == (["db-0"], [None])
