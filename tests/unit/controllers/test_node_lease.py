"""When the node controller gives up a node: silence of the node counts, silence of the API server does not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from holdfast.embedded.controllers.nodes import NodeController
from holdfast.kube.errors import NotFound

NODE = {"metadata": {"name": "vm"}, "status": {"conditions": []}}
POD = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {"nodeName": "vm"}}


class _Server:
    """An API server that may be away, with one node, one pod and the node's Lease as its cache last saw it."""

    def __init__(self) -> None:
        self.now, self.cached, self.is_away = 0.0, "one", False
        self.renewed: str | None = "one"
        self.lost: list[str] = []

    async def get(self, *_: Any) -> Any:
        if self.is_away:
            raise ConnectionError("away")
        if self.renewed is None:
            raise NotFound(404, "NotFound", "leases vm not found")
        return self._lease(self.renewed)

    async def merge_patch(self, _resource: Any, name: str, _ns: Any, body: Any, **_: Any) -> None:
        if body["status"].get("reason") == "NodeLost":
            self.lost.append(name)

    @staticmethod
    def _lease(renewed: str) -> Any:
        return {"metadata": {"name": "vm"}, "spec": {"renewTime": renewed}}

    def controller(self) -> NodeController:
        def cache(found: Callable[[], Any]) -> Any:
            return SimpleNamespace(
                get=lambda *_: found(), add_index=lambda *_: None, by_index=lambda *_: [POD], subscribe=lambda *_: None
            )

        parts: list[Any] = [self, SimpleNamespace(emit=lambda *_: None), cache(lambda: NODE)]
        parts += [cache(lambda: self._lease(self.cached)), cache(lambda: NODE)]
        return NodeController(*parts, clock=lambda: self.now)


async def _go_on(server: _Server, controller: NodeController, seconds: float) -> None:
    end = server.now + seconds
    while server.now < end:
        try:
            result = await controller.reconcile(("", "vm"))
            step = result.after or 1.0
        except ConnectionError:
            step = 1.0
        server.now += min(step, 5.0)


async def test_a_silent_node_is_lost_after_grace_and_doubt():
    server = _Server()
    controller = server.controller()
    await _go_on(server, controller, 45)
    assert server.lost == []
    await _go_on(server, controller, 10)
    assert "p" in server.lost


async def test_a_server_that_was_away_costs_no_pod():
    server = _Server()
    controller = server.controller()
    await _go_on(server, controller, 10)
    server.is_away = True
    await _go_on(server, controller, 120)
    server.is_away = False
    await _go_on(server, controller, 3)
    server.renewed = "two"
    await _go_on(server, controller, 30)
    assert server.lost == []


async def test_a_lease_that_is_gone_counts_as_silence():
    server = _Server()
    server.cached, server.renewed = "", None
    await _go_on(server, server.controller(), 60)
    assert "p" in server.lost
