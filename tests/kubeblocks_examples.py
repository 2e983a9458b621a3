"""The shipped databases of `examples/kubeblocks` in a cluster: served, asked, restored under another name."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from holdfast.core.objects import Object, kind_of
from holdfast.kube.builtin import PODS
from tests.kubeblocks_world import World, repo, status, thing

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/kubeblocks"
OWNER = {"name": "DATA_OWNER", "value": "65534:65534"}
"""Restored files belong to the account under which the servers of the examples run."""


def example(name: str) -> list[Object]:
    """Read the documents of an example."""
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


async def installed(world: World, name: str) -> list[Object]:
    """Apply an example's action sets and server, and wait for it.

    Returns the documents of its policy: what they restore belongs to the server.
    """
    for document in [*example(f"{name}-actionset.yaml"), *example(f"{name}-server.yaml")]:
        await world.apply(document)
    policy, *rest = example(f"{name}-policy.yaml")
    for method in policy["spec"]["backupMethods"]:
        if "actionSetName" in method:
            method["env"] = [*method.get("env", ()), OWNER]
    await serves(world, f"{_server(name)['metadata']['name']}-0")
    return [policy, *rest]


async def with_repository(world: World) -> None:
    """Make a default repository on a volume."""
    await world.apply(repo("volume", default=True, config={"accessMode": "ReadWriteMany"}, volumeCapacity="2Gi"))
    await world.phase("BackupRepo", "volume", "Ready")


def _server(name: str) -> Object:
    (found,) = [document for document in example(f"{name}-server.yaml") if kind_of(document).kind == "StatefulSet"]
    return found


def restored_server(name: str, claim: str) -> Object:
    """The same server under the name of a claim that a Restore has filled."""
    found = _server(name)
    instance = found["metadata"]["name"]
    text = yaml.safe_dump(found).replace(f"name: {instance}\n", f"name: {claim}\n")
    made: Object = yaml.safe_load(text.replace(f"instance: {instance}\n", f"instance: {claim}\n"))
    made["spec"].pop("volumeClaimTemplates")
    made["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return made


async def comes_back(world: World, name: str, source: str, claim: str, **restore: Any) -> Object:
    """Restore a Backup into a claim and start the server on it; returns the Restore's status."""
    given = {
        "metadata": {"name": claim},
        "volumeSource": "data",
        "volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    config = {"volumeClaims": [given], "volumeClaimRestorePolicy": "Parallel"}
    of = {"name": source, "namespace": "default"}
    await world.apply(thing("Restore", claim, backup=of, prepareDataConfig=config, **restore))
    found = await ended(world, "Restore", claim)
    assert found["phase"] == "Completed", found["conditions"]
    await world.apply(restored_server(name, claim))
    await serves(world, f"{claim}-0")
    return found


async def completed(world: World, name: str, policy: str, method: str, **spec: Any) -> Object:
    """Take a Backup; returns its status."""
    await world.apply(thing("Backup", name, backupPolicyName=policy, backupMethod=method, **spec))
    found = await ended(world, "Backup", name)
    assert found["phase"] == "Completed", found["failureReason"]
    return found


async def ended(world: World, kind: str, name: str) -> Object:
    """Wait for the end of a Backup or Restore, and return its status. Databases take their time on a busy machine."""
    found = await world.wait(kind, name, lambda obj: status(obj).get("phase") in ("Completed", "Failed"), seconds=60)
    return status(found)


async def serves(world: World, pod: str) -> None:
    """Wait until a pod is ready."""

    def ready(found: Object) -> bool:
        statuses: Sequence[Mapping[str, Any]] = found.get("status", {}).get("containerStatuses") or []
        return bool(statuses) and all(each["ready"] for each in statuses)

    await world.until(PODS, pod, ready, seconds=60)


async def ask(world: World, pod: str, script: str) -> str:
    """Run a shell script in a pod and return what it prints."""
    heard: list[bytes] = []
    ended = await world.client.exec(pod, "default", ["bash", "-c", script], output=lambda _, data: heard.append(data))
    assert ended.code == 0, b"".join(heard)
    return b"".join(heard).decode().strip()


@contextlib.asynccontextmanager
async def load(world: World, pod: str, script: str) -> AsyncGenerator[None]:
    """Run a script in a pod that never ends, until the block does."""
    running = asyncio.create_task(world.client.exec(pod, "default", ["bash", "-c", script]))
    try:
        yield
        assert not running.done(), "the load has ended early"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running
