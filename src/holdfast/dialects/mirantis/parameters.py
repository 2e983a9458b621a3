"""Where a backup goes: own parameters, else the Cluster's whole `backup` section, else a directory of the node itself."""

import re
from typing import Final

from holdfast.core.calls import NfsShare
from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import mapping, name_of, text

_NFS: Final = re.compile(r"nfs://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):(?P<path>/[^\s]*)")


def own(obj: Object) -> Object:
    """Return `spec.parameters`; absent and empty are the same."""
    return mapping(obj, "spec", "parameters")


def effective(obj: Object, cluster: Object | None) -> Object:
    """Return the block in force, never a mixture of two; empty means a local backup."""
    return own(obj) or (mapping(cluster, "spec", "backup") if cluster else {})


def share(block: Object) -> NfsShare | None:
    """Return the NFS share of a block that has one. The address was judged before."""
    found = _NFS.fullmatch(text(block, "nfsUploadUrl"))
    return NfsShare(found["host"].strip("[]"), found["path"]) if found else None


def problems(block: Object, field: str) -> list[Problem]:
    """Judge one block. `field` is where it stands, for the messages."""
    found: list[Problem] = []
    url, rclone = text(block, "nfsUploadUrl"), mapping(block, "rclone")
    if url and rclone:
        found.append(Problem(field, "rclone and nfsUploadUrl exclude each other: remove one of them"))
    if text(block, "keyEncryptionKey") and not url and not rclone:
        found.append(
            Problem(f"{field}.keyEncryptionKey", "needs rclone or nfsUploadUrl: a local backup on the node is not encrypted")
        )
    if url:
        match = _NFS.fullmatch(url)
        if match is None:
            found.append(Problem(f"{field}.nfsUploadUrl", f"{url!r} is not of the form nfs://HOST:/PATH"))
        elif ".." in match["path"].split("/"):
            found.append(Problem(f"{field}.nfsUploadUrl", f"the path of {url!r} must not contain '..'"))
    if rclone:
        found += [Problem(f"{field}.rclone.{name}", "is needed") for name in ("bucket", "credential") if not text(rclone, name)]
        bucket = text(rclone, "bucket")
        if ":" in bucket or ".." in bucket.split("/"):
            found.append(Problem(f"{field}.rclone.bucket", f"{bucket!r} is not the name of a bucket"))
    return found


def effective_problems(obj: Object, cluster: Object) -> list[Problem]:
    """Judge the block in force, wherever it stands."""
    if own(obj):
        return problems(own(obj), "spec.parameters")
    return problems(mapping(cluster, "spec", "backup"), f"Cluster {name_of(cluster)} spec.backup")
