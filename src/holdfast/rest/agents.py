"""Agents of other clusters: the manifest that installs one, and the one request by which it reports and takes its work.

    GET  /kubeclusters/<id>/agent    the manifest, with a key for this cluster alone; an editor's to read
    POST /kubeclusters/<id>/agent    the agent's: what it has seen, in; what is to be done, out

The key lies in a Secret, so that the manifest can be read again, and as a digest like all keys; both belong to the document of
the cluster and go with it. Everything that an agent reports may come twice and in any order: a job that has ended never
changes, and a recovery point that is known stays as it is.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from holdfast.core.labels import annotation
from holdfast.core.objects import Object, owner_reference
from holdfast.core.read import at, flag, mapping, name_of, number, text
from holdfast.dialects.cloudcasa import travel
from holdfast.dialects.cloudcasa.kinds import (
    ACTIVE_STATES,
    AGENT,
    AGENT_NAMESPACE,
    APIKEY,
    BACKUPINSTANCE,
    FINAL_STATES,
    IDENT,
    JOBLOG,
    KUBECLUSTER,
    KUBEJOB,
    LOCAL_CLUSTER,
    secret_name,
)
from holdfast.kube.builtin import SECRETS
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from holdfast.rest import keys
from holdfast.rest.errors import RestError, not_found
from holdfast.rest.index import Entry
from holdfast.rest.state import RESOURCES, OrganizationLookup, State
from holdfast.rest.writes import refused

EVERY: Final = 2.0
"""Seconds between two reports of an agent."""

_REMEMBERED: Final = 20
"""Seconds after which it is written down again that an agent was heard of."""

_KEY: Final = "key"


_log = logging.getLogger(__name__)


class Connection(msgspec.Struct, frozen=True):
    """What an agent needs to know: where we are, whom to trust, and its key. The repr does not show the key."""

    url: str
    cluster: str
    key: str
    ca: str = ""

    def __repr__(self) -> str:
        """Name the cluster only."""
        return f"Connection({self.cluster})"


Manifest = Callable[[Connection, bool], str]
"""Writes the manifest that installs an agent; with True the operator beside it, too."""


class Report(msgspec.Struct, frozen=True):
    """What an agent has seen: its cluster, the status of each job that it has, the points these made, what movers printed."""

    version: str = ""
    kubernetes_version: str = ""
    nodes: int = 0
    namespaces: int = 0
    jobs: dict[str, dict[str, Any]] = {}
    points: dict[str, dict[str, Any]] = {}
    logs: dict[str, dict[str, Any]] = {}


class AgentPages:
    """The two methods of `/kubeclusters/<id>/agent`."""

    def __init__(self, state: State, manifest: Manifest, ca: str = "") -> None:
        self._state, self._manifest, self._ca = state, manifest, ca

    async def manifest(self, organization: str, ident: str, base: str, *, whole: bool) -> str:
        """Return the manifest of a cluster's agent, which finds us at `base`; `whole` has the operator, too.

        Raises RestError 404, 409.
        """
        cluster = self._cluster(organization, ident)
        if annotation(cluster.obj, LOCAL_CLUSTER) == "true":
            raise RestError(409, "this is the cluster that Holdfast runs in: it needs no agent")
        try:
            key = await self._state.secrets.call(organization, lambda: self._key(cluster.obj))
        except ApiError as error:
            raise refused(error) from None
        return await asyncio.to_thread(self._manifest, Connection(base, ident, key, self._ca), whole)

    async def exchange(self, organization: str, ident: str, body: Any) -> Object:
        """Take a report and return the orders. Raises RestError 404, 422."""
        cluster = self._cluster(organization, ident)
        try:
            report = msgspec.convert(body, Report)
        except msgspec.ValidationError as error:
            raise RestError(422, f"the report can't be read: {error}") from None
        try:
            await self._heard(cluster.obj, report)
            for point, spec in report.points.items():
                await self._brought(organization, ident, point, spec)
            ended = [job for job, status in report.jobs.items() if await self._ended(organization, ident, job, status, report)]
            return {
                "every": EVERY,
                "ended": ended,
                "jobs": [await self._order(organization, job, report) for job in self._open(organization, ident)],
                "objectstores": [name_of(each.obj) for each in self._state.index(organization, "objectstores").all()],
            }
        except ApiError as error:
            raise refused(error) from None

    async def announce(self, cluster: Object, base: str) -> Entry | None:
        """Write where the manifest of a cluster is served, unless that is known. Returns the document as it is then."""
        if annotation(cluster, LOCAL_CLUSTER) == "true" or text(cluster, "status", "agentURL"):
            return None
        status: Object = {"agentURL": f"{base}/kubeclusters/{name_of(cluster)}/agent"}
        if not text(cluster, "status", "state"):
            status["state"] = "REGISTERED"
        try:
            return self._state.wrote(await self._patch(KUBECLUSTER, cluster, {"status": status}))
        except ApiError as error:
            _log.warning("kubecluster %s: its agentURL could not be written: %s", name_of(cluster), error)
            return None

    def _cluster(self, organization: str, ident: str) -> Entry:
        found = self._state.find(organization, "kubeclusters", ident)
        if found is None:
            raise not_found("kubeclusters", ident)
        return found

    async def _key(self, cluster: Object) -> str:
        """Return the key of a cluster's agent: the one that there is, unless it was revoked."""
        client, name, meta = self._state.client, f"cloudcasa-agent-{name_of(cluster)}", cluster["metadata"]
        try:
            kept = at(await client.get(SECRETS, name, meta["namespace"]), "data", _KEY)
            known = keys.parts(base64.b64decode(kept).decode())
            if known and self._state.key(known[0]) is not None:
                return base64.b64decode(kept).decode()
        except NotFound:
            pass
        made = keys.make(meta["namespace"], f"agent of {text(cluster, 'spec', 'name')}"[:253], [AGENT], cluster=meta["name"])
        owners = [owner_reference(cluster, controller=False)]
        made.object["metadata"]["ownerReferences"] = owners
        self._state.wrote(await client.create(RESOURCES[APIKEY], made.object))
        secret: Object = {"name": name, "namespace": meta["namespace"], "ownerReferences": owners}
        data = {_KEY: base64.b64encode(made.key.encode()).decode()}
        await client.apply(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": data})
        return made.key

    async def _heard(self, cluster: Object, report: Report) -> None:
        """Write down that an agent was heard of, now and then, and whatever is new about its cluster."""
        now, known = int(self._state.clock()), mapping(cluster, "status")
        told: Object = {name: getattr(report, name) for name in ("version", "kubernetes_version", "nodes", "namespaces")}
        if now - (number(known, "last_seen") or 0) >= _REMEMBERED or any(known.get(name) != told[name] for name in told):
            self._state.wrote(await self._patch(KUBECLUSTER, cluster, {"status": {"last_seen": now, **told}}))

    async def _brought(self, organization: str, cluster: str, ident: str, spec: Object) -> None:
        """Make a point known that a job of this cluster has made."""
        if not IDENT.fullmatch(ident) or text(spec, "cluster") != cluster:
            raise RestError(422, f"point {ident} is not one of cluster {cluster}")
        if self._state.find(organization, "backupinstances", ident) is None:
            made = travel.brought_home(spec, ident, organization)
            try:
                self._state.wrote(await self._state.client.create(RESOURCES[BACKUPINSTANCE], made))
            except AlreadyExists:
                return

    async def _ended(self, organization: str, cluster: str, ident: str, status: Object, report: Report) -> bool:
        """Write down how a job stands. Returns whether it has ended here, so that the agent can forget it."""
        entry = self._state.find(organization, "jobs", ident)
        if entry is None or text(entry.obj, "spec", "cluster") != cluster:
            return True
        if lines := report.logs.get(ident):
            await self._printed(entry.obj, lines)
        own = mapping(entry.obj, "status")
        if text(own, "state") in FINAL_STATES:
            return True
        wanted = travel.status_from(status, own)
        if wanted != own:
            version = text(entry.obj, "metadata", "resourceVersion")
            try:
                made = await self._patch(KUBEJOB, entry.obj, {"status": wanted}, version)
            except (Conflict, NotFound):
                return False
            self._state.wrote(made)
        return text(wanted, "state") in FINAL_STATES

    async def _printed(self, job: Object, movers: Mapping[str, Any]) -> None:
        meta: Object = {"name": name_of(job), "namespace": job["metadata"]["namespace"]}
        meta["ownerReferences"] = [owner_reference(job, controller=False)]
        resource = RESOURCES[JOBLOG]
        await self._state.client.apply(
            resource,
            {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": {"movers": dict(movers)}},
        )

    def _open(self, organization: str, cluster: str) -> list[Object]:
        """Return the jobs that the agent of a cluster has to carry out, the oldest first."""
        index = self._state.index(organization, "jobs")
        found = [entry.obj for state in ACTIVE_STATES for entry in index.having("state", state)]
        mine = [job for job in found if text(job, "spec", "cluster") == cluster and text(job, "status", "jobrunner")]
        return sorted(mine, key=lambda job: (text(job, "metadata", "creationTimestamp"), name_of(job)))

    async def _order(self, organization: str, job: Object, report: Report) -> Object:
        """Return what the agent has to know of a job: all of it, unless it has it already."""
        order: Object = {"job": name_of(job), "cancel": flag(job, "spec", "cancel")}
        if name_of(job) in report.jobs:
            return order
        store, secrets_ = travel.objectstore_of(job), list[Object]()
        version = ""
        if store:
            name = secret_name(store)
            secret = await self._state.secrets.call(organization, lambda: self._state.client.get(SECRETS, name, organization))
            version = text(secret, "metadata", "resourceVersion")
            meta: Object = {"name": name, "namespace": AGENT_NAMESPACE}
            secrets_.append({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": mapping(secret, "data")})
        lookup = OrganizationLookup(self._state, organization)
        return {**order, "objects": [*secrets_, *travel.documents_for(job, lookup, AGENT_NAMESPACE, version)]}

    async def _patch(self, kind: Any, obj: Object, body: Object, version: str = "") -> Object:
        meta = obj["metadata"]
        return await self._state.client.merge_patch(
            RESOURCES[kind], meta["name"], meta["namespace"], body, subresource="status", resource_version=version
        )
