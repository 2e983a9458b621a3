"""Histories of one owner: any plan of Jobs, snapshots and claims, any outcome, any order, a crash between any two effects.

What must hold: every run ends, no child is made twice, no step starts before what it needs, steps for ALWAYS run unless
their needs never end, a terminal phase stays, and a pass over an unchanged world writes nothing.
"""

import copy
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.effects import Requeue
from holdfast.core.objects import kind_of
from holdfast.core.plan import OnError, Step, When
from tests.sim.world import CHILDREN, OWNER, START, Crash, FakeDialect, World, look, one_pass, phase_of, step

TERMINAL = ("Succeeded", "Failed")


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    count = draw(st.integers(1, 6))
    return [
        step(
            f"s{index}",
            *sorted(draw(st.sets(st.integers(0, index - 1).map("s{}".format), max_size=2)) if index else ()),
            when=draw(st.sampled_from(When)) if index else When.SUCCESS,
            on_error=draw(st.sampled_from(OnError)),
            kind=draw(st.sampled_from(sorted(CHILDREN))),
        )
        for index in range(count)
    ]


class History:
    """Drives one owner to its end with decisions drawn by hypothesis, and checks each pass."""

    def __init__(self, data: st.DataObject, steps: list[Step], *, deadline: bool) -> None:
        self.data, self.steps, self.world, self.owner = data, steps, World(), copy.deepcopy(OWNER)
        self.deadline = START + timedelta(minutes=30) if deadline else None
        self.dialect = FakeDialect(steps, self.deadline)

    def turn(self) -> None:
        """One pass, perhaps cut short, then one thing happens in the world."""
        crashes = self.data.draw(st.integers(0, 8), label="effects before a crash")
        left = iter(range(crashes, -1, -1))
        before = set(self.world.created)
        try:
            one_pass(self.world, self.owner, self.dialect, lambda: next(left) == 0 and crashes < 6)
        except Crash:
            pass
        except StopIteration:
            raise AssertionError("more than 8 effects in one pass") from None
        self.check_starts(set(self.world.created) - before)
        self.happen()

    def happen(self) -> None:
        jobs = sorted(self.world.running())
        self.world.now += timedelta(minutes=self.data.draw(st.sampled_from([0, 1, 10]), label="minutes"))
        if jobs and self.data.draw(st.booleans(), label="a child ends"):
            self.world.end(self.data.draw(st.sampled_from(jobs)), well=self.data.draw(st.booleans(), label="well"))

    def check_starts(self, started: set[str]) -> None:
        for item in self.steps:
            if item.name not in started or item.when is not When.SUCCESS:
                continue
            for need in item.needs:
                other = next(other for other in self.steps if other.name == need)
                state = self.world.step("demo", need, kind_of(other.child))
                passed = other.on_error is OnError.CONTINUE
                assert state.phase.value == "Succeeded" or (passed and state.phase.value == "Failed")

    def finish(self) -> None:
        """Let everything that runs end well; the run must then end within a bounded number of passes."""
        for _ in range(4 * len(self.steps) + 6):
            one_pass(self.world, self.owner, self.dialect)
            for name in sorted(self.world.running()):
                self.world.end(name, well=True)
            if (phase := phase_of(self.owner)) and phase.terminal:
                return
            self.world.now += timedelta(minutes=3)
        raise AssertionError(f"the run did not end: {self.owner.get('status')}")


@settings(max_examples=250, deadline=None)
@given(st.data(), graphs(), st.booleans())
def test_every_history_ends_without_a_twin(data: st.DataObject, steps: list[Step], deadline: bool) -> None:
    history = History(data, steps, deadline=deadline)
    for _ in range(data.draw(st.integers(0, 12), label="turns")):
        history.turn()
        status = copy.deepcopy(history.owner.get("status", {}))
        if status.get("phase") in TERMINAL:
            one_pass(history.world, history.owner, history.dialect)
            assert history.owner["status"] == status
            break
    history.finish()

    assert len(history.world.created) == len(set(history.world.created)), "a twin"
    writes = history.world.writes
    one_pass(history.world, history.owner, history.dialect)
    assert history.world.writes == writes, "a write although nothing changed"
    for item in steps:
        if item.when is When.ALWAYS:
            assert item.name in history.world.created, "an ALWAYS step did not run"


@settings(max_examples=100, deadline=None)
@given(st.data(), graphs())
def test_a_second_look_at_an_unchanged_world_wants_nothing(data: st.DataObject, steps: list[Step]) -> None:
    history = History(data, steps, deadline=False)
    for _ in range(data.draw(st.integers(0, 8), label="turns")):
        one_pass(history.world, history.owner, history.dialect)
        one_pass(history.world, history.owner, history.dialect)  # the first created, the second projects what it sees
        writes = history.world.writes
        _, effects = look(history.world, history.owner, history.dialect)
        assert [effect for effect in effects if not isinstance(effect, Requeue)] == []
        assert history.world.writes == writes
        history.happen()
