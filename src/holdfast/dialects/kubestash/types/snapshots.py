"""Snapshot: one recovery point of one repository, with the figures of each component and tool."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, field

from holdfast.dialects.kubestash.types.common import Condition, RunPhase, TypedRef
from holdfast.schema.fields import Maybe, Time, Wire, doc

Driver = Literal["Restic", "WalG", "VolumeSnapshotter", "Solr", "Medusa", "ClickHouseBackup", "Neo4jAdmin"]


class SnapshotSpec(Wire):
    """What was backed up, by which run, into which repository."""

    snapshot_id: Maybe[Annotated[str, doc("Unique and sortable identifier (ULID).")]] = field(name="snapshotID", default=UNSET)
    type: Maybe[Annotated[Literal["FullBackup", "IncrementalBackup"], doc("Whether it stands alone.")]] = UNSET
    repository: Maybe[Annotated[str, doc("The Repository that holds it.")]] = UNSET
    session: Maybe[Annotated[str, doc("The session that made it.")]] = UNSET
    backup_session: Maybe[Annotated[str, doc("The BackupSession that made it.")]] = UNSET
    version: Maybe[Annotated[str, doc("Version of the layout in the backend.")]] = UNSET
    app_ref: Maybe[Annotated[TypedRef, doc("What was backed up.")]] = UNSET
    deletion_policy: Annotated[Literal["Delete", "WipeOut"], doc("Whether the data goes with this object.")] = "Delete"
    paused: Annotated[bool, doc("Whether nothing is done with it.")] = False


class ResticSummary(Wire):
    """Figures of a finished run of one path."""

    id: Maybe[Annotated[str, doc("Identifier of the snapshot in the repository.")]] = UNSET
    uploaded: Maybe[Annotated[str, doc("Data added to the backend.")]] = UNSET
    host_path: Maybe[Annotated[str, doc("Path that was backed up.")]] = UNSET
    size: Maybe[Annotated[str, doc("Data that was read.")]] = UNSET
    start_time: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    end_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET


class BackupProgress(Wire):
    """How far a backup is."""

    seconds_elapsed: Maybe[Annotated[int, doc("Seconds since it began.")]] = UNSET
    percent_done: Maybe[Annotated[str, doc("Share that is done.")]] = UNSET
    total_files: Maybe[Annotated[int, doc("Files to back up.")]] = UNSET
    files_done: Maybe[Annotated[int, doc("Files backed up.")]] = UNSET
    backup_done: Maybe[Annotated[str, doc("Data backed up.")]] = UNSET
    total: Maybe[Annotated[str, doc("Data to back up.")]] = UNSET
    speed: Maybe[Annotated[str, doc("Present rate.")]] = UNSET


class ResticStats(Wire):
    """Figures of one path."""

    summary: Maybe[Annotated[ResticSummary, doc("Figures of the finished run.")]] = UNSET
    progress: Maybe[Annotated[BackupProgress, doc("How far it is.")]] = UNSET
    id: Maybe[Annotated[str, doc("The older place of `summary.id`.")]] = UNSET
    size: Maybe[Annotated[str, doc("The older place of `summary.size`.")]] = UNSET
    uploaded: Maybe[Annotated[str, doc("The older place of `summary.uploaded`.")]] = UNSET
    host_path: Maybe[Annotated[str, doc("The older place of `summary.hostPath`.")]] = UNSET


class VolumeSnapshotterStats(Wire):
    """One volume snapshot."""

    pvc_name: Maybe[Annotated[str, doc("The claim.")]] = UNSET
    host_path: Maybe[Annotated[str, doc("Path that was backed up.")]] = UNSET
    volume_snapshot_name: Maybe[Annotated[str, doc("The VolumeSnapshot.")]] = UNSET
    volume_snapshot_time: Maybe[Annotated[Time, doc("When it was taken.")]] = UNSET


class WalGStats(Wire):
    """Figures of WAL-G."""

    id: Maybe[Annotated[str, doc("Identifier of the backup.")]] = UNSET
    databases: Maybe[Annotated[list[str], doc("Databases in it.")]] = UNSET
    start_time: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    stop_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET


class LogSpan(Wire):
    """Logs that were uploaded together."""

    start: Maybe[Annotated[str, doc("The first log.")]] = UNSET
    end: Maybe[Annotated[str, doc("The last log.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET


class LogCleanup(Wire):
    """One removal of old logs."""

    last_execution_time: Maybe[Annotated[str, doc("When it ran, in RFC 3339.")]] = UNSET
    retention_period_applied: Maybe[Annotated[str, doc("The period that was used.")]] = UNSET
    deleted_log_count: Maybe[Annotated[int, doc("Logs that went.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET


class LogStats(Wire):
    """Figures of a continuous backup of logs."""

    start: Maybe[Annotated[str, doc("The first log.")]] = UNSET
    end: Maybe[Annotated[str, doc("The last log.")]] = UNSET
    lsn: Maybe[Annotated[str, doc("Position that was reached.")]] = UNSET
    total_succeeded_count: Maybe[Annotated[int, doc("Uploads that succeeded.")]] = UNSET
    total_failed_count: Maybe[Annotated[int, doc("Uploads that failed.")]] = UNSET
    last_succeeded_stats: Maybe[Annotated[list[LogSpan], doc("Uploads that succeeded lately.")]] = UNSET
    last_failed_stats: Maybe[Annotated[list[LogSpan], doc("Uploads that failed lately.")]] = UNSET
    last_log_retention_stats: Maybe[Annotated[list[LogCleanup], doc("Removals of late.")]] = UNSET


class SolrStats(Wire):
    """Figures of one Solr collection."""

    backup_id: Maybe[Annotated[int, doc("Identifier of the backup.")]] = UNSET
    backup_name: Maybe[Annotated[str, doc("Name of the backup.")]] = UNSET
    collection: Maybe[Annotated[str, doc("The collection.")]] = UNSET
    location: Maybe[Annotated[str, doc("Where it lies.")]] = UNSET
    start_time: Maybe[Annotated[str, doc("When it began.")]] = UNSET
    index_file_count: Maybe[Annotated[int, doc("Files of the index.")]] = UNSET
    index_size_mb: Maybe[Annotated[float, doc("Size of the index in MB.")]] = field(name="indexSizeMB", default=UNSET)
    uploaded_index_file_mb: Maybe[Annotated[float, doc("Data added to the backend in MB.")]] = field(
        name="uploadedIndexFileMB", default=UNSET
    )


class MedusaStats(Wire):
    """Figures of Medusa, which backs up Cassandra."""

    backup_name: Maybe[Annotated[str, doc("Name of the backup.")]] = UNSET
    backup_nodes: Maybe[Annotated[list[str], doc("Nodes in it.")]] = UNSET
    start_time: Maybe[Annotated[str, doc("When it began.")]] = UNSET
    finish_time: Maybe[Annotated[str, doc("When it ended.")]] = UNSET
    status: Maybe[Annotated[str, doc("State that Medusa reports.")]] = UNSET


class ClickHouseStats(Wire):
    """Figures of one ClickHouse host."""

    host: Maybe[Annotated[str, doc("The host.")]] = UNSET
    id: Maybe[Annotated[str, doc("Identifier of the backup.")]] = UNSET
    status: Maybe[Annotated[str, doc("State that ClickHouse reports.")]] = UNSET
    start_time: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    finish_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET


class Neo4jStats(Wire):
    """Figures of one Neo4j database."""

    database: Maybe[Annotated[str, doc("The database.")]] = UNSET
    database_id: Maybe[Annotated[str, doc("Its identifier.")]] = field(name="databaseID", default=UNSET)
    store_id_hash: Maybe[Annotated[str, doc("Hash of its store's identifier.")]] = field(name="storeIDHash", default=UNSET)
    file: Maybe[Annotated[str, doc("The archive.")]] = UNSET
    time: Maybe[Annotated[str, doc("When it was taken.")]] = UNSET
    full: Maybe[Annotated[bool, doc("Whether it stands alone.")]] = UNSET
    compressed: Maybe[Annotated[bool, doc("Whether it is compressed.")]] = UNSET
    recovered: Maybe[Annotated[bool, doc("Whether recovery was run on it.")]] = UNSET
    lowest_tx: Maybe[Annotated[int, doc("First transaction in it.")]] = field(name="lowestTX", default=UNSET)
    highest_tx: Maybe[Annotated[int, doc("Last transaction in it.")]] = field(name="highestTX", default=UNSET)


class Component(Wire):
    """One part of a Snapshot, such as the volumes of one pod."""

    path: Maybe[Annotated[str, doc("Its path below that of the repository.")]] = UNSET
    phase: Maybe[Annotated[RunPhase, doc("Its state.")]] = UNSET
    size: Maybe[Annotated[str, doc("Size of all it keeps in the backend.")]] = UNSET
    duration: Maybe[Annotated[str, doc("How long it took.")]] = UNSET
    integrity: Maybe[Annotated[bool, doc("Result of its check.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET
    driver: Maybe[Annotated[Driver, doc("Tool that moved the data.")]] = UNSET
    restic_stats: Maybe[Annotated[list[ResticStats], doc("Figures of each path.")]] = UNSET
    volume_snapshotter_stats: Maybe[Annotated[list[VolumeSnapshotterStats], doc("Its volume snapshots.")]] = UNSET
    wal_g_stats: Maybe[Annotated[WalGStats, doc("Figures of WAL-G.")]] = UNSET
    log_stats: Maybe[Annotated[LogStats, doc("Figures of its logs.")]] = UNSET
    solr_stats: Maybe[Annotated[list[SolrStats], doc("Figures of each collection.")]] = UNSET
    medusa_stats: Maybe[Annotated[MedusaStats, doc("Figures of Medusa.")]] = UNSET
    click_house_stats: Maybe[Annotated[list[ClickHouseStats], doc("Figures of each host.")]] = UNSET
    neo4j_stats: Maybe[Annotated[list[Neo4jStats], doc("Figures of each database.")]] = UNSET


class SnapshotStatus(Wire):
    """How a Snapshot was taken and whether it was verified."""

    phase: Maybe[Annotated[RunPhase, doc("Its state.")]] = UNSET
    verification_status: Maybe[
        Annotated[Literal["Verified", "NotVerified", "VerificationFailed"], doc("Whether it was restored for a test.")]
    ] = UNSET
    verification_session: Maybe[Annotated[str, doc("The BackupVerificationSession that tested it.")]] = UNSET
    snapshot_time: Maybe[Annotated[Time, doc("When it was taken.")]] = UNSET
    last_update_time: Maybe[Annotated[Time, doc("When this status was last written.")]] = UNSET
    size: Maybe[Annotated[str, doc("Size of its components.")]] = UNSET
    integrity: Maybe[Annotated[bool, doc("Result of the checks of its components.")]] = UNSET
    total_components: Maybe[Annotated[int, doc("How many components there are.")]] = UNSET
    components: Maybe[Annotated[dict[str, Component], doc("Its components, by their names.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("Steps of its making.", key="type")]] = UNSET


class Snapshot(Wire):
    """What one BackupSession wrote into one Repository: the thing that is restored."""

    spec: Annotated[SnapshotSpec, doc("What was backed up, and where to.")]
    status: Maybe[Annotated[SnapshotStatus, doc("How it was taken.")]] = UNSET
