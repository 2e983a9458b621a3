"""What movers put into their pods: the engine's side of every mover, pure.

The call travels as one environment variable without secrets; each Secret of the call becomes a read-only folder; `/tmp`
is an emptyDir, since the root of a mover's container is read-only.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.core.calls import CALLS, SECRETS
from holdfast.core.plan import SecretFiles, Step
from holdfast.core.ports import Fill, Mover
from holdfast.movers.entry import CALL_VARIABLE

COMMAND = ("holdfast-mover", "run")
_SCRATCH = "holdfast-tmp"
_READABLE = 0o444
"""Mode of secret files: movers that are not root must read them too, and nobody else is in their pod."""


class JobMover(msgspec.Struct, frozen=True):
    """The Mover of the core's port for every call that `holdfast-mover` carries out."""

    name: str

    def fill(self, step: Step) -> Fill:
        """Return the command, the call as environment, and the Secrets as folders."""
        if step.mover is None:
            return Fill(COMMAND)
        call = {"mover": step.mover.mover, "arguments": step.mover.arguments}
        volumes: list[Mapping[str, Any]] = [{"name": _SCRATCH, "emptyDir": {}}]
        mounts: list[Mapping[str, Any]] = [{"name": _SCRATCH, "mountPath": "/tmp"}]
        for number, files in enumerate(step.mover.secrets):
            name = f"holdfast-secret-{number}"
            volumes.append({"name": name, "secret": _source(files)})
            mounts.append({"name": name, "mountPath": f"{SECRETS}/{files.mount}", "readOnly": True})
        env = {CALL_VARIABLE: msgspec.json.encode(call).decode(), "HOME": "/tmp"}
        return Fill(COMMAND, env, tuple(mounts), tuple(volumes))


def movers() -> dict[str, Mover]:
    """Return every mover by its name."""
    return {name: JobMover(name) for name in CALLS}


def _source(files: SecretFiles) -> Mapping[str, Any]:
    source: dict[str, Any] = {"secretName": files.secret, "defaultMode": _READABLE}
    if files.keys:
        source["items"] = [{"key": key, "path": key} for key in files.keys]
    return {**source, "optional": True} if files.optional else source
