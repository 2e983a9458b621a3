"""Who may do what: roles, bindings, aggregation, escalation, impersonation, and the reviews that tell of them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.api_samples import WIDGET_CRD, config_map, pod
from tests.embedded_fixture import Http, Kubectl, Object, api_server, http, http_client, kubectl, until  # noqa: F401

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = pytest.mark.api

CORE = "/api/v1/namespaces/default"
MAPS = f"{CORE}/configmaps"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LOCAL = f"{RBAC}/namespaces/default"
ACCESS = "/apis/authorization.k8s.io/v1"
ALICE = {"Impersonate-User": "alice"}


def rule(verbs: str, group: str, resources: str, *names: str) -> Object:
    found: Object = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**found, "resourceNames": list(names)} if names else found


def binding(name: str, role: str, *, kind: str = "Role", subject: Object | None = None) -> Object:
    who = subject or {"kind": "User", "name": "alice"}
    return {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": role}, "subjects": [who]}


async def grant(http: Http, name: str, *rules: Object, subject: Object | None = None) -> None:  # noqa: F811
    await http.ok("POST", f"{LOCAL}/roles", {"metadata": {"name": name}, "rules": list(rules)})
    await http.ok("POST", f"{LOCAL}/rolebindings", binding(name, name, subject=subject))


async def grant_everywhere(http: Http, name: str, *rules: Object, subject: Object | None = None) -> None:  # noqa: F811
    await http.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    await http.ok("POST", f"{RBAC}/clusterrolebindings", binding(name, name, kind="ClusterRole", subject=subject))


async def as_alice(http: Http, method: str, path: str, body: Any = None, **headers: str) -> int:  # noqa: F811
    sent = {"Content-Type": "application/json", **ALICE, **headers}
    data = None if body is None else json.dumps(body)
    async with http.session.request(method, http.url + path, data=data, headers=sent) as response:
        return response.status


@asynccontextmanager
async def account(api_server: ApiServer, http: Http, name: str = "default") -> AsyncIterator[Http]:  # noqa: F811
    token = (await http.ok("POST", f"{CORE}/serviceaccounts/{name}/token", {"spec": {}}))["status"]["token"]
    async with http_client(api_server, token) as client:
        yield client


async def test_a_stranger_is_told_what_they_may_not_do(http: Http):  # noqa: F811
    reply = await http.call("GET", f"{MAPS}/a", headers=ALICE)
    assert (reply.code, reply.body["reason"]) == (403, "Forbidden")
    where = 'in API group "" in the namespace "default"'
    assert reply.body["message"] == (f'configmaps "a" is forbidden: User "alice" cannot get resource "configmaps" {where}')
    assert reply.body["details"] == {"name": "a", "kind": "configmaps"}
    listing = (await http.call("GET", "/apis/apps/v1/statefulsets", headers=ALICE)).body["message"]
    what = 'User "alice" cannot list resource "statefulsets" in API group "apps" at the cluster scope'
    assert listing == f"statefulsets.apps is forbidden: {what}"
    metrics = await http.call("GET", "/metrics", headers=ALICE)
    assert (metrics.code, metrics.body["message"]) == (403, 'forbidden: User "alice" cannot get path "/metrics"')
    assert await as_alice(http, "GET", "/apis") == 200


async def test_each_verb_and_subresource_is_a_right_of_its_own(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("a"))
    await http.ok("POST", f"{CORE}/pods", pod("p"))
    one, few = f"{MAPS}/a", {"Content-Type": "application/merge-patch+json"}
    acts: list[tuple[str, Object, str, str, Any, dict[str, str]]] = [
        ("get", rule("get", "", "configmaps"), "GET", one, None, {}),
        ("list", rule("list", "", "configmaps"), "GET", MAPS, None, {}),
        ("watch", rule("watch", "", "configmaps"), "GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1", None, {}),
        ("create", rule("create", "", "configmaps"), "POST", MAPS, config_map("b"), {}),
        ("patch", rule("patch", "", "configmaps"), "PATCH", one, {"data": {"x": "y"}}, few),
        ("update", rule("update", "", "configmaps"), "PUT", one, config_map("a"), {}),
        ("delete", rule("delete", "", "configmaps"), "DELETE", f"{MAPS}/b", None, {}),
        ("deletecollection", rule("deletecollection", "", "configmaps"), "DELETE", MAPS, None, {}),
        ("status", rule("patch", "", "pods/status"), "PATCH", f"{CORE}/pods/p/status", {"status": {"reason": "x"}}, few),
        ("any-status", rule("get", "", "*/status"), "GET", f"{CORE}/pods/p/status", None, {}),
        ("evict", rule("create", "", "pods/eviction"), "POST", f"{CORE}/pods/p/eviction", {"metadata": {"name": "p"}}, {}),
    ]
    for name, right, method, path, body, headers in acts:
        assert await as_alice(http, method, path, body, **headers) == 403, name
        await grant(http, name, right)
        assert await as_alice(http, method, path, body, **headers) < 300, name
    await http.ok("DELETE", f"{LOCAL}/rolebindings/list")
    assert await as_alice(http, "GET", MAPS) == 403


async def test_resource_names_narrow_a_rule(http: Http):  # noqa: F811
    for name in ("mine", "yours"):
        await http.ok("POST", MAPS, config_map(name))
    await grant(http, "mine", rule("get list watch delete create", "", "configmaps", "mine"))
    assert [await as_alice(http, "GET", f"{MAPS}/{name}") for name in ("mine", "yours")] == [200, 403]
    assert await as_alice(http, "GET", MAPS) == 403
    assert await as_alice(http, "GET", f"{MAPS}?fieldSelector=metadata.name%3Dmine") == 200
    assert await as_alice(http, "POST", MAPS, config_map("mine")) == 403


async def test_a_cluster_role_bound_in_a_namespace_reaches_no_further(http: Http):  # noqa: F811
    await http.ok("POST", f"{LOCAL}/rolebindings", binding("v", "view", kind="ClusterRole"))
    assert await as_alice(http, "GET", MAPS) == 200
    assert await as_alice(http, "GET", f"{CORE}/secrets") == 403
    assert await as_alice(http, "GET", "/api/v1/configmaps") == 403
    assert await as_alice(http, "GET", "/api/v1/namespaces/kube-system/configmaps") == 403
    assert await as_alice(http, "GET", "/api/v1/namespaces/default") == 200


async def test_groups_accounts_and_urls(api_server: ApiServer, http: Http):  # noqa: F811
    group = {"kind": "Group", "name": "readers"}
    await grant(http, "maps", rule("list", "", "configmaps"), subject=group)
    assert await as_alice(http, "GET", MAPS) == 403
    assert await as_alice(http, "GET", MAPS, **{"Impersonate-Group": "readers"}) == 200
    async with account(api_server, http) as pods:
        assert (await pods.call("GET", MAPS)).code == 403
        who = {"kind": "ServiceAccount", "name": "default"}
        await http.ok("POST", f"{LOCAL}/rolebindings", binding("sa", "maps", subject=who))
        assert (await pods.call("GET", MAPS)).code == 200
        everyone = {"kind": "Group", "name": "system:serviceaccounts:default"}
        await grant(http, "pods", rule("list", "", "pods"), subject=everyone)
        assert (await pods.call("GET", f"{CORE}/pods")).code == 200
        await http.ok("DELETE", f"{CORE}/serviceaccounts/default")
        assert (await pods.call("GET", MAPS)).code == 401
    urls = {"verbs": ["get"], "nonResourceURLs": ["/nothing/*"]}
    await grant_everywhere(http, "urls", urls)
    assert [await as_alice(http, "GET", path) for path in ("/nothing/here", "/other")] == [404, 403]


async def test_nobody_grants_what_they_do_not_hold(http: Http):  # noqa: F811
    await grant(
        http, "roles", rule("*", "rbac.authorization.k8s.io", "roles rolebindings"), rule("get", "", "configmaps secrets")
    )

    async def make(name: str, *rules: Object) -> tuple[int, str]:
        reply = await http.call("POST", f"{LOCAL}/roles", {"metadata": {"name": name}, "rules": list(rules)}, headers=ALICE)
        return reply.code, reply.body.get("message", "")

    # `*` on roles holds `escalate` and `bind` too: take those away.
    rules = [
        rule("get create update patch", "rbac.authorization.k8s.io", "roles rolebindings"),
        rule("get", "", "configmaps secrets"),
    ]
    await http.patch(f"{LOCAL}/roles/roles", {"rules": rules})
    assert (await make("less", rule("get", "", "secrets", "one")))[0] == 201
    code, message = await make("more", rule("get delete", "", "configmaps"))
    assert code == 403
    assert message.endswith(
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["delete"]}'
    )
    assert (await make("all", rule("*", "*", "*")))[0] == 403
    patch = {"rules": [rule("get delete", "", "configmaps")]}
    assert (
        await as_alice(http, "PATCH", f"{LOCAL}/roles/less", patch, **{"Content-Type": "application/merge-patch+json"}) == 403
    )
    bad, good = binding("b", "cluster-admin", kind="ClusterRole"), binding("b", "less")
    assert await as_alice(http, "POST", f"{LOCAL}/rolebindings", bad) == 403
    assert await as_alice(http, "POST", f"{LOCAL}/rolebindings", good) == 201
    await grant_everywhere(http, "binder", rule("bind", "rbac.authorization.k8s.io", "clusterroles", "cluster-admin"))
    assert await as_alice(http, "POST", f"{LOCAL}/rolebindings", {**bad, "metadata": {"name": "c"}}) == 201
    await grant(http, "escalate", rule("escalate", "rbac.authorization.k8s.io", "roles"))
    assert (await make("more", rule("get delete", "", "configmaps")))[0] == 201


async def test_aggregated_roles_are_the_sum_of_their_parts(http: Http):  # noqa: F811
    path, label = f"{RBAC}/clusterroles", {"sum": "true"}
    aggregation = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "sum", "operator": "In", "values": ["true"]}]}]}
    await http.ok("POST", path, {"metadata": {"name": "sum"}, "aggregationRule": aggregation, "rules": []})
    await http.ok("POST", path, {"metadata": {"name": "part", "labels": label}, "rules": [rule("list", "", "configmaps")]})
    await http.ok("POST", f"{RBAC}/clusterrolebindings", binding("sum", "sum", kind="ClusterRole"))

    async def rules() -> list[Object]:
        return (await http.ok("GET", f"{path}/sum")).get("rules") or []

    assert await until(rules) == [rule("list", "", "configmaps")]
    assert await as_alice(http, "GET", MAPS) == 200
    await http.patch(f"{path}/part", {"metadata": {"labels": None}})
    await until(lambda: _is_empty(rules))
    assert await as_alice(http, "GET", MAPS) == 403


async def _is_empty(rules: Any) -> bool:
    return await rules() == []


async def test_default_roles_fit_together(http: Http):  # noqa: F811
    roles = {item["metadata"]["name"]: item for item in (await http.ok("GET", f"{RBAC}/clusterroles"))["items"]}
    counts = [len(roles[name]["rules"]) for name in ("view", "edit", "admin")]
    assert counts == sorted(set(counts))
    secrets = [item for item in roles["view"]["rules"] if "secrets" in item.get("resources", [])]
    assert secrets == []
    assert {"system:basic-user", "system:discovery", "system:public-info-viewer"} <= set(roles)


async def test_impersonation_is_a_right_and_its_parts_are_judged_one_by_one(api_server: ApiServer, http: Http):  # noqa: F811
    async with account(api_server, http) as pods:
        assert (await pods.call("GET", MAPS, headers=ALICE)).body["message"] == (
            'users "alice" is forbidden: User "system:serviceaccount:default:default" cannot impersonate resource "users" '
            'in API group "" at the cluster scope'
        )
        who = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
        await grant_everywhere(http, "as-alice", rule("impersonate", "", "users", "alice"), subject=who)
        await grant(http, "maps", rule("list", "", "configmaps"))
        assert (await pods.call("GET", MAPS, headers=ALICE)).code == 200
        assert (await pods.call("GET", MAPS, headers={"Impersonate-User": "bob"})).code == 403
        masters = {**ALICE, "Impersonate-Group": "system:masters"}
        assert (await pods.call("GET", MAPS, headers=masters)).code == 403
    assert (await http.call("GET", MAPS, headers={"Impersonate-Group": "x"})).code == 400


async def test_reviews_answer_as_requests_would(http: Http):  # noqa: F811
    await grant(http, "maps", rule("list", "", "configmaps"))
    wanted = {"namespace": "default", "verb": "list", "resource": "configmaps"}

    async def ask(plural: str, spec: Object, **headers: str) -> Object:
        return (await http.ok("POST", f"{ACCESS}/{plural}", {"spec": spec}, headers=headers))["status"]

    may = await ask("selfsubjectaccessreviews", {"resourceAttributes": wanted}, **ALICE)
    assert may == {"allowed": True, "reason": 'RBAC: allowed by RoleBinding "maps/default" of Role "maps" to User "alice"'}
    assert await ask("selfsubjectaccessreviews", {"resourceAttributes": {**wanted, "verb": "get"}}, **ALICE) == {
        "allowed": False
    }
    assert (await ask("subjectaccessreviews", {"user": "alice", "resourceAttributes": wanted}))["allowed"] is True
    assert (await ask("subjectaccessreviews", {"user": "bob", "resourceAttributes": wanted}))["allowed"] is False
    local = "namespaces/default/localsubjectaccessreviews"
    assert (await ask(local, {"user": "alice", "resourceAttributes": wanted}))["allowed"] is True
    rules = await ask("selfsubjectrulesreviews", {"namespace": "default"}, **ALICE)
    assert {"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]} in rules["resourceRules"]
    for spec in ({}, {"resourceAttributes": wanted, "nonResourceAttributes": {"path": "/", "verb": "get"}}):
        assert (await http.call("POST", f"{ACCESS}/selfsubjectaccessreviews", {"spec": spec})).code == 422
    assert await as_alice(http, "POST", f"{ACCESS}/subjectaccessreviews", {"spec": {"user": "a"}}) == 403


async def test_faulty_roles_and_bindings_are_refused(http: Http):  # noqa: F811
    faults = [
        ("roles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}, "rules[0].nonResourceURLs"),
        ("roles", {"rules": [{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs"),
        ("roles", {"rules": [{"verbs": ["get"], "resources": ["pods"]}]}, "rules[0].apiGroups"),
        ("rolebindings", binding("x", "r") | {"roleRef": {"kind": "Thing", "name": "r"}}, "roleRef.kind"),
        ("rolebindings", binding("x", "r", subject={"kind": "User", "name": ""}), "subjects[0].name"),
    ]
    for plural, body, field in faults:
        reply = await http.call("POST", f"{LOCAL}/{plural}", {"metadata": {"name": "x"}, **body})
        assert (reply.code, reply.body["details"]["causes"][0]["field"]) == (422, field)
    await http.ok("POST", f"{LOCAL}/rolebindings", binding("x", "view", kind="ClusterRole"))
    reply = await http.patch(f"{LOCAL}/rolebindings/x", {"roleRef": {"kind": "ClusterRole", "name": "edit"}})
    assert (reply.code, "cannot change roleRef" in reply.body["message"]) == (422, True)


async def test_kubectl_auth(kubectl: Kubectl, http: Http):  # noqa: F811
    await kubectl.apply(WIDGET_CRD)
    await kubectl.ok("create", "sa", "ci")
    await kubectl.ok("create", "rolebinding", "ci", "--clusterrole=edit", "--serviceaccount=default:ci")
    me = "--as=system:serviceaccount:default:ci"
    assert await kubectl.ok("auth", "can-i", "delete", "pods", me) == "yes\n"
    assert (await kubectl.run("auth", "can-i", "delete", "nodes", me)).out == "no\n"
    listed = await kubectl.ok("auth", "can-i", "--list", me)
    assert "pods/log" in listed
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed
    who = json.loads(await kubectl.ok("auth", "whoami", "-o", "json", me))["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:default:ci"
    assert who["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "gadgets"},
        "rules": [rule("get", "example.dev", "widgets")],
    }
    await kubectl.ok("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    role["rules"] = [rule("list", "example.dev", "widgets")]
    await kubectl.ok("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    kept = (await http.ok("GET", f"{RBAC}/clusterroles/gadgets"))["rules"]
    assert {verb for item in kept for verb in item["verbs"]} == {"get", "list"}
    ran = await kubectl.run("get", "secrets", "-A", me)
    assert "cannot list resource" in ran.err


@pytest.mark.own
async def test_operator_and_node_are_told_apart_from_the_administrator(api_server: ApiServer):  # noqa: F811
    for name in ("operator", "node"):
        path = api_server.data_dir / f"{name}.kubeconfig"
        assert path.stat().st_mode & 0o777 == 0o600
        async with http_client(api_server, (api_server.data_dir / "pki" / f"{name}.token").read_text()) as client:
            asked = [("GET", f"{RBAC}/clusterroles", None), ("POST", f"{CORE}/pods", pod(name)), ("GET", "/metrics", None)]
            assert [(await client.call(*request)).code for request in asked] == [403, 403, 403]
            me = (await client.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}))["status"]["userInfo"]
            assert me == {"username": f"holdfast:{name}", "groups": ["system:authenticated"]}


@pytest.mark.own
async def test_default_roles_come_back_and_stay_changed_where_told(api_server: ApiServer, http: Http):  # noqa: F811
    await http.ok("DELETE", f"{RBAC}/clusterroles/system:discovery")
    await http.patch(f"{RBAC}/clusterroles/system:basic-user", {"rules": []})
    off = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []}
    await http.patch(f"{RBAC}/clusterroles/system:auth-delegator", off)
    await api_server.stop()
    await api_server.start()
    async with http_client(api_server) as client:
        found = {item["metadata"]["name"]: item for item in (await client.ok("GET", f"{RBAC}/clusterroles"))["items"]}
    assert found["system:discovery"]["rules"][0]["nonResourceURLs"]
    assert len(found["system:basic-user"]["rules"]) == 2
    assert not found["system:auth-delegator"].get("rules")
