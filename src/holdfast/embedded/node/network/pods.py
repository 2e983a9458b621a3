"""The network as the rest of the node sees it: a lease for each pod, and the files by which its containers find names.

A node that is not root, or a kernel that does not let us, has no network for pods: they share that of the machine, and the
Node's condition PodNetwork says why.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.core.objects import Object
from holdfast.embedded.node.network import etc
from holdfast.embedded.node.network.etc import Surroundings
from holdfast.embedded.node.network.hub import Hub, Lease, open_hub
from holdfast.embedded.node.network.names import PORT, NameServer
from holdfast.embedded.node.network.proxy import Proxy
from holdfast.embedded.node.network.rules import ruleset
from holdfast.embedded.node.network.services import LOOPBACK_NAME, Services
from holdfast.kube.builtin import ENDPOINTSLICES, SERVICES
from holdfast.kube.client import Client
from holdfast.kube.informer import Informer

log = logging.getLogger(__name__)

LOOPBACK = "HOLDFAST_LOOPBACK"
"""The variable that tells a pod under which name it reaches what the machine serves on 127.0.0.1."""

_NOBODY = 9
"""A port where nobody listens: where connections go until the proxy does (discard, which nobody serves)."""

GATHER = 0.02
"""Seconds in which changes of endpoints are gathered before the rules are written."""


class PodNetwork:
    """Made by `open_network`. `problem` says why pods have no network of their own; empty when they have."""

    def __init__(self, hub: Hub | None, problem: str, api: tuple[str, int], shared: str) -> None:
        self.problem = problem
        self._hub = hub
        self._api = api
        self._shared = str(hub.subnet.machine) if hub else shared
        self._changed = asyncio.Event()

    @property
    def machine(self) -> str:
        """The address of the machine as pods see it, which pods that share its network have too."""
        return self._shared

    def join(self, *, shared: bool = False) -> Lease:
        """Give a pod its place; `shared` asks for the machine's own network. Raises OSError."""
        if self._hub is None or shared:
            return Lease(self._shared)
        return self._hub.join()

    def leave(self, lease: Lease) -> None:
        """Take a pod's place back."""
        if self._hub is not None:
            self._hub.leave(lease)

    def variables(self, lease: Lease) -> Mapping[str, str]:
        """Return the variables by which a pod finds the API server: by name where that is resolved, else by address.

        In a network of its own a pod also learns the name of the machine: its 127.0.0.1 is another one.
        """
        own = lease.namespace >= 0
        host, port = ("kubernetes.default.svc", 443) if own else self._api
        return ({LOOPBACK: LOOPBACK_NAME} if own else {}) | {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        }

    def files(self, pod: Object, lease: Lease, hostname: str) -> dict[str, str]:
        """Return the files of /etc by which a pod's containers find names; none where the machine's own do."""
        if self._hub is None:
            return {}
        own = lease.namespace >= 0
        around = Surroundings(
            address=lease.address,
            hostname=hostname,
            name_server=str(self._hub.subnet.gateway) if own or not pod["spec"].get("hostNetwork") else "",
            api=str(self._hub.subnet.api) if own else "",
            machine_resolv=_text(Path("/etc/resolv.conf")),
        )
        return {
            "/etc/hosts": etc.hosts(pod, around),
            "/etc/resolv.conf": etc.resolv(pod, around),
            "/etc/nsswitch.conf": etc.NSSWITCH,
        }

    async def run(self, client: Client) -> None:
        """Serve names, Services and ways out until cancelled."""
        if self._hub is None:
            await asyncio.Event().wait()
            return
        hub, view = self._hub, Services(self._hub.subnet)
        services, slices = Informer(client, SERVICES), Informer(client, ENDPOINTSLICES)
        for each in (services, slices):
            each.subscribe(lambda _old, _new: self._changed.set())
        proxy = Proxy(hub.listen(0, socket.SOCK_STREAM), hub.subnet, self._api)
        server = NameServer(lambda name, machine: view.resolve(name, machine=machine), str(hub.subnet.machine))
        gateway = str(hub.subnet.gateway)
        await server.start(hub.listen(PORT, socket.SOCK_DGRAM, gateway), hub.listen(PORT, socket.SOCK_STREAM, gateway))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(proxy.run())
                await self._load(hub, proxy, view)
                group.create_task(services.run())
                group.create_task(slices.run())
                await services.synced()
                await slices.synced()
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    view.update(services.all(), slices.all())
                    await self._load(hub, proxy, view)
                    await asyncio.sleep(GATHER)
        finally:
            server.close()

    async def _load(self, hub: Hub, proxy: Proxy, view: Services) -> None:
        try:
            rules = ruleset(hub.subnet, proxy.port, view.forwards(), view.addresses())
            await asyncio.to_thread(hub.load, rules)
        except OSError as problem:
            log.error("Services are not reached as they should be: %s", problem)

    def close(self) -> None:
        """Let go of the network."""
        if self._hub is not None:
            self._hub.close()


def open_network(key: str, server: str, shared: str) -> PodNetwork:
    """Make the network of a node's pods, or find out why there is none.

    `server` is the URL of the API server, `shared` the address of pods that have no network of their own.
    """
    url = urlsplit(server)
    api = (url.hostname or shared, url.port or 443)
    try:
        hub = open_hub(key)
        try:
            hub.load(ruleset(hub.subnet, _NOBODY, [], []))
        except OSError:
            hub.close()
            raise
    except OSError as problem:
        log.info("no network for pods: %s", problem)
        return PodNetwork(None, str(problem), api, shared)
    return PodNetwork(hub, "", api, shared)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""
