"""Write the tables of the built-in kinds: `python tools/builtin_types.py <module cache>/k8s.io <folder of the tables>`.

Names, types and protobuf numbers of fields are facts of the Kubernetes API; this reads them from the published Go types
(k8s.io/api, k8s.io/apimachinery, k8s.io/apiextensions-apiserver of one release) and keeps nothing else, no descriptions.
`types.json` says how each field looks in JSON and how it merges, `protobuf.json` how it is numbered and encoded. Run it by
hand when the tables are to follow a newer release:

    go mod download k8s.io/api@v0.33.0 k8s.io/apimachinery@v0.33.0 k8s.io/apiextensions-apiserver@v0.33.0
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from go_types import Field, Source

PRIMITIVES = {
    "string": "s", "bytes": "s", "bool": "b", "int": "i", "int32": "i", "int64": "i", "uint8": "i", "float64": "n",
    "meta.Time": "s", "meta.MicroTime": "s", "meta.Duration": "s", "resource.Quantity": "q", "intstr.IntOrString": "x",
    "runtime.RawExtension": "o", "meta.FieldsV1": "o", "runtime.Object": "o", "types.UID": "s", "types.NodeName": "s",
    "extensions.JSON": "o", "extensions.JSONSchemaProps": "o",
    "extensions.CustomResourceSubresourceStatus": "o",
}  # fmt: skip
ENCODINGS = {
    "string": "s", "bytes": "y", "bool": "b", "int32": "i", "int64": "i", "float64": "n", "meta.Time": "t",
    "meta.MicroTime": "m", "resource.Quantity": "q", "intstr.IntOrString": "x", "runtime.RawExtension": "r",
    "meta.FieldsV1": "r", "types.UID": "s", "types.NodeName": "s", "extensions.JSON": "r",
}  # fmt: skip
ROOTS = {
    "core": "Namespace Node PersistentVolume PersistentVolumeClaim Pod Secret ConfigMap Service Endpoints ServiceAccount Event "
    "LimitRange ResourceQuota ReplicationController",
    "apps": "StatefulSet Deployment DaemonSet ReplicaSet ControllerRevision",
    "batch": "Job CronJob",
    "storage": "StorageClass CSIDriver VolumeAttachment",
    "rbac": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "coordination": "Lease",
    "scheduling": "PriorityClass",
    "events": "Event",
    "discovery": "EndpointSlice",
    "policy": "PodDisruptionBudget",
    "networking": "Ingress IngressClass NetworkPolicy",
    "admission": "ValidatingWebhookConfiguration MutatingWebhookConfiguration",
    "extensions": "CustomResourceDefinition",
}
REQUESTS = {
    "core": "Binding",
    "policy": "Eviction",
    "autoscaling": "Scale",
    "authentication": "TokenRequest TokenReview SelfSubjectReview",
    "authorization": "SubjectAccessReview SelfSubjectAccessReview LocalSubjectAccessReview SelfSubjectRulesReview",
    "meta": "DeleteOptions",
}
"""What is sent and never stored: in the protobuf table only."""

Table = dict[str, dict[str, str]]


class _Table:
    """A table that grows as types are met: `primitives` are the spellings of what needs no entry."""

    primitives: Mapping[str, str]

    def __init__(self, source: Source) -> None:
        self._source = source
        self.table: Table = {}

    def add(self, name: str) -> None:
        """Take a type and all that it reaches into the table."""
        raise NotImplementedError

    def _spell(self, text: str) -> str:
        if text in self.primitives:
            return self.primitives[text]
        for mark in ("[]", "{}"):
            if text.startswith(mark):
                return mark + self._spell(text[2:])
        if text in self._source.structs:
            self.add(text)
            return text
        return self._spell_other(text)

    def _spell_other(self, text: str) -> str:
        """The spelling of a name that stands for another type."""
        raise NotImplementedError


class _Types(_Table):
    """The table of JSON types: `field -> type|marks`, inlined structs flattened."""

    primitives = PRIMITIVES

    def _spell_other(self, text: str) -> str:
        if text in self._source.aliases:
            return self._spell(self._source.aliases[text])
        print(f"unknown type {text}: kept opaque", file=sys.stderr)
        return "o"

    def add(self, name: str) -> None:
        """Take a type and all that it reaches into the table."""
        if name not in self.table:
            self.table[name] = {}
            self._fill(name, self.table[name])

    def _fill(self, name: str, fields: dict[str, str]) -> None:
        for field in self._source.structs[name]:
            if field.json == "-":
                continue
            if field.json:
                spelling = self._spell(field.type)
                is_value = spelling[0] in "[{" or "." in spelling
                always = is_value and not field.is_pointer and not (spelling[0] in "[{" and field.omits_empty)
                fields[field.json] = spelling + _marks(field) + ("|always" if always else "")
            elif field.type == "meta.TypeMeta":
                fields.update(apiVersion="s", kind="s")
            elif field.type != "meta.ListMeta":
                self._fill(field.type, fields)


def _marks(field: Field) -> str:
    found = ""
    keys = [line.partition("=")[2] for line in field.comments if line.startswith("+listMapKey=")]
    for line in field.comments:
        kind = line.partition("=")[2]
        if line.startswith("+listType=") and kind in ("map", "set"):
            found += f"|{kind}" + (":" + ",".join(keys) if kind == "map" else "")
        if line.startswith(("+mapType=atomic", "+structType=atomic")):
            found += "|atomic"
        if text := re.match(r'\+default="(\w+)"', line):
            found += f"|default:{text[1]}"
    strategy = re.search(r'patchStrategy:"([^"]*)"', field.tags)
    key = re.search(r'patchMergeKey:"([^"]*)"', field.tags)
    if strategy and "merge" in strategy[1]:
        found += "|merge" + (f":{key[1]}" if key else "")
    if strategy and "retainKeys" in strategy[1]:
        found += "|retain"
    return found


class _Numbers(_Table):
    """The table of protobuf messages: `number -> field type`.

    A `?` after the name says that an empty value that was sent counts; a name of `.` that the message's fields stand
    beside its own; one of `=` that the message is nothing but this field.
    """

    primitives = ENCODINGS

    def _spell_other(self, text: str) -> str:
        alias = self._source.aliases[text]
        if alias.startswith("[]") and text.endswith("ExtraValue"):
            self.table[text] = {"1": f"= {self._spell(alias)}"}
            return text
        return self._spell(alias)

    def add(self, name: str) -> None:
        """Take a message and all that it reaches into the table."""
        if name in self.table:
            return
        fields: dict[int, str] = {}
        self.table[name] = {}
        for field in self._source.structs[name]:
            number = re.search(r'protobuf:"\w+,(\d+),\w+,name=(\w+)', field.tags)
            if number is None:
                continue
            spelling = self._spell(field.type)
            own = field.json if field.json != "-" else number[2]
            counts = field.is_pointer or (spelling in "ibn" and not field.omits_empty)
            fields[int(number[1])] = f"{own or '.'}{'?' if counts and own else ''} {spelling}"
        self.table[name] = {str(number): fields[number] for number in sorted(fields)}


def _write(path: Path, table: Table) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(table[name], separators=(',', ':'))}" for name in sorted(table)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _main() -> None:
    source, folder = Source(Path(sys.argv[1])), Path(sys.argv[2])
    types, numbers = _Types(source), _Numbers(source)
    for package, names in ROOTS.items():
        for name in names.split():
            types.add(f"{package}.{name}")
            numbers.add(f"{package}.{name}")
    for package, names in REQUESTS.items():
        for name in names.split():
            numbers.add(f"{package}.{name}")
    types.table["|atomic"] = {name: "" for name in sorted(source.atomic & types.table.keys())}
    _write(folder / "types.json", types.table)
    _write(folder / "protobuf.json", numbers.table)


_main()
