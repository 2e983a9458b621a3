"""The state of one container, and the words Kubernetes uses for it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import format_time, optional_time
from holdfast.embedded.node.process import Exit
from holdfast.embedded.read import mapping

MAX_MESSAGE = 4096
"""The longest termination message that Kubernetes keeps, in bytes."""


class Waiting(msgspec.Struct, frozen=True):
    """Not started. `reason` is CamelCase, `message` for people."""

    reason: str = "ContainerCreating"
    message: str = ""


class Running(msgspec.Struct, frozen=True):
    """Started, and not yet ended."""

    started: datetime


class Terminated(msgspec.Struct, frozen=True, kw_only=True):
    """Ended, with what it said last."""

    exit: Exit
    reason: str
    started: datetime
    finished: datetime
    message: str = ""
    id: str = ""


State = Waiting | Running | Terminated


class Container(msgspec.Struct, kw_only=True):
    """What the node knows of one container. Changed by its runner only.

    `begun`: it has run at least once. `up`: this run has started up, which a startup probe may take a while to find.
    """

    spec: Object
    state: State = Waiting()
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    up: bool = False
    begun: bool = False
    id: str = ""

    @property
    def name(self) -> str:
        """The name in the pod's spec."""
        return str(self.spec["name"])

    @property
    def succeeded(self) -> bool:
        """Whether it ended with code 0."""
        return isinstance(self.state, Terminated) and self.state.exit.code == 0

    def status(self) -> Object:
        """Return the entry of containerStatuses."""
        image = self.spec.get("image") or ""
        found: Object = {
            "name": self.name,
            "state": _state(self.state),
            "lastState": _state(self.last) if self.last else {},
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": image,
            "imageID": f"host:{image}" if self.begun else "",
            "started": self.up,
        }
        if self.id:
            found["containerID"] = self.id
        return found


def resumed(spec: Object, old: Object, reason: str, message: str, now: datetime) -> Container:
    """A container that ran or waited under an earlier node, before its next start; `old` is its entry of containerStatuses.

    What ran is taken to have been killed at `now`, for `reason`; its next start counts as a restart.
    """
    running = mapping(old, "state", "running")
    begun = bool(old.get("containerID"))
    last = terminated_from(mapping(old, "lastState", "terminated")) or terminated_from(mapping(old, "state", "terminated"))
    if running:
        started = optional_time(running.get("startedAt")) or now
        killed = str(old.get("containerID") or "")
        last = Terminated(exit=Exit(137), reason=reason, message=message, started=started, finished=now, id=killed)
    return Container(spec=spec, last=last, restarts=int(old.get("restartCount") or 0) + begun, begun=begun)


def terminated_from(old: Object) -> Terminated | None:
    """Read an end back from a status; None when there is none."""
    started, finished = optional_time(old.get("startedAt")), optional_time(old.get("finishedAt"))
    if started is None or finished is None:
        return None
    ended = Exit(int(old.get("exitCode") or 0), int(old.get("signal") or 0))
    words = {key: str(old.get(key) or "") for key in ("reason", "message")}
    return Terminated(exit=ended, started=started, finished=finished, id=str(old.get("containerID") or ""), **words)


def reason_of(ended: Exit, *, out_of_memory: bool) -> str:
    """Return the reason of a termination."""
    if out_of_memory:
        return "OOMKilled"
    return "Completed" if ended.code == 0 else "Error"


def last_words(written: bytes, log: Sequence[str], policy: str, ended: Exit) -> str:
    """Return the termination message: what the file holds, or the end of the log where that is asked for."""
    text = written[:MAX_MESSAGE].decode(errors="replace")
    if text or policy != "FallbackToLogsOnError" or ended.code == 0:
        return text
    tail = "\n".join(log[-80:])
    return tail[-2048:]


def _state(state: State) -> dict[str, Any]:
    if isinstance(state, Waiting):
        found = {"reason": state.reason} | ({"message": state.message} if state.message else {})
        return {"waiting": found}
    if isinstance(state, Running):
        return {"running": {"startedAt": format_time(state.started)}}
    ended: dict[str, Any] = {
        "exitCode": state.exit.code,
        "reason": state.reason,
        "startedAt": format_time(state.started),
        "finishedAt": format_time(state.finished),
        "containerID": state.id,
    }
    if state.exit.signal:
        ended["signal"] = state.exit.signal
    if state.message:
        ended["message"] = state.message
    return {"terminated": ended}
