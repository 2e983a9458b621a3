"""From the files of a backup to a control plane that can start: fetch, verify, decrypt, verify again, unpack.

Nothing is unpacked before every checksum is right, and with a key before the HMAC is. The target must be empty: a control plane
in use is never written over. Entries of the archive that would leave the target, and kinds of entries that no backup has, are
refused.
"""

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from holdfast.core.report import ArchiveFile
from holdfast.movers import embedded_store, envelope, etcd, manifest
from holdfast.movers.archive_places import Place, checksum
from holdfast.movers.context import MoverError
from holdfast.movers.control_plane import Database, as_files

_TOPS: Final = ("backup.json", "etcd", "sqlite", "pki", "manifests")


class Opened(msgspec.Struct, frozen=True):
    """A verified, plain archive in scratch space: its path, its manifest, and what its database holds."""

    path: Path
    document: dict[str, Any]
    database: Database


def backups(place: Place) -> list[str]:
    """Return the names of the backups of a place that have a manifest, oldest first within a cluster."""
    return [name.removesuffix(manifest.SUFFIX) for name in place.names() if name.endswith(manifest.SUFFIX)]


def choose(place: Place, wanted: str, cluster: str = "") -> str:
    """Return the backup with a name; for `latest` the newest one, of `cluster` if that is given. Raises MoverError."""
    found = [name for name in backups(place) if not cluster or name.startswith(f"{cluster}-")]
    if not found:
        raise MoverError("NotThere", "no backup lies there", "check the place, and the name of the cluster")
    if wanted == "latest":
        if len({_cluster_of(name) for name in found}) > 1:
            raise MoverError("Ambiguous", "backups of several clusters lie there", "name the cluster with --cluster")
        return max(found)
    if wanted not in found:
        raise MoverError("NotThere", f"there is no backup {wanted}", f"there are: {', '.join(found[-5:])}")
    return wanted


def _cluster_of(name: str) -> str:
    return name.rsplit("-", 2)[0]


def open_backup(place: Place, name: str, passphrase: bytes | None, scratch: Path) -> Opened:
    """Fetch, verify and decrypt a backup into scratch space. Raises MoverError."""
    sealed = scratch / f"{name}{manifest.SUFFIX}"
    place.fetch(sealed.name, sealed)
    document = manifest.read(sealed.read_bytes(), sealed.name)
    manifest.verify(document, passphrase, sealed.name)
    files = as_files(document["files"])
    if stray := [file.name for file in files if not file.name.startswith(f"{name}.")]:
        raise MoverError("Tampered", f"{sealed.name} is the manifest of {stray[0]}, not of {name}", "use another backup")
    for file in files:
        place.fetch(file.name, scratch / file.name)
        _verify(scratch / file.name, file)
    archive = scratch / f"{name}.tar.gz"
    if passphrase is not None:
        wrapped = scratch / f"{name}.dek"
        data_key = _first_line(wrapped, passphrase)
        with (scratch / f"{name}.encrypted").open("rb") as source, archive.open("wb") as target:
            for chunk in envelope.decrypted(source, data_key, source.name):
                target.write(chunk)
        (scratch / f"{name}.encrypted").unlink()
    _verify(archive, _plain(document, archive.name))
    try:
        database = msgspec.convert(document.get("snapshot"), Database)
    except msgspec.ValidationError as error:
        raise MoverError("BadManifest", f"{sealed.name} does not say what the database holds: {error}") from error
    return Opened(archive, document, database)


def _plain(document: dict[str, Any], name: str) -> ArchiveFile:
    """Return what the manifest says of the plain archive."""
    try:
        return msgspec.convert({**document.get("archive", {}), "name": name}, ArchiveFile)
    except (msgspec.ValidationError, TypeError) as error:
        raise MoverError("BadManifest", f"the manifest of {name} does not describe the archive: {error}") from error


def _first_line(path: Path, passphrase: bytes) -> bytes:
    with path.open("rb") as source:
        text = b"".join(envelope.decrypted(source, passphrase, path.name))
    return text.split(b"\n", 1)[0]


def _verify(path: Path, expected: ArchiveFile) -> None:
    if not path.is_file():
        raise MoverError("BadManifest", f"{path.name} is not among the files of the backup", "use another backup")
    found = checksum(path)
    if (found.size, found.sha256) != (expected.size, expected.sha256):
        raise MoverError("Tampered", f"{path.name} is not what was written: its checksum differs", "use another copy")


def unpack(opened: Opened, target: Path) -> Path:
    """Unpack a verified archive below `target` and return the verified copy of the database. Raises MoverError."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tarfile.open(opened.path) as tar:
        for entry in tar:
            _extract(tar, entry, target)
    database = target / opened.database.member
    if not database.is_file():
        raise MoverError("BadArchive", f"the archive has no {opened.database.member}", "use another backup")
    if opened.database.store == "sqlite":
        found = embedded_store.verify_store(database)
        same = (found.revision, found.keys, found.sha256)
    else:
        facts = etcd.verify_snapshot(database)
        same = (facts.revision, facts.totalKey, facts.hash_text)
    if same != (opened.database.revision, opened.database.keys, opened.database.hash):
        raise MoverError("SnapshotDamaged", "the database is not the one that was backed up", "use another backup")
    return database


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] not in _TOPS:
        raise MoverError("BadArchive", f"entry {entry.name!r} does not belong into a backup", "use another backup")
    place = target / path
    if any(parent.is_symlink() for parent in (place, *place.parents) if parent.is_relative_to(target)):
        raise MoverError("BadArchive", f"entry {entry.name!r} lies behind a link", "use another backup")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if entry.isdir():
        place.mkdir(exist_ok=True, mode=0o700)
    elif entry.issym():
        place.symlink_to(entry.linkname)
    elif entry.isfile() and (source := tar.extractfile(entry)) is not None:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o755)
        with source, os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(source, file, envelope.BLOCK)
    else:
        raise MoverError("BadArchive", f"entry {entry.name!r} is neither a file, a folder nor a link", "use another backup")


def restore_database(opened: Opened, database: Path, target: Path, flags: Sequence[str]) -> Path:
    """Make what a fresh server starts on: an etcd data directory, or a data directory with the store. Returns it."""
    if opened.database.store == "sqlite":
        state = target / "data" / "state.db"
        state.parent.mkdir(mode=0o700)
        database.replace(state)
        return state.parent
    etcd.restore_snapshot(database, target / "etcd-data", flags)
    return target / "etcd-data"
