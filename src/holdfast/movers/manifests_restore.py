"""Makes objects again from manifests, in the documented order, and says of each kind what became of it.

The manifests are looked through twice: once for what there is and who belongs to whom, once to make them. Nothing in them is
trusted to have a place: a file whose content is not the object that its path names is a failure of its own. An object that is
refused is tried once more when all others are there, since it may need one of them.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec
import yaml

from holdfast.core.cluster_calls import ManifestsRestore
from holdfast.core.manifests import Identity, identity, path_of, rank, resource_of, restored, summary_name, why_left
from holdfast.core.objects import Object
from holdfast.core.read import conditions_of, items, mapping, namespace_of, text
from holdfast.core.report import Failure, ItemResult, Report, RepositoryResult
from holdfast.movers.cluster import AlreadyExists, ApiError, Cluster, Forbidden, NotFound, Resource, own_cluster, refused
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.failures import mover_error
from holdfast.movers.manifests_archive import Archive
from holdfast.movers.stores import open_repository
from holdfast.repo.browse import Trees, start
from holdfast.repo.documents import parse_id
from holdfast.repo.errors import RepositoryError
from holdfast.repo.repository import Repository

SERVED_SECONDS: Final = 60.0
"""How long a definition may take to be served before objects of its kind fail."""

KEPT_BYTES: Final = 32 << 20
"""How much of a snapshot's manifests is kept in memory between the two looks at them."""

AT_ONCE: Final = 16
"""How many objects of a kind are made side by side."""

_PAUSE: Final = 0.5
_DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_NAMESPACES: Final = Resource("", "v1", "Namespace", "namespaces", namespaced=False)


class Source(Protocol):
    """Where manifests are."""

    def paths(self) -> Iterator[str]:
        """List every file, below the root."""
        ...

    def read(self, path: str) -> bytes:
        """Return the content of one."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """One manifest, as far as it must be known before the first object is made."""

    path: str
    resource: str
    identity: Identity


def run(call: ManifestsRestore, context: Context) -> Report:
    """Make the objects of a repository's snapshot, a folder or an archive."""
    if sum((call.repository is not None, bool(call.folder), bool(call.archive))) != 1:
        raise MoverError("BadArguments", "a manifests restore reads either a repository, a folder or an archive")
    with Cluster(own_cluster()) as cluster:
        return make(cluster, call, context)


def make(cluster: Cluster, call: ManifestsRestore, context: Context) -> Report:
    """Make the objects in this cluster."""
    try:
        if call.archive:
            return Maker(cluster, call, context, Archive(call.archive)).run(call.archive)
        if call.repository is None:
            return Maker(cluster, call, context, Folder(Path(call.folder) / call.root.strip("/"))).run(call.folder)
        with open_repository(call.repository, context.stop) as repo, repo.lock():
            return Maker(cluster, call, context, Stored(repo, call)).run(call.repository.name)
    except RepositoryError as error:
        raise mover_error(error) from error
    except ApiError as error:
        raise refused(error, "what the API server serves can't be listed") from error


