"""Whatever a caller sends, the answer is a Status of the caller's making, never a fault of the server's."""

import json
import random
from typing import Any

import pytest
from tests.api_samples import WIDGET_CRD, config_map, cronjob, deployment, pod, statefulset
from tests.embedded_fixture import Http, Object, api_server, http  # noqa: F401

pytestmark = pytest.mark.api

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    "x",
    "é\u0000",
    [],
    {},
    [None],
    [{}],
    {"": None},
    {"a": {"b": []}},
    [[1]],
)
PATHS = {
    "ConfigMap": "/api/v1/namespaces/default/configmaps",
    "Pod": "/api/v1/namespaces/default/pods",
    "Service": "/api/v1/namespaces/default/services",
    "StatefulSet": "/apis/apps/v1/namespaces/default/statefulsets",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "CronJob": "/apis/batch/v1/namespaces/default/cronjobs",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "SubjectAccessReview": "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "TokenReview": "/apis/authentication.k8s.io/v1/tokenreviews",
}
MEDIA = ("json", "merge-patch+json", "strategic-merge-patch+json", "json-patch+json", "apply-patch+yaml")


def samples() -> list[Object]:
    service = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    selector = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}
    role = {"kind": "ClusterRole", "metadata": {"name": "c"}, "rules": [rule], "aggregationRule": selector}
    subject = {"kind": "User", "name": "u"}
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [subject],
    }
    access = {"kind": "SubjectAccessReview", "spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    token = {"kind": "TokenReview", "spec": {"token": "t", "audiences": ["a"]}}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}
    owned = config_map("m", x="1")
    owned["metadata"] |= {"labels": {"a": "b"}, "ownerReferences": [owner], "managedFields": [entry], "finalizers": ["a/b"]}
    objects = [
        owned,
        pod("p"),
        service,
        statefulset("s"),
        deployment("d"),
        cronjob("c"),
        role,
        binding,
        access,
        token,
        WIDGET_CRD,
    ]
    return json.loads(json.dumps(objects))


def places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        found += places(inner)
    return found


def damaged(source: random.Random, obj: Object) -> Object:
    """A copy in which one to three values were replaced by junk or taken out."""
    copy = json.loads(json.dumps(obj))
    for _ in range(source.randint(1, 3)):
        holder, key = source.choice(places(copy) or [(copy, "x")])
        if source.random() < 0.2 and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = json.loads(json.dumps(source.choice(JUNK)))
    return copy


def operations(source: random.Random, value: Object) -> list[Object]:
    """A JSON patch that may make sense."""
    pointer = source.choice(("", "/spec", "/metadata/x", "/metadata/labels", 7))
    return [{"op": source.choice(("add", "test", "move", "remove", "x")), "path": pointer, "value": value}]


@pytest.mark.parametrize("seed", range(2))
async def test_no_body_is_the_servers_fault(http: Http, seed: int):  # noqa: F811
    source = random.Random(seed)
    await http.call("POST", PATHS["ConfigMap"], config_map("m", x="1"))
    for obj in samples():
        name = (obj.get("metadata") or {}).get("name", "x")
        path = PATHS[obj["kind"]]
        await http.call("POST", path, obj)
        for _ in range(12):
            body = damaged(source, obj)
            made = await http.call("POST", path, body)
            assert made.code < 500, (path, body, made.body)
            media = source.choice(MEDIA)
            target = f"{path}/{name}" + source.choice(("", "", "/status", "/scale")) + "?fieldManager=f&force=true"
            sent: Any = body if media != "json-patch+json" else operations(source, body)
            headers = {"Content-Type": f"application/{media}"}
            changed = await http.call("PUT" if media == "json" else "PATCH", target, sent, headers=headers)
            assert changed.code < 500, (target, media, body, changed.body)
    assert (await http.call("GET", PATHS["ConfigMap"])).code == 200


QUERIES = (
    "limit=-1", "limit=99999999999999999999", "continue=%00", "continue=e30=", "labelSelector=(((", "labelSelector=a%20in%20(",
    "fieldSelector==", "fieldSelector=a,,b", "resourceVersion=x", "watch=1&resourceVersion=-1", "watch=1&timeoutSeconds=x",
    "fieldValidation=Maybe", "watch=1&sendInitialEvents=1", "dryRun=Some", "resourceVersion=1&resourceVersionMatch=Odd",
    "gracePeriodSeconds=-3", "propagationPolicy=Never", "includeObject=Everything", "limit=%F0%9F%92%A9",
)  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
async def test_no_query_is_the_servers_fault(http: Http, query: str):  # noqa: F811
    for method in ("GET", "POST", "DELETE"):
        headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"} if method == "GET" else {}
        reply = await http.call(method, f"{PATHS['ConfigMap']}?{query}", {} if method == "POST" else None, headers=headers)
        assert reply.code < 500, reply.body
