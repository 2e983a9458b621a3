"""Documents over HTTP: the requests and replies of the API's own pages, what is refused, and with which words.

A number in a name is that of the behaviour of the API that it shows.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.cloudcasa_world import LOCAL, World, world

from holdfast.dialects.cloudcasa.kinds import KUBECLUSTER, KUBEHOOK, OBJECTSTORE, ORGANIZATION, secret_name
from holdfast.kube.builtin import SECRETS
from holdfast.rest.state import RESOURCES

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]

DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT")
NOBODY = "0" * 24


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("rest")) as found:
        yield found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name


async def test_01_the_copy_of_the_page_is_answered_as_the_page_prints_it(here: World) -> None:
    rest = here.rest
    policy = await rest.policy("page")
    backup = await rest.backup("page", trigger_type="SCHEDULED", policy=policy)
    asked = {"name": "testoffload", "trigger_type": "SCHEDULED", "policy": policy, "run_backup": True, "backupdef": backup}

    reply = await rest.call("POST", "/kubeoffloads", asked)

    shown, ident = reply.body, reply.body["_id"]
    assert reply.code == 201
    assert reply.headers["Location"] == f"/api/v1/kubeoffloads/{ident}"
    assert {key: shown[key] for key in asked} == asked
    assert shown["delete_snapshots"] is True
    assert shown["cluster"] == LOCAL
    assert DATE.fullmatch(shown["_created"])
    assert shown["_updated"] == shown["_created"]
    assert re.fullmatch("[0-9a-f]{40}", shown["_etag"])
    assert re.fullmatch("[0-9a-f]{24}", ident)
    assert shown["_links"] == {
        "self": {"title": "Kubeoffload", "href": f"/v1/kubeoffloads/{ident}"},
        "related": {
            "backupdef": {"title": "Kubebackup", "href": f"/v1/kubebackups/{backup}"},
            "policy": {"title": "policy", "href": f"/v1/policies/{policy}"},
            "cluster": {"title": "Kubecluster", "href": f"/v1/kubeclusters/{LOCAL}"},
        },
    }
    assert shown["_status"] == "OK"
    assert "status" not in shown
    again = await rest.ok("GET", f"/kubeoffloads/{ident}")
    assert again == {key: value for key, value in shown.items() if key != "_status"}


async def test_02_a_scheduled_copy_needs_a_policy_and_one_on_demand_does_not(here: World, name: str) -> None:
    backup = await here.rest.backup(name)

    refused = await here.rest.call("POST", "/kubeoffloads", {"name": name, "backupdef": backup})
    taken = await here.rest.call("POST", "/kubeoffloads", {"name": name, "backupdef": backup, "trigger_type": "ADHOC"})

    assert refused.code == 422
    assert refused.body["_status"] == "ERR"
    assert refused.body["_error"]["code"] == 422
    assert "required field" in refused.issues["policy"]
    assert taken.code == 201


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"backupdef": NOBODY}, "backupdef", "must exist"),
        ({"trigger_type": "DAILY"}, "trigger_type", '"ADHOC", "SCHEDULED"'),
        ({"colour": "blue"}, "colour", "unknown field"),
        ({"name": None}, "name", "null value not allowed"),
        ({"name": 7}, "name", "must be of type string"),
        ({"_id": NOBODY}, "_id", "read-only"),
        ({"options": {"upload_speed_limit": 0}}, "options.upload_speed_limit", "greater than or equal to 1"),
        ({"options": {"mover_ready_timeout": "soon"}}, "options.mover_ready_timeout", "not a duration"),
        ({"options": {"preserve_node_ports": True}}, "options.preserve_node_ports", "anew"),
        ({"options": {"azure_files_restore_options": {"a": 1}}}, "options.azure_files_restore_options", "leave it out"),
        ({"offload_provider": {"type": "aws"}}, "offload_provider.region", "required field"),
        ({"offload_provider": {"region": "eu"}}, "offload_provider.type", "required field"),
        ({"offload_provider": {"user_objectstore": NOBODY}}, "offload_provider.user_objectstore", "must exist"),
        ({"cluster": NOBODY}, "cluster", "must exist"),
    ],
)
async def test_03_and_06_what_is_wrong_is_named_by_its_field(
    here: World, change: dict[str, Any], field: str, said: str
) -> None:
    found = await here.rest.find("kubebackups", {"name": "for-wrong-fields"})
    backup = found[0]["_id"] if found else await here.rest.backup("for-wrong-fields")

    reply = await here.rest.call(
        "POST", "/kubeoffloads", {"name": "wrong", "trigger_type": "ADHOC", "backupdef": backup, **change}
    )

    assert reply.code == 422
    assert said in str(reply.issues[field])
    assert await here.rest.find("kubeoffloads", {"name": "wrong"}) == []


async def test_14_an_empty_status_and_an_empty_target_count_as_absent(here: World, name: str) -> None:
    backup = await here.rest.backup(name)

    made = await here.rest.ok(
        "POST",
        "/kubeoffloads",
        {"name": name, "trigger_type": "ADHOC", "backupdef": backup, "status": {}, "offload_provider": {}},
    )

    assert "offload_provider" not in made
    assert "status" not in made


async def test_04_a_write_needs_the_version_that_was_read(here: World, name: str) -> None:
    rest = here.rest
    ident = await rest.policy(name)
    first = await rest.ok("GET", f"/policies/{ident}")
    body = {"name": name, "schedules": first["schedules"], "timezone": "Europe/Prague"}

    assert (await rest.call("PUT", f"/policies/{ident}", body)).code == 428
    assert (await rest.call("PATCH", f"/policies/{ident}", {"timezone": "UTC"})).code == 428
    changed = await rest.call("PUT", f"/policies/{ident}", body, If_Match=f'W/"{first["_etag"]}"')
    assert changed.code == 200
    assert changed.body["timezone"] == "Europe/Prague"
    assert changed.body["_etag"] != first["_etag"]
    assert changed.body["_created"] == first["_created"]
    stale = await rest.call("PATCH", f"/policies/{ident}", {"timezone": "UTC"}, If_Match=first["_etag"])
    assert stale.code == 412
    assert (await rest.call("DELETE", f"/policies/{ident}", If_Match=first["_etag"])).code == 412
    patched = await rest.ok("PATCH", f"/policies/{ident}", {"timezone": "UTC"}, If_Match=changed.body["_etag"])
    assert patched["_etag"] == first["_etag"], "the same fields have the same tag"
    assert (await rest.call("DELETE", f"/policies/{ident}")).code == 204
    assert (await rest.call("GET", f"/policies/{ident}")).code == 404


async def test_05_a_replacement_without_the_target_removes_it(here: World, name: str) -> None:
    rest = here.rest
    backup = await rest.backup(name)
    target = {"region": "us-east-1", "type": "aws"}
    ident = await rest.offload(backup, name, offload_provider=target, run_backup=True)
    made = await rest.ok("GET", f"/kubeoffloads/{ident}")
    assert made["offload_provider"] == target

    body = {"name": name, "trigger_type": "ADHOC", "backupdef": backup}
    await rest.ok("PUT", f"/kubeoffloads/{ident}", body, If_Match=made["_etag"])

    replaced = await rest.ok("GET", f"/kubeoffloads/{ident}")
    assert "offload_provider" not in replaced
    assert replaced["run_backup"] is False, "what is left out goes back to its default"
    assert replaced["cluster"] == LOCAL


async def test_names_are_unique_and_free_again_after_a_change_or_a_deletion(here: World, name: str) -> None:
    rest = here.rest
    ident = await rest.policy(name)
    twice = await rest.call("POST", "/policies", {"name": name, "schedules": [{"retainDays": 1, "schedule": {"hour": "3"}}]})
    assert (twice.code, twice.issues["name"]) == (422, f"value '{name}' is not unique")

    etag = (await rest.ok("GET", f"/policies/{ident}"))["_etag"]
    await rest.ok("PATCH", f"/policies/{ident}", {"name": f"{name}-new"}, If_Match=etag)
    second = await rest.policy(name)
    assert (await rest.call("DELETE", f"/policies/{second}")).code == 204
    await rest.policy(name)


async def test_a_list_is_created_whole_or_not_at_all(here: World, name: str) -> None:
    rest = here.rest
    good = [{"name": f"{name}-{number}", "hook_type": "COMMON"} for number in range(3)]

    made = await rest.call("POST", "/kubehooks", good)
    assert made.code == 201
    assert [item["name"] for item in made.body["_items"]] == [item["name"] for item in good]
    bad = [{"name": f"{name}-other"}, {"name": f"{name}-wrong", "hook_type": "NEVER"}]
    refused = await rest.call("POST", "/kubehooks", bad)
    assert refused.code == 422
    assert "[1].hook_type" in refused.issues
    assert await rest.find("kubehooks", {"name": f"{name}-other"}) == []
    twin = [{"name": f"{name}-twin"}, {"name": f"{name}-twin"}]
    assert (await rest.call("POST", "/kubehooks", twin)).code == 422
    assert await rest.find("kubehooks", {"name": f"{name}-twin"}) == []


async def test_what_another_document_needs_stays(here: World, name: str) -> None:
    rest = here.rest
    policy = await rest.policy(name)
    backup = await rest.backup(name, trigger_type="SCHEDULED", policy=policy)
    offload = await rest.offload(backup, name)

    for path in (f"/policies/{policy}", f"/kubebackups/{backup}"):
        reply = await rest.call("DELETE", path)
        assert reply.code == 409
        assert "uses it" in reply.body["_error"]["message"]
    for path in (f"/kubeoffloads/{offload}", f"/kubebackups/{backup}", f"/policies/{policy}"):
        assert (await rest.call("DELETE", path)).code == 204
    assert (await rest.call("DELETE", f"/kubeclusters/{LOCAL}")).code == 409


async def test_the_three_steps_of_the_terraform_provider(here: World, name: str) -> None:
    rest = here.rest
    policy = await rest.policy(name)
    body = {"name": name, "cluster": LOCAL, "policy": policy, "source": {"namespaces": ["shop"], "all_namespaces": False}}
    backup = await rest.ok("POST", "/kubebackups", body)
    copy = {"name": name, "policy": policy, "backupdef": backup["_id"], "run_backup": True, "cluster": LOCAL}
    offload = await rest.ok("POST", "/kubeoffloads", {**copy, "status": {}, "offload_provider": {}})

    linked = {key: value for key, value in body.items() if key != "policy"} | {"copydef": offload["_id"]}
    changed = await rest.ok("PUT", f"/kubebackups/{backup['_id']}", linked, If_Match=backup["_etag"])

    assert "policy" not in changed
    assert changed["copydef"] == offload["_id"]
    assert (await rest.call("DELETE", f"/kubeoffloads/{offload['_id']}")).code == 204
    assert (await rest.call("DELETE", f"/kubebackups/{backup['_id']}")).code == 204


async def test_07_a_run_without_retention_is_refused_and_makes_no_job(here: World, name: str) -> None:
    rest = here.rest
    offload = await rest.offload(await rest.backup(name), name)

    for body, field in (({}, "retention"), ({"retention": {}}, "retention.retainDays")):
        reply = await rest.call("POST", f"/kubeoffloads/{offload}/action/run", body)
        assert (reply.code, reply.issues[field]) == (422, "required field")

    assert await rest.find("jobs", {"copydef": offload}) == []


async def test_08_and_10_a_run_names_its_job_and_a_second_one_waits_for_its_end(here: World, name: str) -> None:
    rest = here.rest
    backup = await rest.backup(name)
    offload = await rest.offload(backup, name)
    body = {"retention": {"retainDays": 15}, "runBackup": True}

    reply = await rest.call("POST", f"/kubeoffloads/{offload}/action/run", body, Idempotency_Key="once")
    job = reply.body["status"]["jobid"]
    again = await rest.call("POST", f"/kubeoffloads/{offload}/action/run", body, Idempotency_Key="once")
    second = await rest.call("POST", f"/kubeoffloads/{offload}/action/run", body)

    assert reply.code == 200
    assert reply.headers["Location"] == f"/api/v1/jobs/{job}"
    assert again.body["status"]["jobid"] == job
    assert second.code == 409
    shown = await rest.ok("GET", f"/jobs/{job}")
    assert (shown["backupdef"], shown["state"], shown["type"]) == (backup, "PENDING", "KUBE_OFFLOAD")
    assert re.fullmatch(r"kubecluster-\d+", shown["name"])
    busy = await rest.call("DELETE", f"/kubeoffloads/{offload}")
    assert busy.code == 409
    assert (await rest.call("GET", f"/kubeoffloads/{offload}")).code == 200
    cancelled = await rest.ok("POST", f"/jobs/{job}/action/cancel")
    assert cancelled["_id"] == job
    assert (await rest.call("POST", f"/jobs/{NOBODY}/action/cancel")).code == 404
    assert (await rest.call("POST", f"/kubeoffloads/{offload}/action/dance")).code == 404


async def test_kubectl_sees_and_edits_the_same_documents(here: World, name: str) -> None:
    resource = RESOURCES[KUBEHOOK]
    made = await here.rest.ok("POST", "/kubehooks", {"name": name, "tags": {"a": "b"}})
    obj = await here.client.get(resource, made["_id"], ORGANIZATION)
    assert obj["spec"] == {"name": name, "tags": {"a": "b"}}

    await here.client.merge_patch(resource, made["_id"], ORGANIZATION, {"spec": {"hook_type": "COMMON"}})

    found: list[Any] = []
    while not found:
        found = await here.rest.find("kubehooks", {"name": name, "hook_type": "COMMON"})
    assert found[0]["_etag"] != made["_etag"]


async def test_credentials_are_taken_and_never_shown(here: World, name: str) -> None:
    access = {"endpoint": "http://127.0.0.1:9", "credentials": {"access_key": "key-1", "secret_key": "secret-1"}}
    body = {"name": name, "provider_type": "aws", "bucket_name": "bucket", "region": "eu", "s3provider": access}

    made = await here.rest.ok("POST", "/objectstores", body)

    assert made["s3provider"] == {"endpoint": "http://127.0.0.1:9"}
    obj = await here.client.get(RESOURCES[OBJECTSTORE], made["_id"], ORGANIZATION)
    assert "secret-1" not in str(obj)
    secret = await here.client.get(SECRETS, secret_name(made["_id"]), ORGANIZATION)
    assert set(secret["data"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RESTIC_PASSWORD"}
    twin = await here.rest.call("POST", "/objectstores", {**body, "name": f"{name}-twin"})
    assert (twin.code, "bucket_name" in twin.issues) == (422, True)
    without = {**body, "name": f"{name}-2", "bucket_name": "other", "s3provider": {"endpoint": "http://127.0.0.1:9"}}
    reply = await here.rest.call("POST", "/objectstores", without)
    assert reply.issues == dict.fromkeys(
        ("s3provider.credentials.access_key", "s3provider.credentials.secret_key"), "required field"
    )
    wrong = {**without, "s3provider": {"credentials": {"access_key": 7, "secret_key": "leaked-secret"}}}
    assert "leaked-secret" not in str((await here.rest.call("POST", "/objectstores", wrong)).body)


async def test_a_cluster_made_with_kubectl_gets_its_address_for_an_agent_when_that_is_read(here: World, name: str) -> None:
    rest, ident = here.rest, "c" * 24
    resource = RESOURCES[KUBECLUSTER]
    meta = {"name": ident, "namespace": ORGANIZATION}
    await here.client.create(resource, {"metadata": meta, "spec": {"name": name}})
    while (await rest.call("GET", f"/kubeclusters/{ident}")).code != 200:  # noqa: ASYNC110 - a watch brings it
        await asyncio.sleep(0.01)
    url = f"{rest.url}/kubeclusters/{ident}/agent"

    async with rest.session.get(url, headers={"Authorization": f"Bearer {rest.key}"}) as reply:
        manifest = await reply.text()

    assert (reply.status, "kind: Deployment" in manifest) == (200, True)
    assert (await rest.ok("GET", f"/kubeclusters/{ident}"))["status"]["agentURL"] == url
