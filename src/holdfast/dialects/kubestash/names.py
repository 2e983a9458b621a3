"""Every name and label that KubeStash documents, and how ours are cut.

A user, a script or a dashboard may look for these; nothing else in the dialect spells a name. Where KubeStash cuts the
middle out of a long name two long ones may meet, so the callers that make such names check for it.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from holdfast.core.objects import Object, bounded_name

LIMIT: Final = 63
BLUEPRINT: Final = "blueprint.kubestash.com/"
"""Annotations on a workload: `name`, `namespace` and `session-names` of the blueprint that it wants."""
VARIABLES: Final = "variables.kubestash.com/"
"""Annotations on a workload: values for the variables of its blueprint."""
VERIFIES: Final = "holdfast.dev/verifies"
"""Label on a RestoreSession that tests a Snapshot: the Snapshot's name, bounded."""
_HEAD, _TAIL = 32, 31
_STAMP: Final = 11

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
INVOKER_NAME: Final = "kubestash.com/invoker-name"
INVOKER_NAMESPACE: Final = "kubestash.com/invoker-namespace"
INVOKER_KIND: Final = "kubestash.com/invoker-kind"
SESSION_NAME: Final = "kubestash.com/session-name"
REPO_NAME: Final = "kubestash.com/repo-name"
APP_REF: Final = ("kubestash.com/app-ref-kind", "kubestash.com/app-ref-name", "kubestash.com/app-ref-namespace")
FINALIZER: Final = "kubestash.com/cleanup"
TRIGGER_ROLE: Final = "kubestash-cron-job"
INITIALIZER_ROLE: Final = "kubestash-storage-initializer-job"

STORAGE_LABEL: Final = "holdfast.dev/storage"
"""On a Repository: `<namespace>.<name>` of its BackupStorage, so that one finds the other without a search."""
PLACE_LABEL: Final = "holdfast.dev/place"
"""On a Repository: a digest of its BackupStorage and its path, by which another one at the same place is found."""
COMPONENTS: Final = "holdfast.dev/components"
"""On a Snapshot: the components it was started with, comma-separated. A workload that is scaled later changes nothing."""
VOLUME_SNAPSHOTS: Final = "holdfast.dev/volume-snapshots"
"""On a Snapshot: the VolumeSnapshots of its components, as JSON: `{component: {claim: VolumeSnapshot}}`."""
MOUNT: Final = "holdfast.dev/mount"
"""On a Snapshot: where the one volume of each component was mounted, when there was only one."""
PATHS: Final = "holdfast.dev/paths"
"""On a Snapshot: the paths that each component backs up, comma-separated."""
REDISCOVERED: Final = "holdfast.dev/rediscovered"
"""On a Repository or Snapshot: it came back from its storage, and its status with it."""
HOOK_PODS: Final = "holdfast.dev/hook-pods"
"""On the Job of a hook: the pods that it was started for, comma-separated. Pods that come later change nothing."""
FORGETS: Final = "holdfast.dev/forgets"
"""On a retention Job: the Snapshots it was told to forget, comma-separated."""
RETRY_OF: Final = "holdfast.dev/retry-of"
"""On a BackupSession: the failed one it repeats."""
BACKUP_NOW: Final = "holdfast.dev/initial-backup"
"""On a BackupConfiguration: `true` asks for one backup of each session as soon as it is Ready, before its first tick."""
SHARES_SECRETS: Final = "holdfast.dev/shares-secrets-with"
"""On a Namespace: other namespaces, comma-separated, whose objects may name its encryption Secrets; `*` for all."""

ULID_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def trigger(configuration: str, session: str) -> str:
    """Name the CronJob of a session, and its service account and role binding: 52 characters, since its Jobs add 11."""
    return bounded_name(f"trigger-{configuration}-{session}", 52)


def backup_session_prefix(configuration: str, session: str) -> str:
    """Return what a BackupSession's name begins with, so cut that the whole with `-<unix seconds>` has 63 characters."""
    head = f"{configuration}-{session}"
    return head if len(head) + _STAMP <= LIMIT else head[:_HEAD] + head[-(_TAIL - _STAMP) :]


def backup_session(configuration: str, session: str, moment: datetime) -> str:
    """Name the BackupSession that starts at a moment."""
    return f"{backup_session_prefix(configuration, session)}-{int(moment.timestamp())}"


def middle_cut(name: str) -> str:
    """Cut a name to 63 characters as KubeStash does: the first 32 and the last 31 of it."""
    return name if len(name) <= LIMIT else f"{name[:_HEAD]}{name[-_TAIL:]}".strip("-")


def snapshots(session: str, repositories: Sequence[str]) -> tuple[str, ...]:
    """Name the Snapshots of a BackupSession, one for each repository in order.

    The documented name is cut in the middle. When that makes two of them equal, all that were cut end in a hash instead.
    """
    full = [f"{repository}-{session}" for repository in repositories]
    short = [middle_cut(name) for name in full]
    if len(set(short)) == len(short):
        return tuple(short)
    return tuple(bounded_name(name) for name in full)


