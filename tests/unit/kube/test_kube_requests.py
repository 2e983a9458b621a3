"""What a caller of the client notices when the server, the network or the token misbehave."""

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing

import pytest
from tests.unit.kube.fake import FakeApi, Fault, until

from holdfast.kube.builtin import CONFIGMAPS, NAMESPACES, PODS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, ExecPlugin
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, Gone, Invalid, NotFound, TooManyRequests, Unavailable

POD_PATH = "/api/v1/namespaces/demo/pods"


def config_map(name: str = "a", **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "demo"}, "data": data}


async def test_a_list_follows_its_pages_and_types_its_items(api: FakeApi):
    for number in range(7):
        await api.put("/api/v1/configmaps", config_map(f"c{number}"))
    async with api.client() as client:
        listing = await client.list(CONFIGMAPS, limit=3)
    assert [item["metadata"]["name"] for item in listing.items] == [f"c{number}" for number in range(7)]
    assert {(item["kind"], item["apiVersion"]) for item in listing.items} == {("ConfigMap", "v1")}
    assert listing.resource_version == str(api.version)
    assert api.count("GET") == 3


async def test_a_list_whose_continue_token_expires_starts_over_unpaged(api: FakeApi):
    for number in range(4):
        await api.put("/api/v1/configmaps", config_map(f"c{number}"))
    api.faults.append((lambda request: "continue" in request.query, Fault(410, reason="Expired")))
    async with api.client() as client:
        listing = await client.list(CONFIGMAPS, limit=3)
    assert len(listing.items) == 4


@pytest.mark.parametrize("fault", [Fault(drop=True), Fault(503), Fault(500), Fault(429)])
async def test_a_read_survives_a_passing_fault(api: FakeApi, fault: Fault):
    await api.put("/api/v1/configmaps", config_map())
    api.fail("GET", fault)
    async with api.client() as client:
        assert (await client.get(CONFIGMAPS, "a", "demo"))["metadata"]["name"] == "a"
    assert api.count("GET") == 2


async def test_a_server_that_stays_down_is_unavailable_and_says_what_was_asked():
    async with Client(ClusterConfig(server="http://127.0.0.1:9"), field_manager="test") as client:
        with pytest.raises(Unavailable, match="GET /api/v1/namespaces/demo"):
            await client.get(NAMESPACES, "demo")


