"""The Antfly API as types: two kinds of backups, and the cluster they refer to. CRDs and the reference come from here.

Field names, defaults and values are those of the API; every sentence is ours.
"""

from __future__ import annotations

from typing import Final

from holdfast.dialects.antfly.kinds import GROUP, VERSION
from holdfast.dialects.antfly.types.backup import AntflyBackup
from holdfast.dialects.antfly.types.cluster import AntflyCluster
from holdfast.dialects.antfly.types.restore import AntflyRestore
from holdfast.schema.kind import AGE, Column, KindSpec

_CLUSTER: Final = Column("Cluster", ".spec.clusterRef.name")
_PHASE: Final = Column("Phase", ".status.phase")

KINDS: Final = (
    KindSpec(
        group=GROUP,
        version=VERSION,
        kind="AntflyBackup",
        plural="antflybackups",
        type=AntflyBackup,
        columns=(
            _CLUSTER,
            Column("Schedule", ".spec.schedule"),
            _PHASE,
            Column("Last Success", ".status.lastSuccessfulBackup.completionTime", "date"),
            AGE,
        ),
    ),
    KindSpec(
        group=GROUP,
        version=VERSION,
        kind="AntflyRestore",
        plural="antflyrestores",
        type=AntflyRestore,
        columns=(_CLUSTER, Column("Backup", ".spec.source.backupId"), _PHASE, AGE),
    ),
    KindSpec(
        group=GROUP,
        version=VERSION,
        kind="AntflyCluster",
        plural="antflyclusters",
        type=AntflyCluster,
        referenced=True,
        columns=(
            Column("Mode", ".spec.mode"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            AGE,
        ),
    ),
)
"""Every kind of the API."""
