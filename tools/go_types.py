"""Reads struct fields and type aliases out of Kubernetes' published Go types, for the tools that make tables of them."""

import re
from pathlib import Path
from typing import NamedTuple

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
    "authentication": "api@{v}/authentication/v1",
    "authorization": "api@{v}/authorization/v1",
    "autoscaling": "api@{v}/autoscaling/v1",
    "networking": "api@{v}/networking/v1",
    "extensions": "apiextensions-apiserver@{v}/pkg/apis/apiextensions/v1",
    "meta": "apimachinery@{v}/pkg/apis/meta/v1",
}
ALIASES = {"v1": "core", "apiv1": "core", "corev1": "core", "metav1": "meta", "rbacv1": "rbac", "storagev1": "storage"}
BASIC = frozenset(["string", "bool", "int", "int32", "int64", "uint8", "float64"])

_FIELD = re.compile(r"^\s*(?:(?P<name>\w+)\s+)?(?P<type>[\w.*\[\]]+)\s+`(?P<tags>[^`]+)`")
_STRUCT = re.compile(r"^type (\w+) struct ?\{")
_ALIAS = re.compile(r"^type (\w+) ([\w.\[\]*]+)$")


class Field(NamedTuple):
    """One struct field: its type as `[]core.Container` or `{}string`, its tags, the comment lines above it."""

    type: str
    is_pointer: bool
    tags: str
    comments: list[str]

    @property
    def json(self) -> str:
        """The name in JSON; empty for an inlined struct, `-` for none."""
        found = re.search(r'json:"([^"]*)"', self.tags)
        return found[1].partition(",")[0] if found else "-"

    @property
    def omits_empty(self) -> bool:
        """Whether an empty value is left out in JSON."""
        return ",omitempty" in self.tags


class Source:
    """All structs and aliases of one release, by `package.Name`; `atomic` are those that merge as one value.

    `root` is the module cache's `k8s.io` folder.
    """

    def __init__(self, root: Path) -> None:
        version = next(root.glob("api@*")).name.partition("@")[2]
        self.structs: dict[str, list[Field]] = {}
        self.aliases: dict[str, str] = {}
        self.atomic: set[str] = set()
        for package, folder in PACKAGES.items():
            for path in sorted((root / folder.format(v=version)).glob("*types*.go")):
                self._read(package, path.read_text().splitlines())

    def _read(self, package: str, lines: list[str]) -> None:
        current: list[Field] | None = None
        comments: list[str] = []
        for line in lines:
            if found := _STRUCT.match(line):
                fields = self.structs.setdefault(f"{package}.{found[1]}", [])
                current = None if line.endswith("}") else fields
                if "+structType=atomic" in comments:
                    self.atomic.add(f"{package}.{found[1]}")
            elif found := _ALIAS.match(line):
                self.aliases[f"{package}.{found[1]}"] = _qualify(package, found[2])
            elif line.startswith("}"):
                current = None
            elif line.strip().startswith("//"):
                comments.append(line.strip().lstrip("/ "))
                continue
            elif current is not None and (found := _FIELD.match(line)):
                text = found["type"]
                current.append(Field(_qualify(package, text), text.startswith("*"), found["tags"], comments))
            comments = []


def _qualify(package: str, text: str) -> str:
    text = text.replace("*", "").replace("[]byte", "bytes")
    found = re.match(r"^((?:\[\]|map\[\w+(?:\.\w+)?\])*)(.+)$", text)
    assert found
    prefix, name = re.sub(r"map\[[\w.]+\]", "{}", found[1]), found[2]
    if "." in name:
        head, tail = name.split(".")
        name = f"{ALIASES.get(head, head)}.{tail}"
    elif name not in BASIC and name != "bytes":
        name = f"{package}.{name}"
    return prefix + name
