"""The Jobs that movers run in: exactly the rights that the work needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.core.objects import Object

BACKUP_RIGHTS: Final = ("DAC_READ_SEARCH",)
"""Root reads every file and changes none: the volume is mounted read-only as well."""

RESTORE_RIGHTS: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
"""What bytes, owners, modes, device nodes and file capabilities take to come back."""

MOVER_LABEL: Final = "app.kubernetes.io/name=cloudcasa-mover"
"""The selector of movers' pods."""

GRACE: Final = 5
"""Seconds that a mover has to stop by itself: a cancelled job ends within ten, also when a slow upload holds its mover up."""

_NOBODY: Final = 65534


def job(
    name: str,
    namespace: str,
    *,
    volumes: Sequence[Object] = (),
    mounts: Sequence[Object] = (),
    rights: Sequence[str] = (),
    memory_mib: int | None = None,
) -> Object:
    """Return a Job with one container that a mover fills, tried once. With `rights` it is root with no more than these."""
    user = 0 if rights else _NOBODY
    context: Object = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": not rights,
        "runAsUser": user,
        "runAsGroup": user,
        "capabilities": {"drop": ["ALL"], **({"add": list(rights)} if rights else {})},
    }
    container: Object = {"name": "mover", "securityContext": context}
    if mounts:
        container["volumeMounts"] = list(mounts)
    if memory_mib:
        container["resources"] = {"limits": {"memory": f"{memory_mib}Mi"}, "requests": {"memory": f"{memory_mib}Mi"}}
    pod: Object = {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE, "containers": [container]}
    if volumes:
        pod["volumes"] = list(volumes)
    labels: Object = {"app.kubernetes.io/name": "cloudcasa-mover", "app.kubernetes.io/managed-by": "holdfast"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
