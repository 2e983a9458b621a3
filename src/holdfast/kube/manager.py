"""Informers shared by controllers, and the life of both: caches first, then work, all ended together.

One cache per resource and selection serves everyone who asks for it, so a process opens one watch per kind however
many controllers read it.
"""

import asyncio

from holdfast.kube.client import Client
from holdfast.kube.controller import Controller
from holdfast.kube.informer import Informer, Trim
from holdfast.kube.resource import Resource


class Manager:
    """The informers and controllers of one process."""

    def __init__(self, client: Client):
        self.client = client
        self._informers: dict[tuple[Resource, str, str, str], Informer] = {}
        self._controllers: list[Controller] = []
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        res: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        trim: Trim | None = None,
        may_lack: bool = False,
    ) -> Informer:
        """Return the shared informer of this selection; made while running, it starts at once.

        `may_lack`, of a kind that the cluster may not serve, is settled by whoever asks first.
        """
        identity = (res, namespace, label_selector, field_selector)
        present = self._informers.get(identity)
        if present is not None:
            if trim is not None and present.trim is not trim:
                raise ValueError(f"informer of {res}: exists already with another trim; agree on one")
            return present
        made = Informer(
            self.client,
            res,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            trim=trim,
            may_lack=may_lack,
        )
        self._informers[identity] = made
        if self._group is not None:
            self._group.create_task(made.run(), name=f"informer {res}")
        return made

    def add(self, controller: Controller) -> Controller:
        """Run this controller too; added while running, it starts at once."""
        self._controllers.append(controller)
        if self._group is not None:
            self._group.create_task(self._run_controller(controller), name=f"controller {controller.name}")
        return controller

    async def synced(self) -> None:
        """Wait until every informer has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced()

    async def run(self) -> None:
        """Run all informers and controllers until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._informers.values():
                    group.create_task(informer.run(), name=f"informer {informer.resource}")
                for controller in self._controllers:
                    group.create_task(self._run_controller(controller), name=f"controller {controller.name}")
        finally:
            self._group = None

    async def _run_controller(self, controller: Controller) -> None:
        """A controller may read caches that it does not watch, so it waits for all of them."""
        await self.synced()
        await controller.run()
