"""Deletes old backups of an Antfly cluster from its S3 location, since the server has no call for it.

What exists is what the server lists: a manifest for each backup. A backup goes as a whole, its manifest first, so that no
half-deleted one can be chosen for a restore. Files that are not clearly those of the chosen backup are never touched.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.core.calls import AntflyRetention, StorageTarget
from holdfast.core.report import Report, RepositoryResult
from holdfast.core.run_id import is_scheduled
from holdfast.core.times import parse_time
from holdfast.movers.antfly import AntflyError, Client, Listed, mover_error, patiently
from holdfast.movers.bucket import open_bucket
from holdfast.movers.context import Context, MoverError, log

AWS = "https://s3.{region}.amazonaws.com"
REACH_SECONDS = 60.0
_SHARD = re.compile(r"[0-9A-Fa-f]+\.(afb|tar\.zst)")


def run(call: AntflyRetention, context: Context) -> Report:
    """Delete what no rule keeps and report the ids."""
    client = Client(call.server, context)
    try:
        listed = patiently(lambda: client.backups(call.location), context, REACH_SECONDS)
    except AntflyError as error:
        raise mover_error(error) from error
    gone = surplus(listed, call, datetime.now(UTC))
    if gone:
        _delete(call, gone, context)
    log(f"{len(gone)} of {len(listed)} backups at {call.location} deleted")
    return Report(AntflyRetention.MOVER, (RepositoryResult(call.owner, deleted=tuple(each.backup_id for each in gone)),))


def surplus(listed: Sequence[Listed], call: AntflyRetention, now: datetime) -> list[Listed]:
    """Return the backups that go, oldest first. One whose time can't be read stays."""
    ours: list[tuple[datetime, Listed]] = []
    for each in listed:
        try:
            made = parse_time(each.timestamp)
        except ValueError:
            continue
        if is_scheduled(call.owner, each.backup_id):
            ours.append((made, each))
    ours.sort(key=lambda pair: (pair[0], pair[1].backup_id), reverse=True)
    since = now - timedelta(seconds=call.keep_seconds)
    old = [
        each
        for number, (made, each) in enumerate(ours)
        if number >= max(call.keep_last, 1) and not (call.keep_seconds and made >= since) and each.backup_id not in call.spared
    ]
    return old[::-1]


def _delete(call: AntflyRetention, gone: Sequence[Listed], context: Context) -> None:
    bucket = open_bucket(_target(call))
    names = list(bucket.names())
    for each in gone:
        context.check()
        ident = each.backup_id
        manifest = f"{ident}-cluster-metadata.json"
        if manifest not in names:
            raise MoverError(
                "OtherStore",
                f"{call.location} holds no {manifest} for the keys of credentialsSecret, though the server lists that backup",
                "check AWS_ENDPOINT_URL in the Secret: it must be the store that the servers write to",
            )
        bucket.delete(manifest)
        for name in names:
            shard = name.startswith(f"{ident}-") and _SHARD.fullmatch(name.removeprefix(f"{ident}-"))
            if shard or (name.endswith(f"-{ident}-metadata.json") and "/" not in name):
                bucket.delete(name)
        log(f"deleted backup {ident} of {each.timestamp}")


def _target(call: AntflyRetention) -> StorageTarget:
    folder = Path(call.credentials_dir)
    region = _value(folder / "AWS_REGION")
    endpoint = _value(folder / "AWS_ENDPOINT_URL") or AWS.format(region=region or "us-east-1")
    options = {"region": region} if region else {}
    return StorageTarget(f"s3:{endpoint.rstrip('/')}/{call.location.removeprefix('s3://')}", options, call.credentials_dir)


def _value(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
