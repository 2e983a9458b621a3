"""From structs to schemas and pages: what each way of writing a field becomes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from msgspec import UNSET, field

from holdfast.schema.emit import crd, openapi_of
from holdfast.schema.fields import Duration, Maybe, Opaque, Time, Wire, doc
from holdfast.schema.generate import files
from holdfast.schema.kind import AGE, Column, KindSpec
from holdfast.schema.kubernetes import Affinity
from holdfast.schema.structural import Schema


class Part(Wire):
    """A part."""

    count: Annotated[int, doc("How many.", ge=0)] = 1


class OpenPart(Wire):
    """A part with more."""

    OPEN: ClassVar[bool] = True

    path: Maybe[Annotated[str, doc("Where.")]] = UNSET


class Spec(Wire):
    """All ways of writing a field."""

    must: Annotated[str, doc("Must.", pattern="^a")]
    port: Maybe[Annotated[int | str, doc("Port.")]] = UNSET
    choice: Annotated[Literal["B", "A"], doc("Choice | of two.")] = "A"
    when_done: Maybe[Annotated[Time, doc("When.")]] = UNSET
    wait: Maybe[Annotated[Duration, doc("Wait.")]] = UNSET
    part: Annotated[Part, doc("One.")] = field(default_factory=Part)
    parts: Maybe[Annotated[list[Part], doc("Many.", key="count", min_length=1, max_length=3)]] = UNSET
    open: Maybe[OpenPart] = UNSET
    labels: Maybe[Annotated[dict[str, str], doc("Labels.")]] = UNSET
    free: Maybe[Annotated[Opaque, doc("Free.")]] = UNSET
    where: Maybe[Annotated[list[Affinity], doc("Where.")]] = UNSET
    share: Maybe[Annotated[float, doc("Share.")]] = UNSET
    host_pid: Annotated[bool, doc("Flag.")] = field(name="hostPID", default=False)


class Thing(Wire):
    """A thing."""

    spec: Annotated[Spec, doc("What.")]


class BadSpec(Wire):
    """A field that no CRD can hold."""

    field: int | list[str]


THING = KindSpec(group="example.dev", version="v1", kind="Thing", plural="things", type=Thing, short_names=("th",))


def test_each_way_of_writing_a_field_has_its_schema() -> None:
    spec: dict[str, Any] = openapi_of(Thing)["properties"]["spec"]
    part = {"type": "object", "properties": {"count": count()}}
    assert spec["required"] == ["must"]
    assert spec["properties"] == {
        "must": {"type": "string", "description": "Must.", "pattern": "^a"},
        "port": {"x-kubernetes-int-or-string": True, "description": "Port."},
        "choice": {"type": "string", "description": "Choice | of two.", "enum": ["A", "B"], "default": "A"},
        "whenDone": {"type": "string", "description": "When.", "format": "date-time"},
        "wait": {"type": "string", "description": "Wait."},
        "part": {**part, "description": "One.", "default": {"count": 1}},
        "parts": {
            "type": "array",
            "description": "Many.",
            "items": {**part, "description": "A part."},
            "minItems": 1,
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["count"],
        },
        "open": {
            "type": "object",
            "description": "A part with more.",
            "properties": {"path": {"type": "string", "description": "Where."}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "labels": {"type": "object", "description": "Labels.", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "description": "Free.", "x-kubernetes-preserve-unknown-fields": True},
        "where": {
            "type": "array",
            "description": "Where.",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
        "share": {"type": "number", "description": "Share."},
        "hostPID": {"type": "boolean", "description": "Flag.", "default": False},
    }


def count() -> dict[str, Any]:
    return {"type": "integer", "format": "int64", "description": "How many.", "minimum": 0, "default": 1}


def test_what_is_emitted_is_structural() -> None:
    outcome = Schema.compile(openapi_of(Thing)).process({"spec": {"must": "a"}})
    assert outcome.object["spec"] == {"must": "a", "choice": "A", "part": {"count": 1}, "hostPID": False}


def test_a_crd_has_names_columns_and_no_status_unless_the_struct_has_one() -> None:
    spec = crd(THING)["spec"]
    assert spec["names"] == {
        "kind": "Thing",
        "listKind": "ThingList",
        "plural": "things",
        "singular": "thing",
        "shortNames": ["th"],
    }
    assert spec["versions"][0]["additionalPrinterColumns"] == [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    ]
    assert "subresources" not in spec["versions"][0]
    assert Column("Age", ".metadata.creationTimestamp", "date") == AGE


def test_a_type_that_no_crd_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="has no place in a CRD"):
        openapi_of(BadSpec)


def test_the_page_tells_each_struct_once_with_its_types_defaults_and_bounds() -> None:
    page = files("example", "Example", [THING])["docs/reference/example.md"]
    assert page.count("### Part\n") == 1
    for row in (
        "| **`must`** | string |  | Must. |",
        '| `choice` | one of `A`, `B` | `"A"` | Choice \\| of two. |',
        "| `parts` | list of [Part](#part), at least 1 |  | Many. Entries differ in `count`. |",
        "| `where` | list of `Affinity` |  | Where. |",
        "| `count` | integer, at least 0 | `1` | How many. |",
        "| `open` | [OpenPart](#openpart) |  | A part with more. |",
    ):
        assert row in page
