"""The eyes of one pass: reads the cache, notes each look-up as an interest, and knows what limits a start."""

from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from holdfast.core.kinds import JOB, POD, STATEFUL_SET
from holdfast.core.objects import Kind, Object, Ref, kind_of, ref_of
from holdfast.core.observe import last_word_due, observe_job
from holdfast.core.observe_objects import observe_object
from holdfast.core.plan import Phase, Plan, Step, StepState, Until
from holdfast.engine.budgets import Budgets, Slot
from holdfast.engine.cache import OVERLAY_LIFE, Cache
from holdfast.engine.holds import Holds
from holdfast.engine.interest import Collection, Interests, Key, Named, Token
from holdfast.engine.progress import ProgressFollower
from holdfast.engine.refusals import REASON, Refusals
from holdfast.engine.secret_versions import SECRET, SecretVersions

SECRETS: Final = "secrets"
"""The subject under which a key is held because a Secret is missing."""


class Settled(Protocol):
    """Knows what the server made of what was applied."""

    def settled(self, wanted: Object, actual: Object) -> bool:
        """Whether `actual` is the server's spelling of `wanted`."""
        ...


class Senses:
    """What every pass reads with."""

    def __init__(
        self,
        cache: Cache,
        interests: Interests,
        progress: ProgressFollower,
        budgets: Budgets,
        holds: Holds,
        settled: Settled,
        secrets: SecretVersions,
        refusals: Refusals,
    ) -> None:
        self.cache, self.interests, self.progress = cache, interests, progress
        self.budgets, self.holds, self.settled, self.secrets = budgets, holds, settled, secrets
        self.refusals = refusals


class PassView:
    """A `World` for `advance`, and the `View` of a handler, for one pass over one key."""

    def __init__(self, senses: Senses, key: Key, now: datetime) -> None:
        self._senses, self._key, self._now = senses, key, now
        self._tokens: set[Token] = set()
        self._asked: set[Slot] = set()
        self.times: list[datetime] = []

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one object, and be woken when it changes, appears or goes. Of a Secret that is its metadata."""
        self._look(Named(kind, namespace, name))
        if kind == SECRET:
            return self._senses.secrets.get(namespace, name)
        cache = self._senses.cache
        if cache.is_ahead(kind, namespace, name):
            self.times.append(self._now + OVERLAY_LIFE + timedelta(seconds=1))
        return cache.get(kind, namespace, name)

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> list[Object]:
        """Return objects by label or owner, and be woken when one changes, appears or goes."""
        by, value = ("owner", owner) if owner else label or ("", "")
        self._look(Collection(kind, namespace, by, value))
        return list(self._senses.cache.list(kind, namespace, label=label, owner=owner))

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        """Return the state of a step by its child."""
        if kind != JOB:
            state = observe_object(self, namespace, name, kind, until)
            told = self._senses.progress.of(namespace, name) if kind == STATEFUL_SET else ()
            return msgspec.structs.replace(state, progress=told) if told else state
        found = self.get(JOB, namespace, name)
        if found is None:
            return StepState()
        if due := last_word_due(found, self._now):
            self.times.append(due)
        pods = self._senses.cache.list(POD, namespace, owner=found["metadata"].get("uid", ""))
        state = observe_job(found, pods, self._senses.progress.of(namespace, name), self._now)
        if not pods and state.phase is Phase.RUNNING and (why := self._senses.refusals.of(found)):
            return msgspec.structs.replace(state, reason=REASON, message=f"no pod of Job {name} can be made: {why}")
        return state

    def admit(self, plan: Plan, step: Step) -> str:
        """Return what holds a start back: a missing Secret, a refusal of the server, a budget."""
        child = step.child["metadata"]
        holds = self._senses.holds
        if held := holds.message(self._key, SECRETS) or holds.message(self._key, child["name"]):
            return held
        if kind_of(step.child) != JOB:
            return ""
        self._asked.add((child.get("namespace", ""), child["name"]))
        return self._senses.budgets.admit(self._key, plan, step)

    def settled(self, wanted: Object, actual: Object) -> bool:
        """Whether exactly this was applied before."""
        return self._senses.settled.settled(wanted, actual)

    def found(self, obj: Object) -> Object | None:
        """Return what is known under the name of this object."""
        ref: Ref = ref_of(obj)
        return self.get(ref.kind, ref.namespace, ref.name)

    def close(self) -> set[Key]:
        """End the pass: interests and budgets keep what it asked for. Returns whom that lets start."""
        self._senses.interests.keep(self._key, self._tokens)
        return self._senses.budgets.keep(self._key, self._asked)

    def _look(self, token: Token) -> None:
        self._tokens.add(token)
        self._senses.interests.add(self._key, token)
