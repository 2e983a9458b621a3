"""What can be wrong with an AntflyBackup or AntflyRestore by itself. Reasons are those of the API, where it has one.

Whether the cluster exists is no matter of validation here: it is a state that changes, told by a condition.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from holdfast.core.cron import Cron, CronError, Grammar
from holdfast.core.objects import Object
from holdfast.core.plan import Problem, Problems
from holdfast.core.read import mapping, strings, text
from holdfast.core.times import parse_duration
from holdfast.dialects.antfly import decode, retention

GRAMMAR: Final = Grammar(name="Antfly", macros=False, every=False, question_mark=False, sunday_seven=False)
"""Five fields, weekday 0 to 6; names such as MON are taken as well, macros such as `@daily` are not."""

INVALID_SCHEDULE: Final = "InvalidSchedule"
INVALID_DESTINATION: Final = "InvalidDestination"
INVALID_SOURCE: Final = "InvalidSource"
OTHER: Final = "ValidationFailed"

_LONGEST: Final = timedelta(days=365)


def backup(obj: Object, old: Object | None) -> Problems | None:
    """Judge an AntflyBackup; `old` is what it was before."""
    found = [
        *_cluster(obj),
        *_kept("spec.clusterRef", decode.cluster_of(obj), decode.cluster_of(old) if old else None),
        *_schedule(text(obj, "spec", "schedule")),
        *_location(obj, "destination", INVALID_DESTINATION),
        *_tables(obj),
        *_duration(obj, "backupTimeout", decode.BACKUP_TIMEOUT),
        *retention.problems(obj),
    ]
    return Problems(tuple(found)) if found else None


def restore(obj: Object, old: Object | None) -> Problems | None:
    """Judge an AntflyRestore. Its spec is settled once it has begun."""
    if old is not None and text(old, "status", "startTime") and mapping(obj, "spec") != mapping(old, "spec"):
        phase = text(old, "status", "phase")
        why = f"can't be changed any more: the restore has begun and is {phase}; delete it and make another one"
        return Problems((Problem("spec", why, OTHER),))
    found = [
        *_cluster(obj),
        *_location(obj, "source", INVALID_SOURCE),
        *_backup_id(text(obj, "spec", "source", "backupId")),
        *_tables(obj),
        *_duration(obj, "restoreTimeout", decode.RESTORE_TIMEOUT),
    ]
    return Problems(tuple(found)) if found else None


def _cluster(obj: Object) -> Sequence[Problem]:
    if text(obj, "spec", "clusterRef", "name"):
        return ()
    return (Problem("spec.clusterRef.name", "is missing: name the AntflyCluster", OTHER),)


def _kept(field: str, new: decode.Place, old: decode.Place | None) -> Sequence[Problem]:
    if old is None or old == new:
        return ()
    why = f"can't be changed from {old} to {new}: make another AntflyBackup for that cluster, and delete this one"
    return (Problem(field, why, OTHER),)


def _schedule(schedule: str) -> Sequence[Problem]:
    try:
        Cron.parse(schedule, grammar=GRAMMAR)
    except CronError as error:
        return (Problem("spec.schedule", str(error), INVALID_SCHEDULE),)
    return ()


def _location(obj: Object, field: str, reason: str) -> Sequence[Problem]:
    location, where = text(obj, "spec", field, "location"), f"spec.{field}.location"
    scheme, found, rest = location.partition("://")
    if not found or scheme not in ("s3", "file"):
        hint = "; Google's buckets are reached as s3:// with AWS_ENDPOINT_URL" if scheme == "gs" else ""
        return (Problem(where, f"{location!r} must begin with s3:// or file://{hint}", reason),)
    if scheme == "s3" and not rest.partition("/")[0]:
        return (Problem(where, f"{location!r} names no bucket: write s3://bucket/path", reason),)
    if scheme == "file" and not rest.startswith("/"):
        return (Problem(where, f"{location!r} is not absolute: write file:///path", reason),)
    return ()


def _backup_id(ident: str) -> Sequence[Problem]:
    """The id becomes part of file names on the server, which joins paths without a check of its own."""
    if ident and ".." not in ident and all(char.isascii() and (char.isalnum() or char in "._-") for char in ident):
        return ()
    why = f"{ident!r} is no backup id: letters, digits, '.', '_' and '-', without '..'"
    return (Problem("spec.source.backupId", why, INVALID_SOURCE),)


def _tables(obj: Object) -> Sequence[Problem]:
    names = strings(obj, "spec", "tables")
    problems = [
        Problem(f"spec.tables[{index}]", "is empty: name a table, or leave `tables` away for all", OTHER)
        for index, name in enumerate(names)
        if not name
    ]
    twice = next((name for index, name in enumerate(names) if name in names[:index]), "")
    return [*problems, Problem("spec.tables", f"names {twice!r} twice", OTHER)] if twice else problems


def _duration(obj: Object, field: str, default: str) -> Sequence[Problem]:
    given = text(obj, "spec", field, default=default)
    try:
        value = parse_duration(given)
    except ValueError as error:
        return (Problem(f"spec.{field}", str(error), OTHER),)
    if timedelta(seconds=1) <= value <= _LONGEST:
        return ()
    return (Problem(f"spec.{field}", f"{given} must be from 1s to {_LONGEST.days * 24}h", OTHER),)
