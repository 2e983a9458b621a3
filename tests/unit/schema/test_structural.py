"""The walker: what falls away, what is filled in, and what is said about a wrong object."""

from typing import Any

import pytest

from holdfast.schema.structural import Outcome, Schema, SchemaError

Object = dict[str, Any]


def walk(field: Object, value: Any, **more: Any) -> Outcome:
    """Process an object whose spec.x has the schema `field`."""
    spec = {"type": "object", "properties": {"x": field}, **more}
    schema = Schema.compile({"type": "object", "properties": {"spec": spec}})
    return schema.process({"spec": {"x": value}})


def said(outcome: Outcome) -> list[str]:
    return [str(error) for error in outcome.errors]


def refused(schema: Object) -> str:
    with pytest.raises(SchemaError) as caught:
        Schema.compile(schema)
    return str(caught.value)


STRING: Object = {"type": "string"}
VALUES: Object = {"type": "object", "additionalProperties": STRING}


def test_unknown_fields_are_dropped_and_named() -> None:
    schema = Schema.compile(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "object"}}}}},
        }
    )
    given = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "odd": 1}, "spec": {"list": [{"typo": 1}]}, "top": 1}
    outcome = schema.process(given)
    assert outcome.object == {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "odd": 1}, "spec": {"list": [{}]}}
    assert outcome.unknown == ["spec.list[0].typo", "top"]
    assert outcome.errors == []
    assert given["spec"] == {"list": [{"typo": 1}]}


def test_a_preserving_node_keeps_what_it_does_not_know_and_still_walks_what_it_knows() -> None:
    field = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": {"type": "object"}}}
    outcome = walk(field, {"free": {"a": None}, "known": {"typo": 1}})
    assert outcome.object["spec"]["x"] == {"free": {"a": None}, "known": {}}
    assert outcome.unknown == ["spec.x.known.typo"]


def test_defaults_fill_what_is_missing_and_are_never_shared() -> None:
    inner = {
        "type": "object",
        "default": {},
        "properties": {"n": {"type": "integer", "default": 3}, "l": {"type": "array", "items": STRING, "default": ["a"]}},
    }
    schema = Schema.compile({"type": "object", "properties": {"spec": {"type": "object", "properties": {"in": inner}}}})
    first = schema.process({"spec": {}}).object
    assert first == {"spec": {"in": {"n": 3, "l": ["a"]}}}
    first["spec"]["in"]["l"].append("b")
    assert schema.process({"spec": {}}).object == {"spec": {"in": {"n": 3, "l": ["a"]}}}
    assert schema.process({}).object == {}


def test_null_gives_way_to_a_default_falls_away_or_stays_where_it_is_allowed() -> None:
    assert walk({"type": "integer", "default": 3}, None).object == {"spec": {"x": 3}}
    assert walk({"type": "integer"}, None).object == {"spec": {}}
    assert walk({"type": "integer", "nullable": True}, None).object == {"spec": {"x": None}}
    assert said(walk({"type": "array", "items": STRING}, [None])) == [
        'spec.x[0]: Invalid value: "null": spec.x[0] in body must be of type string: "null"'
    ]
    assert said(walk(STRING, None, required=["x"])) == ["spec.x: Required value"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ({"type": "boolean"}, "yes", '~: "string": ~ must be of type boolean: "string"'),
        ({"type": "integer"}, True, '~: "boolean": ~ must be of type integer: "boolean"'),
        ({"type": "integer"}, 1.5, '~: "number": ~ must be of type integer: "number"'),
        ({"type": "object"}, [], '~: "array": ~ must be of type object: "array"'),
        ({"type": "array", "items": STRING}, {}, '~: "object": ~ must be of type array: "object"'),
        ({"x-kubernetes-int-or-string": True}, [], '~: "array": ~ must be of type integer,string: "array"'),
        ({"type": "integer", "minimum": 1}, 0, "~: 0: ~ should be greater than or equal to 1"),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 1, "~: 1: ~ should be greater than 1"),
        ({"type": "number", "maximum": 2}, 2.5, "~: 2.5: ~ should be less than or equal to 2"),
        ({"type": "number", "multipleOf": 0.1}, 0.25, "~: 0.25: ~ should be a multiple of 0.1"),
        ({"type": "integer", "format": "int32"}, 1 << 31, "~: 2147483648: ~ must be of type int32"),
        ({"type": "string", "minLength": 2}, "a", '~: "a": ~ should be at least 2 chars long'),
        ({"type": "string", "maxLength": 2}, "abc", "spec.x: Too long: may not be more than 2 bytes"),
        ({"type": "string", "pattern": "^a+$"}, "aa\n", "~: \"aa\\n\": ~ should match '^a+$'"),
        ({"type": "string", "enum": ["A", "B"]}, "C", 'spec.x: Unsupported value: "C": supported values: "A", "B"'),
        ({"type": "string", "format": "date-time"}, "soon", '~: "soon": ~ must be of type date-time: "soon"'),
        ({"type": "string", "format": "duration"}, "1x", '~: "1x": ~ must be of type duration: "1x"'),
        ({"type": "array", "items": STRING, "minItems": 1}, [], "~: 0: ~ should have at least 1 items"),
        ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "spec.x: Too many: 2: must have at most 1 items"),
        (VALUES, {"k": 1}, 'spec.x.k: Invalid value: "integer": spec.x.k in body must be of type string: "integer"'),
        ({**VALUES, "minProperties": 1}, {}, "~: 0: ~ should have at least 1 properties"),
        ({"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}, ["a", "a"], 'spec.x[1]: Duplicate value: "a"'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_as_kubectl_users_know_it(field: Object, value: Any, expected: str) -> None:
    assert said(walk(field, value)) == [expected.replace("~: ", "spec.x: Invalid value: ").replace("~", "spec.x in body")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "integer"}, 3.0),
        ({"type": "number"}, 3),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, STRING]}, "80%"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, STRING]}, 80),
        ({"type": "string", "format": "date-time"}, "2023-12-14T08:38:01.5+02:00"),
        ({"type": "string", "format": "duration"}, "1h2m0.5s"),
        ({"type": "string", "format": "duration"}, "3 days"),
        ({"type": "string", "format": "unheard-of"}, "anything"),
        ({"type": "string", "pattern": r"^[^$]\$[]$]\z"}, "a$]"),
        ({"type": "object", "additionalProperties": True}, {"a": {"b": 1}}),
        ({"x-kubernetes-preserve-unknown-fields": True}, [1, {"a": None}]),
    ],
)
def test_a_right_value_passes_unchanged(field: Object, value: Any) -> None:
    outcome = walk(field, value)
    assert (outcome.object, outcome.errors, outcome.unknown) == ({"spec": {"x": value}}, [], [])