def component_job(session: str, component: str) -> str:
    """Name the Job that handles one component of a backup or restore session."""
    return bounded_name(f"{session}-{component}")


def verifier_trigger(configuration: str, repository: str, session: str) -> str:
    """Name the CronJob that has the backups of a repository tested, and its account and binding."""
    return bounded_name(f"trigger-verifier-{configuration}-{repository}-{session}", 52)


def verification_prefix(repository: str, session: str) -> str:
    """Return what a BackupVerificationSession's name begins with; the whole with `-<unix seconds>` has 63 characters."""
    return bounded_name(f"{repository}-{session}", LIMIT - _STAMP)


def verifier_job(session: str) -> str:
    """Name the Job that looks at restored data."""
    return bounded_name(f"verify-{session}")


def hook_job(session: str, key: str, pod: str = "") -> str:
    """Name the Job of a hook; `key` tells its list and place there, such as `pre-0`."""
    return bounded_name(f"hook-{session}-{key}{'-' if pod else ''}{pod}")


def volume_snapshot(claim: str, session: str, moment: datetime) -> str:
    """Name the VolumeSnapshot of a claim: the claim, and the second that the BackupSession is named after."""
    stamp = session.rpartition("-")[2]
    return bounded_name(f"{claim}-{stamp if stamp.isdecimal() else int(moment.timestamp())}", 253)


def manifest_account(invoker: str) -> str:
    """Name the account that reads or writes manifests."""
    return bounded_name(f"manifests-{invoker}")


def hook_account(invoker: str) -> str:
    """Name the account of hooks that run commands in pods."""
    return bounded_name(f"hooks-{invoker}")


def retention_job(session: str, repository: str) -> str:
    """Name the Job that cleans up one repository after a session."""
    return bounded_name(f"retentionpolicy-{session}-{repository}")


def storage_init_job(storage: str) -> str:
    """Name the Job that initialises a BackupStorage."""
    return bounded_name(f"init-{storage}")


def repository_init_job(repository: str) -> str:
    """Name the Job that initialises a Repository: never that of a storage of the same name."""
    return bounded_name(f"init-repo-{repository}")


def cleanup_job(name: str) -> str:
    """Name the Job that deletes the data of a BackupStorage."""
    return bounded_name(f"cleanup-{name}")


def repository_cleanup_job(name: str) -> str:
    """Name the Job that deletes the data of a Repository: never that of a storage of the same name."""
    return bounded_name(f"cleanup-repo-{name}")


def snapshot_cleanup_job(name: str) -> str:
    """Name the Job that deletes the data of a Snapshot."""
    return bounded_name(f"cleanup-snapshot-{name}")


def initializer_binding(namespace: str, storage: str) -> str:
    """Name the RoleBindings of a storage's initialising Job, the same in each namespace."""
    return bounded_name(f"kubestash-init-{namespace}-{storage}")


def storage_label(namespace: str, name: str) -> str:
    """Return the value of the storage label."""
    return bounded_name(f"{namespace}.{name}")


def place_label(namespace: str, name: str, path: str) -> str:
    """Return the value of the place label: of a BackupStorage and a path in it, slashes around the path aside."""
    return hashlib.sha256(f"{namespace}/{name}:{path.strip('/')}".encode()).hexdigest()[:40]


def repository_labels(namespace: str, name: str, path: str) -> Object:
    """Return the labels by which a Repository at `path` of a BackupStorage is looked up."""
    return {STORAGE_LABEL: storage_label(namespace, name), PLACE_LABEL: place_label(namespace, name, path)}


def label_value(name: str) -> str:
    """Return a name as the value of a label: 63 characters at most."""
    return bounded_name(name)


def component_path(session: str, component: str) -> str:
    """Return the path of a component's restic repository below the Repository's own path."""
    return f"repository/v1/{session}/{component}"


def labels(component: str, *, kind: str, namespace: str, name: str, session: str = "") -> Object:
    """Return the documented labels of a child. `component` as in `backup`, `restore`, `initializer`."""
    found = {
        MANAGED_BY: "kubestash.com",
        COMPONENT: f"kubestash-{component}",
        INVOKER_KIND: kind,
        INVOKER_NAMESPACE: namespace,
        INVOKER_NAME: bounded_name(name),
    }
    return {**found, SESSION_NAME: bounded_name(session)} if session else found


def ulid(moment: datetime, seed: str) -> str:
    """Return the ULID of a time and a seed: the same run always has the same one."""
    stamp = int(moment.timestamp() * 1000)
    noise = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:10])
    value = (stamp << 80) | noise
    return "".join(ULID_DIGITS[(value >> shift) & 31] for shift in range(125, -1, -5))
