"""The Jobs that write archives and delete them: where they run, what they mount, and the rights that takes.

They run as root on a control-plane node, in its network, since etcd listens on the node alone and its keys are root's; of
root's rights they keep only to read what others own. They never hold a token of the API.
"""

from typing import Final

import msgspec

from holdfast.core.calls import SECRETS, ArchiveKey, ArchivePlace, Call
from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import MoverCall, Problem, SecretFiles
from holdfast.core.ports import Refs
from holdfast.core.read import conditions_of, mapping, namespace_of, text, why_not
from holdfast.dialects.mirantis import parameters, sealing
from holdfast.dialects.mirantis.control_plane import Settings
from holdfast.dialects.mirantis.kinds import KEY_ENCRYPTION_KEY, NODE, RCLONE_CREDENTIAL, SANDBOX_LABEL
from holdfast.dialects.mirantis.rclone_credential import REMOTE, SECRET_OPTION, options_of

PENDING: Final = "SecretPending"
"""The reason of a problem that will pass: a clear secret is about to be moved."""

_ARCHIVE: Final = "/holdfast/archive"
_RCLONE, _KEY = "rclone", "key"


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A place for archives with what its Job needs: volumes, mounts, Secrets."""

    place: ArchivePlace
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    secrets: tuple[SecretFiles, ...] = ()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """The key of an archive with the Secret that holds it."""

    key: ArchiveKey
    secrets: tuple[SecretFiles, ...]


def destination(obj: Object, cluster: str, block: Object, chosen: Settings, node: str, refs: Refs) -> Destination | Problem:
    """Return where the block sends archives of a cluster, or which object is missing."""
    namespace = namespace_of(obj)
    folder = f"{namespace}-{cluster}"
    if (share := parameters.share(block)) is not None:
        location = f"nfs://{share.server}:{share.path.rstrip('/')}/{folder}"
        if _is_sandbox(node, refs):
            return Destination(place=ArchivePlace(folder, location, share=share))
        return _mounted({"nfs": {"server": share.server, "path": share.path}}, f"{_ARCHIVE}/{folder}", location)
    if rclone := mapping(block, "rclone"):
        return _remote(namespace, folder, rclone, refs)
    local = chosen["local-folder"]
    return _mounted({"hostPath": {"path": local, "type": "DirectoryOrCreate"}}, _ARCHIVE, f"{node}:{local}")


def _is_sandbox(name: str, refs: Refs) -> bool:
    """Whether a node is one of `holdfast up`, which can't mount a share; our own client reaches it then."""
    node = refs.get(NODE, "", name) if name else None
    return node is not None and SANDBOX_LABEL in mapping(node, "metadata", "labels")


def _mounted(source: Object, folder: str, location: str) -> Destination:
    return Destination(
        place=ArchivePlace(folder, location),
        volumes=({"name": "archive", **source},),
        mounts=({"name": "archive", "mountPath": _ARCHIVE},),
    )


def _remote(namespace: str, folder: str, rclone: Object, refs: Refs) -> Destination | Problem:
    name, bucket = text(rclone, "credential"), text(rclone, "bucket").strip("/")
    field = "spec.parameters.rclone.credential"
    credential = refs.get(RCLONE_CREDENTIAL, namespace, name)
    if credential is None:
        return Problem(field, f"RCloneCredential {namespace}/{name} not found: create it", "CredentialNotFound")
    kept = mapping(credential, "spec", "remoteSecret")
    if not text(kept, "name"):
        return _not_ready(field, f"RCloneCredential {namespace}/{name}", credential)
    remote = text(credential, "spec", "remoteName", default=REMOTE)
    place = ArchivePlace(
        f"{bucket}/{folder}",
        f"{remote}:{bucket}/{folder}",
        remote,
        options_of(credential),
        text(credential, "spec", "remoteConfigSecretKey", default=SECRET_OPTION),
        f"{SECRETS}/{_RCLONE}/{text(kept, 'key', default=sealing.ENTRY)}",
    )
    return Destination(place=place, secrets=(SecretFiles(_RCLONE, text(kept, "name")),))


def key(obj: Object, block: Object, refs: Refs) -> Key | Problem | None:
    """Return the key that a block names: a KeyEncryptionKey, else a Secret of that name; None without encryption.

    A Secret that belongs to an RCloneCredential is no key, even if it has the name.
    """
    name, namespace = text(block, "keyEncryptionKey"), namespace_of(obj)
    if not name:
        return None
    field = "spec.parameters.keyEncryptionKey"
    found = refs.get(KEY_ENCRYPTION_KEY, namespace, name)
    if found is None:
        owners = refs.list(RCLONE_CREDENTIAL, namespace)
        if any(text(each, "spec", "remoteSecret", "name") == name for each in owners):
            return Problem(field, f"Secret {namespace}/{name} holds an access key of an RCloneCredential, no encryption key")
        return _key(name, name, sealing.ENTRY, optional=True)
    kept = mapping(found, "spec", "secret")
    if not text(kept, "name"):
        return _not_ready(field, f"KeyEncryptionKey {namespace}/{name}", found)
    return _key(name, text(kept, "name"), text(kept, "key", default=sealing.ENTRY), optional=False)


def _not_ready(field: str, name: str, holder: Object) -> Problem:
    """Say why the secret of an object can't be used; one that was not judged yet is only waited for."""
    why = why_not(holder, "")
    told = f"{name} can't be used: {why or 'its secret is not in a Secret yet'}"
    return Problem(field, told, "SecretNotReady" if why else PENDING)


def _key(name: str, secret: str, entry: str, *, optional: bool) -> Key:
    files = SecretFiles(_KEY, secret, optional=optional)
    return Key(key=ArchiveKey(name, secret, f"{SECRETS}/{_KEY}/{entry}"), secrets=(files,))


def job(
    obj: Object,
    name: str,
    cluster: str,
    node: str,
    target: Destination,
    source: tuple[list[Object], list[Object]] | None = None,
) -> Object:
    """Build the Job of a mover that reads a control plane (`source`: its volumes and mounts) or a place of archives."""
    volumes, mounts = source or ([], [])
    labels = {"app.kubernetes.io/managed-by": "holdfast", "holdfast.dev/cluster": bounded_name(cluster)}
    context: Object = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]},
    }
    container: Object = {"name": "archive", "securityContext": context}
    pod: Object = {"restartPolicy": "Never", "hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    pod["containers"] = [{**container, "volumeMounts": [*mounts, *target.mounts]}]
    pod["volumes"] = [*volumes, *target.volumes]
    pod["tolerations"] = [{"operator": "Exists"}]
    if node:
        pod["nodeName"] = node
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace_of(obj), "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def call(wanted: Call, target: Destination, wrapped: Key | None = None) -> MoverCall:
    """Return the call with every Secret that it reads."""
    return wanted.call([*target.secrets, *(wrapped.secrets if wrapped else ())])


def ended(found: Object) -> bool:
    """Whether a Job has ended, however."""
    return any(each.get("type") in ("Complete", "Failed") and each.get("status") == "True" for each in conditions_of(found))
