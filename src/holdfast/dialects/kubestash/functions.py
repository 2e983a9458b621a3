"""Functions: the containers that users write, filled in with the values of a task, a hook or a verifier.

What a Function may say is what a container may say. Its variables are filled in string by string. It runs without more rights
than its own securityContext asks for; the settings that every pod of ours has are the engine's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, items, mapping, strings, text
from holdfast.dialects.kubestash import runtime
from holdfast.dialects.kubestash.expand import expand
from holdfast.dialects.kubestash.kinds import FUNCTION

_SCRATCH: Final = {"name": "holdfast-tmp", "mountPath": "/tmp"}
"""Room for temporary files: the root of the container can't be written, unless the Function's securityContext says so."""
_FIELDS: Final = ("image", "command", "args", "workingDir", "ports", "volumeMounts", "volumeDevices")

__all__ = ["FUNCTION", "FunctionHandler", "container", "is_ours", "put"]


class FunctionHandler:
    """Handles Functions: it only judges them."""

    kind = FUNCTION
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge image and settings."""
        found = runtime.container_problems(mapping(obj, "spec", "runtimeSettings"), "spec.runtimeSettings")
        if not is_ours(obj) and not text(obj, "spec", "image"):
            found.append(Problem("spec.image", "needed: the image of the container"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask for nothing: a Function acts through the tasks and hooks that name it."""
        problems = None if deleting(obj) else self.validate(obj, None, view)
        return problems or Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")


def is_ours(function: Object) -> bool:
    """Whether a Function is one of Holdfast's own movers, whose program the engine fills in."""
    return strings(function, "spec", "command") == ["holdfast-mover", "run"] and not text(function, "spec", "image")


def container(function: Object, values: Mapping[str, str], name: str) -> Object:
    """Return the container of a Function with its variables filled in. Raises UnknownVariable."""
    spec = mapping(function, "spec")
    found: Object = {"name": name, **{field: expand(spec[field], values) for field in _FIELDS if spec.get(field)}}
    job: Object = {"spec": {"template": {"spec": {"containers": [found]}}}}
    shaped = runtime.with_container(job, expand(mapping(spec, "runtimeSettings"), values))
    return items(shaped, "spec", "template", "spec", "containers")[0]


def put(job: Object, found: Object, mounts: Sequence[Object] = ()) -> None:
    """Put a Function's container in the place of a Job's first one, with further mounts. Changes the Job."""
    pod: Object = job["spec"]["template"]["spec"]
    given = [*items(pod["containers"][0], "volumeMounts"), *items(found, "volumeMounts"), *mounts]
    if not any(text(mount, "mountPath") == _SCRATCH["mountPath"] for mount in given):
        given.append(_SCRATCH)
        pod["volumes"] = [*items(pod, "volumes"), {"name": _SCRATCH["name"], "emptyDir": {}}]
    first: Object = {**found, "volumeMounts": given}
    context = {
        **mapping(job["spec"]["template"]["spec"]["containers"][0], "securityContext"),
        **mapping(found, "securityContext"),
    }
    job["spec"]["template"]["spec"]["containers"][0] = {**first, "securityContext": context}
