"""The Jobs that movers run in: names, labels, mounts and exactly the rights that the work needs.

The engine puts command, image and call into the first container; everything else of its shape is decided here. A Job is
tried once (`backoffLimit` 0): the session's own retry repeats the whole, and a half-done pod is never started again.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.core.objects import Object

BACKUP_RIGHTS: Final = ("DAC_READ_SEARCH",)
"""Root reads every file of the target, and changes none: the volumes are mounted read-only as well."""

RESTORE_RIGHTS: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
"""What bytes, owners, modes (also set-id ones), device nodes and file capabilities take to come back."""


def job(
    name: str,
    namespace: str,
    labels: Object,
    *,
    container: str,
    volumes: Sequence[Object] = (),
    mounts: Sequence[Object] = (),
    as_root: bool = False,
    rights: Sequence[str] = (),
    annotations: Object | None = None,
    node: str = "",
) -> Object:
    """Build a Job with one container that a mover fills."""
    meta: Object = {"name": name, "namespace": namespace, "labels": labels}
    if annotations:
        meta["annotations"] = annotations
    pod: Object = {
        "restartPolicy": "Never",
        "containers": [{"name": container, "securityContext": _context(as_root, rights)}],
    }
    if mounts:
        pod["containers"][0]["volumeMounts"] = list(mounts)
    if volumes:
        pod["volumes"] = list(volumes)
    if node:
        pod["nodeName"] = node
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def unique(objects: Sequence[Object]) -> tuple[Object, ...]:
    """Return volumes or mounts without repetitions, in order."""
    found: list[Object] = []
    for obj in objects:
        if obj not in found:
            found.append(obj)
    return tuple(found)


def _context(as_root: bool, rights: Sequence[str]) -> Object:
    capabilities: Object = {"drop": ["ALL"]}
    if rights:
        capabilities["add"] = list(rights)
    context: Object = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": not as_root,
        "capabilities": capabilities,
    }
    return {**context, "runAsUser": 0, "runAsGroup": 0} if as_root else {**context, "runAsUser": 65534, "runAsGroup": 65534}
