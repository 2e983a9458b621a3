"""Saves the objects of a cluster as manifests, into a repository or a directory.

Kind after kind is read through the API and written on, so memory holds the objects of one kind. In a repository everything is
encrypted, Secrets included, and never touches a disk in clear. A kind that may not be read, or an API whose server is down,
makes the backup a failure that names it; what could be read is kept all the same.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import yaml

from holdfast.core.belongings import left_to_the_cluster
from holdfast.core.cluster_calls import ManifestsBackup
from holdfast.core.manifests import NEVER_SAVED, Selection, of_a_run, path_of, saved
from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, namespace_of, text
from holdfast.core.report import Failure, ItemResult, Report, RepositoryResult
from holdfast.core.times import format_time, parse_time
from holdfast.movers import manifests_belongings
from holdfast.movers.cluster import ApiError, Cluster, Discovery, NotFound, Resource, own_cluster, refused
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.failures import mover_error
from holdfast.movers.manifests_archive import write_archive
from holdfast.movers.stores import follow, open_or_init
from holdfast.repo.errors import RepositoryError
from holdfast.repo.maintain import read_root, stats
from holdfast.repo.result import BackupResult
from holdfast.repo.stream_files import StreamedFile, backup_files

_NEEDED: Final = frozenset({"list", "create"})
"""Verbs of what can be read and made again."""

_ACCOUNTS: Final = "serviceaccounts"
_RBAC: Final = "rbac.authorization.k8s.io"


def run(call: ManifestsBackup, context: Context) -> Report:
    """Save what is asked for."""
    if sum((call.repository is not None, bool(call.folder), bool(call.archive))) != 1:
        raise MoverError("BadArguments", "a manifests backup goes either into a repository, a folder or an archive")
    with Cluster(own_cluster()) as cluster:
        return save(cluster, call, context)


def save(cluster: Cluster, call: ManifestsBackup, context: Context) -> Report:
    """Save the objects of this cluster."""
    try:
        reader = Reader(cluster, call, context)
        result = _into(call, reader, context)
    except ApiError as error:
        raise refused(error, "what the API server serves can't be listed") from error
    except RepositoryError as error:
        raise mover_error(error) from error
    failure = reader.failure()
    log(f"{result.files} manifests of {len(reader.counts)} kinds saved{f', but: {failure.message}' if failure else ''}")
    found = tuple(ItemResult(name, str(count)) for name, count in reader.counts.items())
    return Report(ManifestsBackup.MOVER, (msgspec.structs.replace(result, failure=failure),), failure, reader.missed + found)


class Reader:
    """The manifests of a cluster in the order of their paths, and what could not be read."""

    def __init__(self, cluster: Cluster, call: ManifestsBackup, context: Context) -> None:
        self._cluster, self._call, self._context = cluster, call, context
        self._served = cluster.discover()
        self.counts: dict[str, int] = {}
        self.missed: tuple[ItemResult, ...] = ()

    def files(self) -> Iterator[StreamedFile]:
        """Read everything that is meant, sorted as a snapshot wants it."""
        self._groups_that_failed(self._served)
        for name, resource, objects in self._kinds():
            self._context.check()
            paths = {path_of(name, obj): obj for obj in objects}
            if paths:
                self.counts[name] = len(paths)
            for path in sorted(paths, key=lambda path: path.split("/")):
                obj = paths[path]
                made = text(obj, "metadata", "creationTimestamp")
                stamp = int(parse_time(made).timestamp()) * 1_000_000_000 if made else 0
                yield StreamedFile(path, manifest(resource, obj), stamp)

    def failure(self) -> Failure | None:
        """Return what is missing as a failure."""
        if not self.missed:
            return None
        named = "; ".join(f"{item.name}: {item.message}" for item in self.missed[:3])
        more = f" and {len(self.missed) - 3} more" if len(self.missed) > 3 else ""
        return Failure("PartialBackup", f"not read: {named}{more}", "give the account the right, or exclude the resource")

    def _kinds(self) -> Iterator[tuple[str, Resource, Sequence[Object]]]:
        if self._call.objects:
            yield from self._named()
            return
        belonging = self._belongings()
        for served in sorted(self._served.served, key=lambda item: str(item.resource)):
            resource, name = served.resource, str(served.resource)
            if name in NEVER_SAVED or not served.verbs >= _NEEDED:
                continue
            if self._call.selection.takes_resource(name, namespaced=resource.namespaced):
                yield name, resource, self._list(resource, self._call.selection)
            elif name in belonging:
                yield name, resource, self._belonging(resource, belonging[name])

    def _belongings(self) -> Mapping[str, frozenset[str]]:
        """Return the names of what is saved though it has no namespace, by resource."""
        if not self._call.belongings:
            return {}
        served = {str(each.resource): each.resource for each in self._served.served if each.verbs >= _NEEDED}
        return manifests_belongings.found(
            served, self._call.selection, lambda resource: self._list(resource, self._call.selection)
        )

    def _belonging(self, resource: Resource, names: frozenset[str]) -> list[Object]:
        if not names:
            return []
        objects = self._list(resource, Selection(cluster_resources=True))
        return [obj for obj in objects if name_of(obj) in names and not left_to_the_cluster(str(resource), obj)]

    def _list(self, resource: Resource, selection: Selection) -> list[Object]:
        places = () if "*" in selection.namespaces else selection.namespaces
        try:
            found = [obj for obj in self._cluster.list(resource, places) if selection.takes(obj)]
            return [obj for obj in found if not of_a_run(str(resource), obj)]
        except NotFound:
            return []
        except ApiError as error:
            self._miss(str(resource), error.message)
            return []

    def _named(self) -> Iterator[tuple[str, Resource, Sequence[Object]]]:
        """Read single objects, with the accounts of their pods and the roles of these."""
        known = {str(served.resource): served.resource for served in self._served.served}
        found: dict[str, dict[tuple[str, str], Object]] = {}
        for reference in self._call.objects:
            name, namespace, wanted = reference.split("/")
            self._one(known, found, name, namespace, wanted)
        for place, account in sorted(
            {account for objects in found.values() for account in map(_account, objects.values()) if account}
        ):
            self._one(known, found, _ACCOUNTS, place, account)
            if self._call.rbac:
                self._roles(known, found, place, account)
        for name in sorted(found):
            yield name, known[name], list(found[name].values())

    def _one(
        self,
        known: Mapping[str, Resource],
        found: dict[str, dict[tuple[str, str], Object]],
        name: str,
        namespace: str,
        wanted: str,
    ) -> None:
        if name not in known:
            self._miss(f"{name} {namespace}/{wanted}", "the cluster serves no such resource")
            return
        try:
            obj = self._cluster.get(known[name], wanted, namespace)
        except ApiError as error:
            self._miss(f"{name} {namespace}/{wanted}", error.message)
            return
        found.setdefault(name, {})[namespace, wanted] = obj

    def _roles(
        self, known: Mapping[str, Resource], found: dict[str, dict[tuple[str, str], Object]], place: str, account: str
    ) -> None:
        """Add the bindings that name an account, and the roles that they give."""
        for plural in ("rolebindings", "clusterrolebindings"):
            resource = known[f"{plural}.{_RBAC}"]
            for binding in self._list(resource, Selection(namespaces=(place,) if resource.namespaced else ())):
                subject = {"kind": "ServiceAccount", "name": account, "namespace": place}
                if not any({key: item.get(key) for key in subject} == subject for item in items(binding, "subjects")):
                    continue
                found.setdefault(str(resource), {})[namespace_of(binding), name_of(binding)] = binding
                role = mapping(binding, "roleRef")
                inside = text(role, "kind") == "Role"
                self._one(
                    known, found, f"{'roles' if inside else 'clusterroles'}.{_RBAC}", place if inside else "", role["name"]
                )

    def _groups_that_failed(self, served: Discovery) -> None:
        for group, error in served.failed:
            self._miss(group, error.message)

    def _miss(self, name: str, message: str) -> None:
        log(f"not read: {name}: {message}")
        self.missed = (*self.missed, ItemResult(name, "failed", message))


def manifest(resource: Resource, obj: Object) -> bytes:
    """Write an object as YAML, always in the same way."""
    whole = {"apiVersion": resource.api_version, "kind": resource.kind, **saved(obj)}
    dumper = cast(Any, getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    return yaml.dump(whole, Dumper=dumper, default_flow_style=False, allow_unicode=True).encode()


def _account(obj: Object) -> tuple[str, str] | None:
    spec = mapping(obj, "spec") if obj.get("kind") == "Pod" else mapping(obj, "spec", "template", "spec")
    return (namespace_of(obj), text(spec, "serviceAccountName", default="default")) if spec else None


def _into(call: ManifestsBackup, reader: Reader, context: Context) -> RepositoryResult:
    if call.repository is not None:
        return _into_repository(call, reader, context)
    return write_archive(call.archive, reader.files()) if call.archive else _into_folder(call, reader)


def _into_folder(call: ManifestsBackup, reader: Reader) -> RepositoryResult:
    started, count, size = datetime.now(UTC), 0, 0
    root = Path(call.folder) / call.root.strip("/")
    for file in reader.files():
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(file.content)
        count, size = count + 1, size + len(file.content)
    ended = datetime.now(UTC)
    return RepositoryResult(
        call.folder,
        files=count,
        bytes=size,
        started=format_time(started),
        finished=format_time(ended),
        seconds=round((ended - started).total_seconds(), 3),
    )


def _into_repository(call: ManifestsBackup, reader: Reader, context: Context) -> RepositoryResult:
    target = call.repository
    assert target is not None
    with open_or_init(target, context.stop) as repo:
        progress = follow(target, context.progress)
        done: BackupResult = backup_files(
            repo, call.root, reader.files(), host=call.host, tags=call.tags, progress=progress, stop=context.stop
        )
        read_root(repo, done.snapshot_id)
        size = stats(repo).bytes
    return RepositoryResult(
        target.name,
        target.component,
        snapshot_ids=(done.snapshot_id,),
        files=done.files,
        files_new=done.files_new,
        files_unmodified=done.files_unmodified,
        directories=done.dirs_new,
        bytes=done.bytes_processed,
        added=done.added_raw,
        stored=done.added_stored,
        repository_bytes=size,
        seconds=round(done.seconds, 3),
        started=format_time(done.started),
        finished=format_time(done.finished),
        integrity=True,
    )
