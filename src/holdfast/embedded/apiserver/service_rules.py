"""Rules of a Service: its name is a DNS label, and of several ports each has a name of its own."""

from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, parts
from holdfast.embedded.apiserver.pod_rules import label

_SUPPORTED = ("ClusterIP", "NodePort", "LoadBalancer")


def problems(new: Object, old: Object | None) -> list[Cause]:
    """What is wrong with a Service that is written. The words follow the real API server's."""
    spec: Object = new.get("spec") or {}
    ports = parts(spec, "ports")
    found = [] if old else _name(new)
    headless = spec.get("clusterIP") == "None"
    if not ports and spec.get("type", "ClusterIP") in _SUPPORTED and not headless:
        found.append(("spec.ports", "spec.ports: Required value"))
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        found.append(("spec.externalName", "spec.externalName: Required value"))
    names: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"spec.ports[{index}].name", str(port.get("name") or "")
        if len(ports) > 1 or name:
            found += label(name, at)
        if name and name in names:
            found.append((at, f'{at}: Duplicate value: "{name}"'))
        names.add(name)
        if port.get("port") is None:
            found.append((f"spec.ports[{index}].port", f"spec.ports[{index}].port: Required value"))
    return found


def _name(new: Object) -> list[Cause]:
    name = str(new["metadata"].get("name") or "")
    if name and name[0].isdigit():
        text = "a DNS-1035 label starts with a letter"
        return [("metadata.name", f'metadata.name: Invalid value: "{name}": {text}')]
    return list(label(name, "metadata.name"))
