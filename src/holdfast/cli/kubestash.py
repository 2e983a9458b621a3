"""`holdfast kubestash <command>`: what a person wants of KubeStash backups now, without writing a manifest.

    trigger    run the sessions of a BackupConfiguration at once, or one of them
    pause      keep a BackupConfiguration from making backups
    resume     let it make backups again
    retention  say which Snapshots the next cleanup would drop, which would stay, and why; nothing is changed
    download   bring the files of a Snapshot into a folder of this machine

Everything goes through the Kubernetes API with the rights of the kubeconfig. `download` reads the Secrets of storage and
encryption, keeps them in a private folder while it runs, and prints neither.
"""

import argparse
import asyncio
import base64
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from holdfast.cli.dialects import resources
from holdfast.cli.errors import HoldfastError
from holdfast.cli.service import add_kubeconfig, connect
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Problem
from holdfast.core.read import deleting, mapping, name_of, namespace_of, text
from holdfast.core.retention import retain
from holdfast.core.times import format_duration, format_time
from holdfast.dialects.kubestash import cleanup, decode, defaults, kinds, names, retention_policy, triggers
from holdfast.dialects.kubestash.download import Download, downloads
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, NotFound
from holdfast.movers.context import Context
from holdfast.movers.entry import perform

SECRET = Kind("", "Secret")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="kubestash", metavar="command", required=True)
    for name, text_ in (
        ("trigger", "run the sessions of a BackupConfiguration now"),
        ("pause", "keep a BackupConfiguration from making backups"),
        ("resume", "let a paused BackupConfiguration make backups again"),
        ("retention", "say which Snapshots a policy would drop, and why"),
        ("download", "bring the files of a Snapshot into a folder of this machine"),
    ):
        command = commands.add_parser(name, help=text_, description=f"{text_[0].upper()}{text_[1:]}.")
        kind = "Snapshot" if name == "download" else "BackupConfiguration"
        command.add_argument("name", help=f"name of the {kind}")
        command.add_argument("-n", "--namespace", default="default", help="its namespace (default: %(default)s)")
        if name in ("trigger", "retention"):
            command.add_argument("--session", help="only this session (default: all of them)")
        if name == "download":
            command.add_argument("--to", type=Path, required=True, help="folder for the files; made when it is missing")
            command.add_argument("--component", help="only this component, such as dump-pod-0 (default: all of them)")
        add_kubeconfig(command)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns 0, or 1 when files could not be brought back."""
    actions: Mapping[str, Callable[[argparse.Namespace], Awaitable[int]]] = {
        "trigger": _trigger,
        "pause": _pause,
        "resume": _pause,
        "retention": _retention,
        "download": _download,
    }

    async def act() -> int:
        return await actions[arguments.kubestash](arguments)

    try:
        return asyncio.run(act())
    except ApiError as error:
        raise HoldfastError(f"{arguments.namespace}/{arguments.name}: {error.message}") from error


@asynccontextmanager
async def _client(arguments: argparse.Namespace) -> AsyncGenerator[Client]:
    async with Client(connect(arguments), field_manager="holdfast-cli") as client:
        yield client


async def _get(client: Client, kind: Kind, namespace: str, name: str) -> Object:
    """Read an object. Raises HoldfastError when there is none."""
    try:
        return await client.get(resources()[kind], name, namespace or None)
    except NotFound as error:
        raise HoldfastError(f"{kind.kind} {namespace}/{name} not found") from error


async def _trigger(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        found = await _get(client, kinds.BACKUP_CONFIGURATION, arguments.namespace, arguments.name)
        for session in _sessions(found, arguments.session):
            timeout = format_duration(session.timeout) if session.timeout else ""
            made = {
                "apiVersion": kinds.api_version(kinds.BACKUP_SESSION),
                "kind": kinds.BACKUP_SESSION.kind,
                "metadata": {
                    **triggers.session_metadata(found, session.name),
                    "name": names.backup_session(name_of(found), session.name, datetime.now(UTC)),
                },
                "spec": triggers.session_spec(name_of(found), session.name, 0, timeout),
            }
            await client.create(resources()[kinds.BACKUP_SESSION], made)
            print(f"backupsession/{name_of(made)} created")
    return 0


def _sessions(configuration: Object, wanted: str | None) -> list[decode.Session]:
    sessions = decode.configuration(configuration).sessions
    found = [session for session in sessions if wanted in (None, session.name)]
    if not found:
        known = ", ".join(session.name for session in sessions)
        raise HoldfastError(f"BackupConfiguration {name_of(configuration)} has no session {wanted} (it has: {known})")
    return found


async def _pause(arguments: argparse.Namespace) -> int:
    paused = arguments.kubestash == "pause"
    async with _client(arguments) as client:
        await _get(client, kinds.BACKUP_CONFIGURATION, arguments.namespace, arguments.name)
        resource = resources()[kinds.BACKUP_CONFIGURATION]
        await client.merge_patch(resource, arguments.name, arguments.namespace, {"spec": {"paused": paused}})
    print(f"backupconfiguration/{arguments.name} {'paused' if paused else 'resumed'}")
    return 0


async def _retention(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        found = await _get(client, kinds.BACKUP_CONFIGURATION, arguments.namespace, arguments.name)
        snapshots = (await client.list(resources()[kinds.SNAPSHOT], arguments.namespace)).items
        backends = defaults.backends(decode.configuration(found), await _offers(client, found))
        policies = {backend.name: backend.policy for backend in backends}
        for session in _sessions(found, arguments.session):
            for use in session.repositories:
                place = policies.get(use.backend)
                if place is None:
                    raise HoldfastError(f"{session.name} {use.name}: no RetentionPolicy is named, and there is no default one")
                policy = await _get(client, kinds.RETENTION_POLICY, place.namespace, place.name)
                keep = retention_policy.keep_of(policy)
                if isinstance(keep, Problem):
                    raise HoldfastError(f"RetentionPolicy {place}: {keep}")
                mine = [item for item in snapshots if _belongs(item, use.name, session.name) and not deleting(item)]
                for verdict in retain([cleanup.point(item) for item in mine], keep, datetime.now(UTC)).verdicts:
                    says = "keep" if verdict.keep else "drop"
                    print(f"{says} {format_time(verdict.point.time)} {verdict.point.id}: {'; '.join(verdict.reasons)}")
    return 0


class Offers:
    """The core's Refs over what the search for defaults looks at: every storage and policy, and the asker's namespace."""

    def __init__(self, found: Mapping[Kind, Sequence[Object]]) -> None:
        self._found = found

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return one object."""
        return next((obj for obj in self.list(kind, namespace or None) if name_of(obj) == name), None)

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        """Return objects of a namespace, or all of them. The search knows neither labels nor owners."""
        return [obj for obj in self._found.get(kind, ()) if namespace is None or namespace_of(obj) == namespace]


