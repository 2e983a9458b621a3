"""What holds a start back: budgets in the order of deadlines, holds that are tried later each time."""

from datetime import timedelta

from tests.sim.world import START, job, plan, step

from holdfast.core.labels import OWNER, STEP
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Plan, Step, When
from holdfast.engine.budgets import Budget, Budgets
from holdfast.engine.holds import Holds
from holdfast.engine.interest import Key

THING = Kind("test", "Thing")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def key(name: str) -> Key:
    return Key(THING, "demo", name)


def work(name: str, namespace: str = "demo", minutes: int | None = None, when: When = When.SUCCESS) -> tuple[Plan, Step]:
    item = step(name, when=when)
    item.child["metadata"]["namespace"] = namespace
    return plan(item, deadline=START + timedelta(minutes=minutes) if minutes else None), item


def seen(name: str, namespace: str = "demo", *, ended: bool = False) -> Object:
    obj = job(name)
    obj["metadata"] = {**obj["metadata"], "namespace": namespace, "labels": {STEP: "s"}}
    return {**obj, "status": {"conditions": [{"type": "Complete", "status": "True"}]} if ended else {}}


def test_no_more_than_the_budget_starts_and_the_rest_says_why() -> None:
    budgets = Budgets(Budget(total=2, per_namespace=2), monotonic=Clock())
    assert [budgets.admit(key(name), *work(name)) for name in "ab"] == ["", ""]
    assert budgets.admit(key("c"), *work("c")) == "waits for a free slot: 2 of 2 mover Jobs of namespace demo run"
    assert budgets.admit(key("d"), *work("d", "other")) == "waits for a free slot: 2 of 2 mover Jobs run"


def test_a_free_slot_wakes_the_earliest_deadline_first() -> None:
    budgets = Budgets(Budget(total=1), monotonic=Clock())
    budgets.admit(key("a"), *work("a"))
    budgets.observe(None, seen("a"))
    budgets.admit(key("late"), *work("late", minutes=60))
    budgets.admit(key("soon"), *work("soon", minutes=5))
    assert budgets.observe(seen("a"), seen("a", ended=True)) == {key("soon")}
    assert budgets.admit(key("late"), *work("late", minutes=60)) != ""
    assert budgets.admit(key("soon"), *work("soon", minutes=5)) == ""


def test_a_full_namespace_does_not_hold_up_another() -> None:
    budgets = Budgets(Budget(total=3, per_namespace=1), monotonic=Clock())
    budgets.admit(key("a"), *work("a"))
    budgets.admit(key("b"), *work("b", minutes=1))
    assert budgets.admit(key("c"), *work("c", "other")) == ""


class Part:
    """A scope of one of three shards: it holds `demo` and no other namespace."""

    def holds(self, namespace: str) -> bool:
        return namespace == "demo"

    def check(self, namespace: str) -> None:
        pass

    def share(self) -> float:
        return 1 / 3


def test_who_holds_a_third_of_the_namespaces_uses_a_third_of_the_total() -> None:
    """Jobs of others count for them alone, also where one of ours runs in a namespace that is theirs."""
    budgets = Budgets(Budget(total=6, per_namespace=0), Part(), monotonic=Clock())
    for name in "xyz":
        budgets.observe(None, seen(name, "theirs"))
    assert [budgets.admit(key(name), *work(name, "theirs")) for name in "ab"] == ["", ""]
    ours = seen("a", "theirs")
    ours["metadata"]["annotations"] = {OWNER: "Thing.test/demo/a"}
    budgets.observe(None, ours)
    assert budgets.admit(key("c"), *work("c")) == "waits for a free slot: 2 of 2 mover Jobs run"


def test_cleaning_up_never_waits() -> None:
    budgets = Budgets(Budget(total=1), monotonic=Clock())
    budgets.admit(key("a"), *work("a"))
    assert budgets.admit(key("thaw"), *work("thaw", when=When.ALWAYS)) == ""


def test_a_start_that_failed_gives_its_slot_back() -> None:
    budgets = Budgets(Budget(total=1), monotonic=Clock())
    budgets.admit(key("a"), *work("a"))
    budgets.admit(key("b"), *work("b"))
    assert budgets.give_back(("demo", "a")) == {key("b")}


def test_an_admission_that_never_became_a_job_ends() -> None:
    clock = Clock()
    budgets = Budgets(Budget(total=1), monotonic=clock)
    budgets.admit(key("a"), *work("a"))
    clock.seconds += 120
    assert budgets.admit(key("b"), *work("b")) == ""


def test_who_no_longer_asks_does_not_stand_in_the_way() -> None:
    budgets = Budgets(Budget(total=1), monotonic=Clock())
    budgets.admit(key("a"), *work("a"))
    budgets.observe(None, seen("a"))
    budgets.admit(key("gone"), *work("gone", minutes=1))
    budgets.admit(key("b"), *work("b"))
    budgets.observe(seen("a"), None)
    assert budgets.keep(key("gone"), ()) == {key("b")}


def test_a_hold_lasts_longer_each_time_and_then_lets_try() -> None:
    clock = Clock()
    holds = Holds(monotonic=clock)
    lengths: list[float] = []
    for _ in range(7):
        holds.hold(key("a"), "secrets", "Secret demo/s is missing")
        assert holds.message(key("a"), "secrets") == "Secret demo/s is missing"
        lengths.append(holds.next_try(key("a")) or 0)
        clock.seconds += lengths[-1]
        assert holds.message(key("a"), "secrets") == ""
    assert lengths == [1, 2, 4, 8, 16, 30, 30]
    holds.release(key("a"), "secrets")
    holds.hold(key("a"), "secrets", "again")
    assert holds.next_try(key("a")) == 1
    holds.forget(key("a"))
    assert holds.next_try(key("a")) is None


def test_a_limit_of_zero_is_none() -> None:
    budgets = Budgets(Budget(total=0, per_namespace=0), monotonic=Clock())
    assert {budgets.admit(key(str(number)), *work(str(number))) for number in range(100)} == {""}
    one_side = Budgets(Budget(total=0, per_namespace=1), monotonic=Clock())
    assert one_side.admit(key("a"), *work("a")) == ""
    assert "1 of 1 mover Jobs of namespace demo" in one_side.admit(key("b"), *work("b"))
