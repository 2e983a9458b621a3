"""Rules of a pod's spec, wherever it stands: names, volumes and mounts, probes, amounts. The words follow the real server's."""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final, cast

from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.schema.quantity import parse

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")


def problems(spec: Object, field: str, claims: Collection[str] = ()) -> list[Cause]:
    """What is wrong with a pod's spec at `field`; `claims` are the names that volumeClaimTemplates add to its volumes."""
    found = list(_volumes(spec, field))
    volumes = {str(volume.get("name")) for volume in parts(spec, "volumes")} | set(claims)
    if not parts(spec, "containers"):
        found.append(_required(f"{field}.containers"))
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, item in enumerate(parts(spec, group)):
            at = f"{field}.{group}[{index}]"
            found += _name(item, f"{at}.name", names)
            if not item.get("image"):
                found.append(_required(f"{at}.image"))
            found += [*_mounts(item, at, volumes), *_probes(item, at), *_amounts(item, at), *_variables(item, at)]
    return found


def label(value: Any, at: str) -> Iterable[Cause]:
    """Say what keeps a value from being a DNS label."""
    if not value:
        yield _required(at)
    elif not _LABEL.fullmatch(str(value)):
        yield at, f'{at}: Invalid value: "{value}": {_LABEL_RULE}'


def _required(field: str, why: str = "") -> Cause:
    return field, f"{field}: Required value" + (f": {why}" if why else "")


def _name(item: Object, at: str, taken: set[str]) -> Iterable[Cause]:
    name = str(item.get("name") or "")
    yield from label(name, at)
    if name in taken:
        yield at, f'{at}: Duplicate value: "{name}"'
    taken.add(name)


def _volumes(spec: Object, field: str) -> Iterable[Cause]:
    names: set[str] = set()
    for index, volume in enumerate(parts(spec, "volumes")):
        at = f"{field}.volumes[{index}]"
        yield from _name(volume, f"{at}.name", names)
        sources = [name for name, value in volume.items() if name != "name" and value is not None]
        for name in sources[1:]:
            yield f"{at}.{name}", f"{at}.{name}: Forbidden: may not specify more than 1 volume type"


def _mounts(container: Object, field: str, volumes: Collection[str]) -> Iterable[Cause]:
    taken: set[str] = set()
    for index, mount in enumerate(parts(container, "volumeMounts")):
        at, path = f"{field}.volumeMounts[{index}]", str(mount.get("mountPath") or "")
        if not path:
            yield _required(f"{at}.mountPath")
        elif path in taken:
            yield f"{at}.mountPath", f'{at}.mountPath: Invalid value: "{path}": must be unique'
        taken.add(path)
        if mount.get("name") not in volumes:
            yield f"{at}.name", f'{at}.name: Not found: "{mount.get("name", "")}"'


def _probes(container: Object, field: str) -> Iterable[Cause]:
    for name in _PROBES:
        probe = cast(Object | None, container.get(name))
        if probe is None:
            continue
        handlers = [each for each in _HANDLERS if probe.get(each) is not None]
        if not handlers:
            yield _required(f"{field}.{name}", "must specify a handler type")
        for extra in handlers[1:]:
            at = f"{field}.{name}.{extra}"
            yield at, f"{at}: Forbidden: may not specify more than 1 handler type"


def _amounts(container: Object, field: str) -> Iterable[Cause]:
    limits = part(container, "resources", "limits")
    for name, asked in part(container, "resources", "requests").items():
        if name in limits and parse(str(asked)) > parse(str(limits[name])):
            at = f"{field}.resources.requests"
            yield at, f'{at}: Invalid value: "{asked}": must be less than or equal to {name} limit of {limits[name]}'


def _variables(container: Object, field: str) -> Iterable[Cause]:
    for index, variable in enumerate(parts(container, "env")):
        at = f"{field}.env[{index}]"
        if not variable.get("name"):
            yield _required(f"{at}.name")
        if variable.get("value") and variable.get("valueFrom"):
            yield f"{at}.valueFrom", f"{at}.valueFrom: Invalid value: may not be specified when `value` is not empty"
