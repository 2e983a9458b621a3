"""An installation in a cluster, as an administrator makes it: kubectl apply, and the operator under its own account.

The cluster here is a bare API server; the operator is a process with the token of its service account.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import yaml

from holdfast.embedded.apiserver.server import ApiServer
from tests.e2e.plane import HOLDFAST
from tests.embedded_fixture import Kubectl, api_server

__all__ = ["api_server"]

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "holdfast-system"
WORK = """
apiVersion: antfly.io/v1
kind: AntflyCluster
metadata: {name: search, namespace: default}
spec: {image: "antfly:1", mode: Swarm}
---
apiVersion: antfly.io/v1
kind: AntflyBackup
metadata: {name: nightly, namespace: default}
spec:
  clusterRef: {name: elsewhere}
  schedule: "0 2 * * *"
  destination: {location: "s3://bucket/prefix", credentialsSecret: {name: keys}}
"""


def kubectl(server: ApiServer) -> Kubectl:
    return Kubectl(server.kubeconfig_path)


async def account(server: ApiServer, folder: Path) -> Path:
    """The kubeconfig of the operator's service account."""
    token = await kubectl(server).ok("create", "token", "holdfast-operator", "-n", NAMESPACE)
    config = yaml.safe_load(server.kubeconfig_path.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Operator:
    """One replica: its process, its log, its port for probes."""

    def __init__(self, log: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.log, self.port, self.process = log, port, process

    async def answers(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    async def until(self, path: str, text: str, seconds: float = 40) -> None:
        """Probe as a kubelet does, until the answer holds a text."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if text in (await self.answers(path))[1]:
                        return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def operator(kubeconfig: Path, folder: Path, name: str, *options: str) -> AsyncIterator[Operator]:
    port, log = free_port(), folder / f"{name}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            HOLDFAST,
            *("operator", "--kubeconfig", str(kubeconfig), "--lease-namespace", NAMESPACE, "--listen", f"127.0.0.1:{port}"),
            *options,
            stdout=out,
            stderr=out,
        )
    try:
        yield Operator(log, port, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


async def install(server: ApiServer) -> None:
    await kubectl(server).ok("apply", "--server-side", "-f", str(ROOT / "deploy" / "install.yaml"))
    await kubectl(server).ok("apply", "--server-side", "-k", str(ROOT / "deploy" / "kustomize" / "referenced"))


async def works(server: ApiServer) -> None:
    """A Job is made for one object, and the status of another is written."""
    await kubectl(server).ok("apply", "-f", "-", stdin=WORK)
    await kubectl(server).ok("wait", "--for=jsonpath={.status.phase}=Failed", "antflybackup/nightly", "--timeout=20s")
    await kubectl(server).ok("wait", "--for=create", "job/search-health-0", "--timeout=20s")


async def test_the_operator_works_with_the_rights_that_it_is_given_and_asks_for_no_more(
    api_server: ApiServer, tmp_path: Path
) -> None:
    await install(api_server)
    async with operator(await account(api_server, tmp_path), tmp_path, "one") as one:
        await one.until("/metrics", "holdfast_leader 1.0")
        await one.until("/readyz", "ok")
        await works(api_server)
        # The built-in objects of its own kinds are the operator's to bring.
        assert "workload-addon" in await kubectl(api_server).ok("get", "addons.addons.kubestash.com", "-o", "name")
        assert "forbidden" not in one.log.read_text()
        assert (await one.answers("/livez"))[0] == 200


def writes(metrics: str) -> float:
    """How many requests that change something a replica has sent, but for those on its Lease."""
    lines = [line for line in metrics.splitlines() if line.startswith("holdfast_api_requests_total") and "GET" not in line]
    return sum(float(line.split()[-1]) for line in lines)


async def at_rest(one: Operator) -> float:
    """The writes of a replica once it has done all that its start asked for: a pass over an unchanged object writes nothing."""
    async with asyncio.timeout(30):
        last = -1.0
        while (now := writes((await one.answers("/metrics"))[1])) != last:
            last = now
            await asyncio.sleep(1)
    return last


async def test_a_leader_that_was_stopped_writes_nothing_more_and_one_that_was_killed_is_followed(
    api_server: ApiServer, tmp_path: Path
) -> None:
    await install(api_server)
    kubeconfig = await account(api_server, tmp_path)
    async with operator(kubeconfig, tmp_path, "one") as one:
        await one.until("/metrics", "holdfast_leader 1.0")
        await one.until("/readyz", "ok")
        async with operator(kubeconfig, tmp_path, "two") as two:
            await two.until("/readyz", "ok")
            assert "holdfast_leader 0.0" in (await two.answers("/metrics"))[1]
            before = await at_rest(one)
            one.process.send_signal(signal.SIGSTOP)
            await two.until("/metrics", "holdfast_leader 1.0")
            await two.until("/readyz", "ok")
            await works(api_server)
            one.process.send_signal(signal.SIGCONT)
            await one.until("/metrics", "holdfast_leader 0.0")
            after = (await one.answers("/metrics"))[1]
            assert writes(after) == before, after
            two.process.kill()
            await one.until("/metrics", "holdfast_leader 1.0")
            await one.until("/readyz", "ok")


async def test_the_kinds_of_another_product_are_left_alone(api_server: ApiServer, tmp_path: Path) -> None:
    await install(api_server)
    crd = "crd/backupconfigurations.core.kubestash.com"
    await kubectl(api_server).ok("label", crd, "app.kubernetes.io/managed-by=Helm", "--overwrite")
    async with operator(await account(api_server, tmp_path), tmp_path, "one") as one:
        await one.until("/metrics", "holdfast_leader 1.0")
        await one.until("/readyz", "ok")
        assert (
            "not spoken: kubestash: CRD backupconfigurations.core.kubestash.com belongs to another product"
            in one.log.read_text()
        )
        label = await kubectl(api_server).ok("get", crd, "-o", "jsonpath={.metadata.labels.app\\.kubernetes\\.io/managed-by}")
        assert label == "Helm"
