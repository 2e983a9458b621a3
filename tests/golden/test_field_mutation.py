"""The mutation tool itself: it finds a field that nothing reads, and a list that is longer than it need be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from msgspec import UNSET
from tests.fields.ledger import Row
from tests.fields.mutation import NO_SCENE, NOTHING, differences, unread
from tests.fields.scene import Scene, made

from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Child, Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.schema.fields import Maybe, Wire, doc
from holdfast.schema.kind import KindSpec

NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Hook(Wire):
    command: Maybe[Annotated[str, doc("Refused with its block.")]] = UNSET


class Spec(Wire):
    read: Annotated[list[str], doc("Goes into the child.")]
    idle: Annotated[int, doc("Does nothing.")] = 1
    hook: Maybe[Annotated[Hook, doc("Refused as a whole.")]] = UNSET
    fatal: Annotated[bool, doc("Breaks the handler.")] = False


class Thing(Wire):
    spec: Spec


class Handler:
    kind, finalizer = Kind("example.org", "Thing"), ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        return Problems((Problem("spec.hook", "is not supported"),)) if "command" in obj["spec"].get("hook", {}) else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        if obj["spec"].get("fatal"):
            raise KeyError("fatal")
        child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"read": obj["spec"]["read"]}}
        return self.validate(obj, None, view) or Desired(children=(Child(child),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        return {}


SPEC = KindSpec(group="example.org", version="v1", kind="Thing", plural="things", type=Thing)


def row(path: str, type_: str) -> Row:
    return Row("Thing", path, type_, "no", "", "", "seed", "")


def scene() -> Scene:
    document: dict[str, Any] = {
        "apiVersion": "example.org/v1",
        "kind": "Thing",
        "metadata": {"name": "t"},
        "spec": {"read": []},
    }
    return Scene([made(document)], [Handler()], NOW)


def test_only_the_field_that_nothing_reads_is_found() -> None:
    ledger = [
        row("spec.read", "list"),
        row("spec.read[]", "string"),
        row("spec.idle", "integer"),
        row("spec.hook.command", "string"),
    ]
    assert unread(ledger, [SPEC], [scene()]) == {"Thing spec.idle": NOTHING}
    assert unread(ledger[:1], [SPEC], []) == {"Thing spec.read": NO_SCENE}


def test_a_value_that_breaks_a_handler_is_no_effect() -> None:
    with pytest.raises(AssertionError, match=r"Thing spec\.fatal: the handlers fail"):
        unread([row("spec.fatal", "boolean")], [SPEC], [scene()])


def test_a_list_is_held_against_what_is_found() -> None:
    left = {"Thing spec.idle": NOTHING, "Thing spec.a.b": NOTHING}
    assert differences(left, {"Thing spec.idle": "", "Thing spec.a.*": ""}) == []
    assert differences(left, {"Thing spec.*": "", "Thing spec.read": ""}) == [
        "Thing spec.read: is read now; take it off the list"
    ]
    assert differences(left, {"Thing spec.idle": ""}) == [f"Thing spec.a.b: {NOTHING}"]
