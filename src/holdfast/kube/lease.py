"""Leadership by a Lease: at most one of several processes acts, even when one of them was stopped for a minute.

Kubernetes checks no epoch for us, so the holder must stop by itself. Its deadline counts from the moment before a
renewal was sent, on a clock that goes on while the machine sleeps, and lies well before the moment at which others may
take over: they wait a full duration after they last saw the Lease change, on their own clock. No two clocks are ever
compared. Writers pass `check` before each attempt (see `Client.gated`); what is still under way when the process stops
meets resourceVersions and deterministic names.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from holdfast.kube.builtin import LEASES
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from holdfast.kube.objects import Object

_log = logging.getLogger(__name__)

_GRACE: Final = 2 / 3

Listener = Callable[[bool], None]
"""Told whether we lead from now on."""


class LeaseLost(Exception):
    """We may not write now: another process may hold the lease."""


def machine_clock() -> float:
    """Seconds that never go back and go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Elector:
    """One candidate for one Lease. `duration` is in seconds; the holder gives up writing after two thirds of it."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration: float = 15.0,
        clock: Callable[[], float] = machine_clock,
        shared: bool = False,
        labels: Mapping[str, str] | None = None,
    ):
        """`shared`: others hold it under the same identity, so it is never given back. `labels`: of a Lease that we make."""
        self.identity = identity
        self.epoch = 0
        """How often the lease changed hands, as of our last acquisition."""
        self.term = 0
        """How often we came to hold it: a gap in which we did not, however short, begins another term."""
        self._client = client
        self._name, self._namespace = name, namespace
        self._duration, self._shared, self._labels = duration, shared, dict(labels or {})
        self._clock = clock
        self._deadline = float("-inf")
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = float("-inf")
        self._looked_at = float("-inf")
        self._changed = asyncio.Event()
        self._given_back = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether we may write at this moment."""
        return self._clock() < self._deadline

    def check(self) -> None:
        """Raise LeaseLost unless we may write at this moment: the gate before each write."""
        if not self.held:
            raise LeaseLost(f"lease {self._namespace}/{self._name} is not held by {self.identity}: writing stopped")

    async def run(self) -> None:
        """Acquire, renew and acquire again until cancelled; then give the lease back, so that a successor need not wait."""
        try:
            while True:
                await self.once()
                await asyncio.sleep(self._pause())
        finally:
            await self.release()

    async def acquired(self) -> None:
        """Wait until we may write."""
        while not self.held:
            self._changed.clear()
            await self._changed.wait()

    async def lost(self) -> None:
        """Wait for the end of this term: we may no longer write, or could not for a moment."""
        term = self.term
        while self.term == term and (left := self._deadline - self._clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._duration / 10)):
                    await self._given_back.wait()

    async def follow(self, listener: Listener) -> None:
        """Tell `listener` of the beginning (True) and the end (False) of each term, until cancelled. Needs `run` beside it."""
        while True:
            await self.acquired()
            _log.info("%s leads: lease %s/%s, epoch %d", self.identity, self._namespace, self._name, self.epoch)
            listener(True)
            await self.lost()
            _log.warning("%s lost the lease %s/%s and stops writing", self.identity, self._namespace, self._name)
            listener(False)

    async def once(self) -> None:
        """Read the lease and make one attempt."""
        await self._bounded(self._read_and_attempt())

    async def attempt(self, lease: Object | None, *, wanted: bool = True, began: float) -> None:
        """Take or renew the lease as it was read (None: there is none) after `began` on our clock.

        Without `wanted` it is only looked at, so that its holder's time runs for us. What is read may be old: a version that is
        seen late makes us wait longer, and a write upon an old one is refused. Failures only let the deadline come nearer.
        """
        await self._bounded(self._take_or_renew(lease, began, wanted=wanted))

    async def _bounded(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._duration / 3):
                await work
        except (Conflict, AlreadyExists):
            _log.debug("%s: another candidate was faster", self.identity)
        except (ApiError, OSError, TimeoutError) as error:
            _log.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer in time")

    async def _read_and_attempt(self) -> None:
        began = self._clock()
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            lease = None
        await self._take_or_renew(lease, began)

    async def _take_or_renew(self, lease: Object | None, began: float, *, wanted: bool = True) -> None:
        renewed = lease is not None and self._renewed_by_others(lease)
        free = lease is None or self._may_take(lease)
        looked, self._looked_at = self._looked_at, began
        if not wanted or not free:
            return
        if renewed and lease is not None:
            self._won(looked, lease["spec"].get("leaseTransitions") or 0)
            return
        if lease is None:
            meta: Object = {"name": self._name, "namespace": self._namespace, "labels": self._labels}
            await self._client.create(LEASES, {"metadata": meta, "spec": self._spec({})})
            self._won(began, 0)
            return
        new = self._spec(lease.get("spec") or {})
        began = self._clock()
        await self._client.replace(LEASES, {**lease, "spec": new})
        self._won(began, new["leaseTransitions"])

    def _renewed_by_others(self, lease: Object) -> bool:
        """Whether those who share our identity have renewed since our last look, from which our deadline counts then."""
        spec: Object = lease.get("spec") or {}
        same = spec.get("holderIdentity") == self.identity == self._seen[0]
        return self._shared and same and self._seen[1] != lease["metadata"].get("resourceVersion", "")

    def _may_take(self, lease: Object) -> bool:
        """Ours, given back, or unchanged for the holder's whole duration as we saw it on our own clock."""
        spec: Object = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen = (holder, lease["metadata"].get("resourceVersion", ""))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        if holder in ("", self.identity):
            return True
        wait = max(self._duration, float(spec.get("leaseDurationSeconds") or 0))
        return self._clock() - self._seen_at > wait

    def _spec(self, old: Object) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        transitions = old.get("leaseTransitions") or 0
        ours = old.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "acquireTime": old.get("acquireTime") or now if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if ours or not old else transitions + 1,
        }

    def _won(self, began: float, epoch: int) -> None:
        if not self.held:
            self.term += 1
        self._deadline = began + self._duration * _GRACE
        self.epoch = epoch
        self._given_back.clear()
        self._changed.set()

    def _pause(self) -> float:
        return self._duration / 7.5 * random.uniform(0.9, 1.1)

    def surrender(self) -> bool:
        """Write no more from this moment on; return whether we held the lease until now. The Lease itself is still ours."""
        held, self._deadline = self.held, float("-inf")
        self._given_back.set()
        return held

    async def release(self) -> None:
        """Surrender, and empty the holder if it is still us; a failure costs the successor one duration, nothing else."""
        if self.surrender():
            await self.give_back()

    async def give_back(self) -> None:
        """Empty the holder after a surrender, so that the successor need not wait."""
        if self._shared:
            return
        try:
            async with asyncio.timeout(self._duration / 3):
                lease = await self._client.get(LEASES, self._name, self._namespace)
                if lease.get("spec", {}).get("holderIdentity") == self.identity:
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.replace(LEASES, {**lease, "spec": spec})
        except (ApiError, OSError, TimeoutError) as error:
            _log.info("lease %s/%s could not be given back: %s", self._namespace, self._name, error)