class Maker:
    """One restore."""

    def __init__(self, cluster: Cluster, call: ManifestsRestore, context: Context, source: Source) -> None:
        self._cluster, self._call, self._context, self._source = cluster, call, context, source
        self._resources: dict[str, Resource] = {}
        self._outcomes: dict[str, Counter[str]] = {}
        self._failed: dict[str, ItemResult] = {}
        self._places: set[str] = set()

    def run(self, name: str) -> Report:
        """Make everything that is meant, and report."""
        self._look()
        entries = self._entries()
        present = frozenset(entry.identity for entry in entries)
        again = self._cluster.run(self._all(entries, present))
        for entry in again:
            self._failed.pop(entry.path, None)
        self._cluster.run(self._all(again, present))
        for entry in entries:
            if entry.path in self._failed:
                self._count(entry.resource, "failed")
        return self._report(name)

    def _entries(self) -> list[Entry]:
        """Return what is meant, in the order in which it is made."""
        found: list[Entry] = []
        for path in self._source.paths():
            self._context.check()
            try:
                resource = resource_of(path)
                obj = _decoded(self._source.read(path), path, resource)
            except ValueError as error:
                self._fail(path, path, str(error))
                continue
            inside, selections = bool(namespace_of(obj)), (self._call.selection, *self._call.also)
            if any(each.takes_resource(resource, namespaced=inside) and each.takes(obj) for each in selections):
                found.append(Entry(path, resource, identity(obj)))
        return sorted(found, key=lambda entry: (rank(entry.resource), entry.path))

    async def _all(self, entries: Sequence[Entry], present: frozenset[Identity]) -> list[Entry]:
        """Make objects, kind after kind, several of a kind at once; return those that failed, in their order."""
        failed: list[Entry] = []
        for _, group in itertools.groupby(entries, key=lambda entry: entry.resource):
            several = list(group)
            for at in range(0, len(several), AT_ONCE):
                self._context.check()
                part = several[at : at + AT_ONCE]
                good = await asyncio.gather(*(self._entry(entry, present) for entry in part))
                failed += [entry for entry, well in zip(part, good, strict=True) if not well]
        return failed

    async def _entry(self, entry: Entry, present: frozenset[Identity]) -> bool:
        """Make one object; False when it failed."""
        obj = _decoded(self._source.read(entry.path), entry.path, entry.resource)
        left = "the caller leaves these out" if _skipped(entry.resource, self._call.skip) else ""
        left = left or why_left(entry.resource, obj, self._call.changes, present)
        if left:
            log(f"left out: {entry.resource} {summary_name(obj)}: {left}")
            self._count(entry.resource, "left out")
            return True
        made = restored(entry.resource, obj, self._call.changes)
        try:
            self._count(entry.resource, await self._make(entry.resource, made))
        except (ApiError, MoverError) as error:
            self._fail(entry.path, f"{entry.resource} {summary_name(made)}", str(error))
            return False
        return True

    async def _make(self, name: str, obj: Object) -> str:
        resource, client = self._resource(name, obj), self._cluster.client
        await self._namespace(namespace_of(obj))
        try:
            await client.create(resource, obj)
            outcome = "created"
        except AlreadyExists:
            if not self._call.override:
                return "exists"
            await client.apply(resource, obj)
            outcome = "updated"
        if name == _DEFINITIONS:
            await self._served(obj)
        return outcome

    def _resource(self, name: str, obj: Object) -> Resource:
        """Return the REST mapping of a manifest: its own version if it is served, else the cluster's."""
        if name not in self._resources:
            raise MoverError("NotServed", f"the cluster serves no {name}: install what defines it first")
        found = self._resources[name]
        group, _, version = text(obj, "apiVersion").rpartition("/")
        if (group, version) != (found.group, found.version):
            obj["apiVersion"] = found.api_version
        return found

    async def _namespace(self, name: str) -> None:
        if not name or name in self._places:
            return
        try:
            await self._cluster.client.create(
                _NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
            self._count("namespaces", "created")
        except AlreadyExists:
            pass
        except Forbidden:
            await self._cluster.client.get(_NAMESPACES, name)
        self._places.add(name)

    async def _served(self, definition: Object) -> None:
        """Wait until a definition's kind is served."""
        spec = mapping(definition, "spec")
        versions = [text(item, "name") for item in items(spec, "versions") if item.get("served")]
        names = mapping(spec, "names")
        inside = text(spec, "scope") == "Namespaced"
        resource = Resource(text(spec, "group"), versions[0] if versions else "", names["kind"], names["plural"], inside)
        for _ in range(int(SERVED_SECONDS / _PAUSE)):
            try:
                await self._cluster.client.list(resource)
            except NotFound:
                self._context.check()
                await asyncio.sleep(_PAUSE)
                continue
            except Forbidden:
                if not await self._established(definition):
                    self._context.check()
                    await asyncio.sleep(_PAUSE)
                    continue
            self._resources[str(resource)] = resource
            return
        raise MoverError("NotServed", f"{resource} was defined and is not served after {SERVED_SECONDS:.0f} s")

    async def _established(self, definition: Object) -> bool:
        """Whether a definition says that its kind is served, for an account that may not look at objects of that kind."""
        found = await self._cluster.client.get(self._resources[_DEFINITIONS], definition["metadata"]["name"])
        return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions_of(found))

    def _look(self) -> None:
        for served in self._cluster.discover().served:
            if "create" in served.verbs:
                self._resources[str(served.resource)] = served.resource

    def _count(self, resource: str, outcome: str) -> None:
        self._outcomes.setdefault(resource, Counter())[outcome] += 1

    def _fail(self, path: str, name: str, message: str) -> None:
        log(f"failed: {name}: {message}")
        self._failed[path] = ItemResult(name, "failed", message)

    def _report(self, name: str) -> Report:
        kinds = sorted(self._outcomes, key=rank)
        told = tuple(ItemResult(kind, _told(self._outcomes[kind])) for kind in kinds)
        made = sum(counts["created"] + counts["updated"] for counts in self._outcomes.values())
        failure = None
        if self._failed:
            first = "; ".join(f"{item.name}: {item.message}" for item in list(self._failed.values())[:3])
            message = f"{len(self._failed)} objects could not be made: {first}"
            failure = Failure("PartialRestore", message, "correct the cause and run again: what is there is left alone")
        log(f"{made} objects made")
        result = RepositoryResult(name, files=made, skipped_files=len(self._failed), failure=failure)
        return Report(ManifestsRestore.MOVER, (result,), failure, (*self._failed.values(), *told))


