"""Field coverage: for each spec field of a ledger a generated mutation must change plan, children, conditions or Problems.

    left = unread(rows("antfly"), KINDS, scenes)        # {"AntflyBackup spec.tables[]": "a mutation changes nothing", ...}
    assert differences(left, allowed("antfly")) == []

A dialect brings scenes: moments of a cluster in which its kinds do something. In each of them the tool changes one field of one
object at a time, within what the CRD lets through, and compiles all objects anew. `unread_<dialect>.tsv` names the fields
that may do nothing, each with its reason; a line that is not needed any more is a fault as well.
"""

from __future__ import annotations

import copy
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.objects import Object, Ref, ref_of
from holdfast.core.plan import Problems
from holdfast.schema.emit import openapi_of
from holdfast.schema.kind import KindSpec
from holdfast.schema.structural import Schema
from tests.fields.ledger import Row, find, steps
from tests.fields.scene import Scene
from tests.fields.values import least, samples

Node = dict[str, Any]
Spot = tuple[str | int, ...]

NOTHING = "a mutation changes nothing"
NO_SCENE = "no scene has an object of this kind"
NO_VALUE = "no scene has a place for it that the schema accepts"


def unread(ledger: Sequence[Row], kinds: Sequence[KindSpec], scenes: Sequence[Scene]) -> dict[str, str]:
    """Return the spec fields that nothing acts on, as `Kind path`, and what is wrong. Containers are judged by their leaves."""
    probes = {spec.kind: _Probe(spec, scenes) for spec in kinds}
    leaves = [row for row in ledger if row.kind in probes and row.path.startswith("spec.") and not _has_below(row, ledger)]
    told = ((row, probes[row.kind].fault(row)) for row in leaves)
    return {f"{row.kind} {row.path}": fault for row, fault in told if fault}


def allowed(name: str) -> dict[str, str]:
    """Return the fields of `unread_<name>.tsv` that may do nothing, `*` standing for anything, each with its reason."""
    text = (Path(__file__).parent / f"unread_{name}.tsv").read_text()
    lines = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    assert all(len(line) == 3 and len(line[2]) > 20 for line in lines), "each line has a kind, a path and a reason"
    return {f"{kind} {path}": reason for kind, path, reason in lines}


def differences(left: Mapping[str, str], permitted: Mapping[str, str]) -> list[str]:
    """Return fields that do nothing and may not, and lines of the list that nothing needs."""
    patterns = {line: re.compile(re.escape(line).replace(r"\*", ".*")) for line in permitted}
    found = [f"{field}: {fault}" for field, fault in left.items() if not any(p.fullmatch(field) for p in patterns.values())]
    found += [f"{line}: is read now; take it off the list" for line, p in patterns.items() if not any(map(p.fullmatch, left))]
    return found


def _has_below(row: Row, ledger: Sequence[Row]) -> bool:
    return any(other.kind == row.kind and other.path != row.path and _covers(row.path, other.path) for other in ledger)


