"""Events: what happened to an object, for `kubectl describe`. Best effort by design, and never in anyone's way.

`emit` only notes; one task writes behind it. The same event again raises the count of the one that is there: its name is
derived from object, reason and message, so a restart finds it too. When the server does not take them, events are lost
and the caller never learns.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from holdfast.kube.builtin import EVENTS
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.kube.objects import Object

_log = logging.getLogger(__name__)

MESSAGE_LIMIT: Final = 1024
PENDING_LIMIT: Final = 1000
REMEMBERED: Final = 4096


class _Pending(msgspec.Struct):
    """An event to be written: the object as first emitted, and how often it happened since the last write."""

    event: Object
    times: int


class EventRecorder:
    """Writes events for one component, on a machine of the name `host` where that matters."""

    def __init__(
        self, client: Client, component: str, *, host: str = "", now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        self._client = client
        self._component = component
        self._host = host
        self._now = now
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None

    def emit(self, obj: Object, type: str, reason: str, message: str, *, part: str = "") -> None:
        """Note that something happened to `obj`; `type` is Normal or Warning, `part` the path of the field it is about.

        Returns at once and never raises.
        """
        try:
            event = self._event(obj, type, reason, message, part)
            name: str = event["metadata"]["name"]
            waiting = self._pending.get(name)
            if waiting is not None:
                waiting.times += 1
                waiting.event["lastTimestamp"] = event["lastTimestamp"]
            elif len(self._pending) < PENDING_LIMIT:
                self._pending[name] = _Pending(event, 1)
            if self._writer is None or self._writer.done():
                self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="events")
        except Exception:
            _log.exception("event %s was not noted", reason)

    async def flush(self) -> None:
        """Wait until all events noted so far are written or given up."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    async def close(self) -> None:
        """Stop writing; what is still waiting is lost."""
        if self._writer is not None:
            self._writer.cancel()
            await self.flush()

    async def _write_all(self) -> None:
        while self._pending:
            name, pending = self._pending.popitem(last=False)
            try:
                await self._write(name, pending)
            except Exception as error:
                _log.warning("event %s on %s: %s", pending.event["reason"], _subject(pending.event), error)

    async def _write(self, name: str, pending: _Pending) -> None:
        known = self._counts.get(name)
        if known is not None:
            try:
                await self._raise_count(name, pending, known)
                return
            except NotFound:
                pass
        try:
            await self._client.create(EVENTS, {**pending.event, "count": pending.times})
            self._remember(name, pending.times)
        except AlreadyExists:
            present = await self._client.get(EVENTS, name, pending.event["metadata"]["namespace"])
            await self._raise_count(name, pending, int(present.get("count") or 1))

    async def _raise_count(self, name: str, pending: _Pending, known: int) -> None:
        body = {"count": known + pending.times, "lastTimestamp": pending.event["lastTimestamp"]}
        await self._client.merge_patch(EVENTS, name, pending.event["metadata"]["namespace"], body)
        self._remember(name, known + pending.times)

    def _remember(self, name: str, count: int) -> None:
        self._counts[name] = count
        self._counts.move_to_end(name)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def _event(self, obj: Object, type_: str, reason: str, message: str, part: str) -> Object:
        meta = obj["metadata"]
        now = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 3] + "..."
        seed = "\0".join(
            (meta.get("uid", ""), obj.get("kind", ""), type_, reason, text, self._component, *filter(None, [part]))
        )
        digest = hashlib.sha256(seed.encode()).hexdigest()[:16]
        involved = {
            "apiVersion": obj.get("apiVersion", ""),
            "kind": obj.get("kind", ""),
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta.get("uid", ""),
            "fieldPath": part,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{meta['name'][:200].rstrip('-.')}.{digest}",
                "namespace": meta.get("namespace") or "default",
            },
            "involvedObject": {name: value for name, value in involved.items() if value},
            "type": type_,
            "reason": reason,
            "message": text,
            "source": {"component": self._component} | ({"host": self._host} if self._host else {}),
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }


def _subject(event: Object) -> str:
    involved = event["involvedObject"]
    return f"{involved.get('kind', '')} {involved.get('namespace', '')}/{involved['name']}"
