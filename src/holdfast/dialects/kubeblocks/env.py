"""The environment of the containers that an ActionSet describes: what is in it, and what wins.

Variables come in layers; one of a later layer takes the place of one of the same name, at the place of the first, so that what
refers to it by `$(NAME)` sees the last value. Credentials are references to Secrets, never values.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, text
from holdfast.dialects.kubeblocks import targets
from holdfast.dialects.kubeblocks.targets import Target

BIN: Final = "/holdfast/datasafed"
"""Where jobs find the program `datasafed`."""

MANAGER: Final = "/dp-manager"
INFO: Final = f"{MANAGER}/backup.info"
ROLE: Final = "kubeblocks.io/role"

_INDEXED: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_REFERENCE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


def merge(*layers: Iterable[Object]) -> list[Object]:
    """Return the variables of all layers."""
    found: dict[str, Object] = {}
    for layer in layers:
        for variable in layer:
            found[text(variable, "name")] = dict(variable)
    return list(found.values())


def literals(values: Mapping[str, str]) -> list[Object]:
    """Return variables with plain values."""
    return [{"name": name, "value": value} for name, value in values.items()]


def expand(image: str, env: Sequence[Object]) -> str:
    """Replace `$(NAME)` in an image by the plain value of a variable; what is not known stays."""
    known: dict[str, str] = {}
    for variable in env:
        if "valueFrom" not in variable:
            known[text(variable, "name")] = _expanded(text(variable, "value"), known)
    return _expanded(image, known)


def _expanded(value: str, known: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: known.get(match[1], match[0]), value)


def of_pod(pod: Object) -> list[Object]:
    """Return the variables of a pod's first container, its fields as they are in that pod."""
    found: list[Object] = []
    for variable in items(targets.first_container(pod), "env"):
        source = mapping(variable, "valueFrom")
        if "fieldRef" in source:
            found.append({"name": text(variable, "name"), "value": _field(pod, text(source, "fieldRef", "fieldPath"))})
        elif "resourceFieldRef" not in source:
            found.append(variable)
    return found


def sources_of_pod(pod: Object) -> list[Object]:
    """Return the sources of variables of a pod's first container."""
    return items(targets.first_container(pod), "envFrom")


def database(target: Target, pod: Object) -> list[Object]:
    """Return how to reach and log in to the database in a pod."""
    return database_of(target.credential, pod, mapping(target.raw, "containerPort"))


def database_of(credential: Object, pod: Object, port: Object | None = None) -> list[Object]:
    """Return DP_DB_*: host and port of the Secret where its keys are named, else of the pod; user and password by reference."""
    secret = text(credential, "secretName")
    found: list[Object] = []
    for name, key, default, plain in (
        ("DP_DB_HOST", "hostKey", "", targets.host_of(pod)),
        ("DP_DB_PORT", "portKey", "", targets.port_of(pod, port or {})),
        ("DP_DB_USER", "usernameKey", "username", None),
        ("DP_DB_PASSWORD", "passwordKey", "password", None),
    ):
        entry = text(credential, key, default=default)
        if secret and entry:
            found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": entry}}})
        elif plain is not None:
            found.append({"name": name, "value": plain})
    return found


def of_target(pod: Object) -> dict[str, str]:
    """Return what tells a job which pod it works on."""
    return {"DP_TARGET_POD_NAME": name_of(pod), "DP_TARGET_POD_ROLE": text(pod, "metadata", "labels", ROLE)}


def encryption(config: Object) -> list[Object]:
    """Return how `datasafed` seals what it stores; nothing when it does not."""
    if not config:
        return []
    reference: dict[str, Any] = dict(mapping(config, "passPhraseSecretKeyRef"))
    return [
        {"name": "DATASAFED_ENCRYPTION_ALGORITHM", "value": text(config, "algorithm", default="AES-256-CFB")},
        {"name": "DATASAFED_ENCRYPTION_PASS_PHRASE", "valueFrom": {"secretKeyRef": reference}},
    ]


def _field(pod: Object, path: str) -> str:
    """Return a field of a pod as the downward API names it."""
    match = _INDEXED.fullmatch(path)
    if match:
        return text(pod, "metadata", match[1], match[2])
    return text(pod, *path.split("."))
