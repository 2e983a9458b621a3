"""A BackupVerifier, and one test of the sample's backups."""

from typing import Any

from tests.unit.kubestash.builders import BC, REPO, SESSION
from tests.unit.kubestash.world import World

from holdfast.core.objects import Object


def verifier(**spec: Any) -> Object:
    claim = {"metadata": {"name": "proof-${POD_ORDINAL}"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    mounts = [{"name": "proof-${POD_ORDINAL}", "mountPath": "/source/data"}]
    task = {"name": "logical-backup-restore", "targetVolumes": {"volumeClaimTemplates": [claim], "volumeMounts": mounts}}
    wanted = {
        "type": "RestoreOnly",
        "scheduler": {"schedule": "0 4 * * 0", "jobTemplate": {}},
        "restoreOption": {"addonInfo": {"name": "workload-addon", "tasks": [task]}},
        **spec,
    }
    meta = {"name": "weekly", "namespace": "demo"}
    return {"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupVerifier", "metadata": meta, "spec": wanted}


def verify(world: World, name: str = "proof", **spec: Any) -> None:
    invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": BC}
    meta = {"name": name, "namespace": "demo"}
    wanted = {"invoker": invoker, "session": SESSION, "repository": REPO, **spec}
    kind = "BackupVerificationSession"
    world.add({"apiVersion": "core.kubestash.com/v1alpha1", "kind": kind, "metadata": meta, "spec": wanted})
    world.settle()
