"""An installation that is replaced, removed and made anew under a user's backups: none is lost, none is made twice.

A whole small cluster with a real volume; operators are processes with the rights of the installation.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from holdfast.core.objects import Object
from holdfast.kube.builtin import CRDS, JOBS
from holdfast.kube.client import Client
from holdfast.kube.resource import Resource
from tests import tools
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.test_install import Operator, account, operator
from tests.e2e.test_shards import Auditor

__all__ = ["cluster"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ROOT / "deploy" / "install.yaml"
CONFIGURATIONS = Resource("core.kubestash.com", "v1alpha1", "BackupConfiguration", "backupconfigurations")
SESSIONS = Resource("core.kubestash.com", "v1alpha1", "BackupSession", "backupsessions")
CONFIGURATION, VOLUME = "sample-backup-sts", "source-data-sample-sts-0"
PAUSED = {"spec": {"paused": True}}
UNINSTALL = [  # as docs/cluster.md tells, in this order
    "delete deployment --all -n holdfast-system",
    "delete rolebinding -A -l holdfast.dev/grant",
    "delete clusterrolebinding,clusterrole -l app.kubernetes.io/managed-by=holdfast",
    "delete namespace holdfast-system",
]


def older(document: Object) -> Object:
    """A CRD as a version before ours had it: without printer columns, CEL rules, and a field that came later."""
    for version in document["spec"]["versions"]:
        version.pop("additionalPrinterColumns", None)
        spec = version["schema"]["openAPIV3Schema"]["properties"].get("spec", {})
        spec.pop("x-kubernetes-validations", None)
        if document["spec"]["names"]["kind"] == CONFIGURATIONS.kind:
            del spec["properties"]["paused"]
    return document


class Site:
    """A user's namespace in a cluster that Holdfast comes to and goes from."""

    def __init__(self, made: Cluster, folder: Path) -> None:
        self.cluster, self.folder = made, folder

    async def ok(self, words: str, stdin: str = "") -> str:
        return await self.cluster.kubectl(*words.split(), stdin=stdin)

    async def install_older(self) -> None:
        await self.install(older)
        await self.ok(f"apply --server-side -k {ROOT / 'deploy' / 'kustomize' / 'referenced'}")

    async def install(self, as_of: Callable[[Object], Object] = lambda crd: crd) -> None:
        """Apply everything but the Deployment: operators are processes of the test, which stops them where it wants."""
        documents = [each for each in yaml.safe_load_all(INSTALL.read_text()) if each and each["kind"] != "Deployment"]
        text = yaml.safe_dump_all(as_of(each) if each["kind"] == CRDS.kind else each for each in documents)
        await self.ok("apply --server-side -f -", stdin=text)

    @contextlib.asynccontextmanager
    async def operator(self, name: str) -> AsyncIterator[Operator]:
        kubeconfig = await account(self.cluster.server, self.folder)
        async with operator(kubeconfig, self.folder, name, "--lease-duration", "3") as one:
            await one.until("/metrics", "holdfast_leader 1.0")
            yield one
            assert "forbidden" not in one.log.read_text()

    async def bring_work(self) -> None:
        for name in ("namespace", "secrets", "sample-sts", "retention-policy", "storage-local", "backup-configuration"):
            text = (ROOT / "examples" / "kubestash" / f"{name}.yaml").read_text()
            await self.ok("apply -f -", stdin=text.replace("*/5 * * * *", "0 3 29 2 *"))
        await self.cluster.until(CONFIGURATIONS, CONFIGURATION, in_phase("Ready"), namespace="demo", seconds=60)

    async def begin(self) -> str:
        """Ask for a backup and return the name of its session."""
        text = (ROOT / "examples" / "kubestash" / "backup-session.yaml").read_text()
        return (await self.ok("create -o jsonpath={.metadata.name} -f -", stdin=text)).strip()

    async def succeeded(self, session: str) -> None:
        await self.cluster.until(SESSIONS, session, in_phase("Succeeded"), namespace="demo", seconds=60)

    async def snapshots(self) -> int:
        """How many snapshots stock restic finds in the repository, all of whose data it has read."""
        volume = await self.ok("get pvc backup-store -n demo -o jsonpath={.spec.volumeName}")
        (config,) = (self.cluster.directory / "volumes" / volume.strip()).rglob("config")
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "RESTIC_PASSWORD": "not-a-real-password"}
        for words in (("check", "--read-data"), ("snapshots", "--json")):
            command = [tools.restic(), "-r", str(config.parent), "--no-cache", "--no-lock", *words]
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            assert process.returncode == 0, words
        return len(json.loads(out))


def in_phase(phase: str):  # type: ignore[no-untyped-def]
    return lambda obj: (obj.get("status") or {}).get("phase") == phase


async def job_made(client: Client, session: str, version: str) -> None:
    """Wait for the first Job of a session."""
    async with asyncio.timeout(30):
        async for event in client.watch(JOBS, resource_version=version):
            owners = event.object["metadata"].get("ownerReferences") or []
            if any(owner["name"] == session for owner in owners):
                return


async def test_backups_go_on_over_an_upgrade_an_uninstall_and_another_install(cluster: Cluster, tmp_path: Path) -> None:
    site = Site(cluster, tmp_path)
    await site.install_older()
    version = (await cluster.client.list(JOBS)).resource_version
    auditor = Auditor(cluster.client)
    following = asyncio.create_task(auditor.follow(version))

    async with site.operator("old") as old:
        await site.bring_work()
        session = await site.begin()
        await job_made(cluster.client, session, version)
        old.process.terminate()
        assert await old.process.wait() == 0
    assert in_phase("Running")(await cluster.client.get(SESSIONS, session, "demo"))
    assert "paused" not in (await cluster.client.merge_patch(CONFIGURATIONS, CONFIGURATION, "demo", PAUSED))["spec"]
    await site.install()
    async with site.operator("new"):
        await site.succeeded(session)
        assert (await cluster.client.merge_patch(CONFIGURATIONS, CONFIGURATION, "demo", PAUSED))["spec"]["paused"] is True
        await cluster.client.merge_patch(CONFIGURATIONS, CONFIGURATION, "demo", {"spec": {"paused": None}})
    assert await site.snapshots() == 1

    for command in UNINSTALL:
        await site.ok(command)
    assert "holdfast-operator" not in await site.ok("get clusterrole,clusterrolebinding,rolebinding -A -o name")
    assert in_phase("Succeeded")(await cluster.client.get(SESSIONS, session, "demo"))
    assert await site.snapshots() == 1

    await site.install()
    async with site.operator("again"):
        await site.succeeded(await site.begin())
        assert await site.snapshots() == 2
    following.cancel()
    assert set(auditor.made.values()) == {1}
