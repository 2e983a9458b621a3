"""The CronJob controller: carries out what `cronjob_decision` decides.

The name of a Job follows from its due time, so a start that is tried twice, also by two controllers, happens once.
"""

from datetime import UTC, datetime

from holdfast.core.objects import Object, owner_reference
from holdfast.core.times import format_time
from holdfast.embedded.controllers import cronjob_decision
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers.cronjob_decision import Decision
from holdfast.embedded.controllers.echo import Echo
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import CRONJOBS, JOBS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of, owner_keys, owner_uids

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
WORKERS = 32
"""At the top of an hour thousands are due at once. Many starts in flight share one commit of the server, and come before the
work that follows from them."""


class CronJobController:
    """Keeps CronJobs."""

    def __init__(self, client: Client, events: EventRecorder, cronjobs: Informer, jobs: Informer) -> None:
        self._client = client
        self._events = events
        self._cronjobs = cronjobs
        self._jobs = jobs
        self._echo = Echo(cronjobs)
        jobs.add_index("owner", owner_uids)
        self.controller = Controller("cronjob", self.reconcile, workers=WORKERS)
        self.controller.watches(cronjobs, lambda cronjob: [key_of(cronjob)])
        self.controller.watches(jobs, owner_keys("CronJob", "batch"))

    async def reconcile(self, key: Key) -> Result:
        """Bring one CronJob up to now."""
        cronjob = self._cronjobs.get(*key)
        if cronjob is None or cronjob["metadata"].get("deletionTimestamp"):
            return Result()
        jobs = self._jobs.by_index("owner", cronjob["metadata"]["uid"])
        decision = cronjob_decision.decide(cronjob, jobs, datetime.now(UTC))
        for note in decision.notes:
            self._events.emit(cronjob, "Warning" if note.warning else "Normal", note.reason, note.message)
        for job in decision.delete:
            await self._delete(cronjob, job)
        if decision.start is not None:
            await self._start(cronjob, decision.start, decision)
        await self._show(cronjob, decision)
        return Result(after=decision.after)

    async def _start(self, cronjob: Object, due: datetime, decision: Decision) -> None:
        job = job_of(cronjob, due)
        try:
            made = await self._client.create(JOBS, job)
        except AlreadyExists:
            return
        except ApiError as problem:
            self._events.emit(cronjob, "Warning", "FailedCreate", f"Error creating job: {problem}")
            raise
        decision.status["active"] = [*decision.status.get("active", ()), cronjob_decision.reference(made)]
        self._events.emit(cronjob, "Normal", "SuccessfulCreate", f"Created job {job['metadata']['name']}")

    async def _delete(self, cronjob: Object, job: Object) -> None:
        meta = job["metadata"]
        try:
            await self._client.delete(JOBS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        self._events.emit(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {meta['name']}")

    async def _show(self, cronjob: Object, decision: Decision) -> None:
        patch = podlib.patch_of(mapping(cronjob, "status"), decision.status)
        meta = cronjob["metadata"]
        if patch and not self._echo.awaited(cronjob, patch):
            await self._client.merge_patch(CRONJOBS, meta["name"], meta["namespace"], {"status": patch}, subresource="status")
            self._echo.sent(cronjob, patch)


def job_of(cronjob: Object, due: datetime) -> Object:
    """Build the Job for a due time."""
    template: Object = cronjob["spec"]["jobTemplate"]
    meta: Object = mapping(template, "metadata")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": cronjob_decision.job_name(cronjob, due),
            "namespace": cronjob["metadata"]["namespace"],
            "labels": dict(mapping(meta, "labels")),
            "annotations": {**mapping(meta, "annotations"), SCHEDULED_AT: format_time(due)},
            "ownerReferences": [owner_reference(cronjob)],
        },
        "spec": template["spec"],
    }