async def test_retry_after_is_honoured_for_every_verb(api: FakeApi, monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    api.fail("POST", Fault(429, reason="TooManyRequests", headers={"Retry-After": "7"}))
    async with api.client() as client:
        monkeypatch.setattr("holdfast.kube.transport.asyncio.sleep", sleep)
        await client.create(CONFIGMAPS, {"metadata": {"generateName": "x-", "namespace": "demo"}})
    assert len(slept) == 1
    assert 7 <= slept[0] <= 7.7


async def test_a_server_that_never_stops_refusing_is_told_to_the_caller(api: FakeApi):
    for _ in range(9):
        api.fail("GET", Fault(429, reason="TooManyRequests"))
    async with api.client() as client:
        with pytest.raises(TooManyRequests):
            await client.get(NAMESPACES, "demo")


async def test_a_lost_create_under_a_fixed_name_is_repeated_and_reports_already_exists(api: FakeApi):
    api.fail("POST", Fault(drop=True, after=True))
    async with api.client() as client:
        with pytest.raises(AlreadyExists) as caught:
            await client.create(CONFIGMAPS, config_map())
    assert caught.value.repeated
    assert api.count("POST") == 2


async def test_a_lost_create_under_a_generated_name_is_never_repeated(api: FakeApi):
    api.fail("POST", Fault(drop=True, after=True))
    async with api.client() as client:
        with pytest.raises(Unavailable):
            await client.create(CONFIGMAPS, {"metadata": {"generateName": "x-", "namespace": "demo"}})
    assert api.count("POST") == 1


async def test_a_lost_delete_that_had_worked_is_a_success(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map())
    api.fail("DELETE", Fault(drop=True, after=True))
    async with api.client() as client:
        await client.delete(CONFIGMAPS, "a", "demo")
        with pytest.raises(NotFound):
            await client.delete(CONFIGMAPS, "a", "demo")


async def test_a_delete_with_a_uid_spares_a_namesake(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map())
    async with api.client() as client:
        with pytest.raises(Conflict):
            await client.delete(CONFIGMAPS, "a", "demo", uid="another")


async def test_a_json_patch_without_a_version_is_sent_once(api: FakeApi):
    api.fail("PATCH", Fault(drop=True))
    async with api.client() as client:
        with pytest.raises(Unavailable):
            await client.json_patch(CONFIGMAPS, "a", "demo", [{"op": "add", "path": "/data/x", "value": "1"}])
    assert api.count("PATCH") == 1


async def test_a_conflict_reaches_the_caller_at_once(api: FakeApi):
    stored = await api.put("/api/v1/configmaps", config_map())
    await api.put("/api/v1/configmaps", config_map(x="2"))
    async with api.client() as client:
        with pytest.raises(Conflict):
            await client.merge_patch(
                CONFIGMAPS, "a", "demo", {"data": {"x": "3"}}, resource_version=stored["metadata"]["resourceVersion"]
            )
    assert api.count("PATCH") == 1


async def test_apply_writes_the_owned_fields_under_our_name(api: FakeApi):
    async with api.client() as client:
        applied = await client.apply(CONFIGMAPS, config_map(x="1"))
    assert applied["data"] == {"x": "1"}
    assert api.requests[-1][2] == {"fieldManager": "test", "force": "true"}


async def test_a_status_is_written_through_its_subresource(api: FakeApi):
    await api.put("/api/v1/pods", config_map())
    async with api.client() as client:
        await client.merge_patch(PODS, "a", "demo", {"status": {"phase": "Running"}}, subresource="status")
    assert api.requests[-1][1] == f"{POD_PATH}/a/status"


async def test_invalid_names_each_cause(api: FakeApi):
    api.fail("POST", Fault(422, reason="Invalid"))
    async with api.client() as client:
        with pytest.raises(Invalid, match="POST /api/v1/namespaces/demo/configmaps: scripted fault"):
            await client.create(CONFIGMAPS, config_map())


async def test_no_more_requests_are_in_flight_than_allowed(api: FakeApi):
    api.hold = asyncio.Event()
    async with api.client(max_in_flight=3) as client, asyncio.TaskGroup() as group:
        await api.put("/api/v1/configmaps", config_map())
        tasks = [group.create_task(client.get(CONFIGMAPS, "a", "demo")) for _ in range(12)]
        await until(lambda: api.active == 3)
        api.hold.set()
        await asyncio.gather(*tasks)
    assert api.most_active == 3


async def test_a_gate_that_closes_stops_writes_and_their_repeats_but_not_reads(api: FakeApi):
    open_for = iter([True])

    def gate() -> None:
        if not next(open_for, False):
            raise PermissionError("the lease is over")

    await api.put("/api/v1/configmaps", config_map())
    api.fail("PATCH", Fault(503))
    async with api.client() as client:
        writer = client.gated(gate)
        with pytest.raises(PermissionError):
            await writer.merge_patch(CONFIGMAPS, "a", "demo", {"data": {"x": "1"}})
        assert (await writer.get(CONFIGMAPS, "a", "demo"))["data"] == {}
    assert api.count("PATCH") == 1


async def test_a_watch_yields_changes_and_raises_gone_when_too_old(api: FakeApi):
    start = str(api.version)
    await api.put("/api/v1/configmaps", config_map())
    await api.drop("/api/v1/configmaps", "demo", "a")
    async with api.client() as client:
        seen: list[tuple[str, str]] = []
        async with asyncio.timeout(5), aclosing(client.watch(CONFIGMAPS, resource_version=start)) as events:
            async for event in events:
                seen.append((event.type, event.object["metadata"]["name"]))
                if len(seen) == 2:
                    break
        assert seen == [("ADDED", "a"), ("DELETED", "a")]
        api.compact()
        with pytest.raises(Gone):
            async for _ in client.watch(CONFIGMAPS, resource_version=start):
                pass


async def test_an_answer_that_is_not_kubernetes_is_told_with_its_text(api: FakeApi):
    api.fail("GET", Fault(418, reason="Teapot"))
    async with api.client() as client:
        with pytest.raises(ApiError, match="scripted fault") as caught:
            await client.get(NAMESPACES, "demo")
    assert (caught.value.status, caught.value.reason) == (418, "Teapot")


async def test_a_rotated_token_is_picked_up_after_a_401(api: FakeApi, tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")
    await api.put("/api/v1/configmaps", config_map())
    async with Client(ClusterConfig(server=api.url, token_file=str(token)), field_manager="test") as client:
        await client.get(CONFIGMAPS, "a", "demo")
        token.write_text("new\n")
        api.fail("GET", Fault(401, reason="Unauthorized"))
        await client.get(CONFIGMAPS, "a", "demo")
    assert api.tokens == ["Bearer old", "Bearer old", "Bearer new"]


async def test_a_credential_plugin_gives_the_token_and_is_asked_once(api: FakeApi, tmp_path):
    calls = tmp_path / "calls"
    answer = json.dumps({"kind": "ExecCredential", "status": {"token": "from-plugin"}})
    plugin = ExecPlugin(command="sh", args=("-c", f"echo x >> {calls}; echo '{answer}'"))
    await api.put("/api/v1/configmaps", config_map())
    async with Client(ClusterConfig(server=api.url, exec_plugin=plugin), field_manager="test") as client:
        await client.get(CONFIGMAPS, "a", "demo")
        await client.get(CONFIGMAPS, "a", "demo")
    assert api.tokens == ["Bearer from-plugin"] * 2
    assert calls.read_text() == "x\n"


def test_importing_the_client_stays_light():
    code = "import sys, holdfast.kube.client; print(*[m for m in ('kubernetes', 'httpx', 'requests') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
