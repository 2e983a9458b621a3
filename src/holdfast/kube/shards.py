"""Several processes that act at once, each on its share of the namespaces, and never two on the same one.

The namespaces are dealt out by hash over a fixed number of shards; each shard is one Lease. Every process says that it lives
with a Lease of its own, and from the list of those that live all compute the same deal, so that shards spread evenly and come
back after a failure. A shard that is dealt to another is drained first and given up then. Nobody writes for a shard without
its Lease (see `kube.lease`); the deal only says who tries.

Processes that were told another number of shards deal out the same namespaces differently. One Lease more, held by all under a
name that tells the number, keeps them apart: while the ones renew it, the others stand by.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from holdfast.kube.builtin import LEASES
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, NotFound
from holdfast.kube.lease import Elector, machine_clock
from holdfast.kube.objects import Object

FIXED: Final = 0
"""The shard of everything that lies in no namespace."""

GROUP: Final = "holdfast.dev/shards-of"
"""Label on the Leases of one group of processes: the name of the group."""

_FORGOTTEN: Final = 30
"""Lives of a Lease after which the one of a process that died is removed."""

_log = logging.getLogger(__name__)

Listener = Callable[[int, bool], None]
"""Told of a shard, and whether it was taken (or else lost)."""

Drain = Callable[[int], Awaitable[None]]
"""Waits until nothing is under way for a shard."""


def shard_of(namespace: str, count: int) -> int:
    """Return the shard of a namespace; blank, for what lies in none, is the fixed one."""
    if not namespace or count == 1:
        return FIXED
    return int.from_bytes(hashlib.blake2s(namespace.encode(), digest_size=8).digest(), "big") % count


def deal(count: int, members: Iterable[str]) -> Mapping[int, str]:
    """Return who should hold each shard: as even as can be, and with few moves when a member comes or goes.

    Each shard goes to the member that ranks highest for it by hash and has room left; all who know the same members agree.
    """
    known = sorted(set(members))
    if not known:
        return {}
    fair, spare = divmod(count, len(known))
    has = dict.fromkeys(known, 0)
    found: dict[int, str] = {}
    for shard in range(count):
        limit = fair + (sum(each > fair for each in has.values()) < spare)
        found[shard] = min((each for each in known if has[each] < limit), key=lambda each: _rank(shard, each))
        has[found[shard]] += 1
    return found


def _rank(shard: int, member: str) -> bytes:
    return hashlib.blake2s(f"{shard}/{member}".encode(), digest_size=8).digest()


class Shards:
    """This process as one of those that share the namespaces. `duration` is that of each Lease, in seconds."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        count: int,
        *,
        duration: float = 15.0,
        clock: Callable[[], float] = machine_clock,
    ) -> None:
        self.count, self.identity = count, identity
        self._client, self._name, self._namespace = client, name, namespace
        self._duration, self._clock = duration, clock
        labels = {GROUP: name}

        def elector(lease: str, who: str, *, shared: bool = False) -> Elector:
            return Elector(client, lease, namespace, who, duration=duration, clock=clock, shared=shared, labels=labels)

        self._layout = elector(name, f"shards:{count}", shared=True)
        self._shards = [elector(f"{name}-shard-{number}", identity) for number in range(count)]
        self._prefix = f"{name}-member-{count}-"
        self._member = elector(f"{self._prefix}{identity}", identity)
        self._seen: dict[str, tuple[str, float]] = {}
        self._listeners: list[Listener] = []
        self._drain: Drain | None = None
        self._told: Mapping[int, tuple[int, int]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    @property
    def held(self) -> frozenset[int]:
        """The shards for which we may write at this moment."""
        return frozenset(number for number in range(self.count) if self._holds(number))

    def holds(self, namespace: str) -> bool:
        """Whether we may write for a namespace at this moment."""
        return self._holds(shard_of(namespace, self.count))

    def check(self, namespace: str) -> None:
        """Raise LeaseLost unless we may write for a namespace at this moment: the gate before each write."""
        number = shard_of(namespace, self.count)
        self._layout.check()
        self._shards[number].check()

    def share(self) -> float:
        """Return which part of all namespaces is ours, from 0 to 1."""
        return len(self.held) / self.count

    def subscribe(self, listener: Listener) -> None:
        """Have a listener told of each shard that is taken or lost, those that are held now included."""
        self._listeners.append(listener)
        for number in sorted(self._told):
            listener(number, True)

    def drained_by(self, drain: Drain) -> None:
        """Have `drain` wait for what is under way before a shard is handed over."""
        self._drain = drain

    async def holding(self, number: int) -> None:
        """Wait until a shard is ours."""
        while not self._holds(number):
            self._changed.clear()
            await self._changed.wait()

    async def run(self) -> None:
        """Take part until cancelled; then give everything back, so that successors need not wait."""
        try:
            while True:
                await self.once()
                await asyncio.sleep(self._duration / 7.5)
        finally:
            for task in self._leaving.values():
                task.cancel()
            await asyncio.gather(*(each.release() for each in (*self._shards, self._member)))
            self._tell()

    async def once(self) -> None:
        """Look at the Leases once, renew ours, and take or hand over what the deal says."""
        began = self._clock()
        try:
            async with asyncio.timeout(self._duration / 3):
                listed = await self._client.list(LEASES, self._namespace, label_selector=f"{GROUP}={self._name}")
        except (ApiError, OSError, TimeoutError) as error:
            _log.warning("leases of %s/%s: %s", self._namespace, self._name, str(error) or "no answer in time")
            self._tell()
            return
        leases = {obj["metadata"]["name"]: obj for obj in listed.items}
        leases |= await self._unlabelled(leases)
        await asyncio.gather(
            self._layout.attempt(leases.get(self._name), began=began),
            self._member.attempt(leases.get(f"{self._prefix}{self.identity}"), began=began),
        )
        wanted = self._wanted(leases.values()) if self._layout.held and self._member.held else frozenset[int]()
        self._hand_over(wanted)
        await asyncio.gather(
            *(
                elector.attempt(
                    leases.get(f"{self._name}-shard-{number}"),
                    wanted=number in wanted and number not in self._leaving,
                    began=began,
                )
                for number, elector in enumerate(self._shards)
            )
        )
        self._tell()
        if FIXED in self.held:
            await self._sweep(listed.items)

    async def _unlabelled(self, leases: Mapping[str, Object]) -> Mapping[str, Object]:
        """Return the Lease of the group's name if a process that knows no shards has made it, without our label."""
        if self._name in leases:
            return {}
        try:
            return {self._name: await self._client.get(LEASES, self._name, self._namespace)}
        except (NotFound, ApiError, OSError):
            return {}

    def _wanted(self, leases: Iterable[Object]) -> frozenset[int]:
        living = [self.identity, *self._living(leases)]
        return frozenset(number for number, member in deal(self.count, living).items() if member == self.identity)

    def _living(self, leases: Iterable[Object]) -> Sequence[str]:
        """Return the members whose Lease moved within its duration, as seen on our clock."""
        prefix, now = self._prefix, self._clock()
        found: dict[str, tuple[str, float]] = {}
        for lease in leases:
            name, version = lease["metadata"]["name"], lease["metadata"].get("resourceVersion", "")
            spec: Object = lease.get("spec") or {}
            if name.startswith(prefix) and spec.get("holderIdentity"):
                before = self._seen.get(name)
                found[name] = before if before and before[0] == version else (version, now)
        self._seen = found
        return [name.removeprefix(prefix) for name, (_, since) in found.items() if now - since <= self._duration]

    def _hand_over(self, wanted: frozenset[int]) -> None:
        for number, elector in enumerate(self._shards):
            if number not in wanted and elector.held and number not in self._leaving:
                elector.surrender()
                task = asyncio.ensure_future(self._leave(number, elector))
                self._leaving[number] = task
                task.add_done_callback(lambda _, number=number: self._leaving.pop(number, None))

    async def _leave(self, number: int, elector: Elector) -> None:
        """Let the writes that are under way end before another may begin; who gets stuck lets the Lease run out instead."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._duration / 3):
                if self._drain is not None:
                    await self._drain(number)
                await elector.give_back()

    def _holds(self, number: int) -> bool:
        return self._layout.held and self._shards[number].held

    def _tell(self) -> None:
        """Tell of what changed, also of a shard that was ours no more for a moment: what we gave up then is to be taken up."""
        now, before = {number: (self._layout.term, self._shards[number].term) for number in self.held}, self._told
        self._told = now
        for number in sorted(each for each in before.keys() | now.keys() if before.get(each) != now.get(each)):
            _log.info("%s %s shard %d of %d", self.identity, "acts for" if number in now else "lost", number, self.count)
            for listener in self._listeners:
                listener(number, number in now)
        self._changed.set()

    async def _sweep(self, leases: Iterable[Object]) -> None:
        """Remove the Leases of processes that died long ago, by the clock that they wrote down."""
        for lease in leases:
            name: str = lease["metadata"]["name"]
            spec: Object = lease.get("spec") or {}
            age = _age(spec.get("renewTime") or "")
            if not name.startswith(f"{self._name}-member-") or age <= _FORGOTTEN * self._duration:
                continue
            with contextlib.suppress(ApiError, OSError):
                version = lease["metadata"].get("resourceVersion", "")
                await self._client.delete(LEASES, name, self._namespace, resource_version=version)


def _age(renewed: str) -> float:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
    except ValueError:
        return 0.0