async def _offers(client: Client, configuration: Object) -> Offers:
    """Read what a BackupConfiguration may take its defaults from: nothing, when it names all it needs."""
    wanted = decode.configuration(configuration)
    uses = (use for session in wanted.sessions for use in session.repositories)
    if wanted.backends and all(each.policy for each in wanted.backends) and all(use.backend for use in uses):
        return Offers({})
    found = {kind: (await client.list(resources()[kind])).items for kind in (kinds.BACKUP_STORAGE, kinds.RETENTION_POLICY)}
    return Offers({**found, kinds.NAMESPACE: [await _get(client, kinds.NAMESPACE, "", namespace_of(configuration))]})


def _belongs(snapshot: Object, repository: str, session: str) -> bool:
    return (text(snapshot, "spec", "repository"), text(snapshot, "spec", "session")) == (repository, session)


async def _download(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="holdfast-") as private:
        async with _client(arguments) as client:
            snapshot = await _get(client, kinds.SNAPSHOT, arguments.namespace, arguments.name)
            found = await _gather(client, snapshot, Path(private))
        wanted = downloads(snapshot, *found, arguments.to.resolve(), arguments.component or "")
        if isinstance(wanted, str):
            raise HoldfastError(wanted)
        return max([await asyncio.to_thread(_bring, item) for item in wanted], default=0)


async def _gather(client: Client, snapshot: Object, private: Path) -> tuple[Object, Object, str, str]:
    """Return the Repository and BackupStorage of a Snapshot, and the folders in which their Secrets lie now."""
    namespace = namespace_of(snapshot)
    repository = await _get(client, kinds.REPOSITORY, namespace, text(snapshot, "spec", "repository"))
    where = decode.place(mapping(repository, "spec", "storageRef"), namespace)
    if where is None:
        raise HoldfastError(f"Repository {namespace}/{name_of(repository)} names no BackupStorage")
    storage = await _get(client, kinds.BACKUP_STORAGE, where.namespace, where.name)
    provider = text(storage, "spec", "storage", "provider")
    key = decode.place({"name": text(storage, "spec", "storage", provider, "secretName")}, where.namespace)
    password = decode.place(mapping(repository, "spec", "encryptionSecret"), namespace)
    folders = [await _secret(client, place, private / name) for name, place in (("keys", key), ("password", password))]
    return repository, storage, folders[0], folders[1]


async def _secret(client: Client, place: decode.Place | None, folder: Path) -> str:
    """Write a Secret as files into a private folder; empty when there is none to write."""
    if place is None:
        return ""
    found = await _get(client, SECRET, place.namespace, place.name)
    await asyncio.to_thread(_write, mapping(found, "data"), folder)
    return str(folder)


def _write(data: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name, value in data.items():
        (folder / name).write_bytes(base64.b64decode(value))


def _bring(wanted: Download) -> int:
    report = perform(wanted.call.MOVER, wanted.call, Context(lambda _: None, threading.Event()))
    if report.failure is not None:
        print(f"{wanted.component}: {report.failure.message}")
        return 1
    files, size = sum(result.files for result in report.results), sum(result.bytes for result in report.results)
    print(f"{wanted.component}: {files} files, {size} bytes in {wanted.folder}")
    return 0
