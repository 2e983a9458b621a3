"""Copying claims to the objectstore: a temporary claim made from the snapshot, and a mover that reads it.

`pvc_parallelism` claims of a namespace are under way at once, `total_file_parallelism` transfers in all. The mover's Secret is
a copy that belongs to the temporary claim, so that both go together. What became of a claim is written into the job's status
and never judged again; only then are its temporary objects removed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.calls import VolumeBackup
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, Run, RunKind, SecretCopy, Step
from holdfast.core.ports import Outcome, View
from holdfast.core.read import items, mapping, name_of, namespace_of, number, text
from holdfast.core.times import parse_duration
from holdfast.dialects.cloudcasa import pods, stores
from holdfast.dialects.cloudcasa.kinds import ACTIVE_STATES, CLAIM, JOB, secret_name

COPY_LIMIT: Final = timedelta(hours=24)
CLAIM_LIMIT: Final = timedelta(minutes=30)
READY_TIMEOUT: Final = timedelta(minutes=20)
"""How long a mover may take to start unless `mover_ready_timeout` says so."""

AT_ONCE: Final = 4
"""Claims of a namespace that are copied at once unless `pvc_parallelism` says so."""

ROOT: Final = "/volumes"
"""Where movers see claims: `/volumes/<namespace>/<claim>`, which is their path in the repository as well."""


def wanted(job: Object, store: Object, view: View) -> Desired:
    """Return the plans of the claims that are under way, and what those that have ended leave behind."""
    claims = items(job, "status", "volumes")
    turn = _turn(job, claims)
    options = _shared(mapping(job, "status", "options"), len(turn))
    plans = tuple(_plan(job, index, claims[index], store, options) for index in turn)
    return Desired(
        runs=plans,
        secret_copies=tuple(copy for index in turn if (copy := _secret(job, index, claims[index], store, view))),
        doomed=tuple(each for index, claim in enumerate(claims) if _ended(claim) for each in _left(job, index, claim)),
        wake_at=min((at for index in turn if (at := _patience(job, index, claims[index], view)) is not None), default=None),
    )


def seen(job: Object, outcome: Outcome, view: View, now: datetime) -> Object:
    """Return the claims with what became of those that have ended, and a word on those that go on."""
    claims = list(items(job, "status", "volumes"))
    said = ""
    for index, claim in enumerate(claims):
        run = outcome.runs.get(_name(index))
        if _ended(claim) or run is None:
            continue
        late = _patience(job, index, claim, view)
        claims[index] = _seen(claim, run, late=late is not None and now >= late)
        if not _ended(claims[index]) and not said:
            said = f"{text(claim, 'namespace')}/{text(claim, 'claim')}: {_progress(run)}"
    done = sum(1 for claim in claims if _ended(claim))
    return {"volumes": claims, "message": f"{done} of {len(claims)} claims copied{f'; {said}' if said else ''}"}


def all_ended(job: Object) -> bool:
    """Whether it is known of every claim what became of it."""
    return all(_ended(claim) for claim in items(job, "status", "volumes"))


def path_of(claim: Object) -> str:
    """Return where a claim lies in the repository."""
    return f"{ROOT}/{text(claim, 'namespace')}/{text(claim, 'claim')}"


def _ended(claim: Object) -> bool:
    return text(claim, "state") not in ACTIVE_STATES


def _turn(job: Object, claims: list[Object]) -> list[int]:
    """Return the positions of the claims whose turn it is."""
    options = mapping(job, "status", "options")
    most, total = number(options, "pvc_parallelism") or AT_ONCE, number(options, "total_file_parallelism")
    room: dict[str, int] = {}
    turn: list[int] = []
    for index, claim in enumerate(claims):
        namespace = text(claim, "namespace")
        if not _ended(claim) and room.get(namespace, 0) < most and (total is None or len(turn) < total):
            room[namespace] = room.get(namespace, 0) + 1
            turn.append(index)
    return turn


def _shared(options: Object, movers: int) -> Object:
    """Return the options of one mover: its share of the transfers in all is the most it may have."""
    total, own = number(options, "total_file_parallelism"), number(options, "pvc_file_parallelism")
    if total is None or not movers:
        return options
    share = max(1, total // movers)
    return {**options, "pvc_file_parallelism": min(own, share) if own else share}


def _name(index: int) -> str:
    return f"copy-{index}"


def _object(job: Object, index: int) -> str:
    """Return the name of a claim's temporary claim, of its Job and of its Secret."""
    return f"cloudcasa-{name_of(job)[:12]}-{index}"


