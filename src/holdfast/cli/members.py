"""Other clusters that this installation reaches itself: kubeclusters whose annotation names a Secret with a kubeconfig.

What an agent does from over there (see `cli.agent`), a task does from here, one for each such cluster: it lays down jobs with
what they need, and brings back how they stand and the recovery points they made. The other cluster runs its own operator.
Nothing is remembered but what lies in the two API servers, so a restart goes on where it was, and two REST servers do no harm.

The Secret is read again twice a minute and whenever it is refused, so that a credential that was rotated is used at once. Why a
cluster can't be reached stands in its status. A kubeconfig may not start programs or name files: it is somebody else's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from typing import Any, Final

import msgspec

from holdfast.cli.courier import Courier, Orders
from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.read import mapping, name_of, namespace_of, text
from holdfast.dialects.cloudcasa.kinds import AGENT_NAMESPACE, KUBECLUSTER, KUBECONFIG, LOCAL_CLUSTER
from holdfast.engine.grants import Grants
from holdfast.kube.builtin import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, ConfigError, foreign_kubeconfig
from holdfast.kube.errors import ApiError, NotFound
from holdfast.rest.agents import AgentPages
from holdfast.rest.app import ensure_organization
from holdfast.rest.errors import RestError
from holdfast.rest.state import RESOURCES, State

ENTRY: Final = "kubeconfig"
"""The key of the Secret that holds the kubeconfig."""

READ_AGAIN: Final = 30.0
"""Seconds after which the Secret is read again."""

LONGEST_PAUSE: Final = 30.0
_FIRST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


class Members:
    """Serves every kubecluster that has a kubeconfig, while `run` runs."""

    def __init__(self, state: State, pages: AgentPages) -> None:
        self._state, self._pages = state, pages
        self._tasks: dict[tuple[str, str], tuple[str, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._state.manager.informer(RESOURCES[KUBECLUSTER]).subscribe(self._changed)
            await asyncio.Event().wait()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None or self._group is None:
            return
        key = (namespace_of(obj), name_of(obj))
        secret = annotation(new, KUBECONFIG) if new is not None and annotation(new, LOCAL_CLUSTER) != "true" else ""
        served, task = self._tasks.get(key, ("", None))
        if secret == served:
            return
        if task is not None:
            task.cancel()
        self._tasks.pop(key, None)
        if secret:
            member = Member(self._state, self._pages, key, secret)
            self._tasks[key] = (secret, self._group.create_task(member.run(), name=f"kubecluster {key[1]}"))


class Member:
    """One kubecluster that is reached with the kubeconfig of a Secret."""

    def __init__(self, state: State, pages: AgentPages, key: tuple[str, str], secret: str) -> None:
        self._state, self._pages, self._secret = state, pages, secret
        self._organization, self._ident = key

    async def run(self) -> None:
        """Carry documents until cancelled, whatever fails meanwhile."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                version, config = await self._credential()
                await self._connected(version, config)
                continue
            except (ApiError, ConfigError, RestError, OSError, TimeoutError, msgspec.DecodeError) as error:
                await self._trouble(str(error) or type(error).__name__)
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connected(self, version: str, config: ClusterConfig) -> None:
        """Report and carry out until the Secret changes. Raises what fails."""
        async with Client(config, field_manager="holdfast-agent") as client:
            await self._prepared(client)
            courier, looked = Courier(client, self._ident, Grants(client)), time.monotonic()
            while True:
                report: Any = await courier.report()
                answer = await self._pages.exchange(self._organization, self._ident, report)
                await courier.carry_out(msgspec.convert(answer, Orders))
                await self._trouble("")
                await asyncio.sleep(float(answer["every"]))
                if time.monotonic() - looked > READ_AGAIN:
                    looked = time.monotonic()
                    if (await self._credential())[0] != version:
                        _log.info("kubecluster %s: its kubeconfig has changed", self._ident)
                        return

    async def _prepared(self, client: Client) -> None:
        """Make the namespace of what is laid down there. Raises ConfigError when no Holdfast is installed there."""
        try:
            await client.list(RESOURCES[KUBECLUSTER], limit=1)
        except NotFound:
            raise ConfigError("Holdfast is not installed there: apply deploy/install.yaml in that cluster") from None
        await ensure_organization(client, AGENT_NAMESPACE, local=False)

    async def _credential(self) -> tuple[str, ClusterConfig]:
        """Read the Secret: its version and what it says. Raises ApiError, ConfigError; neither shows a value."""
        place, where = self._organization, f"of Secret {self._organization}/{self._secret}"
        try:
            secret = await self._state.secrets.call(place, lambda: self._state.client.get(SECRETS, self._secret, place))
        except NotFound:
            raise ConfigError(f"Secret {place}/{self._secret} is missing: make it with the entry {ENTRY}") from None
        coded = text(secret, "data", ENTRY)
        if not coded:
            raise ConfigError(f"Secret {place}/{self._secret} has no entry {ENTRY}")
        try:
            given = base64.b64decode(coded).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ConfigError(f"Secret {place}/{self._secret}: its entry {ENTRY} is no text") from None
        return text(secret, "metadata", "resourceVersion"), foreign_kubeconfig(given, where)

    async def _trouble(self, message: str) -> None:
        """Write down why the cluster is not reached, or that it is; once for each change."""
        found = self._state.find(self._organization, "kubeclusters", self._ident)
        if found is None or text(mapping(found.obj, "status"), "trouble") == message:
            return
        if message:
            _log.warning("kubecluster %s: %s", self._ident, message)
        body: Object = {"status": {"trouble": message or None}}
        try:
            made = await self._state.client.merge_patch(
                RESOURCES[KUBECLUSTER], self._ident, self._organization, body, subresource="status"
            )
        except (ApiError, OSError) as error:
            _log.warning("kubecluster %s: its state could not be written: %s", self._ident, error)
        else:
            self._state.wrote(made)
