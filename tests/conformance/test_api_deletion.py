"""Deletion: finalizers, owners and dependents, grace, collections, namespaces."""

import asyncio

import pytest
from tests.api_samples import config_map, pod
from tests.embedded_fixture import Http, api_server, http, until  # noqa: F401

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = pytest.mark.api

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def _owned(name: str, *owners: dict, **meta) -> dict:
    refs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], **meta}
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": refs}}


async def _is_gone(http: Http, path: str) -> bool:  # noqa: F811
    return (await http.call("GET", path)).code == 404


async def test_an_object_with_a_finalizer_goes_when_the_last_one_is_taken_off(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, {"metadata": {"name": "a", "finalizers": ["x.dev/keep"]}})
    lingering = await http.ok("DELETE", f"{MAPS}/a")
    assert lingering["metadata"]["deletionTimestamp"]
    again = await http.ok("DELETE", f"{MAPS}/a")
    assert again["metadata"]["resourceVersion"] == lingering["metadata"]["resourceVersion"]
    refused = await http.patch(f"{MAPS}/a", {"metadata": {"finalizers": ["x.dev/keep", "y.dev/late"]}})
    assert refused.code == 422
    await http.patch(f"{MAPS}/a", {"metadata": {"finalizers": None}})
    assert await _is_gone(http, f"{MAPS}/a")


