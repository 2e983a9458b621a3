"""The cache: our own writes are seen at once, until the watch has caught up; look-ups are interests."""

from collections.abc import Iterable

import pytest

from holdfast.core.objects import Kind, Object, Ref
from holdfast.engine.cache import Cache
from holdfast.engine.interest import Collection, Interests, Key, Named, tokens_of
from holdfast.kube.store import IndexFunction, Store

THING = Kind("", "ConfigMap")


class FakeInformer:
    """A store that is fed by hand."""

    def __init__(self) -> None:
        self.store = Store()
        self.subscribers: list[object] = []

    def get(self, namespace: str, name: str) -> Object | None:
        return self.store.get((namespace, name))

    def all(self) -> Iterable[Object]:
        return self.store.all()

    def add_index(self, name: str, fn: IndexFunction) -> None:
        self.store.add_index(name, fn)

    def by_index(self, name: str, value: str) -> list[Object]:
        return self.store.by_index(name, value)

    def subscribe(self, fn: object) -> None:
        self.subscribers.append(fn)

    def show(self, obj: Object) -> None:
        old = self.store.put(obj)
        for fn in self.subscribers:
            fn(old, obj)  # type: ignore[operator]

    def lose(self, obj: Object) -> None:
        old = self.store.drop((obj["metadata"]["namespace"], obj["metadata"]["name"]))
        for fn in self.subscribers:
            fn(old, None)  # type: ignore[operator]


def thing(name: str, version: int, *, uid: str = "u", **more: object) -> Object:
    meta = {"name": name, "namespace": "demo", "resourceVersion": str(version), "uid": uid, **more}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched() -> tuple[FakeInformer, Cache, Time]:
    informer, clock = FakeInformer(), Time()
    return informer, Cache({THING: informer}, monotonic=clock), clock  # type: ignore[dict-item]


def version(cache: Cache, name: str = "a") -> str | None:
    found = cache.get(THING, "demo", name)
    return found["metadata"]["resourceVersion"] if found else None


def test_an_own_write_is_seen_before_the_watch_reports_it(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    cache.wrote(thing("a", 10))
    assert version(cache) == "10"
    informer.show(thing("a", 9))
    assert version(cache) == "10"
    informer.show(thing("a", 10))
    informer.show(thing("a", 12))
    assert version(cache) == "12"


def test_a_write_that_the_watch_reported_first_changes_nothing(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    informer.show(thing("a", 12))
    cache.wrote(thing("a", 10))
    assert version(cache) == "12"


def test_a_deletion_ends_the_overlay_of_that_object_only(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    informer.show(thing("a", 1, uid="old"))
    cache.wrote(thing("a", 5, uid="new"))
    informer.lose(thing("a", 1, uid="old"))
    assert version(cache) == "5"
    informer.show(thing("a", 5, uid="new"))
    informer.lose(thing("a", 5, uid="new"))
    assert version(cache) is None


def test_an_overlay_that_is_never_confirmed_ends(watched: tuple[FakeInformer, Cache, Time]) -> None:
    _, cache, clock = watched
    cache.wrote(thing("a", 1))
    clock.now = 31.0
    assert version(cache) is None


def test_an_accepted_deletion_shows_at_once(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    informer.show(thing("a", 1))
    cache.deleting(Ref(THING, "demo", "a"), "u", "2026-11-20T13:00:00Z")
    found = cache.get(THING, "demo", "a")
    assert found is not None
    assert found["metadata"]["deletionTimestamp"] == "2026-11-20T13:00:00Z"
    informer.lose(thing("a", 1))
    assert version(cache) is None


def test_lists_hold_own_writes_too(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    informer.show(thing("a", 1, labels={"app": "x"}))
    cache.wrote(thing("b", 2, labels={"app": "x"}, ownerReferences=[{"uid": "o"}]))
    names = [obj["metadata"]["name"] for obj in cache.list(THING, "demo", label=("app", "x"))]
    assert names == ["a", "b"]
    assert [obj["metadata"]["name"] for obj in cache.list(THING, owner="o")] == ["b"]
    assert cache.list(THING, "other") == []
    assert len(cache.list(THING)) == 2


def test_a_kind_that_is_not_watched_is_an_error_of_the_dialect(watched: tuple[FakeInformer, Cache, Time]) -> None:
    with pytest.raises(LookupError, match=r"Secret is not watched"):
        watched[1].get(Kind("", "Secret"), "demo", "s")


def test_a_change_wakes_who_looked_by_name_namespace_label_or_owner() -> None:
    interests, keys = Interests(), [Key(THING, "demo", str(n)) for n in range(6)]
    looks = [
        Named(THING, "demo", "a"),
        Collection(THING, "demo"),
        Collection(THING, None, "app", "x"),
        Collection(THING, "demo", "owner", "o"),
        Collection(THING, "demo", "app", "y"),
        Named(THING, "demo", "b"),
    ]
    for key, look in zip(keys, looks, strict=True):
        interests.add(key, look)
    obj = thing("a", 1, labels={"app": "x"}, ownerReferences=[{"uid": "o"}])
    assert interests.woken_by(*tokens_of(THING, obj)) == set(keys[:4])


def test_only_the_look_ups_of_the_last_pass_count() -> None:
    interests, key = Interests(), Key(THING, "demo", "k")
    for look in ("a", "b"):
        interests.add(key, Named(THING, "demo", look))
        interests.keep(key, [Named(THING, "demo", look)])
    assert interests.woken_by(Named(THING, "demo", "a")) == set()
    assert interests.woken_by(Named(THING, "demo", "b")) == {key}
    interests.keep(key, ())
    assert len(interests) == 0


def test_an_object_that_the_watch_saw_go_does_not_come_back_with_the_answer_to_our_last_write(
    watched: tuple[FakeInformer, Cache, Time],
) -> None:
    informer, cache, _ = watched
    held = thing("a", 1, labels={"app": "x"}, finalizers=["f"], deletionTimestamp="2026-11-20T00:00:00Z")
    informer.show(held)
    informer.lose(held)
    cache.wrote(thing("a", 2, labels={"app": "x"}, deletionTimestamp="2026-11-20T00:00:00Z"))
    assert version(cache) is None
    assert cache.list(THING, label=("app", "x")) == []


def test_an_object_that_was_made_anew_is_not_shown_as_going(watched: tuple[FakeInformer, Cache, Time]) -> None:
    informer, cache, _ = watched
    informer.show(thing("a", 1, uid="old"))
    informer.lose(thing("a", 1, uid="old"))
    informer.show(thing("a", 3, uid="new"))
    cache.deleting(Ref(THING, "demo", "a"), "old", "2026-11-20T13:00:00Z")
    cache.wrote(thing("a", 2, uid="old", finalizers=["f"], deletionTimestamp="2026-11-20T00:00:00Z"))
    assert cache.get(THING, "demo", "a") == thing("a", 3, uid="new")
