"""The engine: for each object of each dialect, observe, compile, advance, project, and carry out the effects.

One informer per kind, one controller per handled kind, and a pass that is told a key and never an event. Whoever looked at
an object in its last pass is woken when that object changes; nothing is polled, and timers exist for time itself alone.
A pass over an object of which nothing changed sends no request.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.advance import Decision, advance
from holdfast.core.diff import merge_patch
from holdfast.core.effects import Create, Emit, PatchStatus
from holdfast.core.kinds import CLAIM, JOB, LEDGER, POD, STATEFUL_SET, STORAGE_CLASS, VOLUME_SNAPSHOT
from holdfast.core.news import news
from holdfast.core.objects import Kind, Object, Ref, ref_of
from holdfast.core.plan import Child, Desired, Problems
from holdfast.core.populate import populators
from holdfast.core.ports import Dialect, Grouped, Handler, Mover, Outcome, Scheduled, Summing, Sums
from holdfast.core.read import mapping
from holdfast.engine.budgets import Budget, Budgets
from holdfast.engine.cache import Cache
from holdfast.engine.collect import Collector
from holdfast.engine.executor import Executor, Recorder
from holdfast.engine.holds import Holds
from holdfast.engine.interest import Interests, Key, Named, Token, tokens_of
from holdfast.engine.jobs import finish_child
from holdfast.engine.ledgers import LEDGERS, due_ledgers
from holdfast.engine.metrics import RunMetrics
from holdfast.engine.progress import ProgressFollower, job_of
from holdfast.engine.refusals import Refusals
from holdfast.engine.scope import ACTING, Scope, Whole, gate_of
from holdfast.engine.secret_versions import SecretVersions
from holdfast.engine.view import SECRETS, PassView, Senses
from holdfast.kube.builtin import JOBS, PODS, PVCS, STORAGECLASSES, VOLUMESNAPSHOTS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import NotFound
from holdfast.kube.lease import LeaseLost
from holdfast.kube.manager import Manager
from holdfast.kube.resource import Resource

_log = logging.getLogger(__name__)

_OWN_KINDS: Final = {
    JOB: JOBS,
    POD: PODS,
    CLAIM: PVCS,
    STORAGE_CLASS: STORAGECLASSES,
    VOLUME_SNAPSHOT: VOLUMESNAPSHOTS,
    LEDGER: LEDGERS,
}
"""Where the kinds live that the engine knows by itself, for wirings that do not say."""

_MAY_LACK: Final = (VOLUME_SNAPSHOT.group, LEDGER.group)
"""API groups without which an engine can work."""

SUM_PAUSE: Final = 2.0
"""For how many seconds a pass that sums up many objects waits for more of them to change."""

WORKERS: Final = 32
"""Passes at once per kind. A pass waits for the server most of its time, which makes one commit of what comes together."""


class Engine:
    """Runs dialects against one API server until cancelled."""

    def __init__(
        self,
        client: Client,
        dialects: Sequence[Dialect],
        movers: Mapping[str, Mover],
        resources: Mapping[Kind, Resource],
        *,
        image: str,
        recorder: Recorder,
        budget: Budget | None = None,
        scope: Scope | None = None,
        metrics: RunMetrics | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`scope` says which namespaces are ours, and is asked before each write (see engine.scope); without it all are."""
        self._client = client
        self._scope = scope or Whole()
        self._writer = client.gated(gate_of(self._scope))
        self._pass_ended = asyncio.Event()
        self._movers, self._image, self._clock, self._metrics = movers, image, clock, metrics
        self._resources = {**_OWN_KINDS, **resources}
        dialects = populators(dialects)
        self._handlers = _handlers(dialects)
        self._sums = {kind: handler.sums for kind, handler in self._handlers.items() if isinstance(handler, Summing)}
        self.manager = Manager(client)
        informers = {
            kind: self.manager.informer(self._resource(kind), may_lack=kind.group in _MAY_LACK)
            for kind in watched_kinds(dialects)
        }
        self.cache = Cache(informers)
        self.interests = Interests()
        self._budgets = Budgets(budget or Budget(), self._scope)
        self._holds = Holds()
        self._progress = ProgressFollower(client, self._progress_moved)
        self._executor = Executor(self._writer, self.cache, self._resources, movers, image, self._holds, recorder)
        self._secrets = SecretVersions(
            client, self._executor.grants, changed=self._secret_changed, wanted=lambda ref: bool(self._lookers(ref))
        )
        self._refusals = Refusals(client, self._pod_refused)
        self._senses = Senses(
            self.cache,
            self.interests,
            self._progress,
            self._budgets,
            self._holds,
            self._executor,
            self._secrets,
            self._refusals,
        )
        self._collector = Collector(
            self._writer, self.cache, frozenset(self._handlers), frozenset(informers), self._executor.grants, self._scope
        )
        self.controllers = {kind: self._controller(kind) for kind in self._handlers}
        for kind, informer in informers.items():
            informer.subscribe(self._listener(kind))

    async def run(self) -> None:
        """Watch, reconcile and collect until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._progress.run(), name="progress")
            group.create_task(self.manager.run(), name="manager")
            group.create_task(self._secrets.run(), name="secrets")
            group.create_task(self._refusals.run(), name="refusals")
            await self.manager.synced()
            group.create_task(self._collector.run(), name="collector")

    async def reconcile(self, key: Key) -> Result:
        """One pass over one object."""
        try:
            return await self._reconcile(key)
        except LeaseLost:
            if not self._scope.holds(key.namespace):  # its next owner goes on where this pass stopped
                self._forget(key)
                return Result()
            raise
        finally:
            self._pass_ended.set()

    async def _reconcile(self, key: Key) -> Result:
        ACTING.set(key.namespace)
        owner = self.cache.get(key.kind, key.namespace, key.name)
        handler = self._handlers[key.kind]
        if owner is None or _no_longer_ours(owner, handler) or not self._scope.holds(key.namespace):
            self._forget(key)
            return Result()
        now = self._clock()
        view = PassView(self._senses, key, now)
        try:
            decision = await self._pass(key, owner, handler, view, now)
        finally:
            self._wake(view.close())
        return Result(after=self._rest(key, decision, view, now))

    async def _pass(self, key: Key, owner: Object, handler: Handler, view: PassView, now: datetime) -> Decision:
        desired = handler.compile(owner, view, now)
        if isinstance(desired, Problems):
            decision, outcome, well = Decision(), Outcome(problems=desired), True
        else:
            desired = self._finished(desired)
            await self._confirm(desired, view)
            decision = self._decide(owner, desired, view, now, handler)
            decision = await self._with_secrets(key, owner, desired, view, now, handler, decision)
            holder, well = await self._executor.prepare(key, owner, decision.first, now)
            self._return_slots(decision, view)
            if decision.first:  # what was started belongs into this very status
                decision = self._decide(holder, desired, view, now, handler)
            if self._metrics:
                self._metrics.observe(holder, decision.runs, handler.group if isinstance(handler, Grouped) else "")
            refused = self._holds.messages(key)
            owner, outcome = holder, Outcome(runs=decision.runs, refused=refused, holds=desired.secret_holds)
        status = handler.project(owner, view, outcome, now)
        patch = merge_patch(owner.get("status") or {}, status)
        last = decision.last if well else [effect for effect in decision.last if isinstance(effect, Emit)]
        effects = ([PatchStatus(patch)] if patch else []) + list(last)
        if outcome.problems is None:
            for ledger in due_ledgers(owner, handler, view, now):
                await self._executor.record(ledger)
        try:
            told = news(key.kind.kind, mapping(owner, "status"), status) if patch else ()
            await self._executor.conclude(key, owner, effects, now, told)
        except NotFound:
            _log.debug("%s went away during its pass", key)
        return decision

    def _decide(self, owner: Object, desired: Desired, view: PassView, now: datetime, handler: Handler) -> Decision:
        return advance(owner, desired, view, now, finalizer=handler.finalizer)

    async def _with_secrets(
        self, key: Key, owner: Object, desired: Desired, view: PassView, now: datetime, handler: Handler, decision: Decision
    ) -> Decision:
        """Decide again, with the start held back, when a step would start whose Secrets are missing."""
        if not desired.secret_copies or not any(isinstance(effect, Create) and effect.step for effect in decision.first):
            return decision
        missing = await self._executor.copier.missing(desired.secret_copies)
        if not missing:
            return decision
        self._holds.hold(key, SECRETS, missing)
        self._return_slots(decision, view)
        return self._decide(owner, desired, view, now, handler)

    def _finished(self, desired: Desired) -> Desired:
        children = tuple(
            Child(finish_child(child, self._movers, self._image), child.create_only)
            if child.mover or child.attendants
            else child
            for child in desired.children
        )
        return msgspec.structs.replace(desired, children=children)

    async def _confirm(self, desired: Desired, view: PassView) -> None:
        """Ask the server itself before a begun step counts as deleted: the watch of Jobs may lag behind that of owners."""
        for step in (step for plan in desired.runs for step in plan.steps if step.begun):
            if view.found(step.child) is not None:
                continue
            ref = ref_of(step.child)
            try:
                self.cache.wrote(await self._client.get(self._resource(ref.kind), ref.name, ref.namespace or None))
            except NotFound:
                continue

    def _return_slots(self, decision: Decision, view: PassView) -> None:
        """Free the budget of starts that did not happen."""
        for effect in decision.first:
            if isinstance(effect, Create) and effect.step and view.found(effect.object) is None:
                meta = effect.object["metadata"]
                self._wake(self._budgets.give_back((meta.get("namespace", ""), meta["name"])))

    def _rest(self, key: Key, decision: Decision, view: PassView, now: datetime) -> float | None:
        """Return how long the key may rest, in seconds; None when only a change can matter."""
        times = [*view.times, *([decision.requeue.at] if decision.requeue else ())]
        waits = [max((at - now) / timedelta(seconds=1), 0.0) for at in times]
        held = self._holds.next_try(key)
        return min([*waits, *([held] if held is not None else ())], default=None)

    def _forget(self, key: Key) -> None:
        self._holds.forget(key)
        self._executor.forget(key)
        self.interests.keep(key, ())
        if self._metrics:
            self._metrics.forget(str(key.kind), key.namespace, key.name)
        self._wake(self._budgets.keep(key, ()))

    def look_again(self, among: Callable[[str], bool]) -> None:
        """Have every object of these namespaces looked at: they have become ours, or are ours no more."""
        for kind, controller in self.controllers.items():
            for obj in self.cache.list(kind):
                meta = obj["metadata"]
                if among(meta.get("namespace", "")):
                    controller.enqueue((meta.get("namespace", ""), meta["name"]))
        self._collector.owner_gone()

    async def drained(self, among: Callable[[str], bool]) -> None:
        """Wait until no pass over an object of these namespaces is under way."""
        while any(among(namespace) for each in self.controllers.values() for namespace, _ in each.queue.running):
            self._pass_ended.clear()
            await self._pass_ended.wait()

    def controllers_by_name(self) -> Mapping[str, Controller]:
        """Return the controller of each handled kind, by the kind's name."""
        return {str(kind): controller for kind, controller in self.controllers.items()}

    def budget(self) -> tuple[int, int]:
        """Return how many movers are active, and how many wait for a slot."""
        return self._budgets.counts()

    def _controller(self, kind: Kind) -> Controller:
        async def reconcile(key: tuple[str, str]) -> Result:
            return await self.reconcile(Key(kind, *key))

        controller = Controller(str(kind), reconcile, workers=WORKERS)
        controller.watches(
            self.manager.informer(self._resource(kind)),
            lambda obj: [(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])],
        )
        return self.manager.add(controller)

    def _listener(self, kind: Kind) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            tokens: set[Token] = set()
            for obj in (old, new):
                if obj is not None:
                    tokens.update(tokens_of(kind, obj))
            if kind == JOB:
                self._job_changed(old, new)
            elif kind == POD and (pod := new or old) is not None:
                self._progress.observe_pod(old, new)
                tokens.update(Named(runner, *job) for job in [job_of(pod)] if job for runner in (JOB, STATEFUL_SET))
            if new is None and kind in self._handlers:
                self._collector.owner_gone()
            sums = self._sums.get(kind)
            if sums is not None and old is not None and new is not None and _same_but_for(sums, old, new):
                return
            keys = self.interests.woken_by(*tokens)
            patient = {key for key in keys if new is not None and self._sums_up(key.kind, kind)}
            self._wake(keys - patient)
            self._wake(patient, after=SUM_PAUSE)

        return changed

    def _sums_up(self, kind: Kind, of: Kind) -> bool:
        sums = self._sums.get(kind)
        return sums is not None and sums.of == of

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        self._wake(self._budgets.observe(old, new))
        if new is None and old is not None:
            self._progress.forget_job(old["metadata"].get("namespace", ""), old["metadata"]["name"])

    def _pod_refused(self, namespace: str, job: str) -> None:
        self._wake(self.interests.woken_by(Named(JOB, namespace, job)))

    def _progress_moved(self, namespace: str, job: str) -> None:
        self._wake(self.interests.woken_by(Named(JOB, namespace, job)))
        self._wake(self.interests.woken_by(Named(STATEFUL_SET, namespace, job)))

    def _secret_changed(self, ref: Ref) -> None:
        """Try at once again what waits for this Secret."""
        keys = self._lookers(ref)
        for key in keys:
            self._holds.release(key, SECRETS)
        self._wake(keys)

    def _lookers(self, ref: Ref) -> set[Key]:
        return self.interests.woken_by(Named(ref.kind, ref.namespace, ref.name))

    def _wake(self, keys: set[Key], *, after: float = 0) -> None:
        for key in keys:
            self.controllers[key.kind].enqueue((key.namespace, key.name), after=after)

    def _resource(self, kind: Kind) -> Resource:
        if kind not in self._resources:
            raise ValueError(f"no REST resource is given for {kind}, which a dialect handles or watches")
        return self._resources[kind]


