"""`holdfast cluster-restore`: from a backup of a control plane to a database that a fresh server starts on.

It needs no cluster: the place of the files, the text of the key if they are encrypted, and an empty folder. The plan is printed
before anything is written; `--dry-run` ends after the backup was fetched, verified and decrypted.
"""

import argparse
import configparser
import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path

from holdfast.cli.errors import HoldfastError
from holdfast.core.calls import ArchivePlace, NfsShare
from holdfast.movers import archive_restore, envelope
from holdfast.movers.archive_places import Place, open_place
from holdfast.movers.context import MoverError

_EPILOG = """\
examples:
  holdfast cluster-restore --from /srv/backup/ucp --list
  holdfast cluster-restore latest --from /srv/backup/ucp --into /var/restore --dry-run
  holdfast cluster-restore latest --from nfs://10.0.0.1:/backups/default-kaas-mgmt --list
  holdfast cluster-restore kaas-mgmt-20261121T160000Z-1a2b --from swift:test/default-kaas-mgmt \\
      --rclone-config rclone.conf --key-file key.txt --into /var/restore
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("backup", nargs="?", default="latest", help="the common name of its files (default: %(default)s)")
    parser.add_argument(
        "--from",
        dest="place",
        required=True,
        help="a folder, nfs://HOST:/PATH, or REMOTE:BUCKET/FOLDER of the rclone configuration",
    )
    parser.add_argument("--rclone-config", type=Path, help="the rclone configuration that has the remote")
    parser.add_argument("--cluster", default="", help="only backups of this cluster")
    parser.add_argument("--key-file", type=Path, help="a file with the text of the key that encrypts the backup")
    parser.add_argument("--into", type=Path, help="an empty or new folder that receives everything")
    parser.add_argument("--list", action="store_true", help="list the backups and end")
    parser.add_argument("--dry-run", action="store_true", help="fetch, verify and decrypt, but write nothing into the folder")
    parser.add_argument("--etcd-name", default="default", help="name of the fresh member (default: %(default)s)")
    parser.add_argument(
        "--peer-url", default="http://localhost:2380", help="address of the fresh member for others (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """List, or restore."""
    try:
        with _place(arguments.place, arguments.rclone_config) as place:
            if arguments.list:
                for name in archive_restore.backups(place):
                    print(name)
                return 0
            _restore(arguments, place)
    except MoverError as error:
        hint = f": {error.failure.hint}" if error.failure.hint else ""
        raise HoldfastError(f"{error.failure.message}{hint}") from error
    return 0


def _restore(arguments: argparse.Namespace, place: Place) -> None:
    target = _target(arguments.into)
    name = archive_restore.choose(place, arguments.backup, arguments.cluster)
    passphrase = _passphrase(arguments.key_file)
    parent = None if arguments.dry_run else _parent(target)
    with tempfile.TemporaryDirectory(prefix=".holdfast-restore-", dir=parent) as folder:
        opened = archive_restore.open_backup(place, name, passphrase, Path(folder))
        print(plan(opened, name, target, encrypted=passphrase is not None), end="")
        if arguments.dry_run:
            print("dry run: the backup is whole and opens; nothing was written")
            return
        database = archive_restore.unpack(opened, target)
        flags = [
            f"--name={arguments.etcd_name}",
            f"--initial-cluster={arguments.etcd_name}={arguments.peer_url}",
            f"--initial-advertise-peer-urls={arguments.peer_url}",
        ]
        print(f"restored: {archive_restore.restore_database(opened, database, target, flags)}")


def plan(opened: archive_restore.Opened, name: str, target: Path, *, encrypted: bool) -> str:
    """Return what will be done, a line for each step."""
    database, document = opened.database, opened.document
    fresh = target / ("data" if database.store == "sqlite" else "etcd-data")
    lines = [
        f"backup    {name} of cluster {document.get('cluster')}, made {document.get('created')}",
        f"verified  {len(document['files'])} files by checksum{', manifest by HMAC' if encrypted else ''}",
        f"opens     {'with the given key' if encrypted else 'without a key'}",
        f"database  {database.store}, revision {database.revision}, {database.keys} keys, hash {database.hash}",
        f"writes    {target}/pki, {target}/manifests, {target}/backup.json",
        f"makes     {fresh}: a fresh {'data directory' if database.store == 'sqlite' else 'etcd member'}, alone in its cluster",
    ]
    return "\n".join(lines) + "\n"


def _target(into: Path | None) -> Path:
    if into is None:
        raise HoldfastError("nowhere to restore to: name an empty folder with --into")
    target = into.expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise HoldfastError(f"{target} is not empty: a control plane is never written over; name a new folder with --into")
    return target


def _parent(target: Path) -> Path:
    """Return where scratch space lies: beside the target, where there is room for what it will hold."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _passphrase(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return envelope.read_key(file.read_bytes(), str(file))
    except OSError as error:
        raise HoldfastError(f"key file {file}: {error.strerror}") from error


@contextlib.contextmanager
def _place(where: str, config: Path | None) -> Generator[Place]:
    if config is None and where.startswith("nfs://"):
        server, _, path = where.removeprefix("nfs://").partition(":/")
        if not server or not path:
            raise HoldfastError(f"{where} is no share: write nfs://HOST:/PATH")
        yield open_place(ArchivePlace("", where, share=NfsShare(server.strip("[]"), f"/{path}")))
        return
    if config is None:
        folder = Path(where).expanduser()
        if not folder.is_dir():
            raise HoldfastError(f"{folder} is not a folder: name one, or a remote together with --rclone-config")
        yield open_place(ArchivePlace(str(folder), str(folder)))
        return
    remote, _, path = where.partition(":")
    parsed = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    try:
        with config.open() as file:
            parsed.read_file(file)
    except (OSError, ValueError, configparser.Error) as error:  # its text would quote the line, which may hold a secret
        raise HoldfastError(f"{config} can't be read as an rclone configuration: {type(error).__name__}") from None
    if not path or not parsed.has_section(remote):
        raise HoldfastError(f"{where} names no remote of {config}: write REMOTE:BUCKET/FOLDER")
    options = dict(parsed.items(remote))
    with tempfile.NamedTemporaryFile("w", prefix="holdfast-") as secret:
        secret.write(options.pop("secret_access_key", ""))
        secret.flush()
        place = ArchivePlace(path.strip("/"), where, remote, options, "secret_access_key", secret.name)
        yield open_place(place)
