"""The HTTP front: TLS, authentication, routing, and the one place where errors become responses.

`ApiServer` owns the life of everything in this package. Its port is chosen at the first start and kept, so that a
kubeconfig stays valid across restarts. A request that cannot be understood gets a Status and never ends the process.
"""

import asyncio
import fcntl
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from holdfast.embedded.apiserver import default_roles, namespaces, podidentity
from holdfast.embedded.apiserver.aggregation import Aggregation
from holdfast.embedded.apiserver.aggregation import fill as fill_aggregated
from holdfast.embedded.apiserver.api import Admission, Api, Sealers
from holdfast.embedded.apiserver.auth import ADMIN, Auth
from holdfast.embedded.apiserver.collector import Collector
from holdfast.embedded.apiserver.crds import Definitions
from holdfast.embedded.apiserver.door import Door, Reading
from holdfast.embedded.apiserver.front import Front
from holdfast.embedded.apiserver.kubeconfig import write_kubeconfig
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.pki import ensure_server_certificate
from holdfast.embedded.apiserver.podlog import LogProxy
from holdfast.embedded.apiserver.store import Store
from holdfast.embedded.upgrade import Upgrades

_log = logging.getLogger(__name__)
_PORT_FILE = "apiserver.port"


def _lock(data_dir: Path) -> int:
    """Hold the data directory for this process: two servers on one store would give out the same revisions."""
    handle = os.open(data_dir / "apiserver.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise RuntimeError(
            f"another API server uses {data_dir}: stop it (`holdfast down`), or choose another data directory"
        ) from None
    return handle


class ApiServer:
    """One API server on one data directory. `start` returns when it serves; `stop` when everything is closed.

    `roles` are ClusterRoles and ClusterRoleBindings to keep beside the default ones (see `default_roles`).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        admission: Admission | None = None,
        roles: Sequence[Object] = (),
        sealers: Sealers | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.kubeconfig_path = data_dir / f"{ADMIN}.kubeconfig"
        self.host = host
        self.port = port
        self._admission: Admission = admission or {}
        self._roles, self._sealers = roles, sealers
        self._store: Store | None = None
        self._api: Api | None = None
        self._logs: LogProxy | None = None
        self._server: web.Server | None = None
        self._upgrades: Upgrades | None = None
        self._listener: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lock = -1

    @property
    def url(self) -> str:
        """Base URL; valid once started."""
        return f"https://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def start(self) -> None:
        """Open the store, make what is missing, and serve. RuntimeError tells what is in the way."""
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(self.data_dir)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        pki = self.data_dir / "pki"
        ca, certificate, key = ensure_server_certificate(pki, (self.host,))
        self._store = Store(self.data_dir / "state.db")
        api = self._api = Api(self._store, Auth(pki, self._store), self._admission, ca.read_text(), self._sealers)
        Definitions(self._store, api.registry, api.rings)
        aggregation = Aggregation(self._store)
        await asyncio.gather(
            self._store.write(lambda transaction: namespaces.ensure_first(transaction, api.ca)),
            self._store.write(lambda transaction: default_roles.ensure(transaction, self._roles)),
            self._store.write(fill_aggregated),
            self._store.write(podidentity.ensure_classes),
        )
        self._tasks = [asyncio.create_task(Collector(api).run()), asyncio.create_task(aggregation.run())]
        furnishing = namespaces.Furnishing(self._store, api.ca)
        self._tasks += [asyncio.create_task(api.quotas.run()), asyncio.create_task(furnishing.run())]
        self._logs = LogProxy(api)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        front = Front(api, self._logs, lambda: self.url)
        upgrades = self._upgrades = Upgrades(front.upgrade)
        server = self._server = web.Server(front.handle, handler_cancellation=True, access_log=None)
        reading = Reading()
        await self._listen(context, lambda: Door(server, upgrades, front, reading))
        for name, token in api.auth.tokens.items():
            write_kubeconfig(self.data_dir / f"{name}.kubeconfig", name, self.url, ca.read_bytes(), token)
        _log.info("serving the Kubernetes API at %s", self.url)

    async def _listen(self, context: ssl.SSLContext, door: Callable[[], asyncio.Protocol]) -> None:
        remembered = self.data_dir / _PORT_FILE
        wanted = self.port or (int(remembered.read_text()) if remembered.exists() else 0)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, wanted))
        except OSError as error:
            listener.close()
            raise RuntimeError(
                f"{self.host}:{wanted} cannot be served: {error.strerror}; stop the program that uses it, "
                f"or remove {remembered} to let another port be chosen"
            ) from None
        loop = asyncio.get_running_loop()
        self.port = listener.getsockname()[1]
        self._listener = await loop.create_server(door, sock=listener, ssl=context, backlog=512)
        remembered.write_text(str(self.port))

    async def stop(self) -> None:
        """End watches, finish the writes under way, close the store. Safe to call twice."""
        if self._api is not None:
            self._api.stopping = True
            self._api.rings.wake_all()
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(2.0)
        if self._upgrades is not None:
            await self._upgrades.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._logs is not None:
            await self._logs.close()
        if self._store is not None:
            await self._store.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._api = self._listener = self._server = self._upgrades = self._logs = self._store = None
