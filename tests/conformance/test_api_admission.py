"""What a cluster decides about new objects by itself: service accounts, priorities, limit ranges, quotas."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.embedded_fixture import Http, Kubectl, http_client, until

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = [pytest.mark.api, pytest.mark.own, pytest.mark.asyncio(loop_scope="module")]

Object = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    made = ApiServer(tmp_path_factory.mktemp("admission"))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def http(server: ApiServer, request: pytest.FixtureRequest) -> AsyncIterator[Http]:
    """A client, and a namespace of this test's own: `http.ns`."""
    async with http_client(server) as client:
        ns = f"ns-{abs(hash(request.node.name))}"
        await client.ok("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})
        client.ns = ns  # pyright: ignore[reportAttributeAccessIssue]
        yield client


def path(http: Http, plural: str, name: str = "") -> str:
    ns = http.ns  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
    return f"/api/v1/namespaces/{ns}/{plural}" + (f"/{name}" if name else "")


def pod(name: str, resources: Object | None = None, **spec: Any) -> Object:
    container: Object = {"name": "main", "image": "busybox", "command": ["true"], "resources": resources or {}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def refusal(http: Http, plural: str, body: Object) -> str:
    reply = await http.call("POST", path(http, plural), body)
    assert (reply.code, reply.body["reason"]) == (403, "Forbidden"), reply.body
    return reply.body["message"]


async def test_a_pod_runs_as_the_default_account_or_as_one_that_exists(http: Http) -> None:
    await http.ok("POST", path(http, "serviceaccounts"), {"metadata": {"name": "own"}, "imagePullSecrets": [{"name": "key"}]})
    plain = await http.ok("POST", path(http, "pods"), pod("plain"))
    assert (plain["spec"]["serviceAccountName"], plain["spec"]["serviceAccount"]) == ("default", "default")
    own = await http.ok("POST", path(http, "pods"), pod("own", serviceAccountName="own"))
    assert own["spec"]["imagePullSecrets"] == [{"name": "key"}]
    message = await refusal(http, "pods", pod("stranger", serviceAccountName="nobody"))
    assert 'pods "stranger" is forbidden: error looking up service account' in message
    assert 'serviceaccount "nobody" not found' in message


async def test_a_priority_comes_from_its_class(http: Http) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await http.ok("POST", classes, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    plain = await http.ok("POST", path(http, "pods"), pod("plain"))
    assert (plain["spec"]["priority"], plain["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    high = await http.ok("POST", path(http, "pods"), pod("high", priorityClassName="high"))
    assert (high["spec"]["priority"], high["spec"]["preemptionPolicy"]) == (1000, "Never")
    critical = await http.ok("POST", path(http, "pods"), pod("critical", priorityClassName="system-node-critical"))
    assert critical["spec"]["priority"] == 2_000_001_000
    assert "no PriorityClass with name low was found" in await refusal(http, "pods", pod("low", priorityClassName="low"))
    message = await refusal(http, "pods", pod("own-number", priorityClassName="high", priority=7))
    assert "priority (7) must not be provided" in message
    labelled = await http.patch(path(http, "pods", "high"), {"metadata": {"labels": {"a": "b"}}})
    assert labelled.body["spec"]["priority"] == 1000
    sent = {**labelled.body, "spec": {k: v for k, v in labelled.body["spec"].items() if k != "priority"}}
    assert (await http.ok("PUT", path(http, "pods", "high"), sent))["spec"]["priority"] == 1000


async def test_a_global_default_names_the_class_of_pods_that_name_none(http: Http) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await http.ok("POST", classes, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
    made = await http.ok("POST", path(http, "pods"), pod("plain"))
    await http.ok("DELETE", f"{classes}/usual")
    assert (made["spec"]["priorityClassName"], made["spec"]["priority"]) == ("usual", 5)


async def test_a_limit_range_fills_in_what_containers_leave_open(http: Http) -> None:
    limits = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"memory": "64Mi"}, "max": {"memory": "1Gi"}}
    kept = await http.ok("POST", path(http, "limitranges"), {"metadata": {"name": "l"}, "spec": {"limits": [limits]}})
    assert kept["spec"]["limits"][0]["default"] == {"cpu": "500m", "memory": "1Gi"}
    assert kept["spec"]["limits"][0]["defaultRequest"] == {"cpu": "500m", "memory": "64Mi"}
    made = await http.ok("POST", path(http, "pods"), pod("plain", {"requests": {"cpu": "100m"}}))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "64Mi"},
    }
    note = made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert note == "LimitRanger plugin set: memory request for container main; cpu, memory limit for container main"


BROKEN: dict[str, tuple[Object, str]] = {
    "small": (
        {"requests": {"cpu": "50m"}, "limits": {"cpu": "1"}},
        "minimum cpu usage per Container is 100m, but request is 50m",
    ),
    "large": ({"limits": {"cpu": "3"}}, "maximum cpu usage per Container is 2, but limit is 3"),
    "apart": ({"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}}, "cpu max limit to request ratio per Container is 10"),
}


async def test_a_limit_range_refuses_what_is_out_of_its_bounds(http: Http) -> None:
    bounds = {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "10"}}
    whole = {"type": "Pod", "max": {"memory": "1Gi"}}
    storage = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    spec = {"limits": [{**bounds, "default": {}}, whole, storage]}
    ranges = path(http, "limitranges")
    await http.ok("POST", ranges, {"metadata": {"name": "l"}, "spec": spec})
    for name, (resources, why) in BROKEN.items():
        assert why in await refusal(http, "pods", pod(name, {**resources, "limits": {**resources["limits"], "memory": "1Mi"}}))
    both = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    assert "maximum memory usage per Pod is 1Gi, but limit is 2Gi" in await refusal(http, "pods", pod("heavy", both))
    claim: Object = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    small = {**claim, "spec": {**claim["spec"], "resources": {"requests": {"storage": "1Mi"}}}}
    message = await refusal(http, "persistentvolumeclaims", small)
    assert "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi" in message
    good = {**claim, "spec": {**claim["spec"], "resources": {"requests": {"storage": "1Gi"}}}}
    await http.ok("POST", path(http, "persistentvolumeclaims"), good)
    grown = await http.patch(
        path(http, "persistentvolumeclaims", "c"), {"spec": {"resources": {"requests": {"storage": "9Gi"}}}}
    )
    assert grown.code in (403, 422)


async def quota(http: Http, name: str, hard: Object, **spec: Any) -> None:
    await http.ok("POST", path(http, "resourcequotas"), {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})


async def used(http: Http, name: str, wanted: Object) -> None:
    async def shown() -> bool:
        status = (await http.ok("GET", path(http, "resourcequotas", name))).get("status", {})
        return status.get("used") == wanted and status["hard"].keys() == wanted.keys()

    await until(shown)


async def test_a_quota_counts_objects_and_lets_no_more_in(http: Http) -> None:
    await quota(http, "few", {"pods": "2", "count/configmaps": 2, "secrets": "0"})
    await used(http, "few", {"pods": "0", "count/configmaps": "1", "secrets": "0"})
    await http.ok("POST", path(http, "configmaps"), {"metadata": {"name": "a"}})
    message = await refusal(http, "configmaps", {"metadata": {"name": "b"}})
    assert message.endswith(
        "exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2"
    )
    await refusal(http, "secrets", {"metadata": {"name": "s"}})
    replies = await asyncio.gather(*(http.call("POST", path(http, "pods"), pod(f"p{at}")) for at in range(6)))
    assert sorted(reply.code for reply in replies) == [201, 201, 403, 403, 403, 403]
    await used(http, "few", {"pods": "2", "count/configmaps": "2", "secrets": "0"})
    names = [reply.body["metadata"]["name"] for reply in replies if reply.code == 201]
    await http.patch(path(http, "pods", names[0]) + "/status", {"status": {"phase": "Succeeded"}})
    await used(http, "few", {"pods": "1", "count/configmaps": "2", "secrets": "0"})
    await http.ok("POST", path(http, "pods"), pod("next"))
    await http.ok("DELETE", path(http, "configmaps", "a"))
    await used(http, "few", {"pods": "2", "count/configmaps": "1", "secrets": "0"})


async def test_a_quota_on_resources_wants_them_said_and_sums_them(http: Http) -> None:
    await quota(http, "sums", {"requests.cpu": "1", "limits.memory": "1Gi"})
    message = await refusal(http, "pods", pod("silent"))
    assert "failed quota: sums: must specify limits.memory for: main; requests.cpu for: main" in message
    asks = {"requests": {"cpu": "600m"}, "limits": {"memory": "512Mi"}}
    await http.ok("POST", path(http, "pods"), pod("first", asks))
    message = await refusal(http, "pods", pod("second", asks))
    assert "requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1" in message
    await used(http, "sums", {"requests.cpu": "600m", "limits.memory": "512Mi"})
    dry = await http.call("POST", path(http, "pods") + "?dryRun=All", pod("third", asks))
    assert dry.code == 403


async def test_a_quota_with_a_scope_counts_only_pods_in_it(http: Http) -> None:
    await quota(http, "best", {"pods": "1"}, scopes=["BestEffort"])
    await quota(http, "high", {"pods": "0"}, scopeSelector={
        "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]}]
    })  # fmt: skip
    await http.ok("POST", path(http, "pods"), pod("one"))
    assert "exceeded quota: best" in await refusal(http, "pods", pod("two"))
    await http.ok("POST", path(http, "pods"), pod("said", {"requests": {"cpu": "1"}}))
    message = await refusal(http, "pods", pod("three", {"requests": {"cpu": "1"}}, priorityClassName="system-cluster-critical"))
    assert "exceeded quota: high" in message
    await used(http, "best", {"pods": "1"})


async def test_a_quota_on_storage_counts_claims_by_their_class(http: Http) -> None:
    await quota(http, "disk", {"requests.storage": "3Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"})

    def claim(name: str, size: str, kind: str) -> Object:
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": kind, "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": name}, "spec": spec}

    await http.ok("POST", path(http, "persistentvolumeclaims"), claim("a", "1Gi", "gold"))
    assert "gold.storageclass" in await refusal(http, "persistentvolumeclaims", claim("b", "1Gi", "gold"))
    await http.ok("POST", path(http, "persistentvolumeclaims"), claim("c", "2Gi", "iron"))
    assert "requests.storage=1Mi" in await refusal(http, "persistentvolumeclaims", claim("d", "1Mi", "iron"))
    await used(http, "disk", {"requests.storage": "3Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"})


async def test_kubectl_makes_and_describes_them(server: ApiServer, http: Http) -> None:
    kubectl, ns = Kubectl(server.kubeconfig_path), path(http, "").split("/")[4]
    await kubectl.ok("-n", ns, "create", "quota", "q", "--hard=pods=2,requests.cpu=1")
    await kubectl.ok("create", "priorityclass", "made", "--value=7", "--description=seven")
    described = await kubectl.ok("-n", ns, "describe", "quota", "q")
    assert ["pods", "0", "2"] in [line.split() for line in described.splitlines()]
    assert "made" in await kubectl.ok("get", "priorityclasses")
