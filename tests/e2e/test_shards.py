"""Three operators that share the namespaces of one cluster: one is stopped for a while, one is killed, and all is done once.

The cluster is a bare API server with the rights of an installation. What was done is read from a watch of our own, not from
what the operators say.
"""

import asyncio
import contextlib
import signal
from collections import Counter
from pathlib import Path

from holdfast.core.objects import Object
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import JOBS, NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.resource import Resource
from tests.e2e.test_install import Operator, account, api_server, install, operator

__all__ = ["api_server"]

CLUSTERS = Resource("antfly.io", "v1", "AntflyCluster", "antflyclusters")
PLACES = [f"team-{number}" for number in range(12)]
QUICK = ("--lease-duration", "3")
NO_LIMIT = ("--max-active", "0", "--max-active-per-namespace", "0")  # no Job ends here: there is no node
SHARDS = (*QUICK, *NO_LIMIT, "--shards", "4")


async def share(one: Operator) -> float:
    """Which part of all namespaces a replica acts for, as it tells Prometheus."""
    with contextlib.suppress(OSError):
        for line in (await one.answers("/metrics"))[1].splitlines():
            if line.startswith("holdfast_share "):
                return float(line.split()[-1])
    return 0.0


async def until_shared(seconds: float, *replicas: Operator) -> None:
    """Wait until these replicas act for all namespaces together, and each for some."""
    async with asyncio.timeout(seconds):
        while True:
            shares = [await share(each) for each in replicas]
            if sum(shares) == 1.0 and all(shares):
                return
            await asyncio.sleep(0.2)


async def work(client: Client, name: str) -> None:
    """Make an object in each namespace that asks for one Job at once."""
    spec = {"image": "antfly:1", "mode": "Swarm"}
    for place in PLACES:
        await client.create(CLUSTERS, {"metadata": {"name": name, "namespace": place}, "spec": spec})


class Auditor:
    """Counts the Jobs that were ever created, by namespace and name."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.made: Counter[str] = Counter()
        self._more = asyncio.Event()

    async def follow(self, version: str) -> None:
        while True:
            async for event in self._client.watch(JOBS, resource_version=version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type == "ADDED":
                    self.made[_named(event.object)] += 1
                    self._more.set()

    async def all_made(self, name: str, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while {f"{place}/{name}-health-0" for place in PLACES} - self.made.keys():
                self._more.clear()
                await self._more.wait()


def _named(obj: Object) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


async def versions(client: Client) -> dict[str, str]:
    """The versions of everything that operators write here."""
    found = [*(await client.list(JOBS)).items, *(await client.list(CLUSTERS)).items]
    return {f"{each['kind']} {_named(each)}": each["metadata"]["resourceVersion"] for each in found}


async def test_three_share_the_work_and_survive_each_other(api_server: ApiServer, tmp_path: Path) -> None:
    await install(api_server)
    kubeconfig = await account(api_server, tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(load_kubeconfig(api_server.kubeconfig_path), field_manager="test"))
        for place in PLACES:
            await client.create(NAMESPACES, {"metadata": {"name": place}})
        one, two, three = [
            await stack.enter_async_context(operator(kubeconfig, tmp_path, name, *SHARDS)) for name in ("one", "two", "three")
        ]
        await until_shared(40, one, two, three)
        auditor = Auditor(client)
        following = asyncio.create_task(auditor.follow((await client.list(JOBS)).resource_version))
        stack.callback(following.cancel)
        await work(client, "first")
        await auditor.all_made("first", 20)

        one.process.send_signal(signal.SIGSTOP)
        await work(client, "second")
        await auditor.all_made("second", 20)
        await asyncio.sleep(1)
        before = await versions(client)
        one.process.send_signal(signal.SIGCONT)
        await until_shared(20, one, two, three)
        assert await versions(client) == before

        two.process.kill()
        await work(client, "third")
        await auditor.all_made("third", 20)
        await until_shared(20, one, three)
        assert set(auditor.made.values()) == {1}
        for each in (one, three):
            assert "forbidden" not in each.log.read_text()


async def test_an_operator_alone_and_those_who_share_never_act_together(api_server: ApiServer, tmp_path: Path) -> None:
    """Given the number of shards is changed by a rolling update, the new ones wait until the old one is gone."""
    await install(api_server)
    kubeconfig = await account(api_server, tmp_path)
    async with operator(kubeconfig, tmp_path, "old", *QUICK) as old:
        await old.until("/metrics", "holdfast_share 1.0")
        async with operator(kubeconfig, tmp_path, "new", *SHARDS) as new:
            await new.until("/readyz", "ok")
            assert await share(new) == 0.0
            old.process.terminate()
            await until_shared(20, new)
