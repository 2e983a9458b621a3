"""Archives a control plane: its database, certificates and static manifests, as one tar that people can open.

    backup.json      what this is: cluster, node, time, database, revision, hash, number of keys
    etcd/snapshot.db or sqlite/state.db
    pki/...          certificates and keys
    manifests/...    static pods

The database is verified before it is packed, and every file is read back from its place before the report says so. All of it
passes through scratch space of the pod, which needs about twice the size of the database.
"""

import gzip
import json
import tarfile
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from holdfast.core.calls import ArchiveDelete, ArchiveKey, ControlPlane, ControlPlaneBackup
from holdfast.core.key_id import key_id
from holdfast.core.report import ArchiveFile, ArchiveResult, Report
from holdfast.core.times import format_time
from holdfast.movers import embedded_store, envelope, etcd, manifest
from holdfast.movers.archive_places import checksum, open_place
from holdfast.movers.context import Context, MoverError, log


class Database(msgspec.Struct, frozen=True):
    """A verified copy of a control plane's database: its name in the archive, and what is in it."""

    member: str
    store: str
    revision: int
    keys: int
    hash: str


def run(call: ControlPlaneBackup, context: Context) -> Report:
    """Make one archive, put it into its place, and report what was read back."""
    place = open_place(call.place)
    passphrase = _passphrase(call.key)
    if taken := [name for name in place.names() if name.startswith(f"{call.name}.")]:
        raise MoverError("Exists", f"{call.place.location} has {taken[0]} already: nothing is overwritten", "run it again")
    with tempfile.TemporaryDirectory(prefix="control-plane-") as name:
        scratch = Path(name)
        log(f"cluster {call.cluster}: taking a snapshot of {call.source.store}")
        database = _database(call.source, scratch / "database")
        log(f"cluster {call.cluster}: revision {database.revision}, {database.keys} keys, hash {database.hash}")
        context.check()
        archive = scratch / f"{call.name}.tar.gz"
        _pack(call, database, scratch / "database", archive)
        (scratch / "database").unlink()
        context.check()
        paths, sealed = _files(call, archive, database, passphrase)
        written = [place.put(path, path.name) for path in paths]
        context.check()
        written.append(place.put(sealed, sealed.name))
    for file in written:
        log(f"cluster {call.cluster}: wrote {file.name}, {file.size} bytes, sha256 {file.sha256}")
    result = ArchiveResult(
        call.place.location,
        tuple(written),
        key_id(passphrase) if passphrase is not None else "",
        database.store,
        database.revision,
        database.keys,
        database.hash,
    )
    return Report(ControlPlaneBackup.MOVER, archive=result)


def delete(call: ArchiveDelete, context: Context) -> Report:
    """Delete the files of archives: the manifest last, so that what is left half-way can still be told."""
    place = open_place(call.place)
    for name in sorted(call.files, key=lambda name: name.endswith(manifest.SUFFIX)):
        context.check()
        place.delete(name)
        log(f"deleted {name} from {call.place.location}")
    return Report(ArchiveDelete.MOVER)


def _passphrase(key: ArchiveKey | None) -> bytes | None:
    if key is None:
        return None
    file = Path(key.file)
    entries = [path for path in file.parent.glob("[!.]*") if path.is_file()] if file.parent.is_dir() else []
    if file not in entries and len(entries) != 1:
        found = f"Secret {key.secret} has no entry {file.name}" if entries else f"there is no Secret {key.secret}"
        raise MoverError("NoKey", f"key {key.name}: {found}", "create a KeyEncryptionKey of that name")
    return envelope.read_key((file if file in entries else entries[0]).read_bytes(), key.name)


def _database(source: ControlPlane, target: Path) -> Database:
    if source.store == "sqlite":
        found = embedded_store.copy_store(Path(source.database), target)
        return Database("sqlite/state.db", "sqlite", found.revision, found.keys, found.sha256)
    facts = etcd.take_snapshot(source.endpoint, Path(source.pki) if source.pki else None, target)
    return Database("etcd/snapshot.db", "etcd", facts.revision, facts.totalKey, facts.hash_text)


def _pack(call: ControlPlaneBackup, database: Database, copy: Path, target: Path) -> None:
    about = {
        "version": 1,
        "cluster": call.cluster,
        "node": call.node,
        "created": format_time(datetime.now(UTC)),
        "database": msgspec.to_builtins(database),
    }
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=cast(IO[bytes], packed), mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        described = copy.with_name("backup.json")
        described.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
        tar.add(described, "backup.json")
        tar.add(copy, database.member)
        for folder, member in ((call.source.pki, "pki"), (call.source.manifests, "manifests")):
            if folder:
                _add_tree(tar, Path(folder), member)
        described.unlink()


def _add_tree(tar: tarfile.TarFile, folder: Path, member: str) -> None:
    """Add a folder whole. A file that can't be read fails the backup: one that silently lacks a key is none."""
    try:
        tar.add(folder, member)
    except FileNotFoundError as error:
        hint = f"name the folder on the node with the Cluster's annotation backup.holdfast.dev/{member}"
        raise MoverError("NoFolder", f"{member}: {error.filename} is not there", hint) from error
    except PermissionError as error:
        raise MoverError("AccessDenied", f"{member}: {error.filename} can't be read", "check what the pod may do") from error


def _files(call: ControlPlaneBackup, archive: Path, database: Database, passphrase: bytes | None) -> tuple[list[Path], Path]:
    """Return the files to write, in their order, and the manifest that completes them."""
    plain = checksum(archive)
    paths = [archive]
    if passphrase is not None:
        data_key = envelope.new_data_key()
        wrapped, body = archive.with_name(f"{call.name}.dek"), archive.with_name(f"{call.name}.encrypted")
        _write(wrapped, envelope.encrypted([data_key + b"\n"], passphrase))
        with archive.open("rb") as file:
            _write(body, envelope.encrypted(iter(lambda: file.read(envelope.BLOCK), b""), data_key))
        archive.unlink()
        paths = [body, wrapped]
    document: dict[str, Any] = {
        "version": manifest.VERSION,
        "cluster": call.cluster,
        "created": format_time(datetime.now(UTC)),
        "files": [msgspec.to_builtins(checksum(path)) for path in paths],
        "archive": {"size": plain.size, "sha256": plain.sha256},
        "snapshot": msgspec.to_builtins(database),
    }
    sealed = archive.with_name(f"{call.name}{manifest.SUFFIX}")
    sealed.write_bytes(manifest.seal(document, passphrase, call.key.name if call.key else ""))
    return paths, sealed


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def as_files(found: Iterable[dict[str, Any]]) -> tuple[ArchiveFile, ...]:
    """Read the file list of a manifest. Raises MoverError when it is not one."""
    try:
        return msgspec.convert(list(found), tuple[ArchiveFile, ...])
    except msgspec.ValidationError as error:
        raise MoverError("BadManifest", f"the manifest's list of files is wrong: {error}") from error
