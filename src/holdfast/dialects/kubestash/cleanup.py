"""Retention after a backup: for each repository of a session, which Snapshots go, and the Job that forgets their data.

`core.retention` decides over the Snapshots of the same repository and session; a Snapshot that is paused, or that an
active RestoreSession reads, is held. The Job carries the list of what it was told to forget, and only those Snapshots are
deleted once it has reported: what a later pass would drop in addition is the next session's matter. The same Job records the
new Snapshot beside its data, and frees the locks of a writer that was killed, so that the repository is open to others at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.calls import Retention
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed, Phase, Problem, SecretCopy, Step, StepState
from holdfast.core.ports import View
from holdfast.core.read import deleting, flag, items, name_of, namespace_of, phase_of, text
from holdfast.core.retention import Health, RecoveryPoint, retain
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubestash import executor, names, pods, recorded, storage, volume_snapshots, wipe
from holdfast.dialects.kubestash.backup_context import Context, Destination
from holdfast.dialects.kubestash.decode import comma_list
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, JOB, RETENTION_POLICY, SNAPSHOT
from holdfast.dialects.kubestash.recorded import components_of
from holdfast.dialects.kubestash.repository import snapshot_time
from holdfast.dialects.kubestash.retention_policy import keep_of

APPLIED, FAILED, PENDING = "Applied", "FailedToApply", "Pending"
_LIMIT: Final = timedelta(hours=6)


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """Retention in one repository: its phase, and what has to happen next, if anything.

    `lost`: its Job was cut short before it had reported. (One that somebody deletes is made again: forgetting twice is safe.)
    """

    repository: str
    wire: Object
    phase: str
    error: str = ""
    step: Step | None = None
    copies: tuple[SecretCopy, ...] = ()
    doomed: tuple[Doomed, ...] = ()
    lost: bool = False

    @property
    def begun(self) -> bool:
        """Whether its Job exists, or has done its work."""
        return self.phase == APPLIED or self.lost or (self.step is not None and self.step.mover is None)

    @property
    def status(self) -> Object:
        """The entry of `status.retentionPolicy`."""
        entry: Object = {"ref": self.wire, "repository": self.repository, "phase": self.phase}
        return {**entry, "error": self.error} if self.error else entry


def cleanups(context: Context, view: View, now: datetime) -> tuple[Cleanup, ...]:
    """Return the state of retention in every repository."""
    return tuple(_cleanup(context, destination, view, now) for destination in context.destinations)


def began(found: Sequence[Cleanup], now: datetime) -> datetime:
    """Return when the first Job of these began; now, while there is none."""
    jobs = (item.step.child for item in found if item.step is not None and item.step.mover is None)
    times = (optional_time(text(job, "metadata", "creationTimestamp")) for job in jobs)
    return min((time for time in times if time is not None), default=now)


def _cleanup(context: Context, destination: Destination, view: View, now: datetime) -> Cleanup:
    repository = destination.use.name
    wire = destination.policy.wire() if destination.policy else {}
    for entry in items(context.obj, "status", "retentionPolicy"):
        if text(entry, "repository") == repository and text(entry, "phase") in (APPLIED, FAILED):
            return Cleanup(repository=repository, wire=wire, phase=text(entry, "phase"), error=text(entry, "error"))
    name, namespace = names.retention_job(name_of(context.obj), repository), context.configuration.place.namespace
    job = view.get(JOB, namespace, name)
    if job is not None:
        return _observed(job, view.step(namespace, name), repository, wire, context, view)
    return _wanted(context, destination, wire, name, view, now)


def _observed(job: Object, state: StepState, repository: str, wire: Object, context: Context, view: View) -> Cleanup:
    if not state.phase.terminal:
        step = Step(name=f"retention-{repository}", child=job)
        return Cleanup(repository=repository, wire=wire, phase=PENDING, step=step)
    namespace = context.configuration.place.namespace
    asked = comma_list(text(job, "metadata", "annotations", names.FORGETS))
    gone = asked if state.phase is Phase.SUCCEEDED else _forgotten(asked, state)
    doomed = _doomed(gone, namespace, "dropped by retention", view)
    if doomed:
        return Cleanup(repository=repository, wire=wire, phase=PENDING, doomed=doomed)
    if state.phase is Phase.SUCCEEDED:
        return Cleanup(repository=repository, wire=wire, phase=APPLIED)
    said = state.message or state.reason or "the Job failed"
    return Cleanup(repository=repository, wire=wire, phase=FAILED, error=said, lost=state.report is None)


def _forgotten(asked: Sequence[str], state: StepState) -> tuple[str, ...]:
    """Return the Snapshots whose data a failed Job had forgotten everywhere: nobody must try to restore them."""
    results = state.report.results if state.report else ()
    return tuple(name for name in asked if results and all(name in result.deleted for result in results))


def _wanted(context: Context, destination: Destination, wire: Object, job: str, view: View, now: datetime) -> Cleanup:
    repository, place = destination.use.name, destination.policy
    policy = view.get(RETENTION_POLICY, place.namespace, place.name) if place else None
    if policy is None:
        return Cleanup(repository=repository, wire=wire, phase=FAILED, error=f"RetentionPolicy {place or ''} not found")
    keep = keep_of(policy)
    if isinstance(keep, Problem):
        return Cleanup(repository=repository, wire=wire, phase=FAILED, error=f"RetentionPolicy {place}: {keep}")
    found = _snapshots(context, repository, view)
    verdicts = retain([point(item, _holds(item, view)) for item in found.values()], keep, now)
    dropped = [found[verdict.point.id] for verdict in verdicts.dropped]
    made = view.get(SNAPSHOT, namespace_of(context.obj), destination.snapshot)
    return _job(context, destination, wire, job, dropped, made, _killed(context, destination, view))


def _killed(context: Context, destination: Destination, view: View) -> tuple[str, ...]:
    """Return the components whose mover ended without a word: it may have left its lock."""
    snapshot = view.get(SNAPSHOT, namespace_of(context.obj), destination.snapshot)
    components = components_of(snapshot) if snapshot else ()
    files = [name for name in components if executor.kind_of(name) != executor.VOLUME]
    states = {name: view.step(context.namespace, names.component_job(name_of(context.obj), name)) for name in files}
    return tuple(name for name, state in states.items() if state.phase is Phase.FAILED and state.report is None)


def _job(
    context: Context,
    destination: Destination,
    wire: Object,
    name: str,
    dropped: Sequence[Object],
    made: Object | None,
    killed: Sequence[str],
) -> Cleanup:
    repository, namespace = destination.use.name, context.configuration.place.namespace
    opened = storage.open_store(destination.storage, namespace, f"storage-{repository}", context.obj)
    if isinstance(opened, Problem):
        return Cleanup(repository=repository, wire=wire, phase=FAILED, error=str(opened))
    secret = destination.use.secret
    encryption = storage.open_encryption(secret, namespace, repository, context.obj) if secret else storage.NO_ENCRYPTION
    obj = context.obj
    labels = names.labels(
        "retention-policy",
        kind=BACKUP_SESSION.kind,
        namespace=namespace_of(obj),
        name=name_of(obj),
        session=context.session.name,
    )
    job = pods.job(
        name,
        namespace,
        labels,
        container="retention",
        volumes=opened.volumes,
        mounts=opened.mounts,
        as_root=opened.as_root,
        annotations={names.FORGETS: ",".join(name_of(item) for item in dropped)},
    )
    session = context.session.name
    paths = {(names.component_path(session, component), component): () for component in killed}
    directory, gone = destination.use.directory, {**paths, **recorded.by_path(dropped)}
    forgets = recorded.forgets(repository, directory, opened, encryption, gone)
    records = recorded.records(
        directory, opened, write=[made] if made and made not in dropped else (), delete=[name_of(item) for item in dropped]
    )
    call = Retention(forgets, records).call((*opened.secrets, *encryption.secrets))
    step = Step(name=f"retention-{repository}", child=job, mover=call, deadline=_LIMIT)
    copies = (*opened.copies, *encryption.copies)
    return Cleanup(repository=repository, wire=wire, phase=PENDING, step=step, copies=copies)


def _snapshots(context: Context, repository: str, view: View) -> dict[str, Object]:
    """Return what retention judges: one that is being deleted must not take the place of another that could stay."""
    namespace = context.configuration.place.namespace
    label = (names.REPO_NAME, names.label_value(repository))
    return {
        name_of(item): item
        for item in view.list(SNAPSHOT, namespace, label=label)
        if namespace_of(item) == namespace
        and not deleting(item)
        and text(item, "spec", "repository") == repository
        and text(item, "spec", "session") == context.session.name
    }


def point(snapshot: Object, hold: str = "") -> RecoveryPoint:
    """Return a Snapshot as retention judges it; `hold` says why it must not go now."""
    phase = phase_of(snapshot)
    return RecoveryPoint(
        id=name_of(snapshot),
        time=parse_time(snapshot_time(snapshot)),
        health={"Succeeded": Health.GOOD, "Failed": Health.BAD}.get(phase, Health.ACTIVE),
        hold=hold,
        verified=text(snapshot, "status", "verificationStatus") == "Verified",
    )


def _holds(snapshot: Object, view: View) -> str:
    """Return why a Snapshot must not go now; empty for no reason."""
    if flag(snapshot, "spec", "paused"):
        return "paused"
    reader = wipe.reader(namespace_of(snapshot), "", name_of(snapshot), view)
    return f"{reader} reads it" if reader else ""


def _doomed(snapshots: Sequence[str], namespace: str, why: str, view: View) -> tuple[Doomed, ...]:
    there = [found for name in snapshots if (found := view.get(SNAPSHOT, namespace, name)) is not None]
    volumes = (doomed for item in there for doomed in volume_snapshots.gone(item, why, view))
    return (*volumes, *(Doomed(Ref(SNAPSHOT, namespace, name_of(item)), why) for item in there))
