"""The node as others see it: its Node object, and the Lease by which they know that it lives."""

import asyncio
import contextlib
import logging
import os
import platform
from datetime import UTC, datetime

import holdfast
from holdfast.core.conditions import find
from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.node.settings import Host
from holdfast.embedded.read import items
from holdfast.kube.builtin import LEASES, NAMESPACES, NODES
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"


async def register(host: Host, port: int, problem: str) -> None:
    """Create the Node or bring it up to date. `problem` says why pods can't run; empty when they can."""
    labels = {
        "kubernetes.io/hostname": host.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "holdfast.dev/node": "sandbox",
        **host.settings.labels,
    }
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name, "labels": labels}, "spec": {}}
    try:
        await host.client.create(NODES, node)
    except AlreadyExists:
        body = {"metadata": {"labels": labels}}
        await host.client.merge_patch(NODES, host.name, None, body)
    present = await host.client.get(NODES, host.name)
    status = node_status(host, port, problem, items(present, "status", "conditions"), datetime.now(UTC))
    await host.client.merge_patch(NODES, host.name, None, {"status": status}, subresource="status")


def node_status(host: Host, port: int, problem: str, old: list[Object], now: datetime) -> Object:
    """Return the Node's status."""
    if problem:
        ready = {"type": "Ready", "status": "False", "reason": "SandboxUnavailable", "message": problem}
    else:
        ready = {"type": "Ready", "status": "True", "reason": "SandboxReady", "message": "pods run as bubblewrap sandboxes"}
    before = find(old, "Ready") or Object()
    same = before.get("status") == ready["status"] and before.get("lastTransitionTime")
    times = {
        "lastHeartbeatTime": format_time(now),
        "lastTransitionTime": before["lastTransitionTime"] if same else format_time(now),
    }
    return {
        "capacity": dict(host.capacity),
        "allocatable": dict(host.capacity),
        "conditions": [ready | times],
        "addresses": [{"type": "InternalIP", "address": host.address}, {"type": "Hostname", "address": host.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": _architecture(),
            "bootID": "",
            "containerRuntimeVersion": "bubblewrap://host",
            "kernelVersion": platform.release(),
            "kubeletVersion": f"v{holdfast.__version__}" if hasattr(holdfast, "__version__") else "v0",
            "kubeProxyVersion": "",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "the host's own root, read-only",
            "systemUUID": "",
        },
    }


async def heartbeat(host: Host, port: int, problem: str) -> None:
    """Renew the node's Lease until cancelled, and its Node when somebody has judged it dead or removed it.

    Once a renewal fails it is tried again quickly.
    """
    while True:
        try:
            await renew(host)
            if not await _stands(host, problem):
                await register(host, port, problem)
            wait = host.settings.heartbeat
        except ApiError as error:
            log.warning("heartbeat of node %s: %s", host.name, error)
            wait = min(1.0, host.settings.heartbeat)
        await asyncio.sleep(wait)


async def _stands(host: Host, problem: str) -> bool:
    """Whether the Node says of us what we say."""
    try:
        node = await host.client.get(NODES, host.name)
    except NotFound:
        return False
    ready = find(items(node, "status", "conditions"), "Ready") or Object()
    return ready.get("status") == ("False" if problem else "True")


async def renew(host: Host) -> None:
    """Renew the node's Lease once; make it, and its namespace, when they are missing."""
    spec = {
        "holderIdentity": host.name,
        "leaseDurationSeconds": host.settings.lease,
        "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    try:
        await host.client.merge_patch(LEASES, host.name, LEASE_NAMESPACE, {"spec": spec})
        return
    except NotFound:
        log.info("node %s has no lease yet", host.name)
    with contextlib.suppress(AlreadyExists):
        await host.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}})
    meta = {"name": host.name, "namespace": LEASE_NAMESPACE}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
    try:
        await host.client.create(LEASES, lease)
    except AlreadyExists:
        return


def capacity(memory: int) -> dict[str, str]:
    """Return what the machine offers, as quantities."""
    return {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": "1000"}


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
