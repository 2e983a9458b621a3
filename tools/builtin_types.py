"""Write the field table of the built-in kinds: `python tools/builtin_types.py <module cache>/k8s.io > .../types.json`.

Names and types of fields are facts of the Kubernetes API; this reads them from the published Go types (k8s.io/api,
k8s.io/apimachinery, k8s.io/apiextensions-apiserver of one release) and keeps nothing else, no descriptions. Run it by hand when
the table is to follow a newer release:

    go mod download k8s.io/api@v0.33.0 k8s.io/apimachinery@v0.33.0 k8s.io/apiextensions-apiserver@v0.33.0
"""

import json
import re
import sys
from pathlib import Path

PACKAGES = {
    "core": "api@{v}/core/v1",
    "apps": "api@{v}/apps/v1",
    "batch": "api@{v}/batch/v1",
    "storage": "api@{v}/storage/v1",
    "rbac": "api@{v}/rbac/v1",
    "coordination": "api@{v}/coordination/v1",
    "scheduling": "api@{v}/scheduling/v1",
    "events": "api@{v}/events/v1",
    "discovery": "api@{v}/discovery/v1",
    "policy": "api@{v}/policy/v1",
    "admission": "api@{v}/admissionregistration/v1",
    "extensions": "apiextensions-apiserver@{v}/pkg/apis/apiextensions/v1",
    "meta": "apimachinery@{v}/pkg/apis/meta/v1",
}
ALIASES = {"v1": "core", "apiv1": "core", "corev1": "core", "metav1": "meta", "rbacv1": "rbac", "storagev1": "storage"}
PRIMITIVES = {
    "string": "s", "bool": "b", "int": "i", "int32": "i", "int64": "i", "uint8": "i", "float64": "n", 
    "meta.Time": "s", "meta.MicroTime": "s", "meta.Duration": "s", "resource.Quantity": "q", "intstr.IntOrString": "x",
    "runtime.RawExtension": "o", "meta.FieldsV1": "o", "runtime.Object": "o", "types.UID": "s", "types.NodeName": "s",
    "extensions.JSON": "o", "extensions.JSONSchemaProps": "o",
    "extensions.CustomResourceSubresourceStatus": "o",
}  # fmt: skip
ROOTS = {
    "core": "Namespace Node PersistentVolume PersistentVolumeClaim Pod Secret ConfigMap Service Endpoints ServiceAccount Event "
    "LimitRange ResourceQuota",
    "apps": "StatefulSet Deployment DaemonSet ReplicaSet ControllerRevision",
    "batch": "Job CronJob",
    "storage": "StorageClass CSIDriver VolumeAttachment",
    "rbac": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "coordination": "Lease",
    "scheduling": "PriorityClass",
    "events": "Event",
    "discovery": "EndpointSlice",
    "policy": "PodDisruptionBudget",
    "admission": "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
    "extensions": "CustomResourceDefinition",
}

FIELD = re.compile(r"^\s*(?:(?P<name>\w+)\s+)?(?P<type>[\w.*\[\]]+)\s+`(?P<tags>[^`]+)`")
STRUCT = re.compile(r"^type (\w+) struct \{")
ALIAS = re.compile(r"^type (\w+) ([\w.\[\]*]+)$")


class _Source:
    def __init__(self, root: Path, version: str) -> None:
        self.structs: dict[str, list[tuple[str, str, list[str]]]] = {}
        self.aliases: dict[str, str] = {}
        for package, folder in PACKAGES.items():
            for path in sorted((root / folder.format(v=version)).glob("*types*.go")):
                self._read(package, path.read_text().splitlines())

    def _read(self, package: str, lines: list[str]) -> None:
        current: list[tuple[str, str, list[str]]] | None = None
        comments: list[str] = []
        for line in lines:
            if found := STRUCT.match(line):
                current = self.structs.setdefault(f"{package}.{found[1]}", [])
            elif found := ALIAS.match(line):
                self.aliases[f"{package}.{found[1]}"] = _qualify(package, found[2])
            elif line.startswith("}"):
                current = None
            elif line.strip().startswith("//"):
                comments.append(line.strip().lstrip("/ "))
                continue
            elif current is not None and (found := FIELD.match(line)):
                current.append((_qualify(package, found["type"]), found["tags"], comments))
            comments = []


def _qualify(package: str, text: str) -> str:
    text = text.replace("*", "").replace("[]byte", "string")
    found = re.match(r"^((?:\[\]|map\[\w+(?:\.\w+)?\])*)(.+)$", text)
    assert found
    prefix, name = found[1], found[2]
    prefix = re.sub(r"map\[[\w.]+\]", "{}", prefix)
    if "." in name:
        head, tail = name.split(".")
        name = f"{ALIASES.get(head, head)}.{tail}"
    elif name not in PRIMITIVES:
        name = f"{package}.{name}"
    return prefix + name


class _Table:
    def __init__(self, source: _Source) -> None:
        self.source = source
        self.types: dict[str, dict[str, str]] = {}

    def _spell(self, text: str) -> str:
        if text in PRIMITIVES:
            return PRIMITIVES[text]
        for mark in ("[]", "{}"):
            if text.startswith(mark):
                return mark + self._spell(text[2:])
        if text in self.source.structs:
            self.add(text)
            return text
        if text in self.source.aliases:
            return self._spell(self.source.aliases[text])
        print(f"unknown type {text}: kept opaque", file=sys.stderr)
        return "o"

    def add(self, name: str) -> None:
        """Take a type and all that it reaches into the table."""
        if name in self.types:
            return
        fields: dict[str, str] = {}
        self.types[name] = fields
        self._fill(name, fields)

    def _fill(self, name: str, fields: dict[str, str]) -> None:
        for text, tags, comments in self.source.structs[name]:
            tag = re.search(r'json:"([^"]*)"', tags)
            if tag is None:
                continue
            key = tag[1].partition(",")[0]
            if key == "-":
                continue
            if not key:
                if text not in ("meta.TypeMeta", "meta.ListMeta"):
                    self._fill(text, fields)
                elif text == "meta.TypeMeta":
                    fields.update(apiVersion="s", kind="s")
                continue
            fields[key] = self._spell(text) + _marks(tags, comments)


def _marks(tags: str, comments: list[str]) -> str:
    found = ""
    keys = [line.partition("=")[2] for line in comments if line.startswith("+listMapKey=")]
    for line in comments:
        kind = line.partition("=")[2]
        if line.startswith("+listType=") and kind in ("map", "set"):
            found += f"|{kind}" + (":" + ",".join(keys) if kind == "map" else "")
        if line.startswith(("+mapType=atomic", "+structType=atomic")):
            found += "|atomic"
    strategy = re.search(r'patchStrategy:"([^"]*)"', tags)
    key = re.search(r'patchMergeKey:"([^"]*)"', tags)
    if strategy and "merge" in strategy[1]:
        found += "|merge" + (f":{key[1]}" if key else "")
    if strategy and "retainKeys" in strategy[1]:
        found += "|retain"
    return found


def _main() -> None:
    root = Path(sys.argv[1])
    version = next(root.glob("api@*")).name.partition("@")[2]
    table = _Table(_Source(root, version))
    for package, names in ROOTS.items():
        for name in names.split():
            table.add(f"{package}.{name}")
    ordered = {name: table.types[name] for name in sorted(table.types)}
    lines = [f"{json.dumps(name)}: {json.dumps(fields, separators=(',', ':'))}" for name, fields in ordered.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


_main()
