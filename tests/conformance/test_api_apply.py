"""Server-side apply and the record of who owns what, for appliers and for everybody else."""

import json
from typing import Any

import pytest
from tests.api_samples import WIDGET_CRD, config_map
from tests.embedded_fixture import Http, Kubectl, Object, Reply, api_server, http, kubectl  # noqa: F401

pytestmark = pytest.mark.api

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
WIDGETS = "/apis/example.dev/v1/namespaces/default/widgets"


async def apply(http: Http, path: str, manager: str, body: Object, *, force: bool = False) -> Reply:  # noqa: F811
    params = {"fieldManager": manager, "force": str(force).lower()}
    return await http.patch(path, body, "apply-patch+yaml", params=params)


async def applied(http: Http, path: str, manager: str, body: Object, *, force: bool = False) -> Object:  # noqa: F811
    reply = await apply(http, path, manager, body, force=force)
    assert reply.code < 300, reply.body
    return reply.body


def the_map(**data: Any) -> Object:
    return {"apiVersion": "v1", **config_map("a", **data)}


def widget(**spec: Any) -> Object:
    return {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def owners(obj: Object) -> dict[tuple[str, str, str], Object]:
    return {
        (item["manager"], item["operation"], item.get("subresource", "")): item["fieldsV1"]
        for item in obj["metadata"].get("managedFields", [])
    }


def owned(obj: Object, manager: str, operation: str = "Apply") -> Object | None:
    return owners(obj).get((manager, operation, ""))


async def test_every_writer_owns_what_it_changed(http: Http):  # noqa: F811
    made = await http.ok("POST", f"{MAPS}?fieldManager=maker", config_map("a", x="1", y="1"))
    entry = made["metadata"]["managedFields"][0]
    assert {**entry, "time": ""} == {
        "manager": "maker",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:x": {}, "f:y": {}}},
    }
    changed = (await http.patch(f"{MAPS}/a?fieldManager=other", {"data": {"x": "2"}})).body
    assert owned(changed, "maker", "Update") == {"f:data": {".": {}, "f:y": {}}}
    assert owned(changed, "other", "Update") == {"f:data": {"f:x": {}}}
    gone = (await http.patch(f"{MAPS}/a?fieldManager=other", {"data": {"y": None}})).body
    assert owned(gone, "maker", "Update") == {"f:data": {}}
    same = (await http.patch(f"{MAPS}/a?fieldManager=third", {"data": {"x": "2"}})).body
    assert same == gone


async def test_an_applier_meets_the_fields_of_ordinary_writers(http: Http):  # noqa: F811
    await http.ok("POST", f"{MAPS}?fieldManager=maker", config_map("a", x="1", y="1"))
    reply = await apply(http, f"{MAPS}/a", "me", the_map(x="2", z="1"))
    assert (reply.code, reply.body["reason"]) == (409, "Conflict")
    assert reply.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "maker" using v1', "field": ".data.x"}
    ]
    assert reply.body["message"] == 'Apply failed with 1 conflict: conflict with "maker" using v1: .data.x'
    shared = await applied(http, f"{MAPS}/a", "me", the_map(x="1", z="1"))
    assert owned(shared, "me") == {"f:data": {"f:x": {}, "f:z": {}}}
    assert owned(shared, "maker", "Update") == {"f:data": {".": {}, "f:x": {}, "f:y": {}}}
    forced = await applied(http, f"{MAPS}/a", "me", the_map(x="2"), force=True)
    assert forced["data"] == {"x": "2", "y": "1"}
    assert owned(forced, "maker", "Update") == {"f:data": {".": {}, "f:y": {}}}


