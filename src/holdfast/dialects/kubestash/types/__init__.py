"""The KubeStash API as types: thirteen kinds in three groups. CRDs and the reference page are generated from here.

Field names, defaults and values are those of the API; every sentence is ours. BackupBatch is not part of Holdfast.
"""

from __future__ import annotations

from typing import Final

from holdfast.dialects.kubestash.kinds import ADDONS, CORE, STORAGE, VERSION
from holdfast.dialects.kubestash.types.addons import Addon, Function
from holdfast.dialects.kubestash.types.backup import BackupBlueprint, BackupConfiguration
from holdfast.dialects.kubestash.types.hooks import HookTemplate
from holdfast.dialects.kubestash.types.sessions import BackupSession, RestoreSession
from holdfast.dialects.kubestash.types.snapshots import Snapshot
from holdfast.dialects.kubestash.types.storage import BackupStorage, Repository, RetentionPolicy
from holdfast.dialects.kubestash.types.verification import BackupVerificationSession, BackupVerifier
from holdfast.schema.fields import Wire
from holdfast.schema.kind import AGE, Column, KindSpec

_PHASE: Final = Column("Phase", ".status.phase")
_DURATION: Final = Column("Duration", ".status.duration")
_DEFAULT: Final = Column("Default", ".spec.default", "boolean")
_DELETION: Final = Column("Deletion-Policy", ".spec.deletionPolicy")


def _kind(
    group: str,
    plural: str,
    type_: type[Wire],
    *columns: Column,
    short: str = "",
    in_all: bool = True,
    namespaced: bool = True,
) -> KindSpec:
    """Build one row of the table; every kind ends its columns with its age."""
    return KindSpec(
        group=group,
        version=VERSION,
        kind=type_.__name__,
        plural=plural,
        type=type_,
        short_names=(short,) if short else (),
        categories=("kubestash", "appscode", "all") if in_all else ("kubestash", "appscode"),
        namespaced=namespaced,
        columns=(*columns, AGE),
    )


KINDS: Final = (
    _kind(
        CORE,
        "backupconfigurations",
        BackupConfiguration,
        _PHASE,
        Column("Paused", ".spec.paused", "boolean"),
        short="bc",
    ),
    _kind(
        CORE,
        "backupsessions",
        BackupSession,
        Column("Invoker-Type", ".spec.invoker.kind"),
        Column("Invoker-Name", ".spec.invoker.name"),
        _PHASE,
        _DURATION,
    ),
    _kind(
        CORE,
        "restoresessions",
        RestoreSession,
        Column("Repository", ".spec.dataSource.repository"),
        _PHASE,
        _DURATION,
        short="restore",
    ),
    _kind(CORE, "backupblueprints", BackupBlueprint),
    _kind(CORE, "backupverifier", BackupVerifier),
    _kind(CORE, "backupverificationsessions", BackupVerificationSession, _PHASE, _DURATION),
    _kind(CORE, "hooktemplates", HookTemplate, Column("Executor", ".spec.executor.type")),
    _kind(
        STORAGE,
        "backupstorages",
        BackupStorage,
        Column("Provider", ".spec.storage.provider"),
        _DEFAULT,
        _DELETION,
        Column("Total-Size", ".status.totalSize"),
        _PHASE,
    ),
    _kind(
        STORAGE,
        "retentionpolicies",
        RetentionPolicy,
        Column("Max-Retention-Period", ".spec.maxRetentionPeriod"),
        _DEFAULT,
        in_all=False,
    ),
    _kind(
        STORAGE,
        "repositories",
        Repository,
        Column("Integrity", ".status.integrity", "boolean"),
        Column("Snapshot-Count", ".status.snapshotCount", "integer"),
        Column("Size", ".status.size"),
        _PHASE,
        Column("Last-Successful-Backup", ".status.lastBackupTime", "date"),
        short="repo",
    ),
    _kind(
        STORAGE,
        "snapshots",
        Snapshot,
        Column("Repository", ".spec.repository"),
        Column("Session", ".spec.session"),
        Column("Snapshot-Time", ".status.snapshotTime", "date"),
        _DELETION,
        _PHASE,
        in_all=False,
    ),
    _kind(ADDONS, "addons", Addon, namespaced=False),
    _kind(ADDONS, "functions", Function, namespaced=False),
)
"""Every kind of the API."""
