"""Conditions: nothing moves unless something changed."""

from datetime import UTC, datetime

from holdfast.core.conditions import condition, find, is_false, is_true, remove, upsert, upsert_all

THEN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


def test_an_equal_condition_leaves_the_list_as_it_is() -> None:
    present = upsert(None, condition("Ready", True, "Found", "all there", generation=2), THEN)
    assert upsert(present, condition("Ready", True, "Found", "all there", generation=2), NOW) == present


def test_the_time_moves_with_the_status_only() -> None:
    present = upsert(None, condition("Ready", True, "Found"), THEN)
    reworded = upsert(present, condition("Ready", True, "Found", "other words"), NOW)
    assert reworded[0]["lastTransitionTime"] == "2026-11-20T12:00:00Z"
    assert reworded[0]["message"] == "other words"
    turned = upsert(present, condition("Ready", False, "Lost"), NOW)
    assert turned[0]["lastTransitionTime"] == "2026-11-20T13:00:00Z"


def test_with_restamp_the_time_moves_with_any_change() -> None:
    present = upsert(None, condition("Ready", True, "Found"), THEN)
    assert upsert(present, condition("Ready", True, "Found", "new"), NOW, restamp=True)[0]["lastTransitionTime"].startswith(
        "2026-11-20T13"
    )
    assert upsert(present, condition("Ready", True, "Found"), NOW, restamp=True) == present


def test_order_is_kept_and_absent_is_neither_true_nor_false() -> None:
    present = upsert_all(None, [condition("A", True, "x"), condition("B", None, "y")], THEN)
    changed = upsert(present, condition("A", False, "z"), NOW)
    assert [item["type"] for item in changed] == ["A", "B"]
    assert is_false(changed, "A")
    assert not is_true(changed, "B")
    assert not is_false(changed, "C")
    assert find(remove(changed, "A"), "A") is None
