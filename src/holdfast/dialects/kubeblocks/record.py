"""The record of a Backup beside its data: what a fresh cluster needs to know to restore it."""

from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import mapping, name_of, text
from holdfast.dialects.kubeblocks import kinds
from holdfast.dialects.kubeblocks.backup_context import Context

_CARRIED: Final = (
    "formatVersion",
    "startTimestamp",
    "backupRepoName",
    "path",
    "kopiaRepoPath",
    "target",
    "targets",
    "backupMethod",
    "encryptionConfig",
    "parentBackupName",
    "baseBackupName",
)


def document(context: Context) -> Object:
    """Return the Backup as it is written beside its data; the job adds size, time range, extras and when it ended."""
    obj, meta = context.obj, mapping(context.obj, "metadata")
    status = mapping(obj, "status")
    return {
        "apiVersion": kinds.api_version(kinds.BACKUP),
        "kind": "Backup",
        "metadata": {
            "name": name_of(obj),
            "namespace": context.namespace,
            "uid": text(obj, "metadata", "uid"),
            "labels": mapping(meta, "labels"),
            "creationTimestamp": text(obj, "metadata", "creationTimestamp"),
        },
        "spec": mapping(obj, "spec"),
        "status": {key: status[key] for key in _CARRIED if key in status},
    }
