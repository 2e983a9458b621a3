"""A cluster in memory in which the handlers of a dialect run for real, and where anything may be cut between two effects.

It does what the engine's shell and executor do, without time and without a server: a test turns the clock, ends Jobs as it
likes, and says before each effect whether it is lost (`Lost`), or done with the answer lost (`Unanswered`): 409, 429, 5xx are
one or the other to a controller. What was written stays, and the next pass must go on from there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.advance import advance
from holdfast.core.diff import merge_patch
from holdfast.core.effects import AddFinalizer, AmendOwner, Apply, Create, Delete, Effect, PatchStatus, ReleaseFinalizer
from holdfast.core.objects import Object, Ref, kind_of, ref_of
from holdfast.core.plan import Problems
from holdfast.core.ports import Handler, Outcome
from holdfast.core.times import format_time
from holdfast.engine.jobs import finish_child, finish_step
from tests.fields.scene import JOB, Scene, ended_job, made
from tests.sim.world import _merged as merged
from tests.unit.kubestash.world import MOVERS

TERMINAL = ("Completed", "Failed")
REST = 30
"""Rounds within which handlers that are left alone must have nothing more to say."""


class Lost(Exception):
    """The effect did not happen, and the pass is over."""


class Unanswered(Exception):
    """The effect happened, and the pass is over."""


Fault = Callable[[], type[Exception] | None]


def calm() -> type[Exception] | None:
    return None


class Cluster(Scene):
    """Objects, a clock, and a log of every object that was ever made."""

    def __init__(self, handlers: Sequence[Handler], now: datetime) -> None:
        super().__init__((), handlers, now)
        self.now, self.handlers = now, {handler.kind: handler for handler in handlers}
        self.made: list[Ref] = []
        self.writes = 0
        self.final: dict[str, Object] = {}

    def step(self, *arguments: Any, **named: Any) -> Any:
        self._now = self.now
        return super().step(*arguments, **named)

    def put(self, obj: Object, *, owner: Object | None = None) -> Object:
        """Create an object, or replace the one of its name."""
        ref, old = ref_of(obj), self.objects.get(ref_of(obj))
        self.writes += 1
        if old is None:
            self.made.append(ref)
            uid = f"uid-{len(self.made)}"
            full = made({**obj, "metadata": {**obj["metadata"], "uid": uid}}, creationTimestamp=format_time(self.now))
            if ref.kind == JOB:
                full.setdefault("status", {"startTime": format_time(self.now)})
        else:
            full = {**old, **obj, "metadata": {**old["metadata"], **obj["metadata"]}}
        self.objects[ref] = copy.deepcopy(full)
        return self.objects[ref]

    def remove(self, ref: Ref) -> None:
        """Delete an object with what it owns."""
        gone = self.objects.pop(ref, None)
        self.writes += 1
        if gone is not None:
            for child in [ref_of(each) for each in self.objects.values() if _owned(each, gone["metadata"]["uid"])]:
                self.remove(child)

    def running(self) -> list[Ref]:
        """Return the Jobs that have not ended."""
        jobs = sorted(ref for ref in self.objects if ref.kind == JOB)
        return [ref for ref in jobs if not self.objects[ref].get("status", {}).get("conditions")]

    def end(self, ref: Ref, report: Any, *, failed: bool = False) -> None:
        """End a Job; without a report its pod was lost."""
        job, pod = ended_job(self.objects[ref], report, failed=failed, at=format_time(self.now))
        job["status"]["startTime"] = self.objects[ref]["status"].get("startTime", format_time(self.now))
        self.objects[ref] = job
        if report is not None:
            self.objects[ref_of(pod)] = pod
        self.writes += 1

    def settle(self, fault: Fault = calm) -> None:
        """Run every handler until nothing changes. A pass that a fault ends is the last one of the round."""
        for _ in range(REST):
            before = self.writes
            for ref in [ref for ref in sorted(self.objects) if ref.kind in self.handlers]:
                if ref in self.objects:
                    self.one_pass(ref, fault)
            if self.writes == before:
                return
        raise AssertionError("the handlers never come to rest")

    def one_pass(self, ref: Ref, fault: Fault = calm) -> None:
        """One pass over one object, which a fault may cut anywhere."""
        try:
            self._pass(ref, fault)
        except (Lost, Unanswered):
            return

    def _pass(self, ref: Ref, fault: Fault) -> None:
        owner, handler = self.objects[ref], self.handlers[ref.kind]
        self._now = self.now
        desired = handler.compile(copy.deepcopy(owner), self, self.now)
        last: Sequence[Effect] = ()
        if isinstance(desired, Problems):
            outcome = Outcome(problems=desired)
        else:
            finished = ((child, finish_child(child, MOVERS, "image")) for child in desired.children)
            children = tuple(msgspec.structs.replace(child, object=obj, mover=None) for child, obj in finished)
            desired = msgspec.structs.replace(desired, children=children)
            decision = advance(owner, desired, self, self.now, finalizer=handler.finalizer)
            for effect in decision.first:
                self._do(ref, effect, fault)
            owner = self.objects[ref]
            if decision.first:
                decision = advance(owner, desired, self, self.now, finalizer=handler.finalizer)
            outcome, last = Outcome(runs=decision.runs, holds=desired.secret_holds), decision.last
        status = handler.project(copy.deepcopy(owner), self, outcome, self.now)
        if patch := merge_patch(owner.get("status") or {}, status):
            self._do(ref, PatchStatus(patch), fault)
        for effect in last:
            self._do(ref, effect, fault)

    def _do(self, ref: Ref, effect: Effect, fault: Fault) -> None:
        broken = fault()
        if broken is Lost:
            raise Lost
        self._carry_out(ref, effect)
        if broken is not None:
            raise broken

    def _carry_out(self, ref: Ref, effect: Effect) -> None:
        owner = self.objects[ref]
        match effect:
            case Create(object=obj, step=None) | Apply(object=obj):
                if isinstance(effect, Apply) or ref_of(obj) not in self.objects:
                    self.put(obj)
            case Create(step=step, run=run):
                assert step is not None
                complete = finish_step(owner, run, step, MOVERS, "image")
                if ref_of(complete) not in self.objects:
                    self.put(complete)
            case Delete(ref=gone, uid=uid):
                if gone in self.objects and self.objects[gone]["metadata"]["uid"] == uid:
                    self.remove(gone)
            case PatchStatus(patch=patch):
                self._patch(ref, {"status": patch})
                self._check_final(self.objects[ref])
            case AmendOwner(amend=amend):
                self._patch(ref, amend.patch)
            case AddFinalizer(finalizer=name):
                self._patch(ref, {"metadata": {"finalizers": [*owner["metadata"].get("finalizers", ()), name]}})
            case ReleaseFinalizer():
                self.remove(ref)
            case _:
                return

    def _patch(self, ref: Ref, patch: Any) -> None:
        self.objects[ref] = merged(copy.deepcopy(self.objects[ref]), patch)
        self.writes += 1

    def _check_final(self, obj: Object) -> None:
        """A terminal phase never changes (schedules are not runs: their phase may)."""
        uid, status = obj["metadata"]["uid"], obj.get("status", {})
        if "startTime" in status or "completedAt" in status:
            before = self.final.setdefault(uid, copy.deepcopy(status) if status.get("phase") in TERMINAL else {})
            if before:
                assert status == before, f"{kind_of(obj)} {obj['metadata']['name']} changed after its end"
            elif status.get("phase") in TERMINAL:
                self.final[uid] = copy.deepcopy(status)


def _owned(obj: Object, uid: str) -> bool:
    return any(each.get("uid") == uid for each in obj["metadata"].get("ownerReferences") or ())
