"""Writes of documents: created under a unique name, replaced only in the version that the client has seen, deleted with care.

The name is claimed first, by creating an object that only one can create; then the document is written. A crash between the two
leaves a claim without a holder, which the next writer of that name takes over and the sweep removes.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from holdfast.core.labels import annotation
from holdfast.core.objects import Object, owner_reference
from holdfast.core.plan import Problem
from holdfast.core.read import flag, items, mapping, number, strings, text, uid_of
from holdfast.core.times import parse_time
from holdfast.dialects.cloudcasa import sealing
from holdfast.dialects.cloudcasa.kinds import (
    ACTIVE_STATES,
    BULKWRITE,
    CREDENTIALS,
    LOCAL_CLUSTER,
    MADE_FOR,
    NAMECLAIM,
    PENDING_BULK,
    UPDATED,
    claim_name,
    secret_name,
)
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection
from holdfast.kube.builtin import SECRETS
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from holdfast.rest.drafts import draft, merged
from holdfast.rest.errors import RestError, invalid, not_found
from holdfast.rest.index import Entry
from holdfast.rest.state import RESOURCES, OrganizationLookup, State

ABANDONED: Final = 60.0
"""Seconds after which a name that is held for no document is free."""

_ATTEMPTS: Final = 5
_LARGEST_BULK: Final = 500


class Writer:
    """Writes the documents of one collection of one organisation."""

    def __init__(self, state: State, organization: str, collection: Collection) -> None:
        self._state, self._organization, self._collection = state, organization, collection
        self._index = state.index(organization, collection.plural)
        self._lookup = OrganizationLookup(state, organization)
        self._resource = RESOURCES[collection.kind]

    async def create(self, body: Any) -> Entry:
        """Create one document. Raises RestError."""
        spec = draft(self._collection, body, self._lookup)
        self._unique([spec])
        ident = secrets.token_hex(12)
        made = await self._create(ident, spec)
        entry = self._state.wrote(made)
        if entry is None:
            raise RestError(500, "the document was written and is not to be seen")
        return entry

    async def create_all(self, bodies: Sequence[Any]) -> list[Entry]:
        """Create several documents, or none. Raises RestError; its issues name the first document that is wrong."""
        if not bodies:
            raise RestError(400, "an empty list creates nothing: send a document, or a list of them")
        if len(bodies) > _LARGEST_BULK:
            raise RestError(413, f"a list holds {_LARGEST_BULK} documents at most")
        if self._collection.plural == "objectstores":
            raise RestError(422, "objectstores are created one by one, since each is probed")
        specs = [self._numbered(position, body) for position, body in enumerate(bodies)]
        self._unique(specs)
        bulk = secrets.token_hex(12)
        made: list[Object] = []
        try:
            for spec in specs:
                made.append(await self._create(secrets.token_hex(12), spec, bulk))
                self._state.wrote(made[-1])
        except RestError:
            for obj in made:
                await self._undo(obj)
            raise
        idents = [obj["metadata"]["name"] for obj in made]
        await self._commit(bulk, idents)
        return [entry for ident in idents if (entry := self._index.get(ident)) is not None]

    async def replace(self, ident: str, if_match: str, body: Any) -> Entry:
        """Replace every field. Raises RestError 404, 412, 422."""
        return await self._change(ident, if_match, lambda spec: body)

    async def patch(self, ident: str, if_match: str, body: Any) -> Entry:
        """Lay fields over those that are there. Raises RestError 404, 412, 422."""
        if not isinstance(body, dict):
            raise RestError(422, "a patch must be a JSON object")
        return await self._change(ident, if_match, lambda spec: merged(spec, cast(Object, body)))

    async def delete(self, ident: str, if_match: str) -> None:
        """Delete a document. Raises RestError 404, 409, 412."""
        entry = self._entry(ident)
        _match(entry, if_match)
        self._refuse_busy(ident)
        self._refuse_used(ident)
        self._refuse_kept(entry)
        try:
            await self._state.client.delete(self._resource, ident, self._organization, uid=uid_of(entry.obj))
        except NotFound:
            pass
        except Conflict:
            raise RestError(412, "the document was made anew meanwhile: read it again") from None
        if self._collection.plural != "backupinstances":
            self._state.removed(entry.obj)
        await self._release(text(entry.obj, "spec", "name"), ident)

    def _numbered(self, position: int, body: Any) -> Object:
        try:
            return draft(self._collection, body, self._lookup)
        except RestError as error:
            issues = {f"[{position}].{field}": said for field, said in (error.issues or {}).items()}
            raise RestError(error.status, f"document {position}: {error.message}", issues) from None

    def _unique(self, specs: Sequence[Object]) -> None:
        """Refuse names that are taken as far as we know, before anything is written."""
        if not self._collection.unique:
            return
        names = [text(spec, "name") for spec in specs]
        for name in names:
            if names.count(name) > 1 or self._index.named(name) is not None:
                raise _taken(name)
        if self._collection.plural == "objectstores":
            places = {_place(mapping(entry.obj, "spec")): entry for entry in self._index.all()}
            for spec in specs:
                if _place(spec) in places:
                    there = places[_place(spec)].document["name"]
                    raise invalid([Problem("bucket_name", f"is the target of objectstore {there!r} already")])

    async def _create(self, ident: str, spec: Object, bulk: str = "") -> Object:
        name = text(spec, "name")
        await self._claim(name, ident)
        meta: Object = {"name": ident, "namespace": self._organization}
        if bulk:
            meta["labels"] = {PENDING_BULK: bulk}
        open_spec, credentials = _without_credentials(spec)
        obj: Object = {
            "apiVersion": self._resource.api_version,
            "kind": self._resource.kind,
            "metadata": meta,
            "spec": open_spec,
        }
        try:
            if self._collection.plural == "objectstores":
                await self._keep(ident, credentials)
            made = await self._state.client.create(self._resource, obj)
        except AlreadyExists:
            made = await self._state.client.get(self._resource, ident, self._organization)
        except ApiError as error:
            await self._release(name, ident)
            if self._collection.plural == "objectstores":
                await self._drop_secret(ident)
            raise refused(error) from None
        if self._collection.plural == "objectstores":
            await self._own_secret(made)
        return made

    async def _commit(self, bulk: str, idents: Sequence[str]) -> None:
        resource = RESOURCES[BULKWRITE]
        obj: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": bulk, "namespace": self._organization},
            "spec": {"resource": self._collection.plural, "documents": list(idents)},
        }
        try:
            self._state.wrote(await self._state.client.create(resource, obj))
        except ApiError as error:
            raise refused(error) from None

    async def _undo(self, obj: Object) -> None:
        """Take back a document of a bulk request that is not to be."""
        ident = obj["metadata"]["name"]
        try:
            await self._state.client.delete(self._resource, ident, self._organization, uid=uid_of(obj))
        except ApiError:
            return  # the sweep finds it: its bulk was never committed
        await self._release(text(obj, "spec", "name"), ident)

    async def _change(self, ident: str, if_match: str, body_of: Callable[[Object], Any]) -> Entry:
        entry = self._entry(ident)
        claimed = ""
        try:
            for _ in range(_ATTEMPTS):
                _match(entry, if_match)
                old = mapping(entry.obj, "spec")
                spec = draft(self._collection, body_of(old), self._lookup, ident=ident, old=old)
                self._refuse_moved(ident, old, spec)
                name = text(spec, "name")
                if name != text(old, "name") and not claimed and self._collection.unique:
                    self._unique([spec])
                    await self._claim(name, ident)
                    claimed = name
                made = await self._write(entry, spec)
                if made is not None:
                    if name != text(old, "name"):
                        await self._release(text(old, "name"), ident)
                    claimed = ""
                    return self._state.wrote(made) or entry
                entry = self._refreshed(await self._read(ident), ident)
            raise RestError(409, "the document is being written by somebody else all the time: try again")
        finally:
            if claimed:
                await self._release(claimed, ident)

    async def _write(self, entry: Entry, spec: Object) -> Object | None:
        """Replace the fields of an object in exactly this version; None when it has another one by now."""
        meta = entry.obj["metadata"]
        open_spec, credentials = _without_credentials(spec)
        now, exact = str(int(self._state.clock())), str(int(1000 * self._state.clock()))
        notes = {**mapping(entry.obj, "metadata", "annotations"), UPDATED: now}
        if credentials:
            await self._keep(meta["name"], credentials)
            notes[CREDENTIALS] = exact
        changes = [{"op": "add", "path": "/spec", "value": open_spec}]
        changes.append({"op": "add", "path": "/metadata/annotations", "value": notes})
        try:
            return await self._state.client.json_patch(
                self._resource, meta["name"], self._organization, changes, resource_version=meta["resourceVersion"]
            )
        except NotFound:
            raise not_found(self._collection.plural, meta["name"]) from None
        except Conflict:
            return None
        except Invalid as error:
            if (await self._read(meta["name"]))["metadata"]["resourceVersion"] != meta["resourceVersion"]:
                return None
            raise refused(error) from None
        except ApiError as error:
            raise refused(error) from None

    async def _read(self, ident: str) -> Object:
        try:
            return await self._state.client.get(self._resource, ident, self._organization)
        except NotFound:
            raise not_found(self._collection.plural, ident) from None

    def _refreshed(self, obj: Object, ident: str) -> Entry:
        return self._state.wrote(obj) or self._entry(ident)

    def _entry(self, ident: str) -> Entry:
        found = self._index.get(ident)
        if found is None:
            raise not_found(self._collection.plural, ident)
        return found

    async def _claim(self, name: str, ident: str) -> None:
        """Hold a unique name for a document. Raises RestError 422 when another one has it."""
        if not self._collection.unique:
            return
        resource, plural = RESOURCES[NAMECLAIM], self._collection.plural
        obj: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": claim_name(plural, name), "namespace": self._organization},
            "spec": {"resource": plural, "name": name, "holder": ident},
        }
        for _ in range(2):
            try:
                await self._state.client.create(resource, obj)
                return
            except AlreadyExists:
                if not await self._take_over(obj, ident):
                    raise _taken(name) from None
            except ApiError as error:
                raise refused(error) from None
        raise _taken(name)

    async def _take_over(self, wanted: Object, ident: str) -> bool:
        """Remove a claim that is held for nothing; returns whether the name is free or ours now."""
        resource, name = RESOURCES[NAMECLAIM], wanted["metadata"]["name"]
        try:
            present = await self._state.client.get(resource, name, self._organization)
        except NotFound:
            return True
        holder = text(present, "spec", "holder")
        age = self._state.clock() - parse_time(text(present, "metadata", "creationTimestamp")).timestamp()
        if holder != ident and (self._index.get(holder) is not None or age < ABANDONED):
            return False
        try:
            await self._state.client.delete(resource, name, self._organization, uid=uid_of(present))
        except (NotFound, Conflict):
            return False
        return True

    async def _release(self, name: str, ident: str) -> None:
        """Give a name back, if it is ours."""
        if not self._collection.unique:
            return
        resource, claim = RESOURCES[NAMECLAIM], claim_name(self._collection.plural, name)
        try:
            present = await self._state.client.get(resource, claim, self._organization)
            if text(present, "spec", "holder") == ident:
                await self._state.client.delete(resource, claim, self._organization, uid=uid_of(present))
        except ApiError:
            return  # the sweep removes it

    async def _keep(self, ident: str, credentials: Object) -> None:
        """Write the credentials of an objectstore into its Secret; what is not given stays."""
        await self._state.secrets.call(self._organization, lambda: self._kept(ident, sealing.data_of(credentials)))

    async def _kept(self, ident: str, data: dict[str, str]) -> None:
        name, client = secret_name(ident), self._state.client
        try:
            await client.get(SECRETS, name, self._organization)
        except NotFound:
            data.setdefault("RESTIC_PASSWORD", _coded(secrets.token_urlsafe(32)))
            meta: Object = {"name": name, "namespace": self._organization, "labels": {MADE_FOR: ident}}
            await client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
            return
        await client.merge_patch(SECRETS, name, self._organization, {"data": data})

    async def _drop_secret(self, ident: str) -> None:
        """Remove the Secret of an objectstore that was refused."""
        client, name = self._state.client, secret_name(ident)
        with contextlib.suppress(ApiError):
            await self._state.secrets.call(self._organization, lambda: client.delete(SECRETS, name, self._organization))

    async def _own_secret(self, made: Object) -> None:
        """Tie the Secret of an objectstore to it, so that it goes with it."""
        own: Object = {"metadata": {"ownerReferences": [owner_reference(made, controller=False)]}}
        name, client = secret_name(made["metadata"]["name"]), self._state.client
        await self._state.secrets.call(self._organization, lambda: client.merge_patch(SECRETS, name, self._organization, own))

    def _refuse_moved(self, ident: str, old: Object, spec: Object) -> None:
        """Refuse to point an objectstore elsewhere while recovery points lie where it is."""
        if self._collection.plural != "objectstores" or _place(old) == _place(spec):
            return
        if self._state.index(self._organization, "backupinstances").having("objectstore", ident):
            raise invalid([Problem("bucket_name", "recovery points lie where it is: add another objectstore instead")])

    def _refuse_busy(self, ident: str) -> None:
        field = {"kubeoffloads": "copydef", "kubebackups": "backupdef", "kuberestores": "restoredef"}.get(
            self._collection.plural
        )
        if field is None:
            return
        for job in self._state.index(self._organization, "jobs").having(field, ident):
            if job.document.get("state", "PENDING") in ACTIVE_STATES:
                name = job.document["_id"]
                raise RestError(
                    409, f"job {name} is running: cancel it with POST /jobs/{name}/action/cancel, or wait for its end"
                )

    def _refuse_used(self, ident: str) -> None:
        """Refuse to delete what another document needs. Jobs and recovery points are history: only their store must stay."""
        plural = self._collection.plural
        for other in COLLECTIONS.values():
            fields = [
                field
                for field, target in other.references.items()
                if target == plural and field not in ("copydef", "backup_inst")
            ]
            if not fields or (other.flat and plural != "objectstores"):
                continue
            for entry in self._state.index(self._organization, other.plural).all():
                if any(_refers(entry.document, field, ident) for field in fields):
                    raise RestError(409, f"{other.plural}/{entry.document['_id']} ({entry.document['name']}) uses it")
        if plural == "kubehooks":
            for user in ("kubebackups", "kuberestores"):
                for entry in self._state.index(self._organization, user).all():
                    uses = [*items(entry.document, "pre_hooks"), *items(entry.document, "post_hooks")]
                    if any(ident in strings(use, "hooks") for use in uses):
                        raise RestError(409, f"{user}/{entry.document['_id']} ({entry.document['name']}) uses it")

    def _refuse_kept(self, entry: Entry) -> None:
        """Refuse to delete a locked recovery point before it expires, and the cluster that we run in."""
        until = number(entry.document, "expiry_timestamp")
        if flag(entry.document, "locked") and until is not None and until > self._state.clock():
            raise RestError(
                409, f"the recovery point is locked until its expiry_timestamp {until}: nobody can delete it before"
            )
        if annotation(entry.obj, LOCAL_CLUSTER) == "true":
            raise RestError(409, "this is the cluster that Holdfast runs in: it can't be removed")


def refused(error: ApiError) -> RestError:
    """Return what becomes of a refusal of the API server."""
    if isinstance(error, Invalid):
        issues = {str(cause.get("field", "")).removeprefix("spec."): str(cause.get("message", "")) for cause in error.causes}
        return RestError(422, error.message, issues or None)
    if error.status in (403, 404, 409, 413, 429):
        return RestError(error.status, error.message)
    return RestError(503, f"the Kubernetes API does not answer: {error.reason or error.status}", headers={"Retry-After": "2"})


def _match(entry: Entry, if_match: str) -> None:
    if if_match and entry.document["_etag"] not in etags(if_match) and if_match.strip() != "*":
        raise RestError(412, "Client and server etags don't match: read the document again, its _etag is the new If-Match")


def etags(header: str) -> set[str]:
    """Return the tags of an If-Match or If-None-Match header: bare, quoted or weak."""
    return {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}


def _taken(name: str) -> RestError:
    return RestError(422, f"the name {name!r} is taken", {"name": f"value '{name}' is not unique"})


def _place(spec: Object) -> tuple[str, ...]:
    access = mapping(spec, "s3provider")
    where = text(access, "endpoint") or text(access, "storage_account_name")
    return (text(spec, "provider_type"), text(spec, "region"), where, text(spec, "bucket_name"))


def _without_credentials(spec: Object) -> tuple[Object, Object]:
    return sealing.without_credentials(spec), mapping(spec, "s3provider", "credentials")


def _coded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _refers(document: Object, field: str, ident: str) -> bool:
    found: Any = document
    for part in field.split("."):
        found = cast(Object, found).get(part) if isinstance(found, dict) else None
    return ident in cast("list[Any]", found) if isinstance(found, list) else found == ident
