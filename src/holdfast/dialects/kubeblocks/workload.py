"""The pods that an ActionSet's commands run in: the user's container, and ours beside it.

An init container puts the program `datasafed` where the command finds it; a sidecar carries out what it asks, and tells what
the command says of itself. All that is drawn here is shape: what movers and the engine add is their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.calls import DatasafedAttend, DatasafedInstall
from holdfast.core.labels import TELLS
from holdfast.core.objects import Object
from holdfast.core.plan import MoverCall
from holdfast.dialects.kubeblocks import env as variables
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.access import Access

INSTALLER: Final = "dp-copy-datasafed"
ATTENDANT: Final = "manager"
BACKOFF: Final = 2
_BIN_VOLUME: Final = "dp-datasafed-bin"
_MANAGER_VOLUME: Final = "dp-manager"

_PLAIN: Final = {"allowPrivilegeEscalation": False, "runAsUser": 0}
"""Commands of ActionSets run as root, as documented: they read the files of any database."""

ATTENDANT_CONTEXT: Final = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}}


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The user's container: `name`, an image that may refer to variables, command, environment and mounts."""

    name: str
    image: str
    command: Sequence[str]
    env: Sequence[Object] = ()
    env_from: Sequence[Object] = ()
    mounts: Sequence[Object] = ()
    resources: Object = {}

    def container(self) -> Object:
        """Return the container."""
        found: Object = {
            "name": self.name,
            "image": variables.expand(self.image, self.env),
            "command": list(self.command),
            "securityContext": dict(_PLAIN),
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        if self.env:
            found["env"] = list(self.env)
        if self.env_from:
            found["envFrom"] = list(self.env_from)
        if self.mounts:
            found["volumeMounts"] = list(self.mounts)
        if self.resources:
            found["resources"] = self.resources
        return found


def pod(
    command: Command,
    access: Access,
    attend: DatasafedAttend,
    *,
    storage_env: Sequence[Object] = (),
    volumes: Sequence[Object] = (),
    account: str = "",
    placement: Mapping[str, Any] | None = None,
) -> tuple[Object, Mapping[str, MoverCall]]:
    """Return the spec of a pod and the movers of its containers, by their names.

    `storage_env` is what `datasafed` must know beside what `access` says; `placement` are fields of a pod that choose its node.
    """
    shared = [
        {"name": _BIN_VOLUME, "mountPath": variables.BIN},
        {"name": _MANAGER_VOLUME, "mountPath": variables.MANAGER},
    ]
    main = msgspec.structs.replace(command, env=variables.merge(access.env, command.env)).container()
    main["volumeMounts"] = [*shared, *access.mounts, *main.get("volumeMounts", ())]
    attendant: Object = {
        "name": ATTENDANT,
        "restartPolicy": "Always",
        "env": variables.merge(access.env, storage_env),
        "volumeMounts": [*shared, *access.mounts],
        "securityContext": dict(ATTENDANT_CONTEXT),
    }
    spec: Object = {
        "restartPolicy": "Never",
        "initContainers": [{"name": INSTALLER, "volumeMounts": shared[:1]}, attendant],
        "containers": [main],
        "volumes": [
            {"name": _BIN_VOLUME, "emptyDir": {}},
            {"name": _MANAGER_VOLUME, "emptyDir": {}},
            *_unique([*access.volumes, *volumes]),
        ],
        **(placement or {}),
    }
    if account:
        spec["serviceAccountName"] = account
    install = DatasafedInstall(variables.BIN)
    return spec, {INSTALLER: install.call(), ATTENDANT: attend.call()}


def attend(**said: Any) -> DatasafedAttend:
    """Return the call of a sidecar; see `DatasafedAttend`."""
    return DatasafedAttend(variables.BIN, **said)


def job(name: str, namespace: str, labels: Object, spec: Object, backoff: int, annotations: Object | None = None) -> Object:
    """Return the Job around a pod's spec."""
    meta: Object = {"name": name, "namespace": namespace, "labels": labels}
    if annotations:
        meta["annotations"] = annotations
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"backoffLimit": backoff, "template": template(labels, spec)},
    }


def template(labels: Object, spec: Object) -> Object:
    """Return a pod's template whose progress is told by the sidecar.

    The pod does not carry the label by which Services and policies find the database: it is none.
    """
    own = {key: value for key, value in labels.items() if key not in (names.INSTANCE, names.COMPONENT)}
    return {"metadata": {"labels": own, "annotations": {TELLS: ATTENDANT}}, "spec": spec}


def _unique(volumes: Sequence[Object]) -> list[Object]:
    found: dict[str, Object] = {}
    for volume in volumes:
        found.setdefault(volume["name"], volume)
    return list(found.values())
