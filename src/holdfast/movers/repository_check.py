"""Proves that a datasafed storage can be written, read, listed and deleted in, before anybody relies on it."""

import os
import secrets

from holdfast.core.calls import RepositoryCheck
from holdfast.core.report import Report, RepositoryResult
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.datasafed.faults import DatasafedError
from holdfast.movers.datasafed.paths import join
from holdfast.movers.datasafed.places import Place
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.settings import read_settings


def run(call: RepositoryCheck, context: Context) -> Report:
    """Write a small file under a name of its own, read it back, look for it in the listing, delete it."""
    path = join(call.path, f"precheck-{secrets.token_hex(6)}.txt")
    try:
        _probe(open_place(read_settings(os.environ)), path, secrets.token_bytes(64), context)
    except DatasafedError as error:
        raise MoverError("PreCheckFailed", f"BackupRepo {call.name}: {error}") from error
    log(f"BackupRepo {call.name}: {path} was written, read, listed and deleted")
    return Report(RepositoryCheck.MOVER, (RepositoryResult(call.name),))


def _probe(place: Place, path: str, data: bytes, context: Context) -> None:
    place.write(path, [data], len(data))
    try:
        context.check()
        if b"".join(place.read(path)) != data:
            raise DatasafedError(f"{path} reads back differently from what was written: use another storage")
        if path.strip("/") not in {item.path.strip("/") for item in place.list(path.rpartition("/")[0])}:
            raise DatasafedError(f"{path} was written and is not listed: allow the credentials to list")
    finally:
        place.delete(path)
