"""Lists, keys and the protocol over HTTP: what clients of an Eve-style API rely on.

A number in a name is that of the behaviour of the API that it shows.
"""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.cloudcasa_world import LOCAL, Reply, Rest, World, world

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import (
    API_VERSION,
    APIKEY,
    KUBEHOOK,
    KUBEJOB,
    MADE_FOR,
    ORGANIZATION,
    PENDING_BULK,
    derived_id,
    secret_name,
)
from holdfast.engine.grants import Grants
from holdfast.kube.builtin import CLUSTERROLEBINDINGS, CLUSTERROLES, SECRETS, SERVICEACCOUNTS
from holdfast.kube.errors import NotFound
from holdfast.rest import sweep
from holdfast.rest.app import ensure_organization
from holdfast.rest.state import RESOURCES, State

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]

JOBS = RESOURCES[KUBEJOB]
STATES = ("COMPLETED", "FAILED", "RUNNING", "PARTIAL", "PENDING", "CATALOG")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A REST server with sixty jobs, of which each tenth is of another kind."""
    async with world(tmp_path_factory.mktemp("http")) as found:
        for number in range(60):
            await found.client.create(JOBS, job(number))
            status = {
                "state": STATES[number % 6],
                "start_time": 1000 + number,
                "message": f"job {number}",
                "terminal": number % 6 < 2,
            }
            await found.client.merge_patch(JOBS, job_id(number), ORGANIZATION, {"status": status}, subresource="status")
        async with asyncio.timeout(20):
            while len(await found.rest.find("jobs", {"start_time": {"$gte": 1000}}, max_results="50", page="2")) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield found


def job_id(number: int) -> str:
    return derived_id("test", str(number))


def job(number: int) -> Object:
    spec: Object = {
        "name": f"kubecluster-{number}",
        "type": "KUBE_BACKUP" if number % 10 else "DELETE_BACKUP",
        "cluster": LOCAL,
    }
    meta: Object = {"name": job_id(number), "namespace": ORGANIZATION}
    return {"apiVersion": API_VERSION, "kind": "Kubejob", "metadata": meta, "spec": spec}


async def listed(rest: Rest, query: str) -> Reply:
    return await rest.call("GET", f"/jobs{query}")


async def test_11_a_list_has_pages_of_25_and_at_most_50(here: World) -> None:
    first = await listed(here.rest, "")
    last = await listed(here.rest, "?page=3")

    assert first.headers["X-Total-Count"] == "60"
    assert len(first.body["_items"]) == 25
    assert first.body["_meta"] == {"page": 1, "max_results": 25, "total": 60}
    assert {name: link["href"] for name, link in first.body["_links"].items()} == {
        "parent": "/",
        "self": "/v1/jobs",
        "next": "/v1/jobs?page=2",
        "last": "/v1/jobs?page=3",
    }
    assert len(last.body["_items"]) == 10
    assert set(last.body["_links"]) == {"parent", "self", "prev"}
    assert len((await listed(here.rest, "?max_results=500")).body["_items"]) == 50
    for query in ("?max_results=0", "?max_results=-3", "?max_results=many", "?page=0", "?page=first"):
        reply = await listed(here.rest, query)
        assert (reply.code, reply.body["_meta"]["max_results"], reply.body["_meta"]["page"]) == (200, 25, 1)
    beyond = await listed(here.rest, "?page=99")
    assert (beyond.code, beyond.body["_items"], beyond.body["_meta"]["total"]) == (200, [], 60)


async def test_pages_in_order_show_every_document_once(here: World) -> None:
    for sort in ("-start_time", "start_time", "state,-start_time", '[("start_time",-1)]'):
        seen = [
            item["start_time"] for page in (1, 2, 3) for item in await here.rest.find("jobs", {}, sort=sort, page=str(page))
        ]
        assert sorted(seen) == list(range(1000, 1060)), sort
        if sort in ("-start_time", '[("start_time",-1)]'):
            assert seen == sorted(seen, reverse=True)


async def test_12_the_filter_of_the_terraform_provider(here: World) -> None:
    where = {"cluster": LOCAL, "state": {"$nin": ["RUNNING", "PENDING", "CATALOG"]}, "start_time": {"$gt": 1050}}

    found = await here.rest.find("jobs", where, sort="-start_time")

    assert [item["start_time"] for item in found] == [1057, 1055, 1054, 1051]


@pytest.mark.parametrize(
    "where",
    ["{broken", "[]", '{"$where":"1"}', '{"name":{"$regex":"a"}}', '{"name":{"$in":"a"}}', '{"$or":[]}', '{"a":{"$gt":[1]}}'],
)
async def test_12_a_filter_that_can_t_be_read_or_is_not_allowed_is_a_400(here: World, where: str) -> None:
    async with here.rest.session.get(
        f"{here.rest.url}/jobs", params={"where": where}, headers={"Authorization": f"Bearer {here.rest.key}"}
    ) as response:
        body = await response.json()
    assert (response.status, body["_status"], body["_error"]["code"]) == (400, "ERR", 400)


async def test_a_document_shows_the_fields_and_the_references_that_are_wanted(here: World) -> None:
    (only,) = await here.rest.find("jobs", {"start_time": 1007}, projection='{"state":1}')
    assert {key for key in only if not key.startswith("_")} == {"state"}
    assert only["_id"] == job_id(7)
    (rest,) = await here.rest.find("jobs", {"start_time": 1007}, projection='{"state":0}')
    assert "state" not in rest
    assert rest["name"] == "kubecluster-7"
    (whole,) = await here.rest.find("jobs", {"start_time": 1007}, embedded='{"cluster":1,"nothing":1,"cluster.deeper":1}')
    assert whole["cluster"]["name"] == "local"
    item = await here.rest.ok("GET", f'/jobs/{job_id(7)}?embedded={{"cluster":1}}')
    assert item["cluster"]["_id"] == LOCAL


async def test_methods_that_are_not_there_say_which_are(here: World) -> None:
    refused = await here.rest.call("POST", "/jobs", {})
    assert (refused.code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    for path, allowed in (
        ("/policies", "GET, POST, HEAD, OPTIONS"),
        (f"/policies/{job_id(1)}", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ):
        async with here.rest.session.options(
            here.rest.url + path, headers={"Authorization": f"Bearer {here.rest.key}"}
        ) as response:
            assert (response.status, response.headers["Allow"]) == (200, allowed)
    async with here.rest.session.head(
        f"{here.rest.url}/jobs", headers={"Authorization": f"Bearer {here.rest.key}"}
    ) as response:
        assert (response.status, response.headers["X-Total-Count"], await response.read()) == (200, "60", b"")
        assert int(response.headers["Content-Length"]) > 1000
    for path in ("/nothing", "/jobs/x/y", "/jobs/1/2/3/4"):
        assert (await here.rest.call("GET", path)).code == 404


async def test_bodies_are_json_of_a_bounded_size_and_may_be_packed(here: World) -> None:
    rest = here.rest
    assert (await rest.call("POST", "/kubehooks", b"{not json")).code == 400
    assert (await rest.call("POST", "/kubehooks", b"\xff\xfe")).code == 400
    assert (await rest.call("POST", "/kubehooks", b"{}", Content_Type="text/plain")).code == 415
    assert (await rest.call("POST", "/kubehooks", b'"' + b"x" * (1 << 20) + b'"')).code == 413
    deep = b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert (await rest.call("POST", "/kubehooks", deep)).code in (400, 422)
    bomb = gzip.compress(b'"' + b"x" * (50 << 20) + b'"')
    assert (await rest.call("POST", "/kubehooks", bomb, Content_Encoding="gzip")).code == 413
    packed = gzip.compress('{"name": "packed Žluťoučký 🐎"}'.encode())
    made = await rest.call("POST", "/kubehooks", packed, Content_Encoding="gzip")
    assert (made.code, made.body["name"]) == (201, "packed Žluťoučký 🐎")
    headers = {"Authorization": f"Bearer {rest.key}", "Accept-Encoding": "gzip"}
    async with rest.session.get(f"{rest.url}/jobs?max_results=50", headers=headers) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len((await response.json())["_items"]) == 50


async def test_who_asks_must_be_known(here: World) -> None:
    bare = Rest(here.rest.session, here.rest.url, "")
    nobody = await bare.call("GET", "/jobs")
    assert (nobody.code, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="holdfast"')
    assert "Authorization" in nobody.body["_error"]["message"]
    forged = here.rest.key[:-4] + ("AAAA" if not here.rest.key.endswith("AAAA") else "BBBB")
    for key in ("hfk_nonsense", forged, "some-other-token"):
        assert (await Rest(here.rest.session, here.rest.url, key).call("GET", "/jobs")).code == 401
    old = await here.key("admin", expires=int(time.time()) - 5)
    expired = await old.call("GET", "/jobs")
    assert (expired.code, "expired" in expired.body["_error"]["message"]) == (401, True)
    assert (await here.rest.call("GET", "/users")).code == 403
    async with here.rest.session.get(here.rest.url.removesuffix("/api/v1") + "/api-docs") as response:
        assert (await response.json())["openapi"].startswith("3.0")


async def test_a_role_allows_what_it_says(here: World) -> None:
    hook = {"name": "roles"}
    made = await here.rest.ok("POST", "/kubehooks", hook)
    may = {
        "viewer": (200, 403, 403, 403),
        "operator": (200, 404, 403, 403),
        "editor": (200, 404, 204, 403),
        "admin": (200, 404, 204, 200),
    }
    for role, expected in may.items():
        rest = await here.key(role)
        if role == "admin":
            made = await here.rest.ok("POST", "/kubehooks", {"name": "roles again"})
        codes = (
            (await rest.call("GET", "/jobs")).code,
            (await rest.call("POST", f"/kubeoffloads/{made['_id']}/action/run", {"retention": {"retainDays": 1}})).code,
            (await rest.call("DELETE", f"/kubehooks/{made['_id']}")).code,
            (await rest.call("GET", "/apikeys")).code,
        )
        assert codes == expected, role


async def test_keys_are_made_shown_once_and_revoked(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with world(tmp_path_factory.mktemp("keys")) as fresh:
        made = await fresh.rest.ok("POST", "/apikeys", {"name": "ci", "roles": ["viewer"]})
        rest = Rest(fresh.rest.session, fresh.rest.url, made["key"])
        assert (await rest.call("GET", "/jobs")).code == 200
        everything = str((await fresh.client.list(RESOURCES[APIKEY])).items)
        assert made["key"].rpartition("_")[2] not in everything
        assert "key" not in await fresh.rest.ok("GET", f"/apikeys/{made['_id']}")
        for number in range(8):
            await fresh.rest.ok("POST", "/apikeys", {"name": f"k{number}", "roles": ["viewer"]})
        full = await fresh.rest.call("POST", "/apikeys", {"name": "eleventh", "roles": ["viewer"]})
        assert (full.code, "10 active keys" in full.body["_error"]["message"]) == (422, True)
        assert (await fresh.rest.call("DELETE", f"/apikeys/{made['_id']}")).code == 204
        assert (await rest.call("GET", "/jobs")).code == 401
        assert (await fresh.rest.call("POST", "/apikeys", {"name": "x", "roles": ["king"]})).code == 422


async def test_an_organisation_sees_nothing_of_another(here: World) -> None:
    await ensure_organization(here.client, "other-org", local=False)
    theirs = await here.key("admin", organization="other-org")

    assert (await theirs.ok("GET", "/jobs"))["_meta"]["total"] == 0
    assert (await theirs.call("GET", f"/jobs/{job_id(1)}")).code == 404
    same = await theirs.ok("POST", "/kubehooks", {"name": "packed Žluťoučký 🐎"})
    assert await here.rest.find("kubehooks", {"_id": same["_id"]}) == []
    foreign = {"name": "b", "cluster": LOCAL, "trigger_type": "ADHOC", "source": {"all_namespaces": True}}
    assert "must exist" in (await theirs.call("POST", "/kubebackups", foreign)).issues["cluster"]


async def test_a_token_of_the_cluster_may_do_what_rbac_allows(here: World) -> None:
    account: Object = {"metadata": {"name": "auditor", "namespace": "default"}}
    await here.client.create(SERVICEACCOUNTS, account)
    path = "/api/v1/namespaces/default/serviceaccounts/auditor/token"
    token = (await here.client.post_raw(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}))[
        "status"
    ]
    rest = Rest(here.rest.session, here.rest.url, token["token"])
    refused = await rest.call("GET", "/policies")
    assert (refused.code, "RBAC" in refused.body["_error"]["message"]) == (403, True)
    rules = [{"apiGroups": ["cloudcasa.holdfast.dev"], "resources": ["kubejobs"], "verbs": ["list", "get"]}]
    await here.client.create(CLUSTERROLES, {"metadata": {"name": "auditor"}, "rules": rules})
    subjects = [{"kind": "ServiceAccount", "name": "auditor", "namespace": "default"}]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "auditor"}
    await here.client.create(CLUSTERROLEBINDINGS, {"metadata": {"name": "auditor"}, "roleRef": ref, "subjects": subjects})

    assert (await rest.call("GET", "/jobs")).code == 200
    assert (await rest.call("POST", f"/jobs/{job_id(2)}/action/cancel")).code == 403


async def test_too_many_requests_are_told_when_to_come_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with world(tmp_path_factory.mktemp("limits"), per_second=5) as limited:
        replies = [await limited.rest.call("GET", "/jobs") for _ in range(30)]
        refused = [reply for reply in replies if reply.code == 429]
        assert refused
        assert int(refused[0].headers["Retry-After"]) >= 1


async def test_two_hundred_clients_at_once_make_two_hundred_documents_and_one_of_each_name(here: World) -> None:
    rest = here.rest

    async def write(number: int) -> int:
        return (await rest.call("POST", "/kubehooks", {"name": f"crowd-{number % 100}"})).code

    codes = await asyncio.gather(*(write(number) for number in range(200)))

    assert sorted(codes) == [201] * 100 + [422] * 100
    names = [
        item["name"]
        for page in (1, 2)
        for item in await rest.find(
            "kubehooks", {"name": {"$gte": "crowd-", "$lt": "crowd."}}, max_results="50", page=str(page)
        )
    ]
    assert len(names) == len(set(names)) == 100


async def test_what_a_crash_left_is_swept_and_what_was_committed_stays(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "ABANDONED", -1.0)
    resource = RESOURCES[KUBEHOOK]
    ident = derived_id("half", "done")
    meta: Object = {"name": ident, "namespace": ORGANIZATION, "labels": {PENDING_BULK: "f" * 24}}
    await here.client.create(resource, {"metadata": meta, "spec": {"name": "half-done"}})
    bulk = await here.rest.call("POST", "/kubehooks", [{"name": "whole-1"}, {"name": "whole-2"}])
    assert bulk.code == 201
    assert await here.rest.find("kubehooks", {"name": "half-done"}) == []

    for name, labels in ((secret_name("a" * 24), {MADE_FOR: "a" * 24}), (secret_name("b" * 24), {})):
        await here.client.create(SECRETS, {"metadata": {"name": name, "namespace": ORGANIZATION, "labels": labels}})

    swept = sweep.Sweeper(State(here.client, Grants(here.client)))
    await swept.sweep()
    await swept.sweep()

    with pytest.raises(NotFound):
        await here.client.get(resource, ident, ORGANIZATION)
    secrets = {obj["metadata"]["name"] for obj in (await here.client.list(SECRETS, ORGANIZATION)).items}
    assert secret_name("b" * 24) in secrets, "somebody brought it"
    assert secret_name("a" * 24) not in secrets
    labels = [
        obj["metadata"].get("labels")
        for obj in (await here.client.list(resource)).items
        if obj["spec"]["name"].startswith("whole")
    ]
    assert labels == [None, None] or labels == [{}, {}]
    assert len(await here.rest.find("kubehooks", {"name": {"$in": ["whole-1", "whole-2"]}})) == 2
    assert (await here.rest.call("POST", "/kubehooks", {"name": "whole-1"})).code == 422, "its name is held still"
