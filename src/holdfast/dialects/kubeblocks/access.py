"""How the Jobs of one namespace reach a BackupRepo: a mounted claim, or the storage tool with its configuration.

    found = access(repo, provider, namespace, home)

The children and copies go into the Desired of whoever starts such a Job; they are the same for everybody, belong to the
repository, and are made before the Job. Volumes, mounts and variables go into its pod.
"""

import secrets
from typing import Final

import msgspec

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Child, Problem, Recipe, SecretCopy
from holdfast.core.read import name_of, phase_of, text, why_not
from holdfast.dialects.kubeblocks import names, rendering
from holdfast.dialects.kubeblocks.kinds import SECRET

DATA: Final = "/backupdata"
CONFIG: Final = "/etc/datasafed"
_DATA_VOLUME: Final = "dp-backup-data"
_CONFIG_VOLUME: Final = "dp-datasafed-config"
LOCAL: Final = "DATASAFED_LOCAL_BACKEND_PATH"
PASSWORD: Final = "password"
"""The entry of the Secret with the password of deduplicated backups."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a Job needs to reach a repository."""

    children: tuple[Child, ...] = ()
    copies: tuple[SecretCopy, ...] = ()
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    env: tuple[Object, ...] = ()


def access(repo: Object, provider: Object, namespace: str, home: str) -> Access | Problem:
    """Return how Jobs in `namespace` reach a repository; `home` is the controller's namespace."""
    if text(repo, "spec", "accessMethod", default="Mount") == "Tool":
        secret = names.tool_config(repo)
        copy = SecretCopy(Ref(SECRET, home, secret), Ref(SECRET, namespace, secret), repo)
        return msgspec.structs.replace(tool(repo), copies=() if namespace == home else (copy,))
    name = names.claim(repo)
    try:
        made = rendering.claim(repo, provider, home, namespace, name)
    except rendering.BadTemplate as error:
        return Problem("spec.storageProviderRef", str(error), "BadPVCTemplate")
    return msgspec.structs.replace(mounted(name), children=(Child(made, create_only=True),))


def mounted(claim: str) -> Access:
    """Return how Jobs reach a claim of their own namespace."""
    return Access(
        volumes=({"name": _DATA_VOLUME, "persistentVolumeClaim": {"claimName": claim}},),
        mounts=({"name": _DATA_VOLUME, "mountPath": DATA},),
        env=({"name": LOCAL, "value": DATA},),
    )


def tool(repo: Object) -> Access:
    """Return how Jobs reach the storage of a repository with the tool; its Secret must be in their namespace."""
    return Access(
        volumes=({"name": _CONFIG_VOLUME, "secret": {"secretName": names.tool_config(repo)}},),
        mounts=({"name": _CONFIG_VOLUME, "mountPath": CONFIG, "readOnly": True},),
    )


def kopia_password(repo: Object, namespace: str, home: str) -> tuple[SecretCopy, ...]:
    """Return how the password of deduplicated backups comes into a namespace. It is made once, and stays."""
    name = names.kopia_password(repo)
    made = SecretCopy(None, Ref(SECRET, home, name), repo, Recipe("1", lambda _: {PASSWORD: secrets.token_urlsafe(32)}, True))
    return (made,) if namespace == home else (made, SecretCopy(Ref(SECRET, home, name), Ref(SECRET, namespace, name), repo))


def not_ready(repo: Object) -> str:
    """Return why a repository can't be used now; empty when it can."""
    if phase_of(repo) == "Ready" and not text(repo, "metadata", "deletionTimestamp"):
        return ""
    name = f"BackupRepo {name_of(repo)}"
    return f"{name} is {phase_of(repo) or 'not checked yet'}: {why_not(repo, 'its check has not ended')}"
