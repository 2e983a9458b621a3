"""The downward API: what a container may learn of its own pod, as text."""

import math
import re
from collections.abc import Mapping
from typing import Any

from holdfast.core.objects import Object
from holdfast.core.quantity import parse_quantity
from holdfast.embedded.node.failure import config_error
from holdfast.embedded.read import items, mapping

_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_SIMPLE = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "status.hostIP": ("status", "hostIP"),
    "status.podIP": ("status", "podIP"),
    "status.hostIPs": ("status", "hostIP"),
    "status.podIPs": ("status", "podIP"),
}


def field(pod: Object, path: str) -> str:
    """Return a pod field named by a `fieldRef`. Raises NotReady for one that doesn't exist."""
    if path in _SIMPLE:
        part, name = _SIMPLE[path]
        return str(pod.get(part, {}).get(name, ""))
    if path in ("metadata.labels", "metadata.annotations"):
        found: Mapping[str, str] = mapping(pod, *path.split("."))
        return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(found.items()))
    keyed = _KEYED.fullmatch(path)
    if keyed is None:
        raise config_error(f"fieldRef {path!r} names no field of a pod that a container can read")
    return str(mapping(pod, "metadata", keyed.group(1)).get(keyed.group(2), ""))


def resource(pod: Object, container: str, reference: Mapping[str, Any], capacity: Mapping[str, str]) -> str:
    """Return a container's limit or request in units of the divisor, rounded up; without a limit the node's capacity."""
    name = reference.get("containerName") or container
    spec: Mapping[str, Any] = pod["spec"]
    listed = [*items(spec, "containers"), *items(spec, "initContainers")]
    found = next((each for each in listed if each["name"] == name), None)
    kind, _, what = str(reference["resource"]).partition(".")
    if found is None or kind not in ("limits", "requests") or not what:
        raise config_error(f"resourceFieldRef {reference['resource']!r} of container {name!r} names nothing")
    given = mapping(found, "resources", kind).get(what)
    value = parse_quantity(str(given) if given is not None else capacity.get(what, "0") if kind == "limits" else "0")
    divisor = parse_quantity(str(reference.get("divisor") or 1)) or 1.0
    return str(math.ceil(round(value / divisor, 6)))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
