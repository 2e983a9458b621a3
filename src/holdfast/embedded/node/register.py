"""The node as others see it: its Node object, and the Lease by which they know that it lives."""

import asyncio
import contextlib
import logging
import os
import platform
from datetime import UTC, datetime

import msgspec

import holdfast
from holdfast.core.conditions import Condition, condition, find, upsert
from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.node.settings import Host
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import LEASES, NAMESPACES, NODES
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"

FINGERPRINT = "holdfast.dev/serving-certificate-sha256"
"""The annotation by which the API server knows the certificate of our endpoint."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """What a node shows of itself.

    `port` and `fingerprint` are those of its endpoint. `problem` says why pods can't run, `unconnected` why they have no
    network of their own; both are empty when all is well.
    """

    port: int
    fingerprint: str = ""
    problem: str = ""
    unconnected: str = ""


async def register(host: Host, face: Face) -> None:
    """Create the Node or bring it up to date."""
    labels = {
        "kubernetes.io/hostname": host.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "holdfast.dev/node": "sandbox",
        **host.settings.labels,
    }
    meta: Object = {"labels": labels, "annotations": {FINGERPRINT: face.fingerprint}}
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": host.name, **meta}, "spec": {}}
    try:
        await host.client.create(NODES, node)
    except AlreadyExists:
        await host.client.merge_patch(NODES, host.name, None, {"metadata": meta})
    present = await host.client.get(NODES, host.name)
    status = node_status(host, face, items(present, "status", "conditions"), datetime.now(UTC))
    await host.client.merge_patch(NODES, host.name, None, {"status": status}, subresource="status")


def node_status(host: Host, face: Face, old: list[Object], now: datetime) -> Object:
    """Return the Node's status."""
    conditions = (
        _judged("Ready", face.problem, "SandboxReady", "pods run as bubblewrap sandboxes", "SandboxUnavailable"),
        _judged("PodNetwork", face.unconnected, "OwnNamespaces", "each pod has a network of its own", "SharedNetwork"),
        condition("HostPrograms", True, "NoImages", "images are names only: pods run the programs of this machine"),
    )
    found = old
    for each in conditions:
        found = upsert(found, each, now)
    ours = [each for each in found if each["type"] in {known.type for known in conditions}]
    return {
        "capacity": dict(host.capacity),
        "allocatable": dict(host.capacity),
        "conditions": [each | {"lastHeartbeatTime": format_time(now)} for each in ours],
        "addresses": [{"type": "InternalIP", "address": host.address}, {"type": "Hostname", "address": host.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": face.port}},
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


def _judged(kind: str, problem: str, good: str, message: str, bad: str) -> Condition:
    return condition(kind, not problem, bad if problem else good, problem or message)


async def heartbeat(host: Host, face: Face) -> None:
    """Renew the node's Lease until cancelled, and its Node when somebody has judged it dead or removed it.

    Once a renewal fails it is tried again quickly.
    """
    while True:
        try:
            await renew(host)
            if not await _stands(host, face):
                await register(host, face)
            wait = host.settings.heartbeat
        except ApiError as error:
            log.warning("heartbeat of node %s: %s", host.name, error)
            wait = min(1.0, host.settings.heartbeat)
        await asyncio.sleep(wait)


async def _stands(host: Host, face: Face) -> bool:
    """Whether the Node says of us what we say."""
    try:
        node = await host.client.get(NODES, host.name)
    except NotFound:
        return False
    ready = find(items(node, "status", "conditions"), "Ready") or Object()
    known = mapping(node, "metadata", "annotations").get(FINGERPRINT)
    return ready.get("status") == ("False" if face.problem else "True") and known == face.fingerprint


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
