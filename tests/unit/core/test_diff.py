"""Diffs: the smallest patch, and when none is needed."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.diff import covers, digest, merge_patch, without_nulls


def apply(target: Any, patch: Any) -> Any:
    """RFC 7396, from its pseudocode."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from("xyz"), values, max_size=3)


@given(objects, objects)
def test_a_patch_leads_from_old_to_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    stored = without_nulls(old)
    assert apply(stored, merge_patch(stored, new)) == without_nulls(new)  # type: ignore[arg-type]


@given(objects)
def test_equal_objects_need_no_patch(value: dict[str, Any]) -> None:
    assert merge_patch(value, value) == {}


@given(objects, objects)
def test_what_was_patched_covers_what_was_wanted(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert covers({**old, **new}, new)


def test_extra_fields_are_others_business_and_lists_count() -> None:
    assert covers({"a": 1, "b": [{"n": 1, "defaulted": True}]}, {"b": [{"n": 1}]})
    assert not covers({"b": [1, 2]}, {"b": [1]})
    assert not covers({}, {"b": None})


def test_a_digest_knows_no_order_of_keys() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
