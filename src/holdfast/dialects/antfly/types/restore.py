"""AntflyRestore: brings a stored backup back into an Antfly cluster, once."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.antfly.types.common import LOCATION, ClusterReference, Condition, SecretReference
from holdfast.schema.fields import Duration, Maybe, Time, Wire, doc


class RestoreSource(Wire):
    """The backup to restore."""

    backup_id: Annotated[str, doc("Id of the backup, as the status of the AntflyBackup shows it.", min_length=1)]
    location: Annotated[str, doc("URL below which it is stored, as the AntflyBackup had it.", pattern=LOCATION)]
    credentials_secret: Maybe[
        Annotated[SecretReference, doc("Credentials of the storage; the servers read it with their own.")]
    ] = UNSET


class AntflyRestoreSpec(Wire):
    """What to restore, and what to do with tables that are there."""

    cluster_ref: Annotated[ClusterReference, doc("The cluster that receives the data.")]
    source: Annotated[RestoreSource, doc("The backup to restore.")]
    tables: Maybe[Annotated[list[str], doc("Tables to restore; all that are completely in the backup when absent.")]] = UNSET
    restore_mode: Annotated[
        Literal["fail_if_exists", "skip_if_exists", "overwrite"],
        doc("What to do when a table exists: touch nothing and fail, leave that table alone, or replace it."),
    ] = "fail_if_exists"
    restore_timeout: Annotated[Duration, doc("Longest time that the restore may take.")] = "2h"
    backoff_limit: Annotated[
        int, doc("How often the Job tries again while the server can't be reached and nothing has begun.", ge=0)
    ] = 3


class TableStatus(Wire):
    """How far one table is."""

    name: Annotated[str, doc("Name of the table.")]
    status: Annotated[Literal["Pending", "Restoring", "Completed", "Failed", "Skipped"], doc("How it stands.")]
    error: Maybe[Annotated[str, doc("Why it failed, or was left alone.")]] = UNSET


class AntflyRestoreStatus(Wire):
    """How far the restore is."""

    phase: Maybe[
        Annotated[Literal["Pending", "Running", "Completed", "Failed"], doc("Completed means that the data is there.")]
    ] = UNSET
    start_time: Maybe[Annotated[Time, doc("When it started.")]] = UNSET
    completion_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    tables: Maybe[Annotated[list[TableStatus], doc("The tables, one by one.")]] = UNSET
    message: Maybe[Annotated[str, doc("How it stands, as a sentence.")]] = UNSET
    conditions: Maybe[
        Annotated[list[Condition], doc("JobReady and ClusterReady, and ServersHaveCredentials with a credentialsSecret.")]
    ] = UNSET
    job_name: Maybe[Annotated[str, doc("The Job that does the restore.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that this status describes.")]] = UNSET


class AntflyRestore(Wire):
    """Restores a stored backup into an Antfly cluster, once. To restore again, make another one."""

    spec: Annotated[AntflyRestoreSpec, doc("What to restore, and what to do with tables that are there.")]
    status: Maybe[Annotated[AntflyRestoreStatus, doc("How far the restore is.")]] = UNSET
