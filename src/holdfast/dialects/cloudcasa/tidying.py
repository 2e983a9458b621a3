"""What a job that did not end well has left in the objectstore, and the job that removes it.

A mover that is killed may have written its snapshot and not lived to say so; one that is cancelled leaves what was copied
before. Every snapshot carries a tag of its job, so those that no recovery point holds can be told, and go.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import flag, items, name_of, namespace_of, number, text
from holdfast.dialects.cloudcasa import points, remote, runs, ticks
from holdfast.dialects.cloudcasa.kinds import BACKUPINSTANCE, DELETES, KUBEJOB, derived_id
from holdfast.dialects.cloudcasa.scheduled import is_active, state_of

SETTLED: Final = timedelta(seconds=5)
"""After its end until all that a job made is known here."""

_AGAIN: Final = timedelta(minutes=10)
"""How long to wait after a deletion that failed; twice as long after each further one."""

_MOST: Final = 8
_UNSURE: Final = ("FAILED", "CANCELLED", "PARTIAL")


def due(job: Object, view: View, now: datetime) -> Object | datetime | None:
    """Return the job that removes what a job left, or when to look again, or None when nothing is left to do.

    The job is one that has ended, or is being deleted, and of which nothing in the cluster is left.
    """
    if not _may_have_written(job) or remote.cluster_of(job, view) is not None:
        return None
    jobs = view.list(KUBEJOB, namespace_of(job), label=(DELETES, name_of(job)))
    if any(is_active(each) or state_of(each) == "COMPLETED" for each in jobs) or len(jobs) >= _MOST:
        return None
    last = max((number(each, "status", "end_time") or 0 for each in jobs), default=0)
    when = ticks.moment(last) + _AGAIN * 2 ** (len(jobs) - 1) if jobs else ticks.moment(_ended(job, now)) + SETTLED
    if now < when:
        return when
    ident = derived_id("leftovers", namespace_of(job), name_of(job), str(len(jobs)))
    return runs.leftovers_job(job, ident, ticks.seconds(now), _leftovers(job, view))


def held_by(namespace: str, ident: str, view: View) -> tuple[str, ...]:
    """Return the snapshots of the repository that a recovery point holds; none when there is no such point."""
    point = view.get(BACKUPINSTANCE, namespace, ident)
    return points.snapshots_of(point) if point is not None else ()


def _ended(job: Object, now: datetime) -> int:
    return number(job, "status", "end_time") or ticks.seconds(now) - int(SETTLED.total_seconds())


def _may_have_written(job: Object) -> bool:
    """Whether movers of a job may have run and not all of their results be known."""
    if text(job, "spec", "type") not in ("KUBE_BACKUP", "KUBE_OFFLOAD") or not text(job, "status", "objectstore"):
        return False
    began = flag(job, "status", "snapshots_taken") or bool(text(job, "status", "snapshot_inst"))
    return began and (state_of(job) in _UNSURE or is_active(job))


def _leftovers(job: Object, view: View) -> Object:
    """Return what goes: all that the job tagged, but for what its points hold, as it says or as they are there."""
    copy, listed = points.copy_id(job), text(job, "status", "backup_inst")
    held = [*held_by(namespace_of(job), copy, view), *held_by(namespace_of(job), points.snapshot_id(job), view)]
    if listed:
        held += [text(each, "snapshot_id") for each in items(job, "status", "volumes")]
    if listed or (text(job, "spec", "type") == "KUBE_BACKUP" and text(job, "status", "snapshot_inst")):
        held.append(text(job, "status", "resources"))
    tags = [f"job={name_of(job)}"]
    if not listed and view.get(BACKUPINSTANCE, namespace_of(job), copy) is None:
        tags.append(f"point={copy}")
    keep = sorted({ident for ident in held if ident})
    return {"objectstore": text(job, "status", "objectstore"), "tags": tags, "keep": keep}
