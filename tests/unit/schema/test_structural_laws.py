"""Laws of the walker that hold for any JSON: it never fails, never changes its input, and a second pass adds nothing."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.dialects.kubestash.types import BackupConfiguration
from holdfast.schema.emit import openapi_of
from holdfast.schema.structural import Schema

SCHEMA = Schema.compile(openapi_of(BackupConfiguration))
NAMES = ("name", "backends", "sessions", "storageRef", "addon", "tasks", "params", "paused", "retryConfig", "target", "odd")
ATOMS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "a", "1h"])
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5), max_leaves=20
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(spec=VALUES)
def test_any_json_is_judged_and_a_second_pass_adds_nothing(spec: Any) -> None:
    obj = {"spec": spec}
    before = copy.deepcopy(obj)
    once = SCHEMA.process(obj)
    assert obj == before
    again = SCHEMA.process(once.object)
    assert again.object == once.object
    assert again.unknown == []
    assert [str(error) for error in again.errors] == [str(error) for error in once.errors]