async def test_preconditions_protect_another_object_of_the_same_name(http: Http):  # noqa: F811
    made = await http.ok("POST", MAPS, config_map("a"))
    refused = await http.call("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "another"}})
    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    await http.ok("DELETE", f"{MAPS}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})
    missing = await http.call("DELETE", f"{MAPS}/a")
    assert (missing.code, missing.body["message"]) == (404, 'configmaps "a" not found')


async def test_dependents_follow_their_owner_through_generations(http: Http):  # noqa: F811
    top = await http.ok("POST", MAPS, config_map("top"))
    middle = await http.ok("POST", MAPS, _owned("middle", top))
    await http.ok("POST", MAPS, _owned("leaf", middle))
    await http.ok("DELETE", f"{MAPS}/top")
    assert await until(lambda: _is_gone(http, f"{MAPS}/leaf"))


async def test_a_dependent_with_a_second_owner_stays_until_that_one_goes(http: Http):  # noqa: F811
    one, two = await http.ok("POST", MAPS, config_map("one")), await http.ok("POST", MAPS, config_map("two"))
    await http.ok("POST", MAPS, _owned("child", one, two))
    await http.ok("DELETE", f"{MAPS}/one")

    async def has_one_owner() -> bool:
        return len((await http.ok("GET", f"{MAPS}/child"))["metadata"]["ownerReferences"]) == 1

    assert await until(has_one_owner)
    await http.ok("DELETE", f"{MAPS}/two")
    assert await until(lambda: _is_gone(http, f"{MAPS}/child"))


async def test_foreground_keeps_the_owner_until_blocking_dependents_are_gone(http: Http):  # noqa: F811
    owner = await http.ok("POST", MAPS, config_map("owner"))
    child = _owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["x.dev/keep"]
    await http.ok("POST", MAPS, child)
    await http.ok("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Foreground"})

    async def child_is_going() -> bool:
        return "deletionTimestamp" in (await http.ok("GET", f"{MAPS}/child"))["metadata"]

    assert await until(child_is_going)
    assert not await _is_gone(http, f"{MAPS}/owner")
    await http.patch(f"{MAPS}/child", {"metadata": {"finalizers": None}})
    assert await until(lambda: _is_gone(http, f"{MAPS}/owner"))


async def test_orphans_are_cut_loose(http: Http):  # noqa: F811
    owner = await http.ok("POST", MAPS, config_map("owner"))
    await http.ok("POST", MAPS, _owned("child", owner))
    await http.ok("DELETE", f"{MAPS}/owner?propagationPolicy=Orphan")
    assert "ownerReferences" not in (await http.ok("GET", f"{MAPS}/child"))["metadata"]


async def test_an_object_of_an_owner_that_never_was_is_collected(http: Http):  # noqa: F811
    ghost = {"metadata": {"name": "ghost", "uid": "0" * 36}}
    await http.ok("POST", MAPS, _owned("child", ghost))
    assert await until(lambda: _is_gone(http, f"{MAPS}/child"))


@pytest.mark.own
async def test_what_a_stop_interrupted_is_collected_after_the_start(api_server: ApiServer, http: Http):  # noqa: F811
    owner = await http.ok("POST", MAPS, config_map("owner"))
    await asyncio.gather(*(http.ok("POST", MAPS, _owned(f"child{at}", owner)) for at in range(50)))
    await http.ok("DELETE", f"{MAPS}/owner")
    await api_server.stop()
    await api_server.start()

    async def none_left() -> bool:
        items = (await http.ok("GET", MAPS))["items"]
        return not [item for item in items if item["metadata"]["name"].startswith("child")]

    assert await until(none_left, 30)


async def test_a_running_pod_is_given_its_grace_and_the_node_has_the_last_word(http: Http):  # noqa: F811
    await http.ok("POST", PODS, pod("p", schedulerName="nobody", terminationGracePeriodSeconds=20))
    await http.ok("POST", f"{PODS}/p/binding", {"target": {"name": "n1"}})
    going = await http.ok("DELETE", f"{PODS}/p")
    assert (going["kind"], going["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 20)
    shorter = await http.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    longer = await http.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 60})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    assert not await _is_gone(http, f"{PODS}/p")
    last = await http.ok("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert last["kind"] == "Pod"
    assert await _is_gone(http, f"{PODS}/p")


async def test_a_pod_without_a_node_goes_at_once(http: Http):  # noqa: F811
    await http.ok("POST", PODS, pod("p", schedulerName="nobody"))
    assert (await http.ok("DELETE", f"{PODS}/p"))["kind"] == "Pod"
    assert await _is_gone(http, f"{PODS}/p")


async def test_a_collection_is_deleted_by_selector(http: Http):  # noqa: F811
    for at in range(4):
        await http.ok("POST", MAPS, {"metadata": {"name": f"m{at}", "labels": {"even": str(at % 2 == 0).lower()}}})
    await http.ok("DELETE", f"{MAPS}?labelSelector=even=true")
    left = [item["metadata"]["name"] for item in (await http.ok("GET", MAPS))["items"]]
    assert left == ["kube-root-ca.crt", "m1", "m3"]


async def test_a_namespace_waits_for_finalizers_of_its_contents_and_takes_nothing_new(http: Http):  # noqa: F811
    spaces, inside = "/api/v1/namespaces", "/api/v1/namespaces/demo/configmaps"
    await http.ok("POST", spaces, {"metadata": {"name": "demo"}})
    assert (await http.ok("GET", "/api/v1/namespaces/demo/serviceaccounts/default"))["kind"] == "ServiceAccount"
    await http.ok("POST", inside, {"metadata": {"name": "a", "finalizers": ["x.dev/keep"]}})
    going = await http.ok("DELETE", f"{spaces}/demo")
    assert going["status"]["phase"] == "Terminating"
    refused = await http.call("POST", inside, config_map("b"))
    assert (refused.code, "being terminated" in refused.body["message"]) == (403, True)

    async def is_going() -> bool:
        return "deletionTimestamp" in (await http.ok("GET", f"{inside}/a"))["metadata"]

    assert await until(is_going)
    await http.patch(f"{inside}/a", {"metadata": {"finalizers": None}})
    assert await until(lambda: _is_gone(http, f"{spaces}/demo"))


async def test_the_namespaces_of_the_system_stay(http: Http):  # noqa: F811
    for name in ("default", "kube-system", "kube-public"):
        reply = await http.call("DELETE", f"/api/v1/namespaces/{name}")
        assert (reply.code, "may not be deleted" in reply.body["message"]) == (403, True)
