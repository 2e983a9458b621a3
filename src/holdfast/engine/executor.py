"""Carrying out effects: one method for each, every one safe to repeat.

What the server answers goes into the cache at once. What it refuses is kept as a hold on the key, so that the next
decision shows the server's own words in the status and tries again later, instead of in a hot loop.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from holdfast.core.diff import covers, stamped
from holdfast.core.effects import (
    AddFinalizer,
    AmendOwner,
    AnnotateSealed,
    Apply,
    CopySecret,
    Create,
    Delete,
    Effect,
    Emit,
    HoldSecret,
    PatchStatus,
    ReleaseFinalizer,
)
from holdfast.core.kinds import JOB
from holdfast.core.labels import APPLIED
from holdfast.core.objects import Kind, Object, Ref, kind_of, ref_of
from holdfast.core.plan import Note, SealedEntry, SecretCopy, Step
from holdfast.core.ports import Mover
from holdfast.core.times import format_time
from holdfast.engine.cache import Cache
from holdfast.engine.dead import dead_hosts
from holdfast.engine.grants import Grants
from holdfast.engine.holds import Holds
from holdfast.engine.interest import Key
from holdfast.engine.jobs import finish_step
from holdfast.engine.secrets import SecretCopier, SecretRefused
from holdfast.engine.view import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, TooManyRequests, Unauthorized, Unavailable
from holdfast.kube.resource import Resource

_log = logging.getLogger(__name__)

COPY_AGAIN: Final = 600.0
"""Seconds after which a Secret that was copied for no particular run is compared with its source again."""

_SECRET: Final = Kind("", "Secret")
_Result = TypeVar("_Result")

_TRANSIENT: Final = (Unavailable, TooManyRequests, Unauthorized)
"""Not a judgement of the object: the whole pass comes again, with backoff."""


class Recorder(Protocol):
    """Records Events; never raises."""

    def emit(self, obj: Object, type_: str, reason: str, message: str, /) -> None:
        """Record one."""
        ...


class Executor:
    """Carries out the effects of every key."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        resources: Mapping[Kind, Resource],
        movers: Mapping[str, Mover],
        image: str,
        holds: Holds,
        recorder: Recorder,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._cache, self._resources = client, cache, resources
        self._movers, self._image, self._holds, self._recorder = movers, image, holds, recorder
        self.grants = Grants(client)
        self.copier = SecretCopier(client, self.grants)
        self._applied: dict[Ref, tuple[str, str]] = {}
        self._copied: dict[tuple[Ref, str], float] = {}
        self._monotonic = monotonic
        self._told: dict[Key, frozenset[Note]] = {}

    def settled(self, wanted: Object, actual: Object) -> bool:
        """Whether exactly this was applied and the object has not been touched since: the server spells it its own way."""
        entry = self._applied.get(ref_of(wanted))
        return entry == (wanted["metadata"]["annotations"][APPLIED], _version(actual))

    async def prepare(self, key: Key, owner: Object, effects: Sequence[Effect], now: datetime) -> tuple[Object, bool]:
        """Carry out what comes before the status.

        Returns the owner as it is then, and whether all went well. What is refused holds its subject; a step does not
        start when something before it was refused.
        """
        well = True
        starting = any(isinstance(effect, Create) and effect.step for effect in effects)
        for effect in effects:
            if isinstance(effect, CopySecret) and not starting and self._copied_lately(effect):
                continue
            if self._held(key, effect):
                well = False
                continue
            try:
                owner = await self._before(key, owner, effect, now, well=well) or owner
            except SecretRefused as refusal:
                well = False
                self._holds.hold(key, _subject(effect), str(refusal))
            except ApiError as refusal:
                if isinstance(refusal, _TRANSIENT) or isinstance(effect, AddFinalizer | AmendOwner):
                    raise
                well = False
                self._refused(key, owner, effect, refusal)
        return owner, well

    async def conclude(
        self, key: Key, owner: Object, effects: Sequence[Effect], now: datetime, news: Sequence[Note] = ()
    ) -> None:
        """Write the status and what comes after it. Raises Conflict when the owner has changed meanwhile.

        `news` is what the new status itself tells: said only where the dialect has no word of its own for it in this pass.
        """
        notes: set[Note] = set()
        said: set[bool] = set()
        for effect in effects:
            match effect:
                case PatchStatus(patch=patch):
                    owner = await self._patch_status(owner, patch)
                case Emit(note=note):
                    notes.add(note)
                    if note not in self._told.get(key, frozenset()):
                        said.add(note.warning)
                        self._tell(owner, note)
                case Delete():
                    await self._delete(effect, now)
                case ReleaseFinalizer(finalizer=finalizer):
                    kept = [name for name in owner["metadata"].get("finalizers", ()) if name != finalizer]
                    await self._finalizers(owner, kept)
                case _:
                    pass
        for note in news:
            if note.warning not in said:
                self._tell(owner, note)
        if notes:
            self._told[key] = frozenset(notes)
        else:
            self._told.pop(key, None)

    async def record(self, ledger: Object) -> None:
        """Write a Ledger. What refuses it is told in the log only: no backup waits for its record."""
        try:
            await self._apply(stamped(ledger))
        except _TRANSIENT:
            raise
        except ApiError as refusal:
            _log.warning("%s is not written: %s", ref_of(ledger), refusal)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that is gone."""
        self._told.pop(key, None)

    async def _before(self, key: Key, owner: Object, effect: Effect, now: datetime, *, well: bool) -> Object | None:
        match effect:
            case AddFinalizer(finalizer=finalizer):
                return await self._finalizers(owner, [*owner["metadata"].get("finalizers", ()), finalizer])
            case AmendOwner(amend=amend):
                if amend.secret is not None:
                    await self.copier.keep(owner, amend.secret)
                return await self._patch_owner(owner, dict(amend.patch))
            case AnnotateSealed(entry=entry):
                return await self._annotate(owner, entry)
            case Apply(object=obj):
                await self._apply(obj)
            case Create(object=obj, step=step, run=run):
                if step is None:
                    await self._create(obj)
                elif well:
                    await self._start(key, owner, step, run)
            case CopySecret(copy=copy):
                await self.copier.copy(owner, copy)
                self._copied[_recipe_of(copy)] = self._monotonic()
                self._holds.release(key, SECRETS)
            case HoldSecret(hold=hold):
                await self.copier.hold(hold)
                self._holds.release(key, _subject(effect))
            case Delete():
                await self._delete(effect, now)
            case _:
                pass
        return None

    def _tell(self, owner: Object, note: Note) -> None:
        self._recorder.emit(owner, "Warning" if note.warning else "Normal", note.reason, note.message)

    async def _start(self, key: Key, owner: Object, step: Step, run: str) -> None:
        namespace = step.child["metadata"].get("namespace", "")
        dead = dead_hosts(self._cache.dead_pods(namespace)) if kind_of(step.child) == JOB else ()
        child = finish_step(owner, run, step, self._movers, self._image, dead)
        await self._create(child)
        self._holds.release(key, child["metadata"]["name"])

    async def _create(self, obj: Object) -> None:
        resource = self._resource(obj)
        try:
            made = await self._request(ref_of(obj), lambda: self._client.create(resource, obj))
        except AlreadyExists:
            meta = obj["metadata"]
            place = meta.get("namespace") or None
            made = await self._request(ref_of(obj), lambda: self._client.get(resource, meta["name"], place))
        self._cache.wrote(made)

    async def _apply(self, obj: Object) -> None:
        made = await self._request(ref_of(obj), lambda: self._client.apply(self._resource(obj), obj))
        self._cache.wrote(made)
        if covers(made, obj):
            self._applied.pop(ref_of(obj), None)
        else:
            self._applied[ref_of(obj)] = (obj["metadata"]["annotations"][APPLIED], _version(made))

    async def _delete(self, effect: Delete, now: datetime) -> None:
        ref = effect.ref
        resource = self._resources[ref.kind]
        propagation = "Foreground" if effect.wait else "Background"
        try:
            await self._request(
                ref,
                lambda: self._client.delete(resource, ref.name, ref.namespace or None, uid=effect.uid, propagation=propagation),
            )
        except (NotFound, Conflict):
            return
        _log.info("deleted %s: %s", ref, effect.reason)
        self._cache.deleting(ref, effect.uid, format_time(now))

    async def _request(self, ref: Ref, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Send a request; one on a Secret with the grant that it may need."""
        return await (self.grants.call(ref.namespace, request) if ref.kind == _SECRET else request())

    async def _patch_status(self, owner: Object, patch: Mapping[str, Any]) -> Object:
        return await self._patch_owner(owner, {"status": dict(patch)}, subresource="status")

    async def _finalizers(self, owner: Object, names: Sequence[str]) -> Object:
        return await self._patch_owner(owner, {"metadata": {"finalizers": list(names)}})

    async def _annotate(self, owner: Object, entry: SealedEntry) -> Object | None:
        value = await self.copier.entry(entry.source, entry.key)
        if value is None:
            return None
        return await self._patch_owner(owner, {"metadata": {"annotations": {entry.annotation: entry.seal(value)}}})

    async def _patch_owner(self, owner: Object, body: Object, *, subresource: str = "") -> Object:
        meta = owner["metadata"]
        try:
            made = await self._client.merge_patch(
                self._resource(owner),
                meta["name"],
                meta.get("namespace") or None,
                body,
                subresource=subresource,
                resource_version=meta["resourceVersion"],
            )
        except Conflict:
            self._cache.distrust(ref_of(owner))
            raise
        self._cache.wrote(made)
        return made

    def _copied_lately(self, effect: CopySecret) -> bool:
        """Whether a copy that no start waits for may rest: a pass over an unchanged object sends no request."""
        return self._monotonic() - self._copied.get(_recipe_of(effect.copy), float("-inf")) < COPY_AGAIN

    def _held(self, key: Key, effect: Effect) -> bool:
        """Whether the server refused this child a moment ago."""
        return isinstance(effect, Create | Apply | HoldSecret) and bool(self._holds.message(key, _subject(effect)))

    def _refused(self, key: Key, owner: Object, effect: Effect, refusal: ApiError) -> None:
        name = _subject(effect)
        _log.warning("%s: %s is refused: %s", key, name, refusal)
        self._holds.hold(key, name, str(refusal))
        self._recorder.emit(owner, "Warning", "ChildRefused", str(refusal))

    def _resource(self, obj: Object) -> Resource:
        ref = ref_of(obj)
        if ref.kind not in self._resources:
            raise LookupError(f"{ref}: no REST resource is known for {ref.kind}: the wiring must name it")
        return self._resources[ref.kind]


def _subject(effect: Effect) -> str:
    """Return under which name a refusal of an effect is held: the child's, or that of the Secret that it is about."""
    match effect:
        case Create(object=obj) | Apply(object=obj):
            return obj["metadata"]["name"]
        case HoldSecret(hold=hold):
            return hold.secret.name
        case _:
            return SECRETS


def _recipe_of(copy: SecretCopy) -> tuple[Ref, str]:
    """Return what tells one copy from another: where it goes, and how its values are made."""
    return copy.target, copy.recipe.version if copy.recipe else ""


def _version(obj: Object) -> str:
    """Return what moves when the spec of an object is changed: its generation, else its resourceVersion."""
    meta = obj["metadata"]
    return str(meta["generation"]) if "generation" in meta else meta.get("resourceVersion", "")
