"""Makes the objects of backups again from what lies beside their data: a cluster is new, the bucket is not.

Records are only read, and only objects that are not there are made. A record is somebody else's text: it becomes an object of
the one expected kind or nothing, and the API server judges it like any other. An object without a status was left by a pass
that was cut short, and gets it now. A backup of several pods has a record beside the data of each: one that lacks a record has
failed, and is not made again.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from holdfast.core.calls import RecordDiscovery
from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, namespace_of, phase_of, strings, text, uid_of
from holdfast.core.report import Report, RepositoryResult
from holdfast.kube.client import Client
from holdfast.kube.config import ConfigError, in_cluster
from holdfast.kube.errors import AlreadyExists, ApiError, Forbidden, Invalid, NotFound
from holdfast.kube.resource import Resource
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.datasafed.codecs import SUFFIX, Codec, opener
from holdfast.movers.datasafed.faults import DatasafedError
from holdfast.movers.datasafed.places import Place
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.settings import read_settings

LARGEST: Final = 1 << 20
"""Bytes that a record may have: an object of Kubernetes has no more."""

MADE, THERE, LEFT_OUT, SEALED = "made", "there", "leftOut", "sealed"
"""What became of a record; the report counts them under these words. What is sealed, and no phrase opens, is left out too."""


def run(call: RecordDiscovery, context: Context) -> Report:
    """Make what is not there. What can't be made is logged and counted; only a storage that can't be read is a failure."""
    try:
        place = open_place(read_settings(os.environ))
        counts = asyncio.run(_discover(call, _records(call, place, _openers(call), context)))
    except DatasafedError as error:
        raise MoverError("DiscoveryFailed", f"BackupRepo {call.name}: {error}") from error
    except ConfigError as error:
        raise MoverError("NotInCluster", str(error), "the job needs its service account token mounted") from error
    except ApiError as error:
        raise MoverError(f"Api{error.reason or 'Error'}", f"making {call.plural} again: {error.message}") from error
    seen = sum(count for what, count in counts.items() if what != SEALED)
    return Report(RecordDiscovery.MOVER, (RepositoryResult(call.name, files=seen),), details=counts)


def _openers(call: RecordDiscovery) -> Sequence[Codec]:
    """Return what opens sealed records: of the pass phrases those that are there."""
    found: list[Codec] = []
    for phrase in call.phrases:
        try:
            text = Path(phrase.file).read_text()
        except (OSError, ValueError):
            continue
        found += [opener(phrase.algorithm, text)] if text else []
    return found


def _records(call: RecordDiscovery, place: Place, openers: Sequence[Codec], context: Context) -> Iterator[Object | str]:
    """Yield each backup whose records are complete; a word for what is left out."""
    found: dict[tuple[str, ...], list[Object]] = {}
    for item in place.list(call.path, recursive=True):
        sealed = item.name == f"{call.file}{SUFFIX}"
        if item.is_folder or not (sealed or item.name == call.file):
            continue
        context.check()
        record = _read(call, place, item.path, openers if sealed else (iter,)) if item.size <= LARGEST else None
        if record is not None:
            found.setdefault((namespace_of(record), name_of(record), uid_of(record)), []).append(record)
            continue
        why = "is sealed, and no pass phrase that is known opens it" if sealed else f"is no record of a completed {call.kind}"
        log(f"{item.path}: {why}: left out")
        yield SEALED if sealed else LEFT_OUT
    for (namespace, name, _), records in found.items():
        if len(records) < (wanted := _parts(records[0])):
            log(f"{call.kind} {namespace}/{name} has {len(records)} of {wanted} records, and is left out")
        yield records[0] if len(records) >= wanted else LEFT_OUT


def _parts(record: Object) -> int:
    """Return how many pods a backup is of, each of which has a record."""
    status = mapping(record, "status")
    targets = items(status, "targets") or [mapping(status, "target")]
    return max(sum(max(len(strings(each, "selectedTargetPods")), 1) for each in targets), 1)


def _read(call: RecordDiscovery, place: Place, path: str, openers: Sequence[Codec]) -> Object | None:
    """Return a record as the first opener gives it that makes sense of it: a wrong pass phrase gives noise."""
    raw = b"".join(place.read(path))
    return next(filter(None, (_decoded(call, raw, opened) for opened in openers)), None)


def _decoded(call: RecordDiscovery, raw: bytes, opened: Codec) -> Object | None:
    try:
        found: Any = msgspec.json.decode(b"".join(opened([raw])))
    except (msgspec.DecodeError, DatasafedError):
        return None
    if not isinstance(found, dict):
        return None
    record = cast("Object", found)
    proper = (record.get("apiVersion"), record.get("kind")) == (call.api_version, call.kind)
    return record if proper and name_of(record) and namespace_of(record) and phase_of(record) == "Completed" else None


async def _discover(call: RecordDiscovery, records: Iterator[Object | str]) -> Mapping[str, int]:
    counts: dict[str, int] = {MADE: 0, THERE: 0, LEFT_OUT: 0, SEALED: 0}
    group, _, version = call.api_version.rpartition("/")
    resource = Resource(group, version, call.kind, call.plural)
    async with Client(in_cluster(), field_manager="holdfast-discovery") as client:
        for record in records:
            outcome = record if isinstance(record, str) else await _make(call, client, resource, record)
            counts[LEFT_OUT if outcome == SEALED else outcome] += 1
            counts[SEALED] += outcome == SEALED
    return counts


async def _make(call: RecordDiscovery, client: Client, resource: Resource, record: Object) -> str:
    name, namespace = name_of(record), namespace_of(record)
    try:
        made = await client.create(resource, _object(call, record))
        outcome = MADE
    except AlreadyExists:
        made = await client.get(resource, name, namespace)
        outcome = THERE
    except (NotFound, Forbidden, Invalid) as error:  # no such namespace: there is neither right nor room in it
        log(f"{call.kind} {namespace}/{name} can't be made again: {error.message}")
        return LEFT_OUT
    if not phase_of(made) and all(text(made, "metadata", "labels", key) == value for key, value in call.labels.items()):
        status = {**mapping(record, "status"), **call.status}
        await client.merge_patch(resource, name, namespace, {"status": status}, subresource="status")
    log(f"{call.kind} {namespace}/{name} {'was made again' if outcome == MADE else 'is there'}")
    return outcome


def _object(call: RecordDiscovery, record: Object) -> Object:
    meta = mapping(record, "metadata")
    return {
        "apiVersion": call.api_version,
        "kind": call.kind,
        "metadata": {
            "name": name_of(record),
            "namespace": namespace_of(record),
            "labels": {**mapping(meta, "labels"), **call.labels},
            **({"annotations": meta["annotations"]} if mapping(meta, "annotations") else {}),
        },
        "spec": {**mapping(record, "spec"), **call.spec},
    }
