"""The handlers of what users define and nothing runs by itself: clusters, policies, hooks, objectstores."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import ENABLED, OBJECT_LOCK, StorageInit
from holdfast.core.cron import CronError
from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Phase, Plan, Problems, RunKind, Step
from holdfast.core.ports import Outcome, Sealed, View
from holdfast.core.read import flag, generation_of, mapping, name_of, namespace_of, text
from holdfast.core.times import format_time
from holdfast.dialects.cloudcasa import pods, remote, sealing, stores, ticks
from holdfast.dialects.cloudcasa.handler import DocumentHandler
from holdfast.dialects.cloudcasa.kinds import CREDENTIALS, LOCAL_CLUSTER

_PROBE: Final = "probe"
_PROBE_LIMIT: Final = timedelta(minutes=5)


class KubeclusterHandler(DocumentHandler):
    """Handles Kubeclusters: the one that we run in is ACTIVE, another one as long as its agent reports."""

    def wanted(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Look again when a cluster that reports would count as silent."""
        until = remote.heard_until(obj)
        return Desired(wake_at=until if until is not None and until > now else None)

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the state. What an agent reports of its cluster stays."""
        status, until = mapping(obj, "status"), remote.heard_until(obj)
        if outcome.problems is not None:
            return {**status, "state": text(status, "state", default="REGISTERED"), "message": str(outcome.problems)}
        if annotation(obj, LOCAL_CLUSTER) == "true":
            return {"state": "ACTIVE", "message": "this is the cluster that Holdfast runs in"}
        if trouble := text(status, "trouble"):
            return {**status, "state": "PENDING", "message": f"can't be reached: {trouble}"}
        if until is None:
            said = "no agent has reported: apply what its agentURL serves there, with kubectl"
            return {**status, "state": "REGISTERED", "message": said}
        if now < until:
            return {**status, "state": "ACTIVE", "message": "its agent reports"}
        since = format_time(until - remote.SILENT)
        return {**status, "state": "PENDING", "message": f"its agent has been silent since {since}"}


class PolicyHandler(DocumentHandler):
    """Handles Policies: says when they are due next."""

    def wanted(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Look again when it is due, to say the time after that."""
        return Desired(wake_at=_next(obj, now))

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return whether it rests, and when it is due."""
        kept = {key: value for key, value in mapping(obj, "status").items() if key == "suspended"}
        if outcome.problems is not None:
            return {**kept, "message": str(outcome.problems)}
        following = None if flag(obj, "status", "suspended") else _next(obj, now)
        return {**kept, **({"next_run_time": ticks.seconds(following)} if following else {})}


class KubehookHandler(DocumentHandler):
    """Handles Kubehooks: nothing follows from one by itself."""


class ObjectstoreHandler(DocumentHandler):
    """Handles Objectstores: tries each from within the cluster, anew when its definition changes."""

    def seal(self, obj: Object) -> Sealed | None:
        """Take the credentials out of an object that kubectl brings."""
        return sealing.seal(obj)

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Seal what is clear, and only then judge the rest."""
        sealed = self.seal(obj)
        return Desired(amend=sealing.amend(obj, sealed)) if sealed is not None else super().compile(obj, view, now)

    def wanted(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Run the probe of this generation until it has ended."""
        if _probed(obj):
            return Desired()
        job = pods.job(f"cloudcasa-probe-{name_of(obj)[:12]}-{_version(obj)}", namespace_of(obj))
        document: Object = {"kind": "CloudCasa objectstore", "id": name_of(obj)}
        store = stores.repository_of(obj)
        call = StorageInit(store.store, document, repository=store, look_for_lock=True).call(stores.secrets_of(name_of(obj)))
        step = Step(name=_PROBE, child=job, mover=call, deadline=_PROBE_LIMIT)
        return Desired(runs=(Plan(name=_PROBE, kind=RunKind.INITIALIZE, steps=(step,)),))

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return whether it works."""
        if outcome.problems is not None:
            return {"validate_state": "INVALID", "message": str(outcome.problems)}
        run = outcome.runs.get(_PROBE)
        if run is None:
            return mapping(obj, "status")
        if run.phase is Phase.SUCCEEDED:
            report = run.steps[_PROBE].report
            lock = any((each.name, each.status) == (OBJECT_LOCK, ENABLED) for each in (report.items if report else ()))
            return {"validate_state": "VALID", "probed": _version(obj), "object_lock": lock}
        if run.phase.terminal:
            state = run.steps[_PROBE]
            said = state.message or state.reason
            return {"validate_state": "INVALID", "message": said, "probed": _version(obj)}
        return {"validate_state": "VALIDATING"}


def _next(policy: Object, now: datetime) -> datetime | None:
    try:
        return ticks.due(mapping(policy, "spec"), now, now).next
    except CronError:
        return None


def _probed(obj: Object) -> bool:
    return text(obj, "status", "probed") == _version(obj)


def _version(obj: Object) -> str:
    """Return what changes when the definition or its credentials do."""
    return f"{generation_of(obj)}-{annotation(obj, CREDENTIALS) or 0}"
