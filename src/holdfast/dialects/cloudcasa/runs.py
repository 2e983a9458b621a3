"""The job that a definition asks for, by hand or on schedule. Pure: the caller brings id, time and look-ups.

A job remembers names as well as ids, since it outlives what it came from.
"""

from __future__ import annotations

from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import mapping, name_of, namespace_of, text
from holdfast.dialects.cloudcasa.kinds import API_VERSION, BACKUPDEF, COPYDEF, DELETES, KUBEJOB, RESTOREDEF
from holdfast.dialects.cloudcasa.validate import Lookup

_WORDS: Final = {
    "KUBE_BACKUP": "Kubernetes snapshot",
    "KUBE_OFFLOAD": "Kubernetes copy",
    "KUBE_RESTORE": "Kubernetes restore",
    "DELETE_BACKUP": "Deletion of a recovery point",
}


_LABELS: Final = {"copydef": COPYDEF, "backupdef": BACKUPDEF, "restoredef": RESTOREDEF}


def copy_job(
    offload: Object, ident: str, now: int, lookup: Lookup, *, retain_days: int, run_backup: bool, locked: bool = False
) -> Object:
    """Return the job that copies what a kubeoffload names. `now` is in Unix seconds."""
    spec = mapping(offload, "spec")
    backup = lookup.spec_of("kubebackups", text(spec, "backupdef")) or {}
    fields: Object = {
        "copydef": name_of(offload),
        "run_backup": run_backup,
        "retention": {"retainDays": retain_days},
        **_locked(locked),
        **_backup(text(spec, "backupdef"), backup, lookup),
    }
    return _job("KUBE_OFFLOAD", offload, ident, now, fields)


def backup_job(backup: Object, ident: str, now: int, lookup: Lookup, *, retain_days: int, locked: bool = False) -> Object:
    """Return the job that takes the snapshot of a kubebackup."""
    fields: Object = {
        "retention": {"retainDays": retain_days},
        **_locked(locked),
        **_backup(name_of(backup), mapping(backup, "spec"), lookup),
    }
    return _job("KUBE_BACKUP", backup, ident, now, fields)


def restore_job(restore: Object, ident: str, now: int, lookup: Lookup) -> Object:
    """Return the job that carries out a kuberestore."""
    spec = mapping(restore, "spec")
    point = lookup.spec_of("backupinstances", text(spec, "backup_inst")) or {}
    fields: Object = {
        "restoredef": name_of(restore),
        "backup_inst": text(spec, "backup_inst"),
        **_cluster(text(spec, "cluster"), lookup),
        **{key: point[key] for key in ("backupdef", "backupdef_name") if key in point},
    }
    return _job("KUBE_RESTORE", restore, ident, now, fields)


def deletion_job(point: Object, ident: str, now: int) -> Object:
    """Return the job that removes the data of a recovery point, and then the point."""
    spec = mapping(point, "spec")
    kept = {key: spec[key] for key in ("cluster", "cluster_name", "backupdef", "backupdef_name") if key in spec}
    made = _job("DELETE_BACKUP", point, ident, now, {"backup_inst": name_of(point), **kept})
    made["metadata"]["labels"] = {DELETES: name_of(point)}
    return made


def leftovers_job(job: Object, ident: str, now: int, leftovers: Object) -> Object:
    """Return the job that removes what another one left in the objectstore."""
    made = _job("DELETE_BACKUP", job, ident, now, {"leftovers": leftovers})
    kept = {key: text(job, "spec", key) for key in ("backupdef", "backupdef_name") if text(job, "spec", key)}
    made["spec"] |= {"display_name": f"what job {name_of(job)} left", **kept}
    made["metadata"]["labels"] = {DELETES: name_of(job)}
    return made


def skipped(job: Object, due: int, why: str) -> Object:
    """Return a job that only records why it is not done."""
    return {**job, "spec": {**job["spec"], "due": due, "skip": why}}


def due(job: Object, moment: int) -> Object:
    """Return a job that a schedule asked for at this moment."""
    return {**job, "spec": {**job["spec"], "due": moment}}


def _job(kind: str, source: Object, ident: str, now: int, fields: Object) -> Object:
    shown = text(source, "spec", "name")
    spec: Object = {
        "name": f"kubecluster-{now}",
        "type": kind,
        "display_name": shown,
        "display_type": _WORDS[kind],
        **fields,
    }
    labels = {label: fields[name] for name, label in _LABELS.items() if name in fields}
    meta: Object = {"name": ident, "namespace": namespace_of(source), "labels": labels}
    return {"apiVersion": API_VERSION, "kind": KUBEJOB.kind, "metadata": meta, "spec": spec}


def _backup(ident: str, backup: Object, lookup: Lookup) -> Object:
    return {"backupdef": ident, "backupdef_name": text(backup, "name"), **_cluster(text(backup, "cluster"), lookup)}


def _cluster(ident: str, lookup: Lookup) -> Object:
    if not ident:
        return {}
    found = lookup.spec_of("kubeclusters", ident)
    return {"cluster": ident, **({"cluster_name": text(found, "name")} if found is not None else {})}


def _locked(locked: bool) -> Object:
    return {"locked": True} if locked else {}
