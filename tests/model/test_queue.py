"""The work queue against a model: one worker per key, no forgotten mark, nothing early, changes before the backlog."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.kube.queue import FAIR_SHARE, LONGEST_BACKOFF, ROUTINE, URGENT, WorkQueue

KEYS = st.integers(0, 5)


class Queue(RuleBasedStateMachine):
    """For each key the model knows only whether work is owed, how urgent it is, and when more falls due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.queue: WorkQueue[int] = WorkQueue(clock=lambda: self.now, jitter=0.0)
        self.owed: dict[int, int] = {}
        self.due: dict[int, float] = {}
        self.running: set[int] = set()
        self.failed: dict[int, int] = {}
        self.urgent_in_a_row = 0

    def owe(self, key: int, priority: int) -> None:
        self.owed[key] = min(priority, self.owed.get(key, priority))

    def let_fall_due(self) -> None:
        for key, due in list(self.due.items()):
            if due <= self.now:
                del self.due[key]
                self.owe(key, URGENT)

    @rule(key=KEYS, priority=st.sampled_from([URGENT, ROUTINE]))
    def add(self, key: int, priority: int) -> None:
        self.queue.add(key, priority=priority)
        self.owe(key, priority)

    @rule(key=KEYS, seconds=st.sampled_from([0, 1, 2, 5, 30]))
    def add_after(self, key: int, seconds: float) -> None:
        self.queue.add_after(key, seconds)
        if seconds == 0:
            self.owe(key, URGENT)
        else:
            self.due[key] = min(self.now + seconds, self.due.get(key, float("inf")))

    @rule(seconds=st.sampled_from([0.5, 1, 3, 40]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        self.let_fall_due()
        ready = {key: priority for key, priority in self.owed.items() if key not in self.running}
        key = self.queue.take()
        if key is None:
            assert not ready, f"{ready} waits, but the queue gave nothing"
            return
        assert key in ready, f"{key} was given, but it runs or nothing is owed"
        if ready[key] == ROUTINE and URGENT in ready.values():
            assert self.urgent_in_a_row >= FAIR_SHARE, "a routine key overtook an urgent one"
        self.urgent_in_a_row = 0 if ready[key] == ROUTINE else self.urgent_in_a_row + 1
        del self.owed[key]
        self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.queue.done(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fails(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        delay = self.queue.retry(key)
        before = self.failed.get(key, 0)
        assert delay <= LONGEST_BACKOFF
        assert self.queue.failures(key) == before + 1
        self.failed[key] = before + 1
        self.due[key] = min(self.now + delay, self.due.get(key, float("inf")))
        self.running.discard(key)
        self.queue.done(key)

    @rule(key=KEYS)
    def succeeds(self, key: int) -> None:
        self.queue.forget(key)
        self.failed.pop(key, None)
        assert self.queue.failures(key) == 0

    @invariant()
    def the_next_timer_is_the_earliest_delay(self) -> None:
        waiting = [due for due in self.due.values() if due > self.now]
        due = self.queue.next_due()
        if waiting and len(waiting) == len(self.due):
            assert due == min(waiting)
        assert self.queue.running == self.running

    def teardown(self) -> None:
        """Whatever is owed is given out in the end."""
        self.now += 1000
        for _ in range(3 * 6):
            for key in sorted(self.running):
                self.done_quietly(key)
            self.take()
        assert not self.owed
        assert not self.due

    def done_quietly(self, key: int) -> None:
        self.running.discard(key)
        self.queue.done(key)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


async def test_workers_that_wait_are_woken_once_per_key_also_when_one_leaves():
    queue: WorkQueue[str] = WorkQueue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    waiting[0].cancel()
    async with asyncio.timeout(2):
        done, _ = await asyncio.wait(waiting[1:], return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == ["a"]
    queue.add("b")
    async with asyncio.timeout(2):
        results = await asyncio.gather(*waiting[1:])
    assert sorted(results) == ["a", "b"]


async def test_a_delay_wakes_a_waiting_worker_at_its_time():
    queue: WorkQueue[str] = WorkQueue()
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add_after("late", 5)
    queue.add_after("soon", 0.03)
    async with asyncio.timeout(2):
        assert await waiting == "soon"
    assert 0.03 <= loop.time() - began < 1
    assert queue.delayed == 1