def test_two_entries_of_one_key_are_a_duplicate_even_when_the_key_comes_from_a_default() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string", "default": ""}}}
    field = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    assert said(walk(field, [{"name": "a"}, {"name": "b"}, {"name": "a"}])) == ['spec.x[2]: Duplicate value: {"name":"a"}']
    assert said(walk(field, [{}, {"name": ""}])) == ['spec.x[1]: Duplicate value: {"name":""}']


def test_junctors_test_without_changing() -> None:
    either = {"type": "object", "properties": {"a": STRING, "b": STRING}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert said(walk(either, {"a": "1"})) == []
    assert said(walk(either, {"a": "1", "b": "2"})) == [
        'spec.x: Invalid value: {"a":"1","b":"2"}: spec.x in body must validate one and only one schema (oneOf)'
    ]
    assert said(walk({"type": "integer", "anyOf": [{"maximum": 1}, {"minimum": 5}]}, 3)) == [
        "spec.x: Invalid value: 3: spec.x in body must validate at least one schema (anyOf)"
    ]
    assert said(walk({"type": "string", "not": {"enum": ["x"]}}, "x")) == [
        'spec.x: Invalid value: "x": spec.x in body must not validate the schema (not)'
    ]
    assert said(walk({"type": "integer", "allOf": [{"minimum": 2}, {"minimum": 3}]}, 1)) == [
        "spec.x: Invalid value: 1: spec.x in body should be greater than or equal to 2",
        "spec.x: Invalid value: 1: spec.x in body should be greater than or equal to 3",
    ]


def test_an_embedded_object_keeps_its_own_metadata_and_must_say_what_it_is() -> None:
    field = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    outcome = walk(field, {"kind": "Pod", "metadata": {"labels": {"a": "b"}}, "typo": 1})
    assert outcome.object["spec"]["x"] == {"kind": "Pod", "metadata": {"labels": {"a": "b"}}}
    assert said(outcome) == ["spec.x.apiVersion: Required value"]
    assert outcome.unknown == ["spec.x.typo"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({}, "openAPIV3Schema.properties[x].type: Required value: must say the type of each field"),
        ({"type": "text"}, 'openAPIV3Schema.properties[x].type: Unsupported value: "text"'),
        ({"$ref": "#/x", "type": "string"}, "openAPIV3Schema.properties[x].$ref: Forbidden"),
        ({"type": "array"}, "openAPIV3Schema.properties[x].items: Required value"),
        ({"type": "object", "additionalProperties": False}, "openAPIV3Schema.properties[x].additionalProperties: Forbidden"),
        ({"type": "object", "additionalProperties": STRING, "properties": {"a": STRING}}, "exclude each other"),
        ({"type": "array", "items": STRING, "uniqueItems": True}, "use x-kubernetes-list-type: set instead"),
        ({"type": "object", "properties": ["a"]}, "properties[x].properties: Invalid value"),
        ({"type": "string", "minLength": True}, "properties[x].minLength: Invalid value: true: must not be of type boolean"),
        ({"type": "object", "properties": None}, "properties[x].properties: Invalid value: null"),
        ({"type": "string", "not": "a"}, "properties[x].not: Invalid value"),
        ({"type": "string", "allOf": ["a"]}, "properties[x].allOf[0]: Invalid value"),
        ({"type": "number", "multipleOf": 0}, "must be greater than 0"),
        ({"type": "string", "pattern": "["}, "is not a usable regular expression"),
        ({"type": "integer", "default": "a"}, 'must be of type integer: "string"'),
        ({"type": "object", "default": {"a": 1}}, "default has an unknown field"),
        (
            {"type": "object", "anyOf": [{"required": ["a"], "properties": {"a": {}}}]},
            "must also be said outside of the junctor",
        ),
        ({"type": "string", "anyOf": [{"type": "string"}]}, "must be said outside of allOf, anyOf, oneOf and not"),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}, "must name its keys"),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"n": STRING}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
            },
            "a list key is required or has a default",
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused_with_its_place(field: Object, expected: str) -> None:
    assert expected in refused({"type": "object", "properties": {"x": field}})


@pytest.mark.parametrize("schema", [None, [], "object", {"type": "array", "items": STRING}, {"type": ["object"]}])
def test_what_is_no_schema_of_an_object_is_refused(schema: Any) -> None:
    assert refused(schema)


def test_every_fault_of_a_schema_is_told_at_once() -> None:
    message = refused({"type": "object", "properties": {"x": {}, "y": {"type": "array"}}})
    assert "properties[x].type" in message
    assert "properties[y].items" in message
