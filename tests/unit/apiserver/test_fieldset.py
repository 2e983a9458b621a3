"""The arithmetic of field sets, judged by plain sets of paths."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api_samples import pod

from holdfast.embedded.apiserver.builtin import KINDS
from holdfast.embedded.apiserver.fields import compare, present, stated
from holdfast.embedded.apiserver.fieldset import covers, difference, inside, intersection, is_sound, members, shown, union
from holdfast.embedded.apiserver.shapes import shape_of

SHAPES = {kind.kind: shape_of(kind) for kind in KINDS}
STEPS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"x"'])
PATHS = st.frozensets(st.lists(STEPS, min_size=1, max_size=3).map(tuple), max_size=6)


def set_of(paths):
    found = {}
    for path in paths:
        node = {}
        for step in reversed(path):
            node = {step: node}
        found = union(found, node)
    return found


@settings(max_examples=300, derandomize=True, deadline=None)
@given(left=PATHS, right=PATHS)
def test_field_sets_are_sets_of_paths(left, right):
    one, two = set_of(left), set_of(right)
    assert set(members(one)) == left
    assert set(members(union(one, two))) == left | right
    assert set(members(difference(one, two))) == left - right
    assert set(members(intersection(one, two))) == left & right
    assert covers(one, two) is (right <= left)
    assert all(inside(one, path[:length]) for path in left for length in range(1, len(path) + 1))
    assert is_sound(one)


def test_what_is_no_field_set_is_told_apart():
    deep = {}
    for _ in range(100):
        deep = {"f:a": deep}
    for wrong in ([], {"a": {}}, {"f:a": 1}, {"k:[1]": {}}, {"k:{": {}}, {"v:": {}}, deep):
        assert not is_sound(wrong)


def test_a_stated_configuration_owns_its_leaves_and_the_items_of_keyed_lists():
    config = pod("p", tolerations=[{"key": "x"}], imagePullSecrets=[{"name": "s"}], nodeSelector={})
    config["metadata"]["labels"] = {"a": "b"}
    assert stated(config, SHAPES["Pod"]) == {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {
            "f:containers": {'k:{"name":"main"}': {".": {}, "f:name": {}, "f:image": {}, "f:command": {}}},
            "f:tolerations": {},
            "f:imagePullSecrets": {'k:{"name":"s"}': {".": {}}},
            "f:nodeSelector": {},
        },
    }


def test_a_keyed_item_is_found_by_the_default_of_the_key_it_leaves_out():
    old = {"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}
    new = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    changed, removed = compare(old, new, SHAPES["Service"])
    item = 'k:{"port":80,"protocol":"TCP"}'
    assert changed == {"f:spec": {"f:ports": {item: {"f:name": {}}}}}
    assert removed == {"f:spec": {"f:ports": {item: {"f:protocol": {}}}}}


def test_what_a_write_removes_goes_with_all_that_was_inside():
    old = {"metadata": {"labels": {"a": "1"}}, "data": {"x": "1", "y": "2"}}
    new = {"data": {"x": "3"}}
    assert compare(old, new, SHAPES["ConfigMap"]) == (
        {"f:data": {"f:x": {}}},
        {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:data": {"f:y": {}}},
    )
    assert compare(old, old, SHAPES["ConfigMap"]) == ({}, {})


def test_a_creator_owns_maps_too_but_no_struct_that_is_always_there():
    found = present({"metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"k": "v"}}, SHAPES["ConfigMap"])
    assert found == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:data": {".": {}, "f:k": {}}}


def test_paths_read_as_refusals_name_them():
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")
    assert shown(path) == '.spec.ports[port=80,protocol="TCP"].name'
    assert shown(("f:metadata", "f:finalizers", 'v:"x"')) == '.metadata.finalizers[="x"]'
