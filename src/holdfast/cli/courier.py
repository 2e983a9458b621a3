"""The work of an agent on its own cluster: lays down jobs and what they need, tells how they stand, and tidies up after them.

Everything that it lays down carries the label of where it came from. A job that has ended here is told of until the other side
knows; then it goes, and its copies' points go with it, whose data stays: the other side has them. Snapshot points stay as long
as the other side wants, since they hold the snapshots.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from holdfast import __version__
from holdfast.core.objects import Kind, Object
from holdfast.core.read import flag, mapping, name_of, text
from holdfast.dialects.cloudcasa import travel
from holdfast.dialects.cloudcasa.kinds import (
    AGENT_NAMESPACE,
    BACKUPINSTANCE,
    FINAL_STATES,
    JOBLOG,
    KUBEBACKUP,
    KUBECLUSTER,
    KUBEHOOK,
    KUBEJOB,
    KUBEOFFLOAD,
    KUBERESTORE,
    OBJECTSTORE,
    ORIGIN,
    secret_name,
)
from holdfast.engine.grants import Grants
from holdfast.kube.builtin import NAMESPACES, NODES, SECRETS
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.rest.state import RESOURCES

_KNOWN: Final[dict[str, Kind]] = {
    kind.kind: kind
    for kind in (KUBECLUSTER, OBJECTSTORE, KUBEHOOK, KUBEBACKUP, KUBEOFFLOAD, BACKUPINSTANCE, KUBERESTORE, KUBEJOB)
}
"""What may be laid down here, beside the Secrets of objectstores."""

_PASSING: Final = (KUBERESTORE, KUBEOFFLOAD, KUBEBACKUP, KUBEHOOK)
"""What goes when no job needs it any more; stores stay, so that they need not be tried again for each job."""

_LOOKED_AGAIN: Final = 15
"""Reports after which nodes and namespaces are counted anew."""


class Order(msgspec.Struct, frozen=True):
    """A job to carry out: with `objects` it is new here; `cancel` says that somebody wants it to end."""

    job: str
    cancel: bool = False
    objects: list[dict[str, Any]] = []


class Orders(msgspec.Struct, frozen=True):
    """What comes back for a report: what to do, which jobs can be forgotten, which objectstores there are."""

    every: float
    ended: list[str]
    jobs: list[Order]
    objectstores: list[str]


class Courier:
    """Carries documents between one cluster and the installation that it belongs to."""

    def __init__(self, client: Client, cluster: str, grants: Grants) -> None:
        self._client, self._cluster, self._grants = client, cluster, grants
        self._selector = f"{ORIGIN}={cluster}"
        self._about: Object = {}
        self._reports = 0
        self._told: dict[str, str] = {}
        self._untidy = True

    async def report(self) -> Object:
        """Return what there is to tell. Raises ApiError."""
        if self._reports % _LOOKED_AGAIN == 0:
            self._about = await self._look()
        self._reports += 1
        jobs = await self._jobs()
        points = await self._loose(jobs) if self._untidy else {}
        for job in jobs.values():
            if text(job, "status", "state") in FINAL_STATES:
                points |= await self._points(job)
        logs = await self._logs(jobs)
        return {**self._about, "jobs": {name: _status(job) for name, job in jobs.items()}, "points": points, "logs": logs}

    async def carry_out(self, orders: Orders) -> None:
        """Do what the other side wants. Raises ApiError."""
        present = await self._jobs()
        if self._untidy and not present:
            await self._tidy(orders)
        for order in orders.jobs:
            if order.objects and order.job not in present:
                await self._lay_down(order)
            elif order.cancel and order.job in present and not flag(present[order.job], "spec", "cancel"):
                await self._client.merge_patch(RESOURCES[KUBEJOB], order.job, AGENT_NAMESPACE, {"spec": {"cancel": True}})
        for ident in orders.ended:
            if ident in present:
                await self._forget(present[ident])

    async def _look(self) -> Object:
        version: Any = msgspec.json.decode(await self._client.get_raw("/version"))
        return {
            "version": __version__,
            "kubernetes_version": str(version.get("gitVersion", "")),
            "nodes": len((await self._client.list(NODES)).items),
            "namespaces": len((await self._client.list(NAMESPACES)).items),
        }

    async def _jobs(self) -> dict[str, Object]:
        found = await self._client.list(RESOURCES[KUBEJOB], AGENT_NAMESPACE, label_selector=self._selector)
        return {name_of(job): job for job in found.items}

    async def _points(self, job: Object) -> dict[str, Object]:
        """Return the fields of the points that a job made and that are still there."""
        found: dict[str, Object] = {}
        for ident in travel.points_of(job):
            try:
                point = await self._client.get(RESOURCES[BACKUPINSTANCE], ident, AGENT_NAMESPACE)
            except NotFound:
                continue
            if not text(point, "metadata", "deletionTimestamp"):
                found[ident] = mapping(point, "spec")
        return found

    async def _loose(self, jobs: dict[str, Object]) -> dict[str, Object]:
        """Return the snapshot points whose job is gone: the other side may have given it up before it knew of them."""
        claimed = {ident for job in jobs.values() for ident in travel.points_of(job)}
        found = {name_of(each): mapping(each, "spec") for each in await self._brought(BACKUPINSTANCE)}
        return {ident: spec for ident, spec in found.items() if ident not in claimed and text(spec, "type") == "SNAPSHOT"}

    async def _logs(self, jobs: dict[str, Object]) -> dict[str, Object]:
        """Return what movers printed since it was told last."""
        if not jobs:
            return {}
        found: dict[str, Object] = {}
        for log in (await self._client.list(RESOURCES[JOBLOG], AGENT_NAMESPACE)).items:
            version = text(log, "metadata", "resourceVersion")
            if name_of(log) in jobs and self._told.get(name_of(log)) != version:
                self._told[name_of(log)] = version
                found[name_of(log)] = mapping(log, "spec", "movers")
        return found

    async def _lay_down(self, order: Order) -> None:
        """Make what a job needs, and then the job."""
        self._untidy = True
        for obj in order.objects:
            meta = obj["metadata"]
            meta["namespace"] = AGENT_NAMESPACE
            if obj["kind"] == "Secret":
                await self._grants.call(AGENT_NAMESPACE, lambda obj=obj: self._client.apply(SECRETS, obj))
            elif obj["kind"] == KUBEJOB.kind:
                try:
                    await self._client.create(RESOURCES[KUBEJOB], obj)
                except AlreadyExists:
                    continue
            elif obj["kind"] in _KNOWN:
                await self._client.apply(RESOURCES[_KNOWN[obj["kind"]]], obj)

    async def _forget(self, job: Object) -> None:
        """Remove a job that the other side knows the end of. The records of copies go first: their data is not ours."""
        for ident, point in (await self._points(job)).items():
            if text(point, "type") == "COPY":
                await self._remove(BACKUPINSTANCE, ident)
        await self._remove(KUBEJOB, name_of(job))
        self._told.pop(name_of(job), None)

    async def _tidy(self, orders: Orders) -> None:
        """Remove what no job needs."""
        for kind in _PASSING:
            for obj in await self._brought(kind):
                await self._remove(kind, name_of(obj))
        for point in await self._brought(BACKUPINSTANCE):
            if text(point, "spec", "type") == "COPY":
                await self._remove(BACKUPINSTANCE, name_of(point))
        for store in await self._brought(OBJECTSTORE):
            if (ident := name_of(store)) not in orders.objectstores:
                await self._remove(OBJECTSTORE, ident)
                name = secret_name(ident)
                await self._grants.call(AGENT_NAMESPACE, lambda name=name: self._client.delete(SECRETS, name, AGENT_NAMESPACE))
        self._untidy = False

    async def _brought(self, kind: Kind) -> list[Object]:
        return (await self._client.list(RESOURCES[kind], AGENT_NAMESPACE, label_selector=self._selector)).items

    async def _remove(self, kind: Kind, name: str) -> None:
        try:
            await self._client.delete(RESOURCES[kind], name, AGENT_NAMESPACE)
        except NotFound:
            return


def _status(job: Object) -> Object:
    """Return the status of a job as it is told: one that nobody has looked at yet is PENDING."""
    return {"state": "PENDING", **mapping(job, "status")}
