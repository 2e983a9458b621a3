"""The variables of a Restore's commands; see docs/kubeblocks-actionsets.md for the table.

Later layers win: the pod's own, ours, the database's, parameters, the action set's, the method's, and at last the Restore's.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.kubeblocks import access, chains, env, names, paths
from holdfast.dialects.kubeblocks.restore_sources import Source
from holdfast.templates import format_time

RFC3339: Final = "2006-01-02T15:04:05Z07:00"
TIME_FORMAT: Final = "DP_TIME_FORMAT"


def of_source(
    restore: Object, source: Source, pod: str, database: Sequence[Object] = (), own: Sequence[Object] = ()
) -> list[Object]:
    """Return the variables of a command that restores one Backup. `pod` is the saved pod whose data is wanted; `own` are
    variables of a pod of the restored service, `database` how to reach it.
    """
    layers = (items(source.action_set, "spec", "env"), items(source.method, "env"), items(restore, "spec", "env"))
    layout = next((text(each, "value") for layer in layers[::-1] for each in layer if text(each, "name") == TIME_FORMAT), "")
    return env.merge(
        own,
        env.literals(_own(source, pod)),
        env.literals(_times(restore, source, layout or RFC3339)),
        storage(source),
        database,
        [{"name": text(entry, "name"), "value": text(entry, "value")} for entry in items(restore, "spec", "parameters")],
        *layers,
    )


def storage(source: Source) -> list[Object]:
    """Return what `datasafed` must know of a Backup's data, but for where it lies."""
    status = mapping(source.backup, "status")
    found = env.encryption(mapping(status, "encryptionConfig"))
    if kopia := text(status, "kopiaRepoPath"):
        secret = names.kopia_password({"metadata": {"name": text(status, "backupRepoName")}})
        found.append({"name": "DATASAFED_KOPIA_REPO_ROOT", "value": kopia})
        reference = {"secretKeyRef": {"name": secret, "key": access.PASSWORD}}
        found.append({"name": "DATASAFED_KOPIA_PASSWORD", "valueFrom": reference})
    return found


def _own(source: Source, pod: str) -> dict[str, str]:
    path = text(source.backup, "status", "path")
    found = {
        "DP_BACKUP_NAME": name_of(source.backup),
        "DP_BACKUP_BASE_PATH": paths.base(path, source.target, pod),
        "DP_TARGET_RELATIVE_PATH": paths.relative(source.target, pod),
        "DP_BACKUP_ROOT_PATH": paths.root(path),
        "DP_DATASAFED_BIN_PATH": env.BIN,
    }
    if source.base:
        found["DP_BASE_BACKUP_NAME"] = name_of(source.base)
    if parent := chains.parent_of(source.backup):
        found["DP_PARENT_BACKUP_NAME"] = parent
    if source.ancestors:
        found["DP_ANCESTOR_INCREMENTAL_BACKUP_NAMES"] = ",".join(source.ancestors)
    return found


def _times(restore: Object, source: Source, layout: str) -> dict[str, str]:
    zone = zone_of(text(source.backup, "status", "timeRange", "timeZone"))
    found: dict[str, str] = {}

    def tell(name: str, moment: datetime | None, *, stamp: str = "") -> None:
        if moment is not None:
            found[name] = format_time(moment.astimezone(zone), layout)
            if stamp:
                found[stamp] = str(int(moment.timestamp()))

    tell("DP_BACKUP_STOP_TIME", chains.end_of(source.backup))
    base = source.base or source.backup
    tell("DP_BASE_BACKUP_START_TIME", chains.start_of(base), stamp="DP_BASE_BACKUP_START_TIMESTAMP")
    tell("DP_BASE_BACKUP_STOP_TIME", chains.end_of(base), stamp="DP_BASE_BACKUP_STOP_TIMESTAMP")
    if moment := text(restore, "spec", "restoreTime"):
        tell("DP_RESTORE_TIME", parse_time(moment), stamp="DP_RESTORE_TIMESTAMP")
    return found


def zone_of(offset: str) -> timezone:
    """Read an offset such as `+08:00`; UTC when there is none."""
    if len(offset) != len("+00:00"):
        return UTC
    span = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
    return timezone(-span if offset[0] == "-" else span)
