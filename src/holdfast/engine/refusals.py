"""Why a Job has no pod: what admission says when it refuses one, such as a ResourceQuota, a LimitRange or Pod Security.

Kubernetes writes it nowhere but into an Event of the Job; the Job itself only waits. So the Events of that one reason are
followed, and the newest one of a Job without a pod becomes the reason of its step.
"""

from collections.abc import Callable, Iterable
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import text
from holdfast.kube.builtin import EVENTS
from holdfast.kube.client import Client
from holdfast.kube.informer import Informer

REASON: Final = "FailedCreate"
"""The reason under which controllers tell that they could not create a pod."""

_INDEX: Final = "engine/refused"
_LIMIT: Final = 600


class Refusals:
    """The Events of pods that could not be made, by Job."""

    def __init__(self, client: Client, tell: Callable[[str, str], None]) -> None:
        """`tell` is called with namespace and name of a Job for which there is news. Nobody waits for these Events."""
        selector = f"reason={REASON},involvedObject.kind=Job"
        self._informer = Informer(client, EVENTS, field_selector=selector, trim=_trimmed)
        self._informer.add_index(_INDEX, _uid)
        self._informer.subscribe(lambda _, new: tell(*_job_named(new)) if new is not None else None)

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._informer.run()

    def of(self, job: Object) -> str:
        """Return why the last try to make a pod of a Job was refused; empty when none was."""
        found = self._informer.by_index(_INDEX, text(job, "metadata", "uid"))
        newest = max(found, key=lambda event: (text(event, "lastTimestamp"), text(event, "metadata", "name")), default=None)
        return text(newest, "message")[:_LIMIT] if newest is not None else ""


def _job_named(event: Object) -> tuple[str, str]:
    """Return namespace and name of the Job that an Event is about."""
    return text(event, "involvedObject", "namespace"), text(event, "involvedObject", "name")


def _uid(event: Object) -> Iterable[str]:
    return (text(event, "involvedObject", "uid"),)


def _trimmed(event: Object) -> Object:
    kept = {name: event[name] for name in ("involvedObject", "message", "lastTimestamp") if name in event}
    return {"metadata": {name: event["metadata"][name] for name in _META if name in event["metadata"]}, **kept}


_META: Final = ("name", "namespace", "uid", "resourceVersion")