def _handlers(dialects: Sequence[Dialect]) -> dict[Kind, Handler]:
    handlers: dict[Kind, Handler] = {}
    for dialect in dialects:
        for handler in dialect.handlers:
            if handler.kind in handlers:
                raise ValueError(f"dialect {dialect.name}: {handler.kind} has a handler already")
            handlers[handler.kind] = handler
    return handlers


def watched_kinds(dialects: Sequence[Dialect]) -> list[Kind]:
    """Return every kind to watch. Secrets are not: they are read by name, and followed one by one (engine.secret_versions).

    With claims come their StorageClasses, by which a step knows whether a claim waits for a pod.
    """
    found = {JOB, POD}
    for dialect in dialects:
        found.update(handler.kind for handler in dialect.handlers)
        found.update(LEDGER for handler in dialect.handlers if isinstance(handler, Scheduled))
        found.update(dialect.watched)
    if CLAIM in found:
        found.add(STORAGE_CLASS)
    if Kind("", "Secret") in found:
        raise ValueError("Secrets are never watched: a dialect must not name them in `watched`")
    return sorted(found)


def _no_longer_ours(owner: Object, handler: Handler) -> bool:
    """Whether an object is on its way out and nothing of ours holds it."""
    meta = owner["metadata"]
    return bool(meta.get("deletionTimestamp")) and handler.finalizer not in meta.get("finalizers", ())


def _same_but_for(sums: Sums, old: Object, new: Object) -> bool:
    """Whether nothing but the sums of its status tells two states of an object apart."""
    return _without(sums, old) == _without(sums, new)


def _without(sums: Sums, obj: Object) -> Object:
    status = {key: value for key, value in mapping(obj, "status").items() if key not in sums.fields}
    meta = {key: value for key, value in mapping(obj, "metadata").items() if key not in ("resourceVersion", "managedFields")}
    return {**obj, "metadata": meta, "status": status}
