"""The engine on a real API server: interests wake, nothing is written twice, a restart adopts, a lost lease is silent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.conformance.engine_world import (
    CONFIG_MAP,
    OTHER,
    OTHERS,
    THING,
    THINGS,
    ThingDialect,
    ThingHandler,
    crd_of,
    end_job,
    engine_on,
    exists,
    install,
    make,
    phase_is,
    served,
    status_of,
    until,
)

from holdfast.core.kinds import VOLUME_SNAPSHOT
from holdfast.core.labels import OWNER, OWNER_UID
from holdfast.core.objects import Object
from holdfast.core.ports import Outcome, Sums, View
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.embedded.controllers import snapshot_types
from holdfast.engine.scope import Led, Whole
from holdfast.kube.builtin import CONFIGMAPS, CRDS, CRONJOBS, EVENTS, JOBS, SECRETS, VOLUMESNAPSHOTS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.kube.lease import Elector, LeaseLost
from holdfast.schema.emit import crd

pytestmark = pytest.mark.api


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    server = ApiServer(tmp_path / "data")
    await server.start()
    try:
        async with Client(load_kubeconfig(server.kubeconfig_path), field_manager="test") as client:
            await install(client)
            yield client
    finally:
        await server.stop()


async def test_an_object_that_was_missing_wakes_who_looked_for_it(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", ref="settings")
        await phase_is(client, "t", "NotReady")
        await client.create(CONFIGMAPS, {"metadata": {"name": "settings", "namespace": "demo"}})
        await phase_is(client, "t", "Ready")
        await client.delete(CONFIGMAPS, "settings", "demo")
        await phase_is(client, "t", "NotReady")


async def test_a_pass_over_an_unchanged_object_sends_no_request(client: Client) -> None:
    async with engine_on(client) as engine:
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
        controller = engine.controllers[THING]
        await quiet(controller)
        before, passes = dict(engine.sent), controller.stats.passes  # type: ignore[attr-defined]
        await client.merge_patch(THINGS, "t", "demo", {"metadata": {"labels": {"touched": "yes"}}})
        await until_passes(controller, passes + 1)
        await quiet(controller)
        assert dict(engine.sent) == before  # type: ignore[attr-defined]


async def test_a_child_is_brought_in_line_once_for_each_difference(client: Client) -> None:
    async with engine_on(client) as engine:
        await make(client, "t", schedule="0 4 * * *", suspend="yes")
        controller = engine.controllers[THING]

        async def child_is(schedule: str, *, suspend: bool) -> None:
            async def there() -> bool:
                spec = (
                    (await client.get(CRONJOBS, "child", "demo"))["spec"]
                    if await exists(client, CRONJOBS, "child", "demo")
                    else {}
                )
                return (spec.get("schedule"), bool(spec.get("suspend"))) == (schedule, suspend)

            await until(there)

        await child_is("0 4 * * *", suspend=True)
        await client.merge_patch(CRONJOBS, "child", "demo", {"spec": {"schedule": "1 1 1 1 1"}})
        await child_is("0 4 * * *", suspend=True)
        await client.merge_patch(THINGS, "t", "demo", {"spec": {"suspend": None}})
        await child_is("0 4 * * *", suspend=False)
        await quiet(controller)
        before = dict(engine.sent)  # type: ignore[attr-defined]
        for number in range(3):
            await client.merge_patch(THINGS, "t", "demo", {"metadata": {"labels": {"touched": str(number)}}})
        await quiet(controller)
        assert dict(engine.sent) == before  # type: ignore[attr-defined]


async def test_a_restart_adopts_what_runs(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
    first = await client.get(JOBS, "job-t", "demo")
    async with engine_on(client):
        await end_job(client, "job-t", "demo", "Failed")
        await phase_is(client, "t", "Failed")
    assert (await client.get(JOBS, "job-t", "demo"))["metadata"]["uid"] == first["metadata"]["uid"]
    assert (await status_of(client, "t"))["message"] == "dump: as the test says"


async def test_a_restart_between_the_job_and_its_status_adopts_too(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
    await client.merge_patch(THINGS, "t", "demo", {"status": None}, subresource="status")
    before = await client.get(JOBS, "job-t", "demo")
    async with engine_on(client):
        await phase_is(client, "t", "Running")
    assert (await client.get(JOBS, "job-t", "demo"))["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_job_deleted_in_its_middle_fails_the_run_and_is_not_made_again(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
        await client.delete(JOBS, "job-t", "demo")
        await phase_is(client, "t", "Failed")
        assert (await status_of(client, "t"))["reason"] == "Deleted"
        assert not await exists(client, JOBS, "job-t", "demo")


async def test_the_run_starts_in_the_pass_that_creates_its_job(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
        job = await client.get(JOBS, "job-t", "demo")
        assert job["metadata"]["ownerReferences"][0]["name"] == "t"
        assert (await status_of(client, "t"))["begun"] is True


async def test_a_missing_secret_is_said_and_the_run_starts_when_it_is_there(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="app", secret="aws")
        await phase_is(client, "t", "Waiting")
        assert (await status_of(client, "t"))["message"] == "dump: Secret demo/aws is missing: create what is named"
        assert not await exists(client, JOBS, "job-t", "app")
        await client.create(SECRETS, {"metadata": {"name": "aws", "namespace": "demo"}, "data": {"KEY": "c2VjcmV0"}})
        await phase_is(client, "t", "Running")
        copy = await client.get(SECRETS, "copy", "app")
        assert copy["data"] == {"KEY": "c2VjcmV0"}
        assert "c2VjcmV0" not in str(await client.get(THINGS, "t", "demo"))


async def test_a_users_secret_of_that_name_is_not_overwritten(client: Client) -> None:
    await client.create(SECRETS, {"metadata": {"name": "copy", "namespace": "app"}, "data": {"OWN": "b3du"}})
    await client.create(SECRETS, {"metadata": {"name": "aws", "namespace": "demo"}, "data": {"KEY": "c2VjcmV0"}})
    async with engine_on(client):
        await make(client, "t", job="app", secret="aws")
        await phase_is(client, "t", "Waiting")
        assert "Secret app/copy exists and is not a copy" in (await status_of(client, "t"))["message"]
    assert (await client.get(SECRETS, "copy", "app"))["data"] == {"OWN": "b3du"}


async def test_what_an_owner_leaves_in_another_namespace_is_collected(client: Client) -> None:
    await client.create(SECRETS, {"metadata": {"name": "aws", "namespace": "demo"}, "data": {"KEY": "c2VjcmV0"}})
    async with engine_on(client):
        await make(client, "t", job="app", secret="aws")
        await phase_is(client, "t", "Running")
        await client.delete(THINGS, "t", "demo")

        async def collected() -> bool:
            return not await exists(client, JOBS, "job-t", "app") and not await exists(client, SECRETS, "copy", "app")

        await until(collected)
    assert await exists(client, SECRETS, "aws", "demo")


async def test_a_job_that_the_server_refuses_is_shown_in_its_words(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="no-such-namespace")
        await phase_is(client, "t", "Waiting")

        async def said() -> bool:
            return "no-such-namespace" in (await status_of(client, "t")).get("message", "")

        await until(said)


async def test_without_the_lease_nothing_is_written(client: Client) -> None:
    refused = asyncio.Event()

    def gate() -> None:
        refused.set()
        raise LeaseLost("not ours")

    async with engine_on(client, scope=Whole(gate)):
        await make(client, "t", job="")
        await asyncio.wait_for(refused.wait(), 10)
        assert await status_of(client, "t") == {}
        assert not await exists(client, JOBS, "job-t", "demo")


async def test_who_stands_by_keeps_its_caches_and_acts_when_it_leads(client: Client) -> None:
    """Given a leader that loses its Lease and takes it again: it writes nothing meanwhile, and lists nothing anew."""
    now = 0.0
    async with Client(client.config, field_manager="leasing") as leasing:
        elector = Elector(leasing, "engine", "kube-system", "one", clock=lambda: now)
        await elector.once()
        async with engine_on(client, scope=Led(elector)) as engine:
            following = asyncio.create_task(elector.follow(lambda _: engine.look_again(lambda _: True)))
            await make(client, "before", job="")
            await phase_is(client, "before", "Running")
            now += 60
            await make(client, "t", job="")
            await quiet(engine.controllers[THING])
            assert await status_of(client, "t") == {}
            assert not await exists(client, JOBS, "job-t", "demo")

            asked = engine.sent["GET"]  # type: ignore[attr-defined]
            await elector.once()
            await phase_is(client, "t", "Running")
            # The search for leftovers asks for Secrets; what lists anew asks for every kind, and watches it.
            assert engine.sent["GET"] <= asked + 2  # type: ignore[attr-defined]
            following.cancel()


async def test_a_note_becomes_one_event(client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")

        async def told() -> bool:
            events = (await client.list(EVENTS, "demo")).items
            return [(event["reason"], event["count"]) for event in events if event["involvedObject"]["name"] == "t"] == [
                ("Looked", 1)
            ]

        await until(told)


async def quiet(controller) -> None:  # type: ignore[no-untyped-def]
    """Wait until a controller has had nothing to do for a moment."""
    passes = -1
    async with asyncio.timeout(10):
        while passes != controller.stats.passes or len(controller.queue) or controller.queue.running:
            passes = controller.stats.passes
            await asyncio.sleep(0.3)


async def until_passes(controller, passes: int) -> None:  # type: ignore[no-untyped-def]
    async def reached() -> bool:
        return controller.stats.passes >= passes

    await until(reached)


class Snapshots(ThingDialect):
    """Things, and a look at snapshots."""

    watched = (*ThingDialect.watched, VOLUME_SNAPSHOT)


async def test_snapshots_in_another_namespace_are_collected_unless_they_outlive_their_owner(client: Client) -> None:
    await client.create(CRDS, crd(snapshot_types.KINDS[0]))
    await served(client, VOLUMESNAPSHOTS)
    for name, annotations in (("left", {OWNER: "Thing.engine.test.holdfast.dev/demo/gone"}), ("product", {})):
        meta = {"name": name, "namespace": "app", "labels": {OWNER_UID: "u-gone"}, "annotations": annotations}
        await client.create(VOLUMESNAPSHOTS, {"metadata": meta, "spec": {"source": {"persistentVolumeClaimName": "data"}}})
    async with engine_on(client, dialects=[Snapshots()]):

        async def collected() -> bool:
            return not await exists(client, VOLUMESNAPSHOTS, "left", "app")

        await until(collected)
        assert await exists(client, VOLUMESNAPSHOTS, "product", "app")


class Counting(ThingHandler):
    """Sums up all ConfigMaps of its namespace."""

    sums = Sums(CONFIG_MAP, frozenset({"count"}))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        return {"phase": obj["spec"].get("say", "Ready"), "count": len(view.list(CONFIG_MAP, "demo"))}


class Looking(ThingHandler):
    """Looks at the Thing of its own name."""

    kind = OTHER

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        found = view.get(THING, "demo", obj["metadata"]["name"])
        return {"phase": found["status"].get("phase") if found and "status" in found else None}


class Summed(ThingDialect):
    def __init__(self) -> None:
        self.handlers = (Counting(), Looking())


async def test_a_sum_is_written_once_for_many_changes_and_wakes_nobody_who_does_not_read_it(client: Client) -> None:
    await client.create(CRDS, crd_of("Other"))
    await served(client, OTHERS)
    async with engine_on(client, dialects=[Summed()]) as engine:
        await make(client, "t")
        await client.create(OTHERS, {"metadata": {"name": "t", "namespace": "demo"}, "spec": {}})
        await phase_is(client, "t", "Ready")
        counting, looking = (engine.controllers[kind] for kind in (THING, OTHER))
        await quiet(looking)
        passes, looked = counting.stats.passes, looking.stats.passes
        for number in range(30):
            await client.create(CONFIGMAPS, {"metadata": {"name": f"c{number}", "namespace": "demo"}})

        async def summed() -> bool:
            return (await status_of(client, "t")).get("count", 0) >= 30

        await until(summed)
        await quiet(counting)
        assert counting.stats.passes - passes < 6
        assert looking.stats.passes == looked

        await client.merge_patch(THINGS, "t", "demo", {"spec": {"say": "Sated"}})

        async def seen() -> bool:
            return (await client.get(OTHERS, "t", "demo")).get("status", {}).get("phase") == "Sated"

        await until(seen)


async def test_a_pod_that_the_namespace_has_no_room_for_is_told_in_the_servers_words(client: Client) -> None:
    """The Job exists and only waits; why it has no pod stands in an Event alone, as a ResourceQuota makes one."""
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
        job = await client.get(JOBS, "job-t", "demo")
        words = 'pods "job-t-x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'
        recorder = EventRecorder(client, "job-controller")
        recorder.emit(job, "Warning", "FailedCreate", f"Error creating: {words}")

        async def said() -> bool:
            return words in (await status_of(client, "t")).get("message", "")

        await until(said)
