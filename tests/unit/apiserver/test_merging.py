"""Patches and applied configurations, as functions of documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.embedded.apiserver.builtin import KINDS
from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.fields import remove
from holdfast.embedded.apiserver.patches import json_patch, merge
from holdfast.embedded.apiserver.strategic import strategic

POD = next(kind for kind in KINDS if kind.kind == "Pod")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def pod(*containers: dict, **spec) -> dict:
    return {"spec": {"containers": list(containers), **spec}}


@given(JSON, JSON)
def test_a_merge_patch_never_changes_its_inputs_and_repeats_itself(target, patch):
    before = repr((target, patch))
    once = merge(target, patch)
    assert repr((target, patch)) == before
    assert merge(once, patch) == once


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ],
)
def test_merge_patch_by_the_examples_of_its_standard(target, patch, result):
    assert merge(target, patch) == result


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/l/1", "value": 9}], {"l": [1, 9, 2], "m": {"x~/y": 1}}),
        ([{"op": "add", "path": "/l/-", "value": 9}], {"l": [1, 2, 9], "m": {"x~/y": 1}}),
        ([{"op": "remove", "path": "/m/x~0~1y"}], {"l": [1, 2], "m": {}}),
        ([{"op": "move", "from": "/l/0", "path": "/m/z"}], {"l": [2], "m": {"x~/y": 1, "z": 1}}),
        ([{"op": "copy", "from": "/l", "path": "/k"}], {"l": [1, 2], "m": {"x~/y": 1}, "k": [1, 2]}),
        (
            [{"op": "replace", "path": "/l/0", "value": 7}, {"op": "test", "path": "/l/0", "value": 7}],
            {"l": [7, 2], "m": {"x~/y": 1}},
        ),
    ],
)
def test_json_patch_operations(operations, result):
    assert json_patch({"l": [1, 2], "m": {"x~/y": 1}}, operations) == result


@pytest.mark.parametrize("path", ["/l/5", "/l/x", "/l/01x", "/n/a", "/m/none/deeper"])
def test_a_json_patch_to_nowhere_is_422(path):
    with pytest.raises(StatusError) as refusal:
        json_patch({"l": [1], "m": {}}, [{"op": "replace", "path": path, "value": 1}])
    assert refusal.value.code == 422


@given(st.lists(st.fixed_dictionaries({"op": st.text(max_size=7), "path": st.text(max_size=6)}), max_size=3))
def test_any_json_patch_is_applied_or_refused(operations):
    try:
        result = json_patch({"a": [1]}, operations)
    except StatusError as refusal:
        result = refusal.code
    assert result in (400, 422) or isinstance(result, dict)


def test_strategic_merges_items_by_their_key():
    target = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "2"})
    patch = pod({"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "b", "$patch": "delete"})
    expected = {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}
    assert strategic(POD, target, patch) == pod(expected)


def test_strategic_directives_leave_no_trace():
    target = {"metadata": {"finalizers": ["a", "b"]}, **pod({"name": "a"}, volumes=[{"name": "v", "emptyDir": {}}])}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
        "spec": {
            "$setElementOrder/containers": [{"name": "z"}, {"name": "a"}],
            "containers": [{"name": "z", "image": "1"}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}],
            "securityContext": {"$patch": "replace", "runAsUser": 1},
        },
    }
    result = strategic(POD, target, patch)
    assert result["metadata"] == {"finalizers": ["b"]}
    assert result["spec"] == {
        "containers": [{"name": "z", "image": "1"}, {"name": "a"}],
        "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
        "securityContext": {"runAsUser": 1},
    }


def test_an_item_without_its_merge_key_is_refused():
    with pytest.raises(StatusError, match="merge key"):
        strategic(POD, pod({"name": "a"}), pod({"image": "1"}))


def test_removing_a_path_takes_objects_that_become_empty_with_it():
    obj = {"spec": {"a": {"b": {"c": 1}}, "d": 1}, **pod()}
    obj = {"spec": {"a": {"b": {"c": 1}}, "containers": [{"name": "x", "image": "1"}, {"name": "y"}]}}
    remove(obj, ("f:spec", "f:a", "f:b", "f:c"))
    remove(obj, ("f:spec", "f:containers", 'k:{"name":"x"}', "f:image"))
    remove(obj, ("f:spec", "f:containers", 'k:{"name":"y"}'))
    assert obj == {"spec": {"containers": [{"name": "x"}]}}
