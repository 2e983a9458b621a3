"""The store against a plain dict: revisions grow, compare-and-swap holds, and the watch replays exactly what lists show."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.embedded.apiserver.errors import StatusError, stale
from holdfast.embedded.apiserver.ring import Rings
from holdfast.embedded.apiserver.store import Change, Key, Record, Store, Transaction

NAMES = st.sampled_from("abcdef")
SPACES = st.sampled_from(["one", "two"])
OWNERS = st.lists(st.sampled_from(["u1", "u2"]), max_size=2, unique=True)


def build(name: str, owners: list[str], value: int) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "labels": {"n": str(value)}}
    if owners:
        meta["ownerReferences"] = [{"uid": owner} for owner in owners]
    return {"apiVersion": "v1", "kind": "Thing", "metadata": meta, "value": value}


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.path = Path(self.folder.name) / "state.db"
        self.model: dict[Key, tuple[int, dict[str, Any]]] = {}
        self.replayed: dict[Key, int] = {}
        self.revisions: list[int] = []
        self.open()

    def open(self) -> None:
        self.store = Store(self.path)
        self.rings = Rings(self.store.rv)
        self.store.listeners += [self.rings.publish, self.hear]
        self.cursor = 0

    def hear(self, changes: list[Change]) -> None:
        self.revisions += [change.new.rv for change in changes]

    def write(self, run: Any, **more: Any) -> Any:
        return self.runner.run(self.store.write(run, **more))

    @rule(ns=SPACES, name=NAMES, owners=OWNERS, value=st.integers())
    def put(self, ns: str, name: str, owners: list[str], value: int) -> None:
        key = Key("/things", ns, name)
        record: Record = self.write(lambda transaction: transaction.put(key, build(name, owners, value)))
        self.model[key] = (record.rv, record.object())

    @rule(batch=st.lists(st.tuples(SPACES, NAMES, st.integers()), min_size=1, max_size=6))
    def put_concurrently(self, batch: list[tuple[str, str, int]]) -> None:
        def put(ns: str, name: str, value: int) -> Any:
            return self.store.write(lambda transaction: transaction.put(Key("/things", ns, name), build(name, [], value)))

        async def all_at_once() -> list[Record]:
            return await asyncio.gather(*(put(*one) for one in batch))

        for record in sorted(self.runner.run(all_at_once()), key=lambda found: found.rv):
            self.model[record.key] = (record.rv, record.object())

    @precondition(lambda self: self.model)
    @rule(data=st.data(), is_stale=st.booleans(), value=st.integers())
    def compare_and_swap(self, data: st.DataObject, is_stale: bool, value: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        expected = self.model[key][0] - is_stale

        def swap(transaction: Transaction) -> Record:
            record = transaction.get(key)
            assert record is not None
            if record.rv != expected:
                raise stale("things", "", key.name)
            return transaction.put(key, build(key.name, [], value))

        if is_stale:
            with pytest.raises(StatusError):
                self.write(swap)
        else:
            record = self.write(swap)
            self.model[key] = (record.rv, record.object())

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        self.write(lambda transaction: transaction.delete(transaction.get(key)))
        del self.model[key]

    @rule(ns=SPACES, name=NAMES, value=st.integers())
    def fail_after_buffering(self, ns: str, name: str, value: int) -> None:
        def run(transaction: Transaction) -> None:
            transaction.put(Key("/things", ns, name), build(name, [], value))
            raise ValueError("changed its mind")

        with pytest.raises(ValueError, match="changed its mind"):
            self.write(run)

    @rule(ns=SPACES, name=NAMES, value=st.integers())
    def dry_run(self, ns: str, name: str, value: int) -> None:
        self.write(lambda transaction: transaction.put(Key("/things", ns, name), build(name, [], value)), dry_run=True)

    @rule()
    def reopen(self) -> None:
        self.follow()
        revision = self.store.rv
        self.runner.run(self.store.close())
        self.open()
        assert self.store.rv == revision

    def follow(self) -> None:
        """Apply what the watch delivers to what it delivered before."""
        events = self.rings.of("/things").since(self.cursor, most=10_000)
        assert events is not None
        for event in events:
            if event.type == "DELETED":
                del self.replayed[event.new.key]
            else:
                assert (event.type == "ADDED") == (event.new.key not in self.replayed)
                self.replayed[event.new.key] = event.rv
        self.cursor += len(events)

    @invariant()
    def lists_show_the_model(self) -> None:
        page = self.store.page("/things")
        assert [record.key for record in page.records] == sorted(self.model)
        assert {record.key: (record.rv, record.object()) for record in page.records} == self.model
        assert page.rv == self.store.rv

    @invariant()
    def pages_add_up(self) -> None:
        found, after = list[Key](), None
        while True:
            page = self.store.page("/things", limit=2, after=after)
            found += [record.key for record in page.records]
            if (after := page.after) is None:
                break
        assert found == sorted(self.model)

    @invariant()
    def watch_replays_the_lists(self) -> None:
        self.follow()
        assert self.replayed == {key: revision for key, (revision, _) in self.model.items()}

    @invariant()
    def revisions_grow_without_gaps_in_order(self) -> None:
        assert self.revisions == sorted(set(self.revisions))

    @invariant()
    def owners_are_indexed(self) -> None:
        for uid in ("u1", "u2"):
            expected = {
                key
                for key, (_, obj) in self.model.items()
                if uid in {ref["uid"] for ref in obj["metadata"].get("ownerReferences") or []}
            }
            assert {record.key for record in self.store.dependents(uid)} == expected

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestStore = StoreMachine.TestCase