def _plan(job: Object, index: int, claim: Object, store: Object, options: Object) -> Plan:
    place, name = text(claim, "namespace"), _object(job, index)
    mount: Object = {"name": "data", "mountPath": path_of(claim), "readOnly": True}
    volume: Object = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
    child = pods.job(
        name,
        place,
        volumes=(volume,),
        mounts=(mount,),
        rights=pods.BACKUP_RIGHTS,
        memory_mib=number(options, "mover_memory_limit"),
    )
    call = VolumeBackup(
        repositories=(stores.repository_of(store, options, lock_days=stores.lock_of(job)),),
        paths=(path_of(claim),),
        host=text(job, "spec", "cluster"),
        tags=("cloudcasa", f"job={name_of(job)}"),
    ).call(stores.secrets_of(name_of(store), name))
    steps = (
        Step(name="claim", child=_claim(claim, name), deadline=CLAIM_LIMIT),
        Step(name="copy", child=child, mover=call, needs=("claim",), deadline=COPY_LIMIT),
    )
    return Plan(name=_name(index), kind=RunKind.BACKUP, steps=steps)


def _claim(claim: Object, name: str) -> Object:
    """Return the temporary claim that shows a snapshot."""
    spec: Object = {
        "accessModes": claim.get("access_modes") or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": text(claim, "size", default="1Gi")}},
        "dataSource": {
            "apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot",
            "name": text(claim, "volume_snapshot"),
        },
    }
    if kind := text(claim, "storage_class"):
        spec["storageClassName"] = kind
    meta: Object = {"name": name, "namespace": text(claim, "namespace")}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _secret(job: Object, index: int, claim: Object, store: Object, view: View) -> SecretCopy | None:
    """Return the copy of the store's Secret beside a temporary claim that exists, to which it belongs."""
    place, name = text(claim, "namespace"), _object(job, index)
    holder = view.get(CLAIM, place, name)
    if holder is None:
        return None
    source = Ref(_SECRET, namespace_of(job), secret_name(name_of(store)))
    return SecretCopy(source, Ref(_SECRET, place, name), owner=holder)


def _left(job: Object, index: int, claim: Object) -> tuple[Doomed, ...]:
    place, name = text(claim, "namespace"), _object(job, index)
    return tuple(Doomed(Ref(kind, place, name), "its claim has been dealt with") for kind in (JOB, CLAIM))


def _patience(job: Object, index: int, claim: Object, view: View) -> datetime | None:
    """Return until when the mover of a claim may wait for its start; None when it does not wait."""
    state = view.step(text(claim, "namespace"), _object(job, index))
    if state.phase is not Phase.RUNNING or not state.reason or state.started is None:
        return None
    given = text(job, "status", "options", "mover_ready_timeout")
    return state.started + (parse_duration(given) if given else READY_TIMEOUT)


def _seen(claim: Object, run: Run, *, late: bool) -> Object:
    if run.phase is Phase.SUCCEEDED:
        report = run.steps["copy"].report
        result = report.results[0] if report and report.results else None
        if result is None or not result.snapshot_ids:
            return {**claim, "state": "FAILED", "message": "the mover does not say which snapshot it wrote"}
        return {**claim, "state": "COMPLETED", "snapshot_id": result.snapshot_ids[0], "bytes": result.bytes}
    if run.phase.terminal:
        return {**claim, "state": "FAILED", "message": run.message or run.reason}
    if late:
        return {**claim, "state": "FAILED", "message": f"the mover did not start in time: {run.message}"}
    return claim if text(claim, "state") == "RUNNING" or run.phase is Phase.WAITING else {**claim, "state": "RUNNING"}


def _progress(run: Run) -> str:
    """Return a word on a claim that is under way."""
    moving = run.steps["copy"].progress
    if moving:
        return f"{moving[-1].bytes_done} of {moving[-1].bytes_total} bytes"
    return run.message or "is copied"


_SECRET: Final = msgspec.structs.replace(CLAIM, kind="Secret")
