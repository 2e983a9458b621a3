"""`holdfast node`: everything a node is, wired and run until cancelled."""

import asyncio
import contextlib
import hashlib
from pathlib import Path

from holdfast.embedded.node import machine, register
from holdfast.embedded.node.agent import Agent
from holdfast.embedded.node.cgroups import find_limiters
from holdfast.embedded.node.files import make_directory, remove_tree
from holdfast.embedded.node.forks import ForkServer
from holdfast.embedded.node.images import ImageTable, default_images
from holdfast.embedded.node.network.pods import open_network
from holdfast.embedded.node.orphans import end_orphans
from holdfast.embedded.node.server import NodeServer
from holdfast.embedded.node.settings import Host, Settings
from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import ApiError
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer

ADDRESS = "127.0.0.1"


async def run_node(
    client: Client,
    config: ClusterConfig,
    root_dir: Path,
    name: str,
    *,
    settings: Settings | None = None,
    images: ImageTable | None = None,
    ready: asyncio.Event | None = None,
) -> None:
    """Register a node and run the pods that are bound to it, until cancelled. Pods end with it.

    `root_dir` is the node's own; two nodes never share one. `ready` is set once the Node is registered.
    """
    found = machine.inspect()
    host = _host(client, config, root_dir, name, settings or Settings(), images or default_images(), found)
    pods = Informer(client, PODS, field_selector=f"spec.nodeName={name}")
    agent = Agent(host, pods)
    server = NodeServer(host, agent)
    await server.start()
    try:
        face = register.Face(
            port=server.port, fingerprint=server.fingerprint, problem=found.problem, unconnected=host.network.problem
        )
        await _register(host, face)
        async with asyncio.TaskGroup() as group:
            group.create_task(register.heartbeat(host, face))
            group.create_task(agent.run())
            group.create_task(host.network.run(client))
            if not found.problem:
                group.create_task(pods.run())
            if ready is not None:
                ready.set()
            for warming in host.forks.values():
                warming.warm()
    finally:
        await server.stop()
        await host.events.close()
        remove_tree(host.memory)
        host.limiters.close()
        for server in host.forks.values():
            await server.close()
        host.network.close()


def _host(
    client: Client,
    config: ClusterConfig,
    root_dir: Path,
    name: str,
    settings: Settings,
    images: ImageTable,
    found: machine.Machine,
) -> Host:
    disk = make_directory(root_dir.resolve(), 0o700)
    key = hashlib.sha256(f"{disk}".encode()).hexdigest()[:12]
    memory = machine.memory_directory(disk, key)
    make_directory(memory.parent, 0o700)
    end_orphans(disk / "pods")
    remove_tree(memory)  # secrets of pods that died with a killed node
    return Host(
        client=client,
        events=EventRecorder(client, component="kubelet", host=name),
        name=name,
        settings=settings,
        tools=found.tools,
        images=images,
        limiters=find_limiters(key),
        disk=disk,
        memory=make_directory(memory, 0o700),
        ca=config.ca_data.encode(),
        capacity=register.capacity(machine.memory_bytes()),
        address=ADDRESS,
        forks={
            image.server: ForkServer(image.server, usable=found.tools.privileged)
            for image in images.images.values()
            if image.server
        },
        network=open_network(key, config.server, ADDRESS),
        starting=asyncio.Semaphore(settings.starts_at_once),
    )


async def _register(host: Host, face: register.Face) -> None:
    """Register as soon as the API server answers."""
    wait = host.settings.retry
    while True:
        with contextlib.suppress(ApiError):
            await register.renew(host)
            await register.register(host, face)
            return
        await asyncio.sleep(wait)
        wait = min(wait * 2, host.settings.retry_cap)
