"""Ledgers as the engine keeps them: one write for each due time, none on a pass without news, shown by kubectl."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from tests.conformance.engine_world import THINGS, ThingDialect, ThingHandler, engine_on, install, make, phase_is, served, until
from tests.embedded_fixture import Kubectl, api_server, kubectl

from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.ports import Handler, View
from holdfast.core.times import parse_time
from holdfast.dialects.holdfast.types import KINDS
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.engine.ledgers import FIRST, LEDGERS
from holdfast.kube.builtin import CRDS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.schema.emit import crd

__all__ = ["api_server", "kubectl"]
pytestmark = pytest.mark.api

HOUR = timedelta(hours=1)


class Ticking(ThingHandler):
    """A Thing of which a run is seen at each due time that `spec.ran` names."""

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        ran = [parse_time(word) for word in obj["spec"].get("ran", [])]
        marks = [Mark(due=due, run=f"run-{due:%H}", outcome=Outcome.RAN, started=due, finished=due) for due in ran]
        since = parse_time(obj["metadata"]["creationTimestamp"])
        return [Schedule(text="0 * * * *", part="hourly", since=since, marks=marks)]


class TickingDialect(ThingDialect):
    def __init__(self) -> None:
        self.handlers: Sequence[Handler] = (Ticking(),)


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[Client]:
    async with Client(load_kubeconfig(api_server.kubeconfig_path), field_manager="test") as found:
        await install(found)
        await found.create(CRDS, crd(KINDS[0]))
        await served(found, LEDGERS)
        yield found


async def record(client: Client) -> Object:
    return (await client.get(LEDGERS, "thing-t.hourly", "demo"))["record"]


async def test_each_due_time_is_written_once_and_shown(client: Client, kubectl: Kubectl) -> None:
    now = [datetime.now(UTC)]
    async with engine_on(client, dialects=[TickingDialect()], clock=lambda: now[0]) as engine:
        await make(client, "t")
        await phase_is(client, "t", "NotReady")

        async def kept() -> bool:
            return bool((await client.list(LEDGERS)).items)

        assert not await kept(), "a Ledger comes after its schedule is Ready"
        now[0] += FIRST + timedelta(seconds=1)
        await client.merge_patch(THINGS, "t", "demo", {"metadata": {"annotations": {"later": "yes"}}})
        await until(kept)
        born = parse_time((await client.get(THINGS, "t", "demo"))["metadata"]["creationTimestamp"])
        due = born.replace(minute=0, second=0) + HOUR
        now[0] = due + 4.5 * HOUR
        await client.merge_patch(THINGS, "t", "demo", {"spec": {"ran": [f"{due:%FT%TZ}", f"{due + 4 * HOUR:%FT%TZ}"]}})

        async def told() -> bool:
            return (await record(client))["through"] == f"{due + 4 * HOUR:%FT%TZ}"

        await until(told)
        found = await record(client)
        assert [found[word] for word in ("ran", "skipped")] == [2, 3]
        assert [(tick["outcome"], tick.get("count", 1)) for tick in found["ticks"]] == [("Ran", 1), ("Skipped", 3), ("Ran", 1)]
        version = (await client.get(LEDGERS, "thing-t.hourly", "demo"))["metadata"]["resourceVersion"]
        for number in range(3):
            await client.merge_patch(THINGS, "t", "demo", {"metadata": {"annotations": {"n": str(number)}}})
        await phase_is(client, "t", "NotReady")
        assert (await client.get(LEDGERS, "thing-t.hourly", "demo"))["metadata"]["resourceVersion"] == version
        assert engine is not None
    table = (await kubectl.ok("get", "ledgers", "-n", "demo")).splitlines()
    assert table[0].split() == ["NAME", "SCHEDULE", "LAST", "DUE", "REASON", "RAN", "LATE", "FAILED", "SKIPPED", "AGE"]
    assert table[1].split()[0] == "thing-t.hourly"
    assert "Ran" in table[1]
    await client.delete(THINGS, "t", "demo")

    async def gone() -> bool:
        return not (await client.list(LEDGERS)).items

    await until(gone)


async def test_a_cluster_without_the_kind_is_served_all_the_same(api_server: ApiServer) -> None:
    async with Client(load_kubeconfig(api_server.kubeconfig_path), field_manager="test") as client:
        await install(client)
        async with engine_on(client, dialects=[TickingDialect()]):
            await make(client, "t", job="")
            await phase_is(client, "t", "Running")