class _Probe:
    """Mutates the objects of one kind, scene by scene."""

    def __init__(self, spec: KindSpec, scenes: Sequence[Scene]) -> None:
        self._root = openapi_of(spec.type)
        self._schema = Schema.compile(self._root)
        self._scenes = [scene for scene in scenes if any(ref.kind.kind == spec.kind for ref in scene.objects)]
        self._kind = spec.kind

    def fault(self, row: Row) -> str:
        """Return why nothing acts on a field; empty when something does, or when the schema leaves no choice."""
        if not self._scenes:
            return NO_SCENE
        located = find(self._root, row.path)
        assert located is not None, f"{row.kind} {row.path} is not in the CRD"
        fault = NO_VALUE
        for scene in self._scenes:
            for obj in [obj for ref, obj in scene.objects.items() if ref.kind.kind == self._kind]:
                for before, after in self._pairs(obj, row, located[0]):
                    fault = NOTHING
                    if self._acts(scene, obj, before, after, row):
                        return ""
        return "" if fault == NO_VALUE and self._single(located[0]) else fault

    def _single(self, node: Node | None) -> bool:
        return node is not None and len(node.get("enum", ())) == 1

    def _pairs(self, obj: Object, row: Row, node: Node | None) -> Iterator[tuple[Object, Object]]:
        """Yield the object with a field as it is, or absent, and with another value; both as an API server stores them."""
        for spot in _spots(obj, self._root, steps(row.path)):
            bare = _planted(obj, self._root, spot[:-1])
            before = self._stored(bare)
            if before is None:
                continue
            present = _at(bare, spot)
            for value in samples(node, row):
                if value != present and (after := self._stored(_set(bare, spot, value))) is not None and after != before:
                    yield before, after
            if present is not None and (after := self._stored(_without(bare, spot))) is not None and after != before:
                yield before, after

    def _stored(self, obj: Object) -> Object | None:
        outcome = self._schema.process({key: value for key, value in obj.items() if key != "status"})
        if outcome.errors or outcome.unknown:
            return None
        return {**outcome.object, **({"status": obj["status"]} if "status" in obj else {})}

    def _acts(self, scene: Scene, obj: Object, before: Object, after: Object, row: Row) -> bool:
        """Whether the change is seen anywhere, or the block that holds the field is refused as a whole."""
        base, changed = scene if before == obj else scene.swapped(before), scene.swapped(after)
        try:
            if any(changed.verdict(ref) != base.verdict(ref) for ref in scene.nearest_first(ref_of(obj))):
                return True
        except Exception as error:
            raise AssertionError(f"{row.kind} {row.path}: the handlers fail on {after['spec']}") from error
        was, now = scene.told(), changed.told()
        ref = ref_of(obj)
        return any(_covers(field, row.path) for field in _refused(now, ref) - _refused(was, ref))


def _refused(told: Mapping[Ref, Any], ref: Ref) -> set[str]:
    """Return the fields of an object that its handler refuses, in the ledger's spelling."""
    desired = told[ref][0] if ref in told else None
    return {re.sub(r"\[[^]]*\]", "[]", item.field) for item in desired.items} if isinstance(desired, Problems) else set()


def _covers(field: str, path: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}[", f"{field}{{"))


def _spots(value: Any, node: Node, path: Sequence[str]) -> Iterator[Spot]:
    """Yield where a path leads in an object: each entry of a list, or a first one that is still to be made."""
    if not path:
        yield ()
        return
    head, rest = path[0], path[1:]
    if head == "[]":
        known: list[Any] = value if isinstance(value, list) else []
        choices: list[tuple[str | int, Any]] = [*enumerate(known)] or [(0, None)]
        below = node.get("items", {})
    elif head == "{}":
        given: Node = value if isinstance(value, dict) else {}
        choices = [(name, each) for name, each in given.items() if name not in node.get("properties", {})] or [("mutant", None)]
        below = node.get("additionalProperties", {})
    else:
        choices = [(head, value.get(head) if isinstance(value, dict) else None)]
        below = node.get("properties", {}).get(head, {})
    for step, child in choices:
        for tail in _spots(child, below if isinstance(below, dict) else {}, rest):
            yield (step, *tail)


def _planted(obj: Object, root: Node, spot: Spot) -> Object:
    """Return a copy in which everything on the way is there, the missing parts being the least that the schema accepts."""
    grown = copy.deepcopy(obj)
    here: Any = grown
    node: Node = root
    for step in spot:
        if isinstance(step, int):
            node = node.get("items", {})
            if step >= len(here):
                here.append(least(node))
        else:
            open_ = node.get("additionalProperties")
            node = node.get("properties", {}).get(step) or (open_ if isinstance(open_, dict) else {})
            if here.get(step) is None:
                here[step] = [] if node.get("type") == "array" else least(node)
        here = here[step]
    return grown


def _at(obj: Any, spot: Spot) -> Any:
    """Return what lies at a spot whose parent exists; None for nothing."""
    for step in spot[:-1]:
        obj = obj[step]
    last = spot[-1]
    if isinstance(last, int):
        return obj[last] if last < len(obj) else None
    return obj.get(last)


def _set(obj: Object, spot: Spot, value: Any) -> Object:
    changed = copy.deepcopy(obj)
    parent: Any = changed
    for step in spot[:-1]:
        parent = parent[step]
    if isinstance(spot[-1], int):
        parent[spot[-1] :] = [value, *parent[spot[-1] + 1 :]]
    else:
        parent[spot[-1]] = value
    return changed


def _without(obj: Object, spot: Spot) -> Object:
    changed = copy.deepcopy(obj)
    parent: Any = changed
    for step in spot[:-1]:
        parent = parent[step]
    del parent[spot[-1]]
    return changed