class Folder:
    """Manifests in a directory."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise MoverError("NoFolder", f"there is no directory {root}", "name the folder that a backup has filled")
        self._root = root

    def paths(self) -> Iterator[str]:
        """List the files."""
        for path in sorted(self._root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(self._root))

    def read(self, path: str) -> bytes:
        """Read one."""
        return (self._root / path).read_bytes()


class Stored:
    """Manifests in a snapshot of a repository."""

    def __init__(self, repo: Repository, call: ManifestsRestore) -> None:
        self._repo = repo
        self._kept: dict[str, bytes] = {}
        self._room = KEPT_BYTES
        repo.load_index()
        snapshot = repo.snapshot(call.snapshot_id)
        trees = Trees(repo)
        items_ = trees.walk(start(trees, snapshot, call.root))
        self._content = {item.path.lstrip("/"): item.node.content or [] for item in items_ if item.node.type == "file"}

    def paths(self) -> Iterator[str]:
        """List the files."""
        yield from self._content

    def read(self, path: str) -> bytes:
        """Read one, every part checked against its id. The second look finds what there is room for in memory."""
        if path in self._kept:
            return self._kept.pop(path)
        found = b"".join(self._repo.load_blob(parse_id(ident)) for ident in self._content[path])
        if self._room >= len(found):
            self._room -= len(found)
            self._kept[path] = found
        return found


def _decoded(data: bytes, path: str, resource: str) -> Object:
    loader = cast(Any, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        loaded = yaml.load(data, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML") from error
    if not isinstance(loaded, dict) or not isinstance(cast("Object", loaded).get("metadata"), dict):
        raise ValueError(f"{path} holds no Kubernetes object")
    obj = cast("Object", loaded)
    if path_of(resource, obj) != path.strip("/"):
        raise ValueError(f"{path} holds {obj.get('kind')} {summary_name(obj)}, which belongs elsewhere")
    return obj


def _skipped(resource: str, names: tuple[str, ...]) -> bool:
    return resource in names or resource.partition(".")[0] in names


def _told(counts: Counter[str]) -> str:
    words = ("created", "updated", "exists", "left out", "failed")
    return ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
