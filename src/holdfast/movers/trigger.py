"""Starts a session: creates one object through the Kubernetes API, from inside a CronJob's pod.

The name ends in the second for which the CronJob was due, read from the pod's name (`<cronjob>-<minutes>-<random>`), so that
a second pod of the same tick creates no second session. A pod of a Job that somebody made by hand uses the present second.
"""

import asyncio
import hashlib
import json
import re
import socket
import time
from datetime import UTC, datetime

from holdfast.core.calls import Trigger
from holdfast.core.objects import bounded_name
from holdfast.core.read import mapping
from holdfast.core.report import Report, RepositoryResult
from holdfast.kube.client import Client
from holdfast.kube.config import ConfigError, in_cluster
from holdfast.kube.errors import AlreadyExists, ApiError
from holdfast.kube.resource import Resource
from holdfast.movers.context import Context, MoverError, log

_SCHEDULED = re.compile(r"-(\d{8})-[a-z0-9]{5}$")
_DAY = 24 * 3600


def run(call: Trigger, context: Context) -> Report:
    """Create the object. One that exists already is as good."""
    context.check()
    name = name_of(call, moment(socket.gethostname(), time.time()))
    try:
        name, created = asyncio.run(_create(call, name))
    except ConfigError as error:
        raise MoverError("NotInCluster", str(error), "the trigger needs its service account token mounted") from error
    except ApiError as error:
        raise MoverError(f"Api{error.reason or 'Error'}", f"creating {call.plural} {name}: {error.message}") from error
    log(f"{call.plural} {name} {'created' if created else 'exists already'}")
    return Report(Trigger.MOVER, (RepositoryResult(name),))


def moment(pod: str, now: float) -> int:
    """Return the unix second that the session is named after: the tick of the CronJob, or now."""
    found = _SCHEDULED.search(pod)
    due = int(found.group(1)) * 60 if found else 0
    return due if abs(now - due) < _DAY else int(now)


def name_of(call: Trigger, second: int) -> str:
    """Return the name of what is created at a moment."""
    stamp = datetime.fromtimestamp(second, UTC).strftime(call.stamp) if call.stamp else str(second)
    return f"{call.name_prefix}-{stamp}"


async def _create(call: Trigger, name: str) -> tuple[str, bool]:
    """Create the object; return its name, and whether it is new."""
    document = dict(call.document)
    document["metadata"] = {**document.get("metadata", {}), "name": name}
    group, _, version = str(document["apiVersion"]).rpartition("/")
    resource = Resource(group, version, str(document["kind"]), call.plural)
    async with Client(in_cluster(), field_manager="holdfast-trigger") as client:
        try:
            await client.create(resource, document)
            return name, True
        except AlreadyExists:
            there = await client.get(resource, name, document["metadata"].get("namespace"))
        labels = mapping(document, "metadata", "labels")
        if labels.items() <= mapping(there, "metadata", "labels").items():
            return name, False
        own = bounded_name(f"{name}-{hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:6]}")
        document["metadata"]["name"] = own
        try:
            await client.create(resource, document)
        except AlreadyExists:
            return own, False
    return own, True
