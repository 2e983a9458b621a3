"""What `action/<name>` does: a run becomes a job, a job is cancelled, a policy rests.

A run answers with the job's id at once, in `status.jobid` and the Location header. With an Idempotency-Key the same request
makes the same job, however often it is sent.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.read import mapping, text
from holdfast.dialects.cloudcasa.kinds import ACTIVE_STATES, FINAL_STATES, JOBLOG, KUBEJOB, derived_id
from holdfast.dialects.cloudcasa.resources import Collection
from holdfast.dialects.cloudcasa.runs import backup_job, copy_job, restore_job
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound
from holdfast.rest.drafts import action_body
from holdfast.rest.errors import RestError, not_found
from holdfast.rest.index import Entry
from holdfast.rest.state import RESOURCES, OrganizationLookup, State
from holdfast.rest.writes import refused

_LONGEST_KEY: Final = 255
_BY: Final = {"kubebackups": "backupdef", "kubeoffloads": "copydef", "kuberestores": "restoredef"}
"""The field of a job that holds its definition."""


class Done(msgspec.Struct, frozen=True):
    """What an action answers with: a document, and the job that it made."""

    document: Object
    job: str = ""


async def act(
    state: State, organization: str, collection: Collection, ident: str, action: str, body: Any, idempotency: str = ""
) -> Done:
    """Carry out an action. Raises RestError 404, 409, 422."""
    if action not in collection.actions:
        known = ", ".join(collection.actions) or "none"
        raise RestError(404, f"{collection.plural} have no action {action} (there are: {known})")
    entry = state.find(organization, collection.plural, ident)
    if entry is None:
        raise not_found(collection.plural, ident)
    given = action_body(collection.actions[action], body)
    match action:
        case "run":
            return await _run(state, organization, collection, entry, given, idempotency)
        case "cancel":
            return await _cancel(state, organization, collection, entry)
        case _:
            return await _suspend(state, organization, collection, entry, suspended=action == "suspend")


async def logs_of(state: State, organization: str, ident: str) -> Object:
    """Return what the movers of a job printed last; those that run come first. Raises RestError 404."""
    entry = state.find(organization, "jobs", ident)
    if entry is None:
        raise not_found("jobs", ident)
    try:
        kept = mapping(await state.client.get(RESOURCES[JOBLOG], ident, organization), "spec", "movers")
    except NotFound:
        kept = {}
    except ApiError as error:
        raise refused(error) from None
    goes_on = entry.document.get("state", "PENDING") in ACTIVE_STATES
    found = [{"pod": pod, **each, "running": goes_on and each["running"]} for pod, each in kept.items()]
    return {"_items": sorted(found, key=lambda each: not each["running"])}


async def _run(state: State, organization: str, collection: Collection, entry: Entry, given: Object, idempotency: str) -> Done:
    ident = str(entry.document["_id"])
    if len(idempotency) > _LONGEST_KEY:
        raise RestError(400, f"Idempotency-Key is longer than {_LONGEST_KEY} characters")
    parts = ("run", organization, collection.plural, ident, idempotency)
    job_id = derived_id(*parts) if idempotency else secrets.token_hex(12)
    present = state.find(organization, "jobs", job_id)
    if present is None:
        _refuse_second(state, organization, collection, ident)
        job = _job(state, organization, collection, entry, given, job_id)
        present = await _made(state, organization, job)
    return Done(_with_job(entry.document, present), job_id)


def _refuse_second(state: State, organization: str, collection: Collection, ident: str) -> None:
    for other in state.index(organization, "jobs").having(_BY[collection.plural], ident):
        mine = collection.plural != "kubebackups" or other.document.get("type") == "KUBE_BACKUP"
        if mine and other.document.get("state", "PENDING") in ACTIVE_STATES:
            raise RestError(409, f"job {other.document['_id']} of it is running: one at a time")


def _job(state: State, organization: str, collection: Collection, entry: Entry, given: Object, job_id: str) -> Object:
    lookup, now = OrganizationLookup(state, organization), int(state.clock())
    days = mapping(given, "retention").get("retainDays", 0)
    match collection.plural:
        case "kubeoffloads":
            take = given.get("runBackup") is True
            return copy_job(entry.obj, job_id, now, lookup, retain_days=days, run_backup=take)
        case "kubebackups":
            return backup_job(entry.obj, job_id, now, lookup, retain_days=days)
        case _:
            return restore_job(entry.obj, job_id, now, lookup)


async def _made(state: State, organization: str, job: Object) -> Entry:
    resource = RESOURCES[KUBEJOB]
    try:
        made = await state.client.create(resource, job)
    except AlreadyExists:
        made = await state.client.get(resource, job["metadata"]["name"], organization)
    except ApiError as error:
        raise refused(error) from None
    entry = state.wrote(made)
    if entry is None:
        raise RestError(500, "the job was written and is not to be seen")
    return entry


def _with_job(document: Object, job: Entry) -> Object:
    """Return a document with the job that was just asked for; when it last ran stays what it was."""
    status = {**mapping(document, "status"), "jobid": job.document["_id"], "state": job.document.get("state", "PENDING")}
    return {**document, "status": status, "_status": "OK"}


async def _cancel(state: State, organization: str, collection: Collection, entry: Entry) -> Done:
    ident, now = str(entry.document["_id"]), entry.document.get("state", "PENDING")
    if now in FINAL_STATES:
        raise RestError(409, f"job {ident} is {now}: there is nothing to cancel")
    try:
        made = await state.client.merge_patch(RESOURCES[KUBEJOB], ident, organization, {"spec": {"cancel": True}})
    except NotFound:
        raise not_found(collection.plural, ident) from None
    except ApiError as error:
        raise refused(error) from None
    found = state.wrote(made) or entry
    return Done({**found.document, "_status": "OK"}, text(made, "metadata", "name"))


async def _suspend(state: State, organization: str, collection: Collection, entry: Entry, *, suspended: bool) -> Done:
    body: Object = {"status": {"suspended": suspended}}
    try:
        made = await state.client.merge_patch(
            RESOURCES[collection.kind], str(entry.document["_id"]), organization, body, subresource="status"
        )
    except ApiError as error:
        raise refused(error) from None
    found = state.wrote(made) or entry
    return Done({**found.document, "_status": "OK"})
