"""The KubeBlocks data protection API as types: seven kinds in two groups. CRDs and the reference page are made from here.

Field names, defaults and values are those of the API; every sentence is ours. Where the API knows two eras, the groups and
the marks are the older one's, and fields of the newer one are taken where something here acts on them.
"""

from __future__ import annotations

from typing import Final

from holdfast.dialects.kubeblocks.kinds import GROUP, STORAGE, VERSION
from holdfast.dialects.kubeblocks.types.actions import ActionSet
from holdfast.dialects.kubeblocks.types.backup import Backup
from holdfast.dialects.kubeblocks.types.policy import BackupPolicy, BackupSchedule
from holdfast.dialects.kubeblocks.types.repo import BackupRepo, StorageProvider
from holdfast.dialects.kubeblocks.types.restore import Restore
from holdfast.schema.fields import Wire
from holdfast.schema.kind import AGE, Column, KindSpec

_STATUS: Final = Column("Status", ".status.phase")
_DURATION: Final = Column("Duration", ".status.duration")
_CREATED: Final = Column("Creation-Time", ".metadata.creationTimestamp")
_COMPLETED: Final = Column("Completion-Time", ".status.completionTimestamp")


def _kind(
    plural: str,
    type_: type[Wire],
    *columns: Column,
    group: str = GROUP,
    short: str = "",
    namespaced: bool = True,
    in_all: bool = False,
) -> KindSpec:
    return KindSpec(
        group=group,
        version=VERSION,
        kind=type_.__name__,
        plural=plural,
        type=type_,
        short_names=(short,) if short else (),
        categories=("kubeblocks", "all") if in_all else ("kubeblocks",),
        namespaced=namespaced,
        columns=columns,
    )


KINDS: Final = (
    _kind(
        "actionsets",
        ActionSet,
        Column("Backup-Type", ".spec.backupType"),
        _STATUS,
        AGE,
        short="as",
        namespaced=False,
    ),
    _kind(
        "backups",
        Backup,
        Column("Policy", ".spec.backupPolicyName"),
        Column("Method", ".spec.backupMethod"),
        Column("Repo", ".status.backupRepoName"),
        _STATUS,
        Column("Total-Size", ".status.totalSize"),
        _DURATION,
        _CREATED,
        _COMPLETED,
        Column("Expiration-Time", ".status.expiration"),
    ),
    _kind("backuppolicies", BackupPolicy, Column("Backup-Repo", ".spec.backupRepoName"), _STATUS, AGE, short="bp"),
    _kind(
        "backuprepos",
        BackupRepo,
        _STATUS,
        Column("StorageProvider", ".spec.storageProviderRef"),
        Column("AccessMethod", ".spec.accessMethod"),
        Column("Default", ".status.isDefault", "boolean"),
        AGE,
        namespaced=False,
    ),
    _kind("backupschedules", BackupSchedule, _STATUS, AGE, short="bs"),
    _kind(
        "restores",
        Restore,
        Column("Backup", ".spec.backup.name"),
        Column("Restore-Time", ".spec.restoreTime"),
        _STATUS,
        _DURATION,
        _CREATED,
        _COMPLETED,
        in_all=True,
    ),
    _kind(
        "storageproviders",
        StorageProvider,
        _STATUS,
        Column("CSIDriver", ".spec.csiDriverName"),
        AGE,
        group=STORAGE,
        namespaced=False,
    ),
)
"""Every kind of the API."""