async def test_what_an_applier_drops_goes_unless_somebody_else_owns_it(http: Http):  # noqa: F811
    await applied(http, f"{MAPS}/a", "one", the_map(x="1", y="1", z="1"))
    await applied(http, f"{MAPS}/a", "two", the_map(y="1"))
    left = await applied(http, f"{MAPS}/a", "one", the_map(z="1"))
    assert left["data"] == {"y": "1", "z": "1"}
    again = await applied(http, f"{MAPS}/a", "one", the_map(z="1"))
    assert again["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    last = await applied(http, f"{MAPS}/a", "two", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    assert last["data"] == {"z": "1"}


async def test_keyed_lists_have_an_owner_for_each_item(http: Http):  # noqa: F811
    def service(*ports: Object) -> Object:
        meta = {"name": "s"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": list(ports)}}

    path = f"{SERVICES}/s"
    await applied(http, path, "one", service({"port": 80, "name": "http"}))
    both = await applied(http, path, "two", service({"port": 53, "protocol": "UDP", "name": "dns"}))
    assert [port["port"] for port in both["spec"]["ports"]] == [80, 53]
    reply = await apply(http, path, "two", service({"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "name": "web"}))
    assert reply.body["details"]["causes"][0]["field"] == '.spec.ports[port=80,protocol="TCP"].name'
    left = await applied(http, path, "one", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}})
    assert [port["port"] for port in left["spec"]["ports"]] == [53]


async def test_status_and_spec_are_owned_apart(http: Http):  # noqa: F811
    await http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGET_CRD)
    made = await applied(http, f"{WIDGETS}/w", "me", {**widget(size=1), "status": {"phase": "no"}})
    assert "status" not in made
    assert owned(made, "me") == {"f:spec": {"f:size": {}}}
    body = {**widget(size=9), "status": {"phase": "ok"}}
    done = await applied(http, f"{WIDGETS}/w/status", "me", body)
    assert (done["spec"]["size"], done["status"]) == (1, {"phase": "ok"})
    assert owners(done)["me", "Apply", "status"] == {"f:status": {"f:phase": {}}}
    await http.patch(f"{WIDGETS}/w/status?fieldManager=op", {"status": {"phase": "late"}})
    clash = await apply(http, f"{WIDGETS}/w/status", "me", body)
    assert (clash.code, 'with subresource "status"' in clash.body["message"]) == (409, True)
    spec = await applied(http, f"{WIDGETS}/w", "me", widget(size=2))
    assert (spec["spec"]["size"], spec["status"]["phase"]) == (2, "late")


async def test_defaults_belong_to_nobody_and_custom_lists_merge_by_their_schema(http: Http):  # noqa: F811
    await http.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGET_CRD)
    made = await applied(http, f"{WIDGETS}/w", "one", widget(size=1, parts=[{"name": "a", "weight": 1}]))
    assert made["spec"]["color"] == "red"
    both = await applied(http, f"{WIDGETS}/w", "two", widget(color="blue", parts=[{"name": "b"}]))
    assert (both["spec"]["color"], [item["name"] for item in both["spec"]["parts"]]) == ("blue", ["a", "b"])
    left = await applied(http, f"{WIDGETS}/w", "one", widget(size=1))
    assert left["spec"]["parts"] == [{"name": "b"}]


async def test_the_record_can_be_forgotten_and_the_next_applier_meets_what_was_there(http: Http):  # noqa: F811
    await http.ok("POST", f"{MAPS}?fieldManager=maker", config_map("a", x="1"))
    bare = (await http.patch(f"{MAPS}/a", {"metadata": {"managedFields": [{}]}})).body
    assert "managedFields" not in bare["metadata"]
    reply = await apply(http, f"{MAPS}/a", "me", the_map(x="2"))
    assert (reply.code, 'conflict with "before-first-apply" using v1' in reply.body["message"]) == (409, True)
    taken = await applied(http, f"{MAPS}/a", "me", the_map(x="2"), force=True)
    assert set(owners(taken)) == {("before-first-apply", "Update", ""), ("me", "Apply", "")}


async def test_a_record_that_makes_no_sense_is_not_taken_over(http: Http):  # noqa: F811
    made = await http.ok("POST", MAPS, config_map("a", x="1"))
    good = made["metadata"]["managedFields"]
    for wrong in ({"fieldsV1": {"k:{": {}}}, {"operation": "Steal"}, {"manager": 7}, {"fieldsType": "V9"}, {"fieldsV1": []}):
        reply = await http.patch(f"{MAPS}/a", {"metadata": {"managedFields": [{**good[0], **wrong}]}})
        assert (reply.code, reply.body["metadata"]["managedFields"]) == (200, good)
    moved = (await http.patch(f"{MAPS}/a", {"metadata": {"managedFields": [{**good[0], "manager": "heir"}]}})).body
    assert set(owners(moved)) == {("heir", "Update", "")}


async def test_old_writers_are_thrown_together(http: Http):  # noqa: F811
    await http.ok("POST", f"{MAPS}?fieldManager=m0", config_map("a", k0="0"))
    for number in range(1, 13):
        obj = (await http.patch(f"{MAPS}/a?fieldManager=m{number}", {"data": {f"k{number}": "1"}})).body
    assert len(obj["metadata"]["managedFields"]) == 10
    assert len(owned(obj, "ancient-changes", "Update")["f:data"]) >= 4
    everyone = [step for fields in owners(obj).values() for step in fields["f:data"]]
    assert sorted(everyone) == sorted([".", *(f"f:k{number}" for number in range(13))])


async def test_faulty_applies_are_refused(http: Http):  # noqa: F811
    assert (await http.patch(f"{MAPS}/a", the_map(), "apply-patch+yaml")).code == 400
    owner = {"metadata": {"name": "a", "managedFields": [{}]}}
    assert (await apply(http, f"{MAPS}/a", "me", {**the_map(), **owner})).code == 400
    assert (await apply(http, f"{MAPS}/a", "x" * 129, the_map())).code == 400
    assert (await apply(http, f"{MAPS}/a", "me", {"apiVersion": "v1"})).code == 400


async def test_creating_by_apply_takes_the_right_to_create(http: Http):  # noqa: F811
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"verbs": ["patch"], "apiGroups": [""], "resources": ["configmaps"]}]
    await http.ok("POST", f"{rbac}/roles", {"metadata": {"name": "p"}, "rules": rules})
    who = {"kind": "User", "name": "alice"}
    binding = {"metadata": {"name": "p"}, "roleRef": {"kind": "Role", "name": "p"}, "subjects": [who]}
    await http.ok("POST", f"{rbac}/rolebindings", binding)
    headers = {"Content-Type": "application/apply-patch+yaml", "Impersonate-User": "alice"}
    reply = await http.call("PATCH", f"{MAPS}/a?fieldManager=me", the_map(), headers=headers)
    assert (reply.code, 'cannot create resource "configmaps"' in reply.body["message"]) == (403, True)
    await http.ok("POST", MAPS, config_map("a"))
    assert (await http.call("PATCH", f"{MAPS}/a?fieldManager=me", the_map(), headers=headers)).code == 200


async def test_kubectl_takes_over_from_its_own_client_side_apply(kubectl: Kubectl):  # noqa: F811
    await kubectl.apply(the_map(x="1", y="1"))
    await kubectl.apply(the_map(x="2"), args=("--server-side",))
    text = await kubectl.ok("get", "cm", "a", "-o", "json", "--show-managed-fields")
    found = json.loads(text)
    assert found["data"] == {"x": "2"}
    assert owned(found, "kubectl")["f:data"] == {"f:x": {}}
    assert not any(name == "kubectl-client-side-apply" for name, _, _ in owners(found))
    assert "managedFields" not in json.loads(await kubectl.ok("get", "cm", "a", "-o", "json"))["metadata"]
    await kubectl.ok("label", "cm", "a", "k=v", "--field-manager=labeller")
    refused = await kubectl.refused(
        {**the_map(x="3"), "metadata": {"name": "a", "labels": {"k": "w"}}}, args=("--server-side",)
    )
    assert 'conflict with "labeller" using v1: .metadata.labels.k' in refused
